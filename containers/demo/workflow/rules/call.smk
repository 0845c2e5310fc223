# From the alignment to variants, and how sure each is.


rule call:
    input:
        bam=rules.merge.output.bam,
        index=rules.merge.output.index,
        reference=rules.index_reference.output,
    output:
        "results/variants.vcf",
    log:
        "logs/call.log",
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    shell:
        "(bcftools mpileup --no-version -O u -f {input.reference[0]} {input.bam}"
        " | bcftools call --no-version -m -v --ploidy 1 -O u"
        " | bcftools norm --no-version -f {input.reference[0]} -O v -o {output}) 2> {log}"


rule resample:
    input:
        bam=rules.merge.output.bam,
        index=rules.merge.output.index,
        reference=rules.index_reference.output,
    output:
        "results/resampled/{batch}.tsv",
    log:
        "logs/resample/{batch}.log",
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        percent=f"{config['percent']:02d}",
        first=lambda wildcards: int(wildcards.batch) * config["replicates"] + 1,
        last=lambda wildcards: (int(wildcards.batch) + 1) * config["replicates"],
    shell:
        "(for seed in $(seq {params.first} {params.last}); do"
        "   samtools view --no-PG -u -s $seed.{params.percent} {input.bam}"
        "   | bcftools mpileup --no-version -O u -f {input.reference[0]} -"
        "   | bcftools call --no-version -m -v --ploidy 1 -O u"
        "   | bcftools norm --no-version -f {input.reference[0]} -O u"
        "   | bcftools query -f \"$seed\\t%POS\\t%REF\\t%ALT\\n\";"
        " done > {output}) 2> {log}"
