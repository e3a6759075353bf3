from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.tables.transfer import tabulate_transfer

    tabulate_transfer(
        [Path(path) for path in snakemake.input.measurements],
        [Path(path) for path in snakemake.input.null],
        snakemake.params.wanted,
        Path(snakemake.input.selection[0]) if snakemake.input.selection else None,
        Path(snakemake.output.table),
        bootstrap=snakemake.params.bootstrap,
    )
