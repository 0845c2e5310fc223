# From reads to one sorted alignment.


rule index_reference:
    input:
        "input/lambda.fa",
    output:
        multiext("results/reference/lambda.fa", "", ".amb", ".ann", ".bwt", ".pac", ".sa", ".fai"),
    log:
        "logs/index_reference.log",
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    shell:
        "(cp {input} {output[0]} && bwa index {output[0]} && samtools faidx {output[0]}) 2> {log}"


rule split_reads:
    input:
        "input/reads_1.fq.gz",
        "input/reads_2.fq.gz",
    output:
        first=expand("results/chunks/{chunk}_1.fq.gz", chunk=CHUNKS),
        second=expand("results/chunks/{chunk}_2.fq.gz", chunk=CHUNKS),
    log:
        "logs/split_reads.log",
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    script:
        "../scripts/split_reads.py"


rule map_chunk:
    input:
        reference=rules.index_reference.output,
        reads=["results/chunks/{chunk}_1.fq.gz", "results/chunks/{chunk}_2.fq.gz"],
    output:
        temp("results/mapped/{chunk}.bam"),
    log:
        "logs/map_chunk/{chunk}.log",
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        group=r"@RG\tID:lambda\tSM:lambda",
    shell:
        # -K fixes how many bases bwa takes at once, so that the result does not depend on the number of threads.
        "(bwa mem -K 10000000 -t {threads} -R '{params.group}' {input.reference[0]} {input.reads}"
        " | samtools view --no-PG -b -o {output} -) 2> {log}"


rule sort_chunk:
    input:
        "results/mapped/{chunk}.bam",
    output:
        temp("results/sorted/{chunk}.bam"),
    log:
        "logs/sort_chunk/{chunk}.log",
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    shell:
        "samtools sort --no-PG -m 100M -o {output} {input} 2> {log}"


rule merge:
    input:
        expand("results/sorted/{chunk}.bam", chunk=CHUNKS),
    output:
        bam="results/aligned.bam",
        index="results/aligned.bam.bai",
    log:
        "logs/merge.log",
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    shell:
        "(samtools merge --no-PG -c -p -o {output.bam} {input} && samtools index {output.bam}) 2> {log}"
