# Everything that was made -> one page.


rule report:
    input:
        outputs=all_outputs(),
        data=[f"{R}/{name}/data/pairs.parquet" for name in CONFIG.datasets],
        captions=lambda w: sorted({shown["caption"] for shown in shown_outputs()}),
        page=multiext("src/disentangledssl/report/", "page.html", "style.css", "sort.js"),
    output:
        f"{R}/report.html",
    log:
        f"{R}/logs/report.log",
    benchmark:
        f"{R}/benchmarks/report.tsv"
    conda:
        ENVIRONMENT
    params:
        outputs=lambda w: shown_outputs(),
        runs=PLAN.asked(),
        kinds={name: kind_of_data(name) for name in CONFIG.datasets},
        code=code("report"),
    message:
        "Writing the report"
    script:
        "../scripts/report.py"
