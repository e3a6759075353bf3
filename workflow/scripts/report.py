from pathlib import Path

from _job import job

with job(snakemake):
    from disentangledssl.report.page import write_report

    write_report(
        Path(snakemake.output[0]),
        outputs=snakemake.params.outputs,
        runs=snakemake.params.runs,
        kinds=snakemake.params.kinds,
    )
