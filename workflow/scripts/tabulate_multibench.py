from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.tables.multibench import tabulate_multibench

    tabulate_multibench(
        [Path(path) for path in snakemake.input],
        Path(snakemake.output.table1),
        Path(snakemake.output.table4),
    )
