from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.dataset import read_dataset
    from disentangledssl.representations import write_representations

    dataset = read_dataset(Path(snakemake.input.data[0]).parent)
    write_representations(Path(snakemake.input.models), dataset, snakemake.wildcards.run, Path(snakemake.output[0]))
