# RxRx19a: published files -> paired data sets (docs/downloads.md, docs/choices.md).
MEASURED = [name for name in RXRX19A if CONFIG.data[name].make.route == "cellprofiler"]


# A checkpoint, the only one: which plates there are, only the metadata tell.
checkpoint list_plates:
    input:
        RXRX19A_METADATA,
    output:
        f"{R}/{{dataset}}/measurements/plates.json",
    log:
        f"{R}/logs/{{dataset}}/list_plates.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/list_plates.tsv"
    wildcard_constraints:
        dataset=one_of(MEASURED),
    conda:
        ENVIRONMENT
    params:
        code=code("list_plates"),
    message:
        "Listing the plates of {wildcards.dataset}"
    script:
        "../scripts/list_plates.py"


# Fetches the images itself, well by well: as inputs they would be a million files, 445 GB, all there at once.
rule measure_plate:
    input:
        f"{R}/{{dataset}}/measurements/plates.json",
    output:
        f"{R}/{{dataset}}/measurements/{{experiment}}/Plate{{plate}}.parquet",
    log:
        f"{R}/logs/{{dataset}}/measurements/{{experiment}}/Plate{{plate}}.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/measurements/{{experiment}}/Plate{{plate}}.tsv"
    wildcard_constraints:
        dataset=one_of(MEASURED),
        experiment=CATALOGUE.sources[IMAGES].file.fields["experiment"],
        plate=CATALOGUE.sources[IMAGES].file.fields["plate"],
    conda:
        "../../envs/images.yaml"
    resources:
        network=1,
        mem_mb=more(4000),
        runtime=more(720),
    params:
        segmentation=lambda w: CONFIG.data[w.dataset].make.segmentation.model_dump(mode="json"),
        code=code("measure_plate"),
    message:
        "Measuring the cells of {wildcards.experiment}, plate {wildcards.plate}"
    script:
        "../scripts/measure_plate.py"


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
        mem_mb=more(3000),
        runtime=more(240),
    params:
        make=lambda w: CONFIG.data[w.dataset].make.model_dump(exclude={"screen", "segmentation", "keep_images"}),
        code=code("curate_rxrx19a"),
    message:
        "Curating {wildcards.dataset}"
    script:
        "../scripts/curate_rxrx19a.py"
