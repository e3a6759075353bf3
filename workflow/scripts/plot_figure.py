from importlib import import_module
from pathlib import Path

from _job import job

with job(snakemake):
    figure = import_module(f"disentangledssl.figures.{snakemake.params.figure}")

    figure.plot(Path(snakemake.input[0]), Path(snakemake.output.png))
