from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.reference_rows import probe_references

    probe_references(
        Path(snakemake.input.data[0]).parent,
        Path(snakemake.output[0]),
        folds=snakemake.params.folds,
        probe=snakemake.params.probe,
    )
