# What a run will take on this machine, before it is started.


rule predict_cost:
    input:
        [file.format(dataset=name) for name in CONFIG.datasets for file in DATASET_FILES],
        [f"{R}/{name}/data/latents.parquet" for name in SIMULATIONS],
        [MOLECULES.format(dataset=name) for name in SCREENS],
    output:
        f"{R}/cost.csv",
    log:
        f"{R}/logs/predict_cost.log",
    benchmark:
        f"{R}/benchmarks/predict_cost.tsv"
    conda:
        ENVIRONMENT
    # All of them, since it does what the run will do.
    threads: workflow.cores or 1
    resources:
        gpu=GPU,
    params:
        stacks=lambda w: PLAN.trainings(),
        datasets=lambda w: {name: evaluation(name) for name in CONFIG.datasets},
        threads=CONFIG.threads,
        code=code("cost"),
    message:
        "Timing a few steps of every kind of stack; this takes some minutes"
    script:
        "../scripts/predict_cost.py"
