"""The benchmarks work: a handful of jobs through their pieces, and the docs show what their JSON says. Nothing is timed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.benchmarks import bench_short_jobs, benchmark_docs
from tests.benchmarks.outcome import ROOT
from tests.benchmarks.page import figures_of
from tests.benchmarks.scale.points import INSIDE, HubAtWork, exponent
from tests.benchmarks.short_jobs.batch_systems import Slurm
from tests.benchmarks.short_jobs.federated import Fallow
from tests.benchmarks.short_jobs.system import IMAGE, Helped, Place
from tests.integration.pilots.sites import Site

from fallow_testbed.images import ensure_sif
from fallow_testbed.testbed import Testbed

CENTRE, PERSON = "alder", "alice"


class Staying(Fallow):
    """Its pilots are others', too: they stay."""

    def stop(self) -> None:
        """End the helper only."""
        Helped.stop(self)


@pytest.fixture
def place(bed: Testbed) -> Iterator[Place]:
    """A centre that has the image of the jobs."""
    home = bed.layout().home(CENTRE)
    image = home / Path(IMAGE).name
    shutil.copy(ensure_sif("analysis").sif, image)
    yield Place(bed.host(CENTRE), bed.host(f"{CENTRE}-1"), home, 1, "local")
    image.unlink()


def test_a_few_short_jobs_run_through_fallow_and_a_batch_system(
    bed: Testbed, place: Place, image: str, tmp_path: Path
) -> None:
    fallow = Staying(place, "Fallow", tmp_path, Site(CENTRE, bed.layout()), image, PERSON)
    found = bench_short_jobs.measure([fallow, Slurm(place)], rounds=1, jobs=2, chain=1)
    rows = bench_short_jobs.table({"systems": found, "container_s": bench_short_jobs.bare_starts(place)})
    assert [row["system"] for row in rows] == [
        "Fallow",
        "Slurm",
        "the container alone, mounted",
        "the container alone, unpacked",
    ]


@pytest.mark.parametrize("name", ["launcher", "pilot"])
def test_what_needs_no_testbed_leaves_its_figures(name: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.benchmarks", name]
    env = {**os.environ, "FALLOW_BENCH_DIR": str(tmp_path)}
    done = subprocess.run(argv, cwd=ROOT, env=env, check=False, capture_output=True, text=True, timeout=300)
    assert (tmp_path / f"{name}.json").is_file(), done.stderr
    assert done.returncode in (0, 1)  # 1: a goal was missed, as on a busy machine


def test_the_hub_tells_what_its_parts_take(bed: Testbed) -> None:
    hub = HubAtWork(bed.layout(), PERSON)
    hub.bring()
    assert set(hub.negotiation(0, 0, looks=1)) == {"negotiation_cpu_s", "reading_cpu_s"}
    assert hub.matcher_s() > 0
    assert min(hub.memory_mb().values()) > 1
    (bed.host("hub").files / INSIDE.lstrip("/")).unlink()


def test_growth_is_the_exponent_of_the_size() -> None:
    assert exponent([10, 100, 1000], [3 * 10**2, 3 * 100**2, 3 * 1000**2]) == pytest.approx(2)


def test_the_docs_show_what_the_json_says() -> None:
    for page, text in benchmark_docs.texts(benchmark_docs.kept()).items():
        assert figures_of(page) == text, f"run: python -m tests.benchmarks.benchmark_docs ({page.name})"
