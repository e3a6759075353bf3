# Paired data -> trained runs. One job trains a stack of runs along a leading axis.


rule train_clip:
    input:
        data=dataset_files,
    output:
        models=f"{R}/{{dataset}}/clip/{{stack}}/models.safetensors",
        history=f"{R}/{{dataset}}/clip/{{stack}}/history.parquet",
    log:
        f"{R}/logs/{{dataset}}/clip/{{stack}}/train_clip.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/clip/{{stack}}/train_clip.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        gpu=GPU,
        mem_mb=training_memory("clip"),
        runtime=720,
    params:
        runs=stack_runs("clip"),
        settings=training_settings("clip"),
        scaling=scaling,
        code=code("train", "methods.clip"),
    message:
        "Training CLIP on {wildcards.dataset}, stack {wildcards.stack}"
    script:
        "../scripts/train_clip.py"


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
        runtime=720,
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
        runtime=720,
    params:
        runs=stack_runs("step2"),
        settings=training_settings("step2"),
        scaling=scaling,
        code=code("train", "methods.step2"),
    message:
        "Training step 2 on {wildcards.dataset}, stack {wildcards.stack}"
    script:
        "../scripts/train_step2.py"
