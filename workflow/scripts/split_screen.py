from _job import job

with job(snakemake):
    from disentangledssl.screen_splits import write_screen_splits

    write_screen_splits(snakemake.input.pairs, snakemake.input.molecules, snakemake.output[0], **snakemake.params.split)
