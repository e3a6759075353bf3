from _job import job

with job(snakemake):
    from disentangledssl.sources.rxrx19a import list_plates

    list_plates(snakemake.input[0], snakemake.output[0])
