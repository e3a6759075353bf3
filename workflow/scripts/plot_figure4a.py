from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.figures.figure4a import plot_figure4a

    plot_figure4a(Path(snakemake.input[0]), Path(snakemake.output.png))
