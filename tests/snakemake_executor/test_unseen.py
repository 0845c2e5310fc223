"""A dry run while the hub is away."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SNAKEFILE = """
rule all:
    input: "joined.txt"
rule part:
    input: "raw.txt"
    output: "parts/{n}.txt"
    shell: "cp {input} {output}"
rule join:
    input: expand("parts/{n}.txt", n=[1, 2])
    output: "joined.txt"
    shell: "cat {input} > {output}"
"""


@pytest.fixture
def snakemake(tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    """What Snakemake says of a dry run where nothing answers at the hub's address."""
    return run(tmp_path, "--dry-run")


def run(place: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    (place / "Snakefile").write_text(SNAKEFILE)
    (place / "client.toml").write_text('hub = "https://127.0.0.1:9"\n')
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SNAKEMAKE_"))}
    arguments = ["--executor", "fallow", "--fallow-image", "sha256:" + "0" * 64, "--jobs", "2", *options]
    arguments += ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://users/alice/work"]
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments], cwd=place, text=True, capture_output=True, check=False,
        env={**kept, "FALLOW_CONFIG": str(place / "client.toml")},
    )  # fmt: skip


def test_a_dry_run_shows_all_jobs_without_the_hub_and_says_so(
    snakemake: "subprocess.CompletedProcess[str]",
) -> None:
    said = snakemake.stdout + snakemake.stderr
    assert snakemake.returncode == 0, said
    assert "The storage cannot be looked at; shown are all jobs" in said
    counts = {
        tuple(line.split()) for line in said.splitlines() if line.startswith(("part ", "join ", "all "))
    }
    assert counts == {("all", "1"), ("join", "1"), ("part", "2")}


def test_a_real_run_does_not_go_on_without_the_hub(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 1
    assert "No access to the federation's storage." in done.stderr
