from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.maps import map_representations

    map_representations(
        Path(snakemake.input.models),
        Path(snakemake.input.data[0]).parent,
        Path(snakemake.output[0]),
        run=snakemake.params.run,
    )
