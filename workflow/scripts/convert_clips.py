from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.sources.multibench import convert

    out = Path(snakemake.output[0]).parent
    convert(snakemake.input[0], out, name=snakemake.wildcards.dataset, **snakemake.params.make)
