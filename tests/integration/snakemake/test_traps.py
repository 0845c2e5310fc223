"""Traps of Snakemake's interface that show on the real pool only; the rest is in tests/snakemake_executor/test_traps.py.

Trap 12 (pipes) is in the corpus, trap 13 (a restart after `kill -9`) in tests/integration/test_executor.py.
"""

from __future__ import annotations

from pathlib import Path

from fallow_testbed.patience import crowding
from fallow_testbed.testbed import Testbed

from .workflows import Federated

SNAKEFILE = """
rule all:
    input: "second.txt", "never.txt"
rule second_try:
    output: "second.txt"
    retries: 1
    resources: mem_mb=lambda wildcards, attempt: 200 * attempt
    shell: "echo trying; test {resources.mem_mb} -ge 400 && echo {resources.mem_mb} > {output}"
rule fails:
    output: "never.txt"
    log: "logs/why.log"
    shell: "echo the reason > {log}; echo half > {output}; exit 3"
"""


def test_traps_8_and_9_retries_are_new_jobs_and_the_log_of_a_failed_rule_is_shown(
    bed: Testbed, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "Snakefile").write_text(SNAKEFILE)
    workflow = Federated(bed, source, tmp_path / "traps", ["--keep-going"])
    assert workflow.start().wait(timeout=120 * crowding()) == 1
    assert "the reason" in workflow.log.read_text()
    ended = [(job["rule"], job["outcome"]) for job in workflow.jobs()]
    assert sorted(ended) == [("fails", "failed"), ("second_try", "done"), ("second_try", "failed")]
    assert workflow.made() == {"second.txt": b"400\n", "logs/why.log": b"the reason\n"}
