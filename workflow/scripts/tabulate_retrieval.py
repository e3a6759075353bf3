from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.tables.retrieval import tabulate_retrieval

    tabulate_retrieval(
        [Path(path) for path in snakemake.input.measurements],
        [Path(path) for path in snakemake.input.null],
        snakemake.params.wanted,
        Path(snakemake.input.selection[0]) if snakemake.input.selection else None,
        Path(snakemake.output.table),
        Path(snakemake.output.summary),
        Path(snakemake.output.differences),
        bootstrap=snakemake.params.bootstrap,
    )
