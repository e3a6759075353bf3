from _job import job

with job(snakemake) as terminal:
    from disentangledssl.sources.download import fetch_all

    fetch_all(snakemake.output, snakemake.config["downloads"], terminal)
