from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.figures.figure9 import plot_figure9

    plot_figure9(Path(snakemake.input[0]), Path(snakemake.output.png))
