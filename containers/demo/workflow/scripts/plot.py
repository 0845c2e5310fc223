"""Draw the depth along the genome and the variants, each as high as its support."""

# ruff: noqa: F821 (Snakemake gives the script the name `snakemake`)

import csv
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
mpl.rcParams["svg.hashsalt"] = "lambda"  # the same drawing gives the same file

import matplotlib.pyplot as plt  # noqa: E402

WINDOW = 100  # bases

depths = [int(line.split("\t")[2]) for line in Path(snakemake.input.depth).read_text().splitlines()]
windows = [depths[start : start + WINDOW] for start in range(0, len(depths), WINDOW)]
with Path(snakemake.input.support[0]).open() as table:
    rows = list(csv.DictReader(table, delimiter="\t"))
kinds = {
    "substitution": [row for row in rows if len(row["reference"]) == len(row["variant"])],
    "insertion": [row for row in rows if len(row["reference"]) < len(row["variant"])],
    "deletion": [row for row in rows if len(row["reference"]) > len(row["variant"])],
}

figure, (upper, lower) = plt.subplots(
    2, 1, sharex=True, figsize=(10, 5), height_ratios=[1, 2], layout="constrained"
)
figure.suptitle(f"Phage lambda: {len(rows)} variants in {len(depths):,} bases")
upper.fill_between(
    [start / 1000 for start in range(0, len(depths), WINDOW)],
    [sum(window) / len(window) for window in windows],
    color="0.7",
    linewidth=0,
)
upper.set_ylabel("reads per base")
upper.set_ylim(bottom=0)
for (kind, found), marker, colour in zip(
    kinds.items(), "o^v", ("tab:blue", "tab:orange", "tab:red"), strict=True
):
    if not found:
        continue
    positions = [int(row["position"]) / 1000 for row in found]
    shares = [100 * float(row["support"]) for row in found]
    lower.vlines(positions, 0, shares, color=colour, linewidth=0.6, alpha=0.5)
    lower.plot(positions, shares, marker, color=colour, markersize=5, label=f"{kind} ({len(found)})")
lower.set_ylabel("called again, % of draws")
lower.set_ylim(0, 106)
lower.set_xlabel("position, thousand bases")
lower.set_xlim(0, len(depths) / 1000)
lower.legend(loc="lower right", framealpha=1)

figure.savefig(snakemake.output.svg, metadata={"Date": None})
figure.savefig(snakemake.output.png, dpi=120, metadata={"Software": None})
Path(snakemake.log[0]).write_text(f"{len(rows)} variants drawn\n")
