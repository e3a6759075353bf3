from pathlib import Path

from _job import job, use_threads

with job(snakemake):
    from disentangledssl.rankings import measure_retrieval

    use_threads(snakemake.threads)
    measure_retrieval(
        Path(snakemake.input.models),
        Path(snakemake.input.data[0]).parent,
        Path(snakemake.output.rankings),
        stage=snakemake.wildcards.stage,
        top=snakemake.params.top,
        permutations=snakemake.params.permutations,
        pool=snakemake.params.pool,
    )
