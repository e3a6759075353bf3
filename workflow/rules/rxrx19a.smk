# RxRx19a: published files -> paired data sets (docs/downloads.md, docs/choices.md).


rule curate_rxrx19a:
    input:
        unpack(rxrx19a_inputs),
    output:
        multiext(f"{R}/{{dataset}}/data/", "view1.parquet", "molecules.parquet", "pairs.parquet", "curation.csv"),
    log:
        f"{R}/logs/{{dataset}}/curate_rxrx19a.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/curate_rxrx19a.tsv"
    wildcard_constraints:
        dataset=one_of(RXRX19A),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=lambda w, attempt: 3000 * attempt,
    params:
        make=lambda w: CONFIG.data[w.dataset].make.model_dump(exclude={"screen"}),
        code=code("curate_rxrx19a"),
    message:
        "Curating {wildcards.dataset}"
    script:
        "../scripts/curate_rxrx19a.py"
