# A folder of the user's own -> paired data sets (docs/data.md). What it leaves out, splits or the features of molecules,
# is made as for any other data set.


rule check_own:
    input:
        own_inputs,
    output:
        f"{R}/{{dataset}}/data/pairs.parquet",
    log:
        f"{R}/logs/{{dataset}}/check_own.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/check_own.tsv"
    wildcard_constraints:
        dataset=one_of(OWN),
    conda:
        ENVIRONMENT
    resources:
        # Both views are read whole.
        mem_mb=lambda w, input, attempt: attempt * int(1500 + 4 * input.size_mb),
    params:
        folder=lambda w: CONFIG.data[w.dataset].make.path,
        checks=lambda w: {
            "title": CONFIG.data[w.dataset].make.title,
            "screen": w.dataset in SCREENS,
            "kind": CONFIG.family(w.dataset).split.kind,
            "folds": CONFIG.folds(w.dataset),
        },
        code=code("own"),
    message:
        "Checking {params.folder} for {wildcards.dataset}"
    script:
        "../scripts/check_own.py"


rule copy_own:
    input:
        file=lambda w: OWN_FILES[w.file],
        checked=lambda w: f"{R}/{Path(w.file).parent}/pairs.parquet",
    output:
        f"{R}/{{file}}",
    log:
        f"{R}/logs/{{file}}.log",
    benchmark:
        f"{R}/benchmarks/{{file}}.tsv"
    wildcard_constraints:
        file=one_of(map(re.escape, OWN_FILES)),
    conda:
        ENVIRONMENT
    params:
        code=code("own"),
    message:
        "Copying {input.file}"
    script:
        "../scripts/copy_own.py"
