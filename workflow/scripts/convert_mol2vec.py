from _job import job

with job(snakemake):
    from disentangledssl.sources.published_mol2vec import convert_model

    convert_model(snakemake.input[0], snakemake.output[0])
