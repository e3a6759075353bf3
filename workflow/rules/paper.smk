# Tables -> beside the paper. One direction: comparison -> its layout, and the claims.


rule check_paper:
    input:
        PUBLISHED,
    output:
        table=f"{R}/paper/consistency.parquet",
        csv=report(
            f"{R}/paper/consistency.csv",
            category="Against the paper",
            labels={"table": "the paper checked against itself"},
            caption="../report/consistency.rst",
        ),
    log:
        f"{R}/logs/check_paper.log",
    benchmark:
        f"{R}/benchmarks/check_paper.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("consistency"),
    message:
        "Checking the paper against itself"
    script:
        "../scripts/check_paper.py"


rule compare_with_paper:
    input:
        published=PUBLISHED,
        multibench=[f"{R}/table{table}.parquet" for table in (1, 4) if MULTIBENCH],
        retrieval=[f"{R}/{name}/retrieval_summary.parquet" for name in SCREENS],
        reconstruction=[f"{R}/{name}/reconstruction_summary.parquet" for name in SCREENS if is_decoded(name)],
    output:
        table=f"{R}/paper/comparison.parquet",
        other=f"{R}/paper/other_data.parquet",
        csv=report(
            f"{R}/paper/comparison.csv",
            category="Against the paper",
            labels={"table": "every cell of Tables 1-5"},
            caption="../report/comparison.rst",
        ),
        other_csv=report(
            f"{R}/paper/other_data.csv",
            category="Against the paper",
            labels={"table": "Tables 1-5 on other data, not comparable"},
            caption="../report/other_data.rst",
        ),
    log:
        f"{R}/logs/compare_with_paper.log",
    benchmark:
        f"{R}/benchmarks/compare_with_paper.tsv"
    conda:
        ENVIRONMENT
    params:
        runs=lambda w: paper_runs(CONFIG, full_config()),
        others=lambda w: other_runs(CONFIG, full_config()),
        departures=departures_of(SCREENS + MULTIBENCH),
        code=code("comparison"),
    message:
        "Comparing every cell of Tables 1-5 with the paper"
    script:
        "../scripts/compare_with_paper.py"


rule lay_out_tables:
    input:
        comparison=f"{R}/paper/comparison.parquet",
        other=f"{R}/paper/other_data.parquet",
    output:
        tex=[f"{R}/paper/table{table}.tex" for table in range(1, 6)],
        md=[
            report(
                f"{R}/paper/table{table}.md",
                category="Against the paper",
                labels={"table": f"Table {table} as in the paper"},
                caption="../report/paper_table.rst",
            )
            for table in range(1, 6)
        ],
    log:
        f"{R}/logs/lay_out_tables.log",
    benchmark:
        f"{R}/benchmarks/lay_out_tables.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("layout"),
    message:
        "Laying out Tables 1-5 as the paper does"
    script:
        "../scripts/lay_out_tables.py"


rule decide_claims:
    input:
        simulation=summaries_of("entangled"),
        mixed=summaries_of("mixed"),
        noisy=summaries_of("noisy"),
        comparison=f"{R}/paper/comparison.parquet",
        other=f"{R}/paper/other_data.parquet",
        differences=[f"{R}/{name}/retrieval_differences.parquet" for name in SCREENS],
    output:
        table=f"{R}/paper/claims.parquet",
        csv=report(
            f"{R}/paper/claims.csv",
            category="Against the paper",
            labels={"table": "the paper's claims"},
            caption="../report/claims.rst",
        ),
    log:
        f"{R}/logs/decide_claims.log",
    benchmark:
        f"{R}/benchmarks/decide_claims.tsv"
    conda:
        ENVIRONMENT
    params:
        screens=SCREENS,
        departures=departures_of(CONFIG.datasets),
        changed=changed_of(SIMULATIONS),
        code=code("claims"),
    message:
        "Deciding the paper's claims"
    script:
        "../scripts/decide_claims.py"


rule tabulate_readings:
    input:
        base=f"{R}/{{dataset}}/probes.parquet",
        readings=lambda w: [f"{R}/{name}/probes.parquet" for name in READINGS[w.dataset]],
    output:
        report(
            f"{R}/{{dataset}}/readings.csv",
            category="Against the paper",
            labels={"data set": "{dataset}", "table": "readings of the paper"},
            caption="../report/readings.rst",
        ),
    log:
        f"{R}/logs/{{dataset}}/tabulate_readings.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/tabulate_readings.tsv"
    wildcard_constraints:
        dataset=one_of(READINGS),
    conda:
        ENVIRONMENT
    params:
        texts=lambda w: [CONFIG.data[name].reading for name in READINGS[w.dataset]],
        code=code("readings"),
    message:
        "Comparing readings of the paper on {wildcards.dataset}"
    script:
        "../scripts/tabulate_readings.py"
