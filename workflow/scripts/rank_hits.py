from pathlib import Path

from _job import job

with job(snakemake) as terminal:
    from disentangledssl.hits import rank_hits

    library, mol2vec_model = (
        Path(files[0]) if files else None for files in (snakemake.input.library, snakemake.input.mol2vec_model)
    )
    rank_hits(
        Path(snakemake.input.models),
        Path(snakemake.input.data[0]).parent,
        Path(snakemake.output[0]),
        stage=snakemake.wildcards.stage,
        run=snakemake.wildcards.run,
        phenotype=snakemake.wildcards.phenotype,
        library=library,
        mol2vec_model=mol2vec_model,
        terminal=terminal,
    )
