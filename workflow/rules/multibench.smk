# MultiBench and its stand-ins: raw files -> paired data sets -> tables.


rule convert_multibench:
    input:
        lambda w: raw_files(w.dataset),
    output:
        multiext(f"{R}/{{dataset}}/data/", "view1.parquet", "view2.parquet", "pairs.parquet", "curation.csv"),
    log:
        f"{R}/logs/{{dataset}}/convert_multibench.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/convert_multibench.tsv"
    wildcard_constraints:
        dataset=one_of(CONVERTED),
    conda:
        ENVIRONMENT
    resources:
        # A pickle is read whole; MOSEI's is 3.7 GB.
        mem_mb=lambda w, input, attempt: attempt * int(1500 + 1.5 * input.size_mb),
        runtime=more(240),
    params:
        module=lambda w: converter(w.dataset),
        make=lambda w: CONFIG.data[w.dataset].make.model_dump(),
        code=lambda w: code("convert", f"sources.{converter(w.dataset)}"),
    message:
        "Converting {wildcards.dataset}"
    script:
        "../scripts/convert_multibench.py"


rule tabulate_multibench_probes:
    input:
        measurements("probes.parquet", *STAGES),
    output:
        table=f"{R}/{{dataset}}/probes.parquet",
        summary=f"{R}/{{dataset}}/probes_summary.parquet",
        csv=report(
            f"{R}/{{dataset}}/probes.csv",
            category="MultiBench",
            labels={"data set": "{dataset}", "table": "linear probes"},
            caption="../report/multibench_probes.rst",
        ),
        summary_csv=report(
            f"{R}/{{dataset}}/probes_summary.csv",
            category="MultiBench",
            labels={"data set": "{dataset}", "table": "linear probes, mean over seeds"},
            caption="../report/multibench_probes_summary.rst",
        ),
    log:
        f"{R}/logs/{{dataset}}/tabulate_multibench_probes.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/tabulate_multibench_probes.tsv"
    wildcard_constraints:
        dataset=one_of(MULTIBENCH),
    conda:
        ENVIRONMENT
    params:
        wanted=wanted_runs(*STAGES),
        code=code("probe_table"),
    message:
        "Tabulating the probes of {wildcards.dataset}"
    script:
        "../scripts/tabulate_probes.py"


rule tabulate_multibench:
    input:
        multibench_summaries,
    output:
        table1=f"{R}/table1.parquet",
        table4=f"{R}/table4.parquet",
        csv1=report(
            f"{R}/table1.csv",
            category="MultiBench",
            labels={"data set": "all", "table": "Table 1"},
            caption="../report/table1.rst",
        ),
        csv4=report(
            f"{R}/table4.csv",
            category="MultiBench",
            labels={"data set": "all", "table": "Table 4"},
            caption="../report/table4.rst",
        ),
    log:
        f"{R}/logs/tabulate_multibench.log",
    benchmark:
        f"{R}/benchmarks/tabulate_multibench.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("multibench_tables"),
    message:
        "Tabulating MultiBench: Tables 1 and 4"
    script:
        "../scripts/tabulate_multibench.py"
