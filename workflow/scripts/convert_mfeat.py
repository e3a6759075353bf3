from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.sources.mfeat import write_mfeat

    out = Path(snakemake.output[0]).parent
    write_mfeat(snakemake.input[0], out, name=snakemake.wildcards.dataset, **snakemake.params.make)
