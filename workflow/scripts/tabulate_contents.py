from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.tables.contents import tabulate_contents

    tabulate_contents(
        [Path(path) for path in snakemake.input],
        snakemake.params.wanted,
        Path(snakemake.output.table),
        Path(snakemake.output.summary),
    )
