# What the representations of a screen hold, for screens that describe their profiles.


rule measure_contents:
    input:
        data=dataset_files,
        models=f"{R}/{{dataset}}/{{stage}}/{{stack}}/models.safetensors",
    output:
        f"{R}/{{dataset}}/{{stage}}/{{stack}}/contents.parquet",
    log:
        f"{R}/logs/{{dataset}}/{{stage}}/{{stack}}/measure_contents.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/{{stage}}/{{stack}}/measure_contents.tsv"
    wildcard_constraints:
        dataset=one_of(DESCRIBED),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=240,
    params:
        code=lambda w: code("contents", f"methods.{w.stage}"),
    message:
        "Measuring what {wildcards.stage} of {wildcards.dataset} holds, stack {wildcards.stack}"
    script:
        "../scripts/measure_contents.py"


rule measure_reference_contents:
    input:
        data=dataset_files,
    output:
        f"{R}/{{dataset}}/references/contents.parquet",
    log:
        f"{R}/logs/{{dataset}}/references/measure_reference_contents.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/references/measure_reference_contents.tsv"
    wildcard_constraints:
        dataset=one_of(DESCRIBED),
    conda:
        ENVIRONMENT
    params:
        folds=lambda w: CONFIG.used_folds(w.dataset),
        scaling=scaling,
        width=lambda w: reference_width(w.dataset),
        code=code("contents"),
    message:
        "Measuring what the reference rows of {wildcards.dataset} hold"
    script:
        "../scripts/measure_reference_contents.py"


rule tabulate_contents:
    input:
        measurements("contents.parquet", *STAGES),
    output:
        table=f"{R}/{{dataset}}/contents.parquet",
        summary=f"{R}/{{dataset}}/contents_summary.parquet",
        csv=report(
            f"{R}/{{dataset}}/contents.csv",
            category="Drug screens",
            labels={"data set": "{dataset}", "table": "contents of the representations"},
            caption="../report/contents.rst",
        ),
        summary_csv=report(
            f"{R}/{{dataset}}/contents_summary.csv",
            category="Drug screens",
            labels={"data set": "{dataset}", "table": "contents of the representations, mean over seeds"},
            caption="../report/contents_summary.rst",
        ),
    log:
        f"{R}/logs/{{dataset}}/tabulate_contents.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/tabulate_contents.tsv"
    wildcard_constraints:
        dataset=one_of(DESCRIBED),
    conda:
        ENVIRONMENT
    params:
        wanted=wanted_runs(*STAGES),
        code=code("contents_table"),
    message:
        "Tabulating what the representations of {wildcards.dataset} hold"
    script:
        "../scripts/tabulate_contents.py"
