from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.sources.rxrx19a import curate

    out = Path(snakemake.output[0]).parent
    curate(dict(snakemake.input.items()), out, name=snakemake.wildcards.dataset, **snakemake.params.make)
