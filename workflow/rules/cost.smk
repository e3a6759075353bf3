# What a run will take on this machine, before it is started.


rule predict_cost:
    input:
        [file.format(dataset=name) for name in CONFIG.datasets for file in DATASET_FILES],
        [f"{R}/{name}/data/latents.parquet" for name in SIMULATIONS],
        [MOLECULES.format(dataset=name) for name in SCREENS],
        [file.format(dataset=f"{name}/transfer") for name in TRANSFERS for file in [*DATASET_FILES, MOLECULES]],
    output:
        f"{R}/cost.csv",
    log:
        f"{R}/logs/predict_cost.log",
    benchmark:
        f"{R}/benchmarks/predict_cost.tsv"
    conda:
        ENVIRONMENT
    # All of them, since it does what the run will do.
    threads: all_cores()
    resources:
        gpu=GPU,
        mem_mb=more(16000),
        runtime=more(240),
    params:
        stacks=lambda w: PLAN.trainings(),
        datasets=lambda w: evaluations(),
        threads=CONFIG.threads,
        code=code("cost"),
    message:
        "Timing a few steps of every kind of stack; this takes some minutes"
    script:
        "../scripts/predict_cost.py"


# Needs no data: what Tables 1 and 4 take, whoever has the files and whatever the machine.
rule count_operations:
    output:
        f"{R}/operations.csv",
    log:
        f"{R}/logs/count_operations.log",
    benchmark:
        f"{R}/benchmarks/count_operations.tsv"
    conda:
        ENVIRONMENT
    params:
        stacks=lambda w: sized_stacks(),
        sets=SIZED,
        code=code("operations"),
    message:
        "Counting what training takes on MultiBench's own data, in operations and bytes"
    script:
        "../scripts/count_operations.py"
