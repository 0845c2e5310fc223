"""Count in how many of the replicates each variant was called again."""

# ruff: noqa: F821 (Snakemake gives the script the name `snakemake`)

from collections import Counter
from pathlib import Path

replicates = snakemake.params.replicates
found = Counter(
    tuple(line.split("\t")[1:])
    for path in snakemake.input.resampled
    for line in Path(path).read_text().splitlines()
)
called = [
    line.split("\t") for line in Path(snakemake.input.variants[0]).read_text().splitlines() if line[0] != "#"
]
with Path(snakemake.output[0]).open("w") as table:
    table.write("position\treference\tvariant\tquality\tsupport\n")
    for fields in called:
        position, reference, variant, quality = fields[1], fields[3], fields[4], fields[5]
        share = found[(position, reference, variant)] / replicates
        table.write(f"{position}\t{reference}\t{variant}\t{quality}\t{share:.3f}\n")
Path(snakemake.log[0]).write_text(f"{len(called)} variants, {replicates} replicates\n")
