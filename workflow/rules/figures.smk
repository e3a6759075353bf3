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


rule plot_figure4b:
    input:
        f"{R}/{{dataset}}/probes_summary.parquet",
    output:
        png=report(
            f"{R}/{{dataset}}/figure4b.png",
            category="Simulation",
            labels={"data set": "{dataset}", "figure": "4b"},
            caption="../report/figure4b.rst",
        ),
        pdf=f"{R}/{{dataset}}/figure4b.pdf",
        csv=f"{R}/{{dataset}}/figure4b.csv",
    log:
        f"{R}/logs/{{dataset}}/plot_figure4b.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/plot_figure4b.tsv"
    wildcard_constraints:
        dataset=one_of(SIMULATIONS),
    conda:
        ENVIRONMENT
    params:
        code=code("figure4b"),
    message:
        "Drawing Figure 4b of {wildcards.dataset}"
    script:
        "../scripts/plot_figure4b.py"


rule plot_figure7:
    input:
        f"{R}/{{dataset}}/probes_summary.parquet",
    output:
        png=report(
            f"{R}/{{dataset}}/figure7.png",
            category="Simulation",
            labels={"data set": "{dataset}", "figure": "7"},
            caption="../report/figure7.rst",
        ),
        pdf=f"{R}/{{dataset}}/figure7.pdf",
        csv=f"{R}/{{dataset}}/figure7.csv",
    log:
        f"{R}/logs/{{dataset}}/plot_figure7.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/plot_figure7.tsv"
    wildcard_constraints:
        dataset=one_of(SIMULATIONS),
    conda:
        ENVIRONMENT
    params:
        code=code("figure7"),
    message:
        "Drawing Figure 7 of {wildcards.dataset}"
    script:
        "../scripts/plot_figure7.py"


rule plot_figure8:
    input:
        f"{R}/{{dataset}}/probes_summary.parquet",
    output:
        png=report(
            f"{R}/{{dataset}}/figure8.png",
            category="Simulation",
            labels={"data set": "{dataset}", "figure": "8"},
            caption="../report/figure8.rst",
        ),
        pdf=f"{R}/{{dataset}}/figure8.pdf",
        csv=f"{R}/{{dataset}}/figure8.csv",
    log:
        f"{R}/logs/{{dataset}}/plot_figure8.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/plot_figure8.tsv"
    wildcard_constraints:
        dataset=one_of(SIMULATIONS),
    conda:
        ENVIRONMENT
    params:
        code=code("figure8"),
    message:
        "Drawing Figure 8 of {wildcards.dataset}"
    script:
        "../scripts/plot_figure8.py"


rule plot_figure9:
    input:
        f"{R}/{{dataset}}/probes_summary.parquet",
    output:
        png=report(
            f"{R}/{{dataset}}/figure9.png",
            category="Simulation",
            labels={"data set": "{dataset}", "figure": "9"},
            caption="../report/figure9.rst",
        ),
        pdf=f"{R}/{{dataset}}/figure9.pdf",
        csv=f"{R}/{{dataset}}/figure9.csv",
    log:
        f"{R}/logs/{{dataset}}/plot_figure9.log",
    benchmark:
        f"{R}/benchmarks/{{dataset}}/plot_figure9.tsv"
    wildcard_constraints:
        dataset=one_of(MIXED),
    conda:
        ENVIRONMENT
    params:
        code=code("figure9"),
    message:
        "Drawing Figure 9 of {wildcards.dataset}"
    script:
        "../scripts/plot_figure9.py"
