# Models of one screen -> how they rank the molecules of another.


rule join_screens:
    input:
        source=lambda w: [file.format(dataset=TRANSFERS[w.dataset]) for file in [*DATASET_FILES, MOLECULES]],
        target=multiext(
            f"{R}/{{dataset}}/data/", "view1.parquet", "view2.parquet", "pairs.parquet", "molecules.parquet"
        ),
    output:
        multiext(
            f"{R}/{{dataset}}/transfer/data/",
            *[f"{name}.parquet" for name in ("view1", "view2", "pairs", "splits", "molecules")],
        ),
    log:
        f"{R}/logs/{{dataset}}/transfer/join_screens.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/transfer/join_screens.tsv"
    wildcard_constraints:
        dataset=one_of(TRANSFERS),
    conda:
        ENVIRONMENT
    params:
        folds=lambda w: CONFIG.used_folds(TRANSFERS[w.dataset]),
        code=code("join_screens"),
    message:
        "Joining {wildcards.dataset} to the screen whose models rank its molecules"
    script:
        "../scripts/join_screens.py"


rule measure_transfer:
    input:
        data=rules.join_screens.output,
        models=lambda w: f"{R}/{TRANSFERS[w.dataset]}/{w.stage}/{w.stack}/models.safetensors",
    output:
        rankings=f"{R}/{{dataset}}/transfer/{{stage}}/{{stack}}/retrieval.parquet",
        null=f"{R}/{{dataset}}/transfer/{{stage}}/{{stack}}/retrieval_null.parquet",
    log:
        f"{R}/logs/{{dataset}}/transfer/{{stage}}/{{stack}}/measure_transfer.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/transfer/{{stage}}/{{stack}}/measure_transfer.tsv"
    wildcard_constraints:
        dataset=one_of(TRANSFERS),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=more(8000),
        runtime=more(240),
    params:
        top=CONFIG.retrieval.top,
        permutations=CONFIG.retrieval.permutations,
        pool="test",
        code=lambda w: code("retrieval", f"methods.{w.stage}"),
    message:
        "Ranking molecules of {wildcards.dataset} with {wildcards.stage} of another screen, stack {wildcards.stack}"
    script:
        "../scripts/measure_retrieval.py"


rule transfer_references:
    input:
        data=rules.join_screens.output,
    output:
        rankings=f"{R}/{{dataset}}/transfer/references/retrieval.parquet",
        null=f"{R}/{{dataset}}/transfer/references/retrieval_null.parquet",
    log:
        f"{R}/logs/{{dataset}}/transfer/transfer_references.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/transfer/transfer_references.tsv"
    wildcard_constraints:
        dataset=one_of(TRANSFERS),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=more(8000),
        runtime=more(240),
    params:
        top=CONFIG.retrieval.top,
        permutations=CONFIG.retrieval.permutations,
        pool="test",
        folds=lambda w: CONFIG.used_folds(TRANSFERS[w.dataset]),
        scaling=lambda w: view_scaling(TRANSFERS[w.dataset]),
        code=code("retrieve_references"),
    message:
        "Ranking molecules of {wildcards.dataset} with the reference rows of another screen"
    script:
        "../scripts/retrieve_references.py"


rule tabulate_transfer:
    input:
        measurements=transfer_measurements("retrieval.parquet"),
        null=transfer_measurements("retrieval_null.parquet"),
        selection=lambda w: selection_of(TRANSFERS[w.dataset]),
    output:
        table=f"{R}/{{dataset}}/transfer.parquet",
        csv=report(
            f"{R}/{{dataset}}/transfer.csv",
            category="Drug screens",
            labels={"data set": "{dataset}", "table": "transfer from another screen"},
            caption="../report/transfer.rst",
        ),
    log:
        f"{R}/logs/{{dataset}}/tabulate_transfer.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/tabulate_transfer.tsv"
    wildcard_constraints:
        dataset=one_of(TRANSFERS),
    conda:
        ENVIRONMENT
    params:
        wanted=lambda w: wanted_of(TRANSFERS[w.dataset], *RANKED),
        bootstrap=CONFIG.retrieval.bootstrap,
        code=code("transfer_table"),
    message:
        "Tabulating the transfer to {wildcards.dataset}"
    script:
        "../scripts/tabulate_transfer.py"
