from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.reference_rows import retrieve_references

    retrieve_references(
        Path(snakemake.input.data[0]).parent,
        Path(snakemake.output.rankings),
        folds=snakemake.params.folds,
        scaling=snakemake.params.scaling,
        top=snakemake.params.top,
        permutations=snakemake.params.permutations,
        pool=snakemake.params.pool,
    )
