from pathlib import Path

from _job import device, job, use_threads

with job(snakemake) as terminal:
    from disentangledssl.reconstructions import measure_reconstruction

    use_threads(snakemake.threads)
    measure_reconstruction(
        Path(snakemake.input.models),
        Path(snakemake.input.data[0]).parent,
        Path(snakemake.output[0]),
        stage=snakemake.wildcards.stage,
        decoders=snakemake.params.decoders,
        device=device(snakemake.config["device"]),
        terminal=terminal,
    )
