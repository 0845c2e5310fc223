# What a person looks at.


rule support:
    input:
        variants=rules.call.output,
        resampled=expand("results/resampled/{batch}.tsv", batch=BATCHES),
    output:
        "results/support.tsv",
    log:
        "logs/support.log",
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        replicates=config["batches"] * config["replicates"],
    script:
        "../scripts/support.py"


rule statistics:
    input:
        bam=rules.merge.output.bam,
        index=rules.merge.output.index,
        variants=rules.call.output,
    output:
        text="results/statistics.txt",
        depth="results/depth.tsv",
    log:
        "logs/statistics.log",
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    shell:
        "(samtools flagstat {input.bam} > {output.text} && samtools coverage {input.bam} >> {output.text}"
        " && bcftools stats {input.variants} | grep ^SN | cut -f 3- >> {output.text}"
        " && samtools depth -a {input.bam} > {output.depth}) 2> {log}"


rule plot:
    input:
        variants=rules.call.output,
        support=rules.support.output,
        depth=rules.statistics.output.depth,
    output:
        svg="results/variants.svg",
        png="results/variants.png",
    log:
        "logs/plot.log",
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    script:
        "../scripts/plot.py"
