from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.sources.simulation import write_simulation

    write_simulation(
        Path(snakemake.output[0]).parent,
        name=snakemake.wildcards.dataset,
        streams=snakemake.params.streams,
        **snakemake.params.make,
    )
