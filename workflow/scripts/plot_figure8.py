from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.figures.figure8 import plot_figure8

    plot_figure8(Path(snakemake.input[0]), Path(snakemake.output.png))
