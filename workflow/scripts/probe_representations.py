from pathlib import Path

from _job import job, use_threads

with job(snakemake):
    from disentangledssl.probes import probe_models

    use_threads(snakemake.threads)
    probe_models(
        Path(snakemake.input.models),
        Path(snakemake.input.data[0]).parent,
        Path(snakemake.output[0]),
        stage=snakemake.wildcards.stage,
        probe=snakemake.params.probe,
    )
