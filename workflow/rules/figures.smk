# Tables -> figures, each as PNG, PDF and the rows that it is drawn from.

for FIGURE, (TITLE, DRAWN_FROM, DATASETS) in FIGURES.items():

    rule:
        name:
            f"plot_{FIGURE}"
        input:
            f"{R}/{{dataset}}/{DRAWN_FROM}",
        output:
            png=report(
                f"{R}/{{dataset}}/{FIGURE}.png",
                category="Simulation" if DATASETS is SIMULATIONS else "Drug screens",
                labels={"data set": "{dataset}", "figure": TITLE},
                caption=f"../report/{FIGURE}.rst",
            ),
            pdf=f"{R}/{{dataset}}/{FIGURE}.pdf",
            csv=f"{R}/{{dataset}}/{FIGURE}.csv",
        log:
            f"{R}/logs/{{dataset}}/plot_{FIGURE}.log",
        benchmark:
            f"{R}/benchmarks/{{dataset}}/plot_{FIGURE}.tsv"
        wildcard_constraints:
            dataset=one_of(DATASETS),
        conda:
            ENVIRONMENT
        params:
            figure=FIGURE,
            code=code(FIGURE),
        message:
            "Drawing {params.figure} of {wildcards.dataset}"
        script:
            "../scripts/plot_figure.py"
