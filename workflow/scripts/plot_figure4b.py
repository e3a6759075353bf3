from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.figures.figure4b import plot_figure4b

    plot_figure4b(Path(snakemake.input[0]), Path(snakemake.output.png))
