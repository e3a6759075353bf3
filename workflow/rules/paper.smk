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
