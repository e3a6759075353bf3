from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.paper.consistency import check_paper

    check_paper(Path(snakemake.input[0]).parent, Path(snakemake.output.table).with_suffix(""))
