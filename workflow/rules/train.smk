# Paired data -> trained runs. One job trains a stack of runs along a leading axis.


rule train_step1:
    input:
        data=dataset_files,
    output:
        models=f"{R}/{{dataset}}/step1/{{stack}}/models.safetensors",
        history=f"{R}/{{dataset}}/step1/{{stack}}/history.parquet",
    log:
        f"{R}/logs/{{dataset}}/step1/{{stack}}/train_step1.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/step1/{{stack}}/train_step1.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        gpu=GPU,
        mem_mb=training_memory("step1"),
        runtime=more(720),
    params:
        runs=stack_runs("step1"),
        settings=training_settings("step1"),
        scaling=scaling,
        code=code("train", "methods.step1"),
    message:
        "Training step 1 on {wildcards.dataset}, stack {wildcards.stack}"
    script:
        "../scripts/train_step1.py"


rule train_step2:
    input:
        data=dataset_files,
        starts=start_models,
        selection=start_selection,
    output:
        models=f"{R}/{{dataset}}/step2/{{stack}}/models.safetensors",
        history=f"{R}/{{dataset}}/step2/{{stack}}/history.parquet",
    log:
        f"{R}/logs/{{dataset}}/step2/{{stack}}/train_step2.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/step2/{{stack}}/train_step2.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        gpu=GPU,
        mem_mb=training_memory("step2"),
        runtime=more(720),
    params:
        runs=stack_runs("step2"),
        settings=training_settings("step2"),
        scaling=scaling,
        code=code("train", "methods.step2"),
    message:
        "Training step 2 on {wildcards.dataset}, stack {wildcards.stack}"
    script:
        "../scripts/train_step2.py"


rule train_baseline:
    input:
        data=dataset_files,
    output:
        models=f"{R}/{{dataset}}/{{stage}}/{{stack}}/models.safetensors",
        history=f"{R}/{{dataset}}/{{stage}}/{{stack}}/history.parquet",
    log:
        f"{R}/logs/{{dataset}}/{{stage}}/{{stack}}/train_baseline.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/{{stage}}/{{stack}}/train_baseline.tsv"
    wildcard_constraints:
        stage=one_of(BASELINES),
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        gpu=GPU,
        mem_mb=training_memory(),
        runtime=more(720),
    params:
        runs=stack_runs(),
        settings=training_settings(),
        scaling=scaling,
        code=lambda w: code("train", f"methods.{w.stage}"),
    message:
        "Training {wildcards.stage} on {wildcards.dataset}, stack {wildcards.stack}"
    script:
        "../scripts/train_baseline.py"
