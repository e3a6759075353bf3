from importlib import import_module
from pathlib import Path

from _job import job

with job(snakemake):
    make, out = snakemake.params.make, Path(snakemake.output[0]).parent
    module = import_module(f"disentangledssl.sources.{snakemake.params.module}")
    module.convert(snakemake.input[0], out, name=snakemake.wildcards.dataset, make=make)
