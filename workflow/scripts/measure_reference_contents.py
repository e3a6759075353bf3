from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.contents import measure_reference_contents

    measure_reference_contents(
        Path(snakemake.input.data[0]).parent,
        Path(snakemake.output[0]),
        folds=snakemake.params.folds,
        scaling=snakemake.params.scaling,
        width=snakemake.params.width,
    )
