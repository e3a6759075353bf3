from _job import job

with job(snakemake):
    from disentangledssl.sources.own import copy_file

    copy_file(snakemake.input.file, snakemake.output[0])
