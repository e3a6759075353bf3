from pathlib import Path

from _job import job

with job(snakemake) as terminal:
    from disentangledssl.operations import count_operations

    count_operations(snakemake.params.stacks, snakemake.params.sets, Path(snakemake.output[0]), terminal)
