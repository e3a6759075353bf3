# Tables -> beside the paper.


rule decide_claims:
    input:
        simulation=summaries_of("entangled"),
        mixed=summaries_of("mixed"),
    output:
        report(
            f"{R}/claims.csv",
            category="Against the paper",
            labels={"table": "claims about the simulation"},
            caption="../report/claims.rst",
        ),
    log:
        f"{R}/logs/decide_claims.log",
    benchmark:
        f"{R}/benchmarks/decide_claims.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("claims"),
    message:
        "Deciding the paper's claims about the simulation"
    script:
        "../scripts/decide_claims.py"
