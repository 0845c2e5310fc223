"""Cut a pair of FASTQ files into equal pieces, keeping mates together and the order as it was."""

# ruff: noqa: F821 (Snakemake gives the script the name `snakemake`)

import gzip
from itertools import islice
from pathlib import Path

LINES_PER_READ = 4


def split(source: str, targets: list[str]) -> int:
    """Write the reads of `source` to `targets`, as evenly as it goes; return how many there are."""
    with gzip.open(source, "rb") as stream:
        lines = stream.read().splitlines(keepends=True)
    reads = len(lines) // LINES_PER_READ
    rest = iter(lines)
    for position, target in enumerate(targets):
        share = reads * (position + 1) // len(targets) - reads * position // len(targets)
        piece = b"".join(islice(rest, share * LINES_PER_READ))
        # Neither name nor time goes into the file: the same reads give the same bytes.
        Path(target).write_bytes(gzip.compress(piece, compresslevel=3, mtime=0))
    return reads


counts = [
    split(snakemake.input[0], list(snakemake.output.first)),
    split(snakemake.input[1], list(snakemake.output.second)),
]
Path(snakemake.log[0]).write_text(f"{counts[0]} pairs in {len(snakemake.output.first)} pieces\n")
if counts[0] != counts[1]:
    raise SystemExit(f"The two files have {counts[0]} and {counts[1]} reads: they are no pair.")
