from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.transfer import join_screens

    join_screens(
        *(Path(files[0]).parent for files in (snakemake.input.source, snakemake.input.target, snakemake.output)),
        folds=snakemake.params.folds,
    )
