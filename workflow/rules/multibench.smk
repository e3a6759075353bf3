# MultiBench and its stand-ins: raw files -> paired data sets.


rule convert_mfeat:
    input:
        lambda w: raw_files(w.dataset),
    output:
        multiext(f"{R}/{{dataset}}/data/", "view1.parquet", "view2.parquet", "pairs.parquet"),
    log:
        f"{R}/logs/{{dataset}}/convert_mfeat.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/convert_mfeat.tsv"
    wildcard_constraints:
        dataset=one_of(MFEAT),
    conda:
        ENVIRONMENT
    params:
        make=lambda w: CONFIG.data[w.dataset].make.model_dump(exclude={"set"}),
        code=code("mfeat"),
    message:
        "Converting {wildcards.dataset}"
    script:
        "../scripts/convert_mfeat.py"
