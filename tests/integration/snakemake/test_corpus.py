"""Workflows that use what Snakemake has: in the federation they make the same files as on one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from fallow_testbed.patience import crowding
from fallow_testbed.testbed import Testbed

from .workflows import CORPUS, Federated, run_here

ARGUMENTS = {
    "kinds": ["--config", "from_command_line=it's here", "nested={deep: 'over: written'}"],
    "modules": ["--set-resources", "asked:mem_mb=300", "asked:quality=high", "--set-threads", "asked=2"],
}
ENVIRONMENT = {"kinds": {"CORPUS_WORD": "from the environment"}}
TIMING = re.compile(r"benchmarks/|logs/notebook\.ipynb$|\.snakemake_timestamp$")
"""Files that are never the same twice: only that they are there is compared."""
TIMES_OUT_S = 120

UnderWay = dict[str, tuple[Federated, subprocess.Popen[bytes]]]


@pytest.fixture(scope="module")
def under_way(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> UnderWay:
    """All workflows of the corpus, started at once."""
    place = tmp_path_factory.mktemp("corpus")
    started = {}
    for source in sorted(CORPUS.iterdir()):
        name = source.name
        workflow = Federated(bed, source, place / name, ARGUMENTS.get(name, ()), ENVIRONMENT.get(name))
        started[name] = (workflow, workflow.start())
    return started


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_a_workflow_makes_the_same_in_the_federation_as_here(
    name: str, under_way: UnderWay, tmp_path: Path
) -> None:
    here = run_here(CORPUS / name, tmp_path / "here", ARGUMENTS.get(name, ()), ENVIRONMENT.get(name))
    workflow, process = under_way[name]
    assert process.wait(timeout=TIMES_OUT_S * crowding()) == 0, workflow.log.read_text()
    there = workflow.made()
    assert sorted(there) == sorted(here)
    differing = {file for file in here if here[file] != there[file] and not TIMING.search(file)}
    assert {file: (here[file], there[file]) for file in differing} == {}
