# Measurements -> tables, each as Parquet and CSV.


rule tabulate_probes:
    input:
        measurements("probes.parquet", *STAGES),
    output:
        table=f"{R}/{{dataset}}/probes.parquet",
        summary=f"{R}/{{dataset}}/probes_summary.parquet",
        csv=report(
            f"{R}/{{dataset}}/probes.csv",
            category="Simulation",
            labels={"data set": "{dataset}", "table": "linear probes"},
            caption="../report/probes.rst",
        ),
        summary_csv=report(
            f"{R}/{{dataset}}/probes_summary.csv",
            category="Simulation",
            labels={"data set": "{dataset}", "table": "linear probes, mean over seeds"},
            caption="../report/probes_summary.rst",
        ),
    log:
        f"{R}/logs/{{dataset}}/tabulate_probes.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/tabulate_probes.tsv"
    wildcard_constraints:
        dataset=one_of(SIMULATIONS),
    conda:
        ENVIRONMENT
    params:
        wanted=wanted_runs(*STAGES),
        code=code("probe_table"),
    message:
        "Tabulating the probes of {wildcards.dataset}"
    script:
        "../scripts/tabulate_probes.py"


rule tabulate_retrieval:
    input:
        measurements=measurements("retrieval.parquet", *RANKED),
        null=measurements("retrieval_null.parquet", *RANKED),
        selection=selection_file,
    output:
        table=f"{R}/{{dataset}}/retrieval.parquet",
        summary=f"{R}/{{dataset}}/retrieval_summary.parquet",
        differences=f"{R}/{{dataset}}/retrieval_differences.parquet",
        csv=report(
            f"{R}/{{dataset}}/retrieval.csv",
            category="Drug screens",
            labels={"data set": "{dataset}", "table": "retrieval"},
            caption="../report/retrieval.rst",
        ),
        summary_csv=report(
            f"{R}/{{dataset}}/retrieval_summary.csv",
            category="Drug screens",
            labels={"data set": "{dataset}", "table": "retrieval, mean over seeds"},
            caption="../report/retrieval_summary.rst",
        ),
        differences_csv=report(
            f"{R}/{{dataset}}/retrieval_differences.csv",
            category="Drug screens",
            labels={"data set": "{dataset}", "table": "retrieval, differences between methods"},
            caption="../report/retrieval_differences.rst",
        ),
    log:
        f"{R}/logs/{{dataset}}/tabulate_retrieval.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/tabulate_retrieval.tsv"
    wildcard_constraints:
        dataset=one_of(SCREENS),
    conda:
        ENVIRONMENT
    params:
        wanted=wanted_runs(*RANKED),
        bootstrap=CONFIG.retrieval.bootstrap,
        code=code("retrieval_table"),
    message:
        "Tabulating the retrieval of {wildcards.dataset}"
    script:
        "../scripts/tabulate_retrieval.py"


rule tabulate_reconstruction:
    input:
        lambda w: [file for stage in DECODED for file in stack_files(w.dataset, stage, "reconstruction.parquet")],
    output:
        table=f"{R}/{{dataset}}/reconstruction.parquet",
        summary=f"{R}/{{dataset}}/reconstruction_summary.parquet",
        csv=report(
            f"{R}/{{dataset}}/reconstruction.csv",
            category="Drug screens",
            labels={"data set": "{dataset}", "table": "reconstruction, counterfactual phenotypes"},
            caption="../report/reconstruction.rst",
        ),
        summary_csv=report(
            f"{R}/{{dataset}}/reconstruction_summary.csv",
            category="Drug screens",
            labels={"data set": "{dataset}", "table": "reconstruction, mean over seeds"},
            caption="../report/reconstruction_summary.rst",
        ),
    log:
        f"{R}/logs/{{dataset}}/tabulate_reconstruction.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/tabulate_reconstruction.tsv"
    wildcard_constraints:
        dataset=one_of(SCREENS),
    conda:
        ENVIRONMENT
    params:
        wanted=wanted_runs(*DECODED),
        code=code("reconstruction_table"),
    message:
        "Tabulating the reconstructions of {wildcards.dataset}"
    script:
        "../scripts/tabulate_reconstruction.py"
