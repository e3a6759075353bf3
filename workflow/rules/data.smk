# Raw files -> paired data sets (docs/data.md).


rule simulate:
    output:
        multiext(f"{R}/{{dataset}}/data/", "view1.parquet", "view2.parquet", "pairs.parquet", "latents.parquet"),
    log:
        f"{R}/logs/{{dataset}}/simulate.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/simulate.tsv"
    wildcard_constraints:
        dataset=one_of(SIMULATIONS),
    conda:
        ENVIRONMENT
    params:
        make=lambda w: CONFIG.data[w.dataset].make.model_dump(),
        streams=streams_of,
        code=code("simulate"),
    message:
        "Simulating {wildcards.dataset}"
    script:
        "../scripts/simulate.py"


rule curate_screen:
    input:
        lambda w: raw_files(w.dataset),
    output:
        multiext(f"{R}/{{dataset}}/data/", "view1.parquet", "molecules.parquet", "pairs.parquet", "curation.csv"),
    log:
        f"{R}/logs/{{dataset}}/curate_screen.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/curate_screen.tsv"
    wildcard_constraints:
        dataset=one_of(BUNDLED),
    conda:
        ENVIRONMENT
    params:
        make=lambda w: CONFIG.data[w.dataset].make.model_dump(),
        code=code("curate"),
    message:
        "Curating {wildcards.dataset}"
    script:
        "../scripts/curate_screen.py"


rule train_mol2vec:
    input:
        CORPORA,
    output:
        f"{R}/mol2vec/trained.parquet",
    log:
        f"{R}/logs/mol2vec/train_mol2vec.log",
    benchmark:
        f"{R}/benchmarks/mol2vec/train_mol2vec.tsv"
    conda:
        ENVIRONMENT
    params:
        settings=CONFIG.mol2vec.model_dump(exclude={"model"}),
        code=code("mol2vec"),
    message:
        "Training Mol2vec on all molecules of the repository"
    script:
        "../scripts/train_mol2vec.py"


rule convert_mol2vec:
    input:
        PUBLISHED_MOL2VEC,
    output:
        f"{R}/mol2vec/published.parquet",
    log:
        f"{R}/logs/mol2vec/convert_mol2vec.log",
    benchmark:
        f"{R}/benchmarks/mol2vec/convert_mol2vec.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("published_mol2vec"),
    message:
        "Reading the published Mol2vec model"
    script:
        "../scripts/convert_mol2vec.py"


rule featurise_molecules:
    input:
        molecules=f"{R}/{{dataset}}/data/molecules.parquet",
        model=MOL2VEC,
    output:
        f"{R}/{{dataset}}/data/view2.parquet",
    log:
        f"{R}/logs/{{dataset}}/featurise_molecules.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/featurise_molecules.tsv"
    wildcard_constraints:
        dataset=one_of(FEATURISED),
    conda:
        ENVIRONMENT
    params:
        code=code("mol2vec"),
    message:
        "Featurising the molecules of {wildcards.dataset}"
    script:
        "../scripts/featurise_molecules.py"


rule split_dataset:
    input:
        f"{R}/{{dataset}}/data/pairs.parquet",
    output:
        f"{R}/{{dataset}}/data/splits.parquet",
    log:
        f"{R}/logs/{{dataset}}/split_dataset.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/split_dataset.tsv"
    wildcard_constraints:
        dataset=one_of(SPLIT),
    conda:
        ENVIRONMENT
    params:
        split=lambda w: CONFIG.family(w.dataset).split.model_dump(exclude={"use_folds", "by", "values"}),
        code=code("split"),
    message:
        "Splitting {wildcards.dataset}"
    script:
        "../scripts/split_dataset.py"


rule split_screen:
    input:
        pairs=f"{R}/{{dataset}}/data/pairs.parquet",
        molecules=f"{R}/{{dataset}}/data/molecules.parquet",
    output:
        f"{R}/{{dataset}}/data/splits.parquet",
    log:
        f"{R}/logs/{{dataset}}/split_screen.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/split_screen.tsv"
    wildcard_constraints:
        dataset=one_of(SCREEN_SPLIT),
    conda:
        ENVIRONMENT
    params:
        split=lambda w: CONFIG.family(w.dataset).split.model_dump(exclude={"use_folds"}),
        code=code("split_screen"),
    message:
        "Splitting {wildcards.dataset}"
    script:
        "../scripts/split_screen.py"


rule not_in_this_config:
    input:
        refuse,
    output:
        f"{R}/{{elsewhere}}/{{file}}",
    log:
        f"{R}/logs/not_in_this_config/{{elsewhere}}/{{file}}.log",
    wildcard_constraints:
        elsewhere=one_of(ELSEWHERE),
        file=".+",
    conda:
        ENVIRONMENT
    shell:
        "false {input} 2> {log}"
