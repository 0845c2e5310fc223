import shutil
from pathlib import Path

text = "".join(Path(name).read_text() for name in snakemake.input)
Path(snakemake.output[0]).write_text(text + str(shutil.which("bcftools")) + "\n")
