"""A slot never offers more than the batch job was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow_pilots.node.allocation import Limits, allocation, cgroup_memory_mb, read_limits
from fallow_pilots.node.features import Features
from fallow_pilots.spec import PilotSpec

Make = Callable[..., PilotSpec]
FREE = Limits(
    node_cores=64,
    usable_cores=64,
    batch_cores=None,
    node_memory_mb=256_000,
    cgroup_memory_mb=None,
    batch_memory_mb=None,
    batch_gpus=None,
)


def spec(**fields: object) -> PilotSpec:
    values: dict[str, object] = {
        "pilot": "alder-7", "centre": "alder", "hub": "https://hub", "collector": "hub:9618",
        "trust_domain": "t", "token_file": "/t", "outcome_file": "/o", "cores": 4, "memory_mb": 4000,
        "disk_mb": 1000, "walltime_s": 3600, "idle_exit_s": 300, "scratch_dir": "/s", "image_store_dir": "/i",
    }  # fmt: skip
    return PilotSpec.model_validate({**values, **fields})


def test_a_slot_offers_what_was_asked_for() -> None:
    offered = allocation(spec(), FREE)
    assert (offered.cores, offered.memory_mb, offered.gpus, offered.disk_mb) == (4, 4000, 0, 1000)


@pytest.mark.parametrize(
    ("limits", "cores", "memory_mb"),
    [
        (replace(FREE, batch_cores=2), 2, 4000),
        (replace(FREE, usable_cores=3), 3, 4000),
        (replace(FREE, batch_memory_mb=3000), 4, 3000),
        (replace(FREE, cgroup_memory_mb=2000, batch_memory_mb=3000), 4, 2000),
        (replace(FREE, node_memory_mb=1000), 4, 1000),
    ],
)
def test_a_lower_limit_counts(limits: Limits, cores: int, memory_mb: int) -> None:
    offered = allocation(spec(), limits)
    assert (offered.cores, offered.memory_mb) == (cores, memory_mb)


def test_a_batch_system_may_count_more_cpus_than_there_are() -> None:
    assert allocation(spec(cores=8), replace(FREE, node_cores=2, usable_cores=2, batch_cores=8)).cores == 8


def test_a_whole_node_offers_all_that_it_has() -> None:
    offered = allocation(spec(whole_node=True), replace(FREE, batch_cores=48, batch_memory_mb=180_000))
    assert (offered.cores, offered.memory_mb) == (48, 180_000)
    assert allocation(spec(whole_node=True), FREE).cores == 64


def test_gpus_are_those_that_were_allocated() -> None:
    assert allocation(spec(gpus=4), replace(FREE, batch_gpus=2)).gpus == 2
    assert allocation(spec(gpus=1), replace(FREE, batch_gpus=2)).gpus == 1
    assert allocation(spec(gpus=1, whole_node=True), replace(FREE, batch_gpus=4)).gpus == 4
    assert allocation(spec(gpus=0), replace(FREE, batch_gpus=4)).gpus == 0


numbers = st.none() | st.integers(1, 1000)


@given(
    st.booleans(), st.integers(1, 128), numbers, numbers, numbers, st.integers(1, 1000), st.integers(1, 1000)
)
def test_no_limit_is_ever_passed(
    whole: bool, usable: int, batch: int | None, group: int | None, memory: int | None, node: int, asked: int
) -> None:
    limits = Limits(128, usable, batch, node, group, memory, None)
    offered = allocation(spec(whole_node=whole, memory_mb=asked), limits)
    assert offered.memory_mb <= min(limit for limit in (node, group, memory) if limit is not None)
    assert offered.cores <= (batch or 128)
    assert offered.cores <= usable or usable == 128


def group(root: Path, lines: str, **limits: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)
    for path, text in limits.items():
        file = root / "sys/fs/cgroup" / path.replace("__", "/").replace("_in_", ".in_")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def test_the_lowest_limit_of_all_groups_above_counts_in_version_2(tmp_path: Path) -> None:
    group(tmp_path, "0::/slurm/job_1/step_0\n")
    for path, text in (("slurm", "max"), ("slurm/job_1", str(2 << 30)), ("slurm/job_1/step_0", str(8 << 30))):
        place = tmp_path / "sys/fs/cgroup" / path
        place.mkdir(parents=True, exist_ok=True)
        (place / "memory.max").write_text(text + "\n")
    assert cgroup_memory_mb(tmp_path) == 2048


def test_the_limit_of_version_1_is_found(tmp_path: Path) -> None:
    group(tmp_path, "5:memory:/slurm/job_1\n3:cpuset,cpu:/x\n0::/\n")
    place = tmp_path / "sys/fs/cgroup/memory/slurm/job_1"
    place.mkdir(parents=True)
    (place / "memory.limit_in_bytes").write_text(f"{1 << 30}\n")
    (place.parent / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert cgroup_memory_mb(tmp_path) == 1024


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_memory_mb(tmp_path) is None


@pytest.mark.parametrize(
    ("environment", "cores", "memory_mb", "gpus"),
    [
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_NODE": "16000"}, 8, 16000, None),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_CPU": "1000", "SLURM_GPUS_ON_NODE": "2"}, 8, 8000, 2),
        ({"SLURM_MEM_PER_NODE": "0", "CUDA_VISIBLE_DEVICES": "0,3"}, None, None, 2),
        ({"PBS_JOBID": "1", "NCPUS": "6"}, 6, None, None),
        ({"NCPUS": "6", "CUDA_VISIBLE_DEVICES": "NoDevFiles"}, None, None, 0),
    ],
)
def test_the_batch_system_says_what_it_allocated(
    environment: dict[str, str], cores: int | None, memory_mb: int | None, gpus: int | None
) -> None:
    found = read_limits(environment, Features({}))
    assert (found.batch_cores, found.batch_memory_mb, found.batch_gpus) == (cores, memory_mb, gpus)


def test_a_sites_job_features_count_where_the_batch_system_says_nothing(tmp_path: Path) -> None:
    for name, value in (("allocated_cpu", 3), ("max_rss_bytes", 5 << 30), ("scratch_limit_bytes", 7 << 30)):
        (tmp_path / name).write_text(str(value))
    found = read_limits({}, Features({"JOBFEATURES": str(tmp_path)}))
    assert (found.batch_cores, found.batch_memory_mb, found.disk_mb) == (3, 5120, 7168)


def test_htcondor_as_batch_system_says_it_in_the_machine_ad(tmp_path: Path) -> None:
    ad = tmp_path / ".machine.ad"
    ad.write_text('Name = "slot1_1@n1"\nCpus = 4\nMemory = 6000\nTotalCpus = 64\n')
    found = read_limits({"_CONDOR_MACHINE_AD": str(ad)}, Features({}))
    assert (found.batch_cores, found.batch_memory_mb) == (4, 6000)
