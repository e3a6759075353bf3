# The workflow itself is workflow/Snakefile; this file makes `snakemake` find it from the top of the repository.
configfile: "config.yaml"


include: "workflow/Snakefile"


# Rules of an included file never are the default target, so the whole run gets a name here.
rule everything:
    default_target: True
    input:
        rules.all.input,
