from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.figures.figure7 import plot_figure7

    plot_figure7(Path(snakemake.input[0]), Path(snakemake.output.png))
