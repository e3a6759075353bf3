from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.paper.claims import write_claims

    given = snakemake.input
    simulations = (Path(files[0]) if files else None for files in (given.simulation, given.mixed, given.noisy))
    write_claims(
        *simulations,
        Path(given.comparison),
        Path(given.other),
        dict(zip(snakemake.params.screens, map(Path, given.differences), strict=True)),
        snakemake.params.departures,
        snakemake.params.changed,
        Path(snakemake.output.table).with_suffix(""),
    )
