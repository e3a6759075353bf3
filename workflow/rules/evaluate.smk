# Trained runs -> measurements, one file a stack, and the choice of beta.


rule probe_representations:
    input:
        data=dataset_files,
        models=f"{R}/{{dataset}}/{{stage}}/{{stack}}/models.safetensors",
    output:
        f"{R}/{{dataset}}/{{stage}}/{{stack}}/probes.parquet",
    log:
        f"{R}/logs/{{dataset}}/{{stage}}/{{stack}}/probe_representations.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/{{stage}}/{{stack}}/probe_representations.tsv"
    wildcard_constraints:
        dataset=one_of(SIMULATIONS + MULTIBENCH),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=more(8000),
        runtime=more(240),
    params:
        probe=lambda w: probe_options(w.dataset),
        code=lambda w: code("probe", f"methods.{w.stage}"),
    message:
        "Probing {wildcards.stage} of {wildcards.dataset}, stack {wildcards.stack}"
    script:
        "../scripts/probe_representations.py"


rule probe_references:
    input:
        data=dataset_files,
    output:
        f"{R}/{{dataset}}/references/probes.parquet",
    log:
        f"{R}/logs/{{dataset}}/references/probe_references.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/references/probe_references.tsv"
    wildcard_constraints:
        dataset=one_of(SIMULATIONS + MULTIBENCH),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=more(8000),
        runtime=more(240),
    params:
        probe=lambda w: probe_options(w.dataset),
        folds=lambda w: CONFIG.used_folds(w.dataset),
        code=code("probe_references"),
    message:
        "Probing the reference rows of {wildcards.dataset}"
    script:
        "../scripts/probe_references.py"


rule measure_retrieval:
    input:
        data=dataset_files,
        models=f"{R}/{{dataset}}/{{stage}}/{{stack}}/models.safetensors",
    output:
        rankings=f"{R}/{{dataset}}/{{stage}}/{{stack}}/retrieval.parquet",
        null=f"{R}/{{dataset}}/{{stage}}/{{stack}}/retrieval_null.parquet",
    log:
        f"{R}/logs/{{dataset}}/{{stage}}/{{stack}}/measure_retrieval.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/{{stage}}/{{stack}}/measure_retrieval.tsv"
    wildcard_constraints:
        dataset=one_of(SCREENS),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=more(8000),
        runtime=more(240),
    params:
        top=CONFIG.retrieval.top,
        permutations=CONFIG.retrieval.permutations,
        pool=CONFIG.retrieval.pool,
        code=lambda w: code("retrieval", f"methods.{w.stage}"),
    message:
        "Ranking molecules with {wildcards.stage} of {wildcards.dataset}, stack {wildcards.stack}"
    script:
        "../scripts/measure_retrieval.py"


rule measure_reconstruction:
    input:
        data=dataset_files,
        models=f"{R}/{{dataset}}/{{stage}}/{{stack}}/models.safetensors",
    output:
        f"{R}/{{dataset}}/{{stage}}/{{stack}}/reconstruction.parquet",
    log:
        f"{R}/logs/{{dataset}}/{{stage}}/{{stack}}/measure_reconstruction.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/{{stage}}/{{stack}}/measure_reconstruction.tsv"
    wildcard_constraints:
        dataset=one_of(SCREENS),
        stage=one_of(DECODED),
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        gpu=GPU,
        mem_mb=more(8000),
        runtime=more(240),
    params:
        decoders=lambda w: CONFIG.decoders_of(w.dataset).model_dump(),
        code=lambda w: code("reconstruction", f"methods.{w.stage}"),
    message:
        "Reconstructing the views of {wildcards.dataset} from {wildcards.stage}, stack {wildcards.stack}"
    script:
        "../scripts/measure_reconstruction.py"


rule retrieve_references:
    input:
        data=dataset_files,
        molecules=f"{R}/{{dataset}}/data/molecules.parquet",
    output:
        rankings=f"{R}/{{dataset}}/references/retrieval.parquet",
        null=f"{R}/{{dataset}}/references/retrieval_null.parquet",
    log:
        f"{R}/logs/{{dataset}}/references/retrieve_references.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/references/retrieve_references.tsv"
    wildcard_constraints:
        dataset=one_of(SCREENS),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=more(8000),
        runtime=more(240),
    params:
        top=CONFIG.retrieval.top,
        permutations=CONFIG.retrieval.permutations,
        pool=CONFIG.retrieval.pool,
        folds=lambda w: CONFIG.used_folds(w.dataset),
        scaling=scaling,
        code=code("retrieve_references"),
    message:
        "Ranking molecules with the reference rows of {wildcards.dataset}"
    script:
        "../scripts/retrieve_references.py"


rule select_beta:
    input:
        lambda w: stack_files(w.dataset, "step1", "retrieval.parquet"),
    output:
        f"{R}/{{dataset}}/selection.json",
    log:
        f"{R}/logs/{{dataset}}/select_beta.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/select_beta.tsv"
    wildcard_constraints:
        dataset=one_of(SCREENS),
    conda:
        ENVIRONMENT
    params:
        betas=lambda w: sorted(CONFIG.family(w.dataset).grids["step1"]["beta"]),
        seeds=lambda w: sorted(CONFIG.family(w.dataset).seeds),
        code=code("selection"),
    message:
        "Choosing beta on the validation molecules of {wildcards.dataset}"
    script:
        "../scripts/select_beta.py"


rule export_representations:
    input:
        data=dataset_files,
        models=run_stack,
    output:
        f"{R}/{{dataset}}/representations/{{stage}}/{{run}}.parquet",
    log:
        f"{R}/logs/{{dataset}}/representations/{{stage}}/{{run}}.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/representations/{{stage}}/{{run}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=lambda w: code("representations", f"methods.{w.stage}"),
    message:
        "Writing the representations of {wildcards.stage} {wildcards.run} of {wildcards.dataset}"
    script:
        "../scripts/export_representations.py"
