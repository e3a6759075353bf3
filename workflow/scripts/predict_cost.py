from pathlib import Path

from _job import device, job

with job(snakemake) as terminal:
    from disentangledssl.cost import predict

    predict(
        snakemake.params.stacks,
        snakemake.params.datasets,
        Path(snakemake.output[0]),
        device=device(snakemake.config["device"]),
        cores=snakemake.threads,
        threads=snakemake.params.threads,
        terminal=terminal,
    )
