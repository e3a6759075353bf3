from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.hits import rank_shown_hits

    rank_shown_hits(
        Path(snakemake.input.models),
        Path(snakemake.input.data[0]).parent,
        Path(snakemake.output[0]),
        run=snakemake.params.run,
    )
