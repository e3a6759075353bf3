from pathlib import Path

from _job import job, use_threads

with job(snakemake):
    from disentangledssl.contents import measure_contents

    use_threads(snakemake.threads)
    measure_contents(
        Path(snakemake.input.models),
        Path(snakemake.input.data[0]).parent,
        Path(snakemake.output[0]),
        stage=snakemake.wildcards.stage,
    )
