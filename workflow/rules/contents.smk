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
        mem_mb=more(8000),
        runtime=more(240),
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
    resources:
        mem_mb=more(8000),
        runtime=more(240),
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


rule rank_hits:
    input:
        data=dataset_files,
        molecules=f"{R}/{{dataset}}/data/molecules.parquet",
        models=run_stack,
        library=library_file,
        mol2vec_model=[MOL2VEC] if CONFIG.hits.library else [],
    output:
        f"{R}/{{dataset}}/hits/{{stage}}/{{run}}/{{phenotype}}.csv",
    log:
        f"{R}/logs/{{dataset}}/hits/{{stage}}/{{run}}/{{phenotype}}.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/hits/{{stage}}/{{run}}/{{phenotype}}.tsv"
    wildcard_constraints:
        dataset=one_of(SCREENS),
        phenotype="[^/]+",
    conda:
        ENVIRONMENT
    params:
        code=lambda w: code("hits", f"methods.{w.stage}"),
    message:
        "Ranking molecules for {wildcards.phenotype} with {wildcards.stage} {wildcards.run} of {wildcards.dataset}"
    script:
        "../scripts/rank_hits.py"


rule rank_shown_hits:
    input:
        data=dataset_files,
        molecules=f"{R}/{{dataset}}/data/molecules.parquet",
        models=shown_stack,
    output:
        f"{R}/{{dataset}}/top_hits.parquet",
    log:
        f"{R}/logs/{{dataset}}/rank_shown_hits.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/rank_shown_hits.tsv"
    wildcard_constraints:
        dataset=one_of(SCREENS),
    conda:
        ENVIRONMENT
    params:
        run=lambda w: PLAN.shown(w.dataset).id,
        code=code("hits", "methods.step2"),
    message:
        "Ranking molecules for a few test phenotypes of {wildcards.dataset}"
    script:
        "../scripts/rank_shown_hits.py"


rule map_representations:
    input:
        data=dataset_files,
        models=shown_stack,
    output:
        f"{R}/{{dataset}}/embedding_maps.parquet",
    log:
        f"{R}/logs/{{dataset}}/map_representations.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/map_representations.tsv"
    wildcard_constraints:
        dataset=one_of(DESCRIBED),
    conda:
        ENVIRONMENT
    params:
        run=lambda w: PLAN.shown(w.dataset).id,
        code=code("maps", "methods.step2"),
    message:
        "Mapping the representations of {wildcards.dataset} onto a plane"
    script:
        "../scripts/map_representations.py"
