from pathlib import Path

from helper import count  # beside this script

text = Path(snakemake.input[0]).read_text()
print("counting", file=open(snakemake.log[0], "w"))
Path(snakemake.output[0]).write_text(
    f"{text}{count(text)} {snakemake.wildcards.sample} {snakemake.params.words} {snakemake.config['nested']}\n"
)
