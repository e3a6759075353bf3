from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.paper.comparison import compare_with_paper

    given, params = snakemake.input, snakemake.params
    compare_with_paper(
        Path(given.published[0]).parent,
        dict(zip((1, 4), map(Path, given.multibench), strict=False)),
        [Path(path) for path in given.retrieval],
        [Path(path) for path in given.reconstruction],
        runs=params.runs,
        others=params.others,
        departures=params.departures,
        comparison=Path(snakemake.output.table).with_suffix(""),
        other_data=Path(snakemake.output.other).with_suffix(""),
    )
