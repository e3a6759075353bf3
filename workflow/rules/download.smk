# Publishers -> raw files (docs/downloads.md). A rule that needs one lists <downloads.folder>/<source>/<name> as input.
IMAGES = next(path for path in CATALOGUE.sources if path.startswith("rxrx19a/images/"))


# Where there is internet: on a cluster, on the node that Snakemake itself runs on.
localrules:
    download_file,
    download_images,
    downloads,


# Outputs are marked `update`, so that Snakemake leaves a file where it is: `--force` checks it, and fetches it only if
# it is not the right one. No rule here has params: a new time limit or a new version of the code must not fetch 50 GB
# again, nor train anything anew.
rule download_file:
    output:
        update(f"{D}/{{download}}"),
    log:
        f"{R}/logs/downloads/{{download}}.log",
    benchmark:
        f"{R}/benchmarks/downloads/{{download}}.tsv"
    wildcard_constraints:
        download=one_of(map(re.escape, CATALOGUE.single)),
    # The transfer retries what can pass; a second start would only repeat a sentence.
    retries: 0
    conda:
        ENVIRONMENT
    resources:
        network=1,
    message:
        "Fetching {output}"
    script:
        "../scripts/download_file.py"


# A well is a job: one file a job would be 1.5 million jobs.
rule download_images:
    output:
        [update(f"{D}/{path}") for path in CATALOGUE.together(IMAGES)],
    log:
        f"{R}/logs/downloads/images/{{experiment}}/Plate{{plate}}/{{well}}.log",
    benchmark:
        f"{R}/benchmarks/downloads/images/{{experiment}}/Plate{{plate}}/{{well}}.tsv"
    wildcard_constraints:
        experiment=CATALOGUE.sources[IMAGES].file.fields["experiment"],
        plate=CATALOGUE.sources[IMAGES].file.fields["plate"],
        well=CATALOGUE.sources[IMAGES].file.fields["well"],
    retries: 0
    conda:
        ENVIRONMENT
    resources:
        network=1,
    message:
        "Fetching the images of {wildcards.experiment}, plate {wildcards.plate}, well {wildcards.well}"
    script:
        "../scripts/download_file.py"


# Neither output nor benchmark, which is an output to Snakemake: what is there changes without its doing, so the list is
# made whenever it is asked for.
rule downloads:
    log:
        f"{R}/logs/downloads.log",
    conda:
        ENVIRONMENT
    params:
        needed={name: raw_files(name) + mol2vec_files(name) for name in CONFIG.datasets},
        out=f"{R}/downloads.csv",
    message:
        "Listing what there is to download (nothing is fetched)"
    script:
        "../scripts/downloads.py"
