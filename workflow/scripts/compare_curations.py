from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.sources.lincs import write_overlap

    first, second = (Path(files[0]).parent for files in (snakemake.input.first, snakemake.input.second))
    write_overlap(first, second, snakemake.output[0])
