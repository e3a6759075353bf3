from _job import job

with job(snakemake):
    from disentangledssl import mol2vec

    mol2vec.train(mol2vec.corpus(snakemake.input), snakemake.output[0], **snakemake.params.settings)
