from _job import job

with job(snakemake) as terminal:
    from disentangledssl.sources.listing import list_downloads

    list_downloads(snakemake.config["downloads"], snakemake.params.needed, snakemake.params.out, terminal)
