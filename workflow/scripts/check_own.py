from _job import job

with job(snakemake):
    from disentangledssl.sources.own import check_own

    check_own(snakemake.params.folder, snakemake.output[0], name=snakemake.wildcards.dataset, **snakemake.params.checks)
