from _job import job

with job(snakemake):
    from disentangledssl.sources.gctx import unpack

    unpack(snakemake.input[0], snakemake.output[0])
