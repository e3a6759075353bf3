from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.paper import write_claims

    simulation, mixed = (
        Path(files[0]) if files else None for files in (snakemake.input.simulation, snakemake.input.mixed)
    )
    write_claims(simulation, mixed, Path(snakemake.output[0]))
