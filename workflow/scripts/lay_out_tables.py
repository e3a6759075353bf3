from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.paper.layout import lay_out_tables

    given = snakemake.input
    lay_out_tables(Path(given.comparison), Path(given.other), Path(snakemake.output.md[0]).parent)
