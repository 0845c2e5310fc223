from snakemake.shell import shell

shell("tr a-z A-Z < {snakemake.input[0]:q} > {snakemake.output[0]:q}")
