# LINCS L1000: published files -> paired data sets (docs/downloads.md, docs/choices.md).


# Kept, as 52 GB packed are not unpacked in a moment and each change of a choice reads it again. Once curated, it may be
# deleted: nothing else needs it, and it is made again where something does.
rule unpack_gctx:
    input:
        f"{D}/{{packed}}.gctx.gz",
    output:
        f"{D}/{{packed}}.gctx",
    log:
        f"{R}/logs/downloads/{{packed}}.gctx.log",
    benchmark:
        f"{R}/benchmarks/downloads/{{packed}}.gctx.tsv"
    wildcard_constraints:
        packed=one_of(re.escape(path[:-8]) for path in CATALOGUE.single if path.endswith(".gctx.gz")),
    conda:
        ENVIRONMENT
    resources:
        # 65.1 GB of 52.4 GB for the expression of phase I.
        disk_mb=lambda w, input: int(1.3e-6 * (CATALOGUE.find(f"{w.packed}.gctx.gz").file.bytes or 0)),
        runtime=more(480),
    message:
        "Unpacking {input}"
    script:
        "../scripts/unpack_gctx.py"


rule curate_lincs:
    input:
        unpack(lincs_inputs),
    output:
        multiext(f"{R}/{{dataset}}/data/", "view1.parquet", "molecules.parquet", "pairs.parquet", "curation.csv"),
    log:
        f"{R}/logs/{{dataset}}/curate_lincs.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/curate_lincs.tsv"
    wildcard_constraints:
        dataset=one_of(LINCS),
    conda:
        ENVIRONMENT
    resources:
        # Of GEO's files 1.4 GB at the true size; an archive of pickles is loaded whole, and its size is not published.
        mem_mb=lambda w, attempt: (3000 if CONFIG.data[w.dataset].make.route == "geo" else 8000) * attempt,
        runtime=more(240),
    params:
        make=lambda w: CONFIG.data[w.dataset].make.model_dump(exclude={"screen"}),
        code=code("curate_lincs"),
    message:
        "Curating {wildcards.dataset}"
    script:
        "../scripts/curate_lincs.py"


rule compare_curations:
    input:
        first=multiext(f"{R}/{{dataset}}/data/", "molecules.parquet", "pairs.parquet"),
        second=multiext(f"{R}/{{other}}/data/", "molecules.parquet", "pairs.parquet"),
    output:
        f"{R}/{{dataset}}/overlap/{{other}}.csv",
    log:
        f"{R}/logs/{{dataset}}/compare_curations/{{other}}.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/compare_curations/{{other}}.tsv"
    wildcard_constraints:
        dataset=one_of(LINCS),
        other=one_of(LINCS),
    conda:
        ENVIRONMENT
    params:
        code=code("curate_lincs"),
    message:
        "Comparing {wildcards.dataset} with {wildcards.other}"
    script:
        "../scripts/compare_curations.py"
