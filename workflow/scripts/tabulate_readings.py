from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.readings import tabulate_readings

    readings = dict(zip(snakemake.params.texts, map(Path, snakemake.input.readings), strict=True))
    tabulate_readings(Path(snakemake.input.base), readings, Path(snakemake.output[0]))
