from _job import job

with job(snakemake):
    from disentangledssl.mol2vec import write_molecule_view

    write_molecule_view(snakemake.input.molecules, snakemake.input.model, snakemake.output[0])
