from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.sources.screens import curate

    make = dict(snakemake.params.make)
    source, out = Path(snakemake.input[0]).parent, Path(snakemake.output[0]).parent
    curate(make.pop("screen"), source, out, name=snakemake.wildcards.dataset, **make)
