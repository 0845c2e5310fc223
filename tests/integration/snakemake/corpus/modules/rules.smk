rule included:
    output:
        "included.txt",
    shell:
        "echo included > {output}"

# what the command line sets: resources, also as words, and threads
rule asked:
    output:
        "asked.txt",
    threads: 1
    resources:
        mem_mb=100,
        quality="low",
    shell:
        "echo {resources.mem_mb} {resources.quality} {threads} > {output}"

# too little at first: the second attempt asks for more
rule attempted:
    output:
        "attempted.txt",
    retries: 2
    resources:
        mem_mb=lambda wildcards, attempt: 200 * attempt,
    shell:
        "test {resources.mem_mb} -ge 400 && echo {resources.mem_mb} > {output}"
