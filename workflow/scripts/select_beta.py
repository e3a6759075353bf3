from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.selection import select_beta

    select_beta(
        [Path(path) for path in snakemake.input],
        Path(snakemake.output[0]),
        betas=snakemake.params.betas,
        seeds=snakemake.params.seeds,
    )
