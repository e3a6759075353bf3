# Tables -> figures: PNG, PDF and the tidy table that was drawn.


rule plot_figure4a:
    input:
        f"{R}/{{dataset}}/probes_summary.parquet",
    output:
        png=report(
            f"{R}/{{dataset}}/figure4a.png",
            category="Simulation",
            labels={"data set": "{dataset}", "figure": "4a"},
            caption="../report/figure4a.rst",
        ),
        pdf=f"{R}/{{dataset}}/figure4a.pdf",
        csv=f"{R}/{{dataset}}/figure4a.csv",
    log:
        f"{R}/logs/{{dataset}}/plot_figure4a.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/plot_figure4a.tsv"
    wildcard_constraints:
        dataset=one_of(SIMULATIONS),
    conda:
        ENVIRONMENT
    params:
        code=code("figure4a"),
    message:
        "Drawing Figure 4a of {wildcards.dataset}"
    script:
        "../scripts/plot_figure4a.py"
