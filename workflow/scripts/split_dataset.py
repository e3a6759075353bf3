from _job import job

with job(snakemake):
    from disentangledssl.splits import write_splits

    write_splits(snakemake.input[0], snakemake.output[0], **snakemake.params.split)
