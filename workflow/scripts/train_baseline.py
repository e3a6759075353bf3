from pathlib import Path

from _job import device, job, use_threads

with job(snakemake) as terminal:
    from disentangledssl.training import train_stack

    use_threads(snakemake.threads)
    train_stack(
        snakemake.wildcards.stage,
        Path(snakemake.input.data[0]).parent,
        snakemake.params.runs,
        settings=snakemake.params.settings,
        scaling=snakemake.params.scaling,
        models=Path(snakemake.output.models),
        history=Path(snakemake.output.history),
        code=snakemake.params.code,
        device=device(snakemake.config["device"]),
        checkpoint_seconds=snakemake.config["checkpoint_seconds"],
        terminal=terminal,
    )
