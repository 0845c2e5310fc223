"""What lies on the node."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fallow_pilots.node import checks
from fallow_pilots.node.allocation import Allocation
from fallow_pilots.node.finding import Finding
from fallow_pilots.node.nodecheck import payload_binds
from fallow_pilots.spec import PilotSpec

Make = Callable[..., PilotSpec]


def test_a_full_disk_is_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LEAST_DISK_MB", 1 << 40)
    finding = checks.check_disk(0, tmp_path)
    assert (finding.good, finding.fatal) == (False, True)


def test_less_disk_than_promised_is_no_reason_to_stop(tmp_path: Path) -> None:
    finding = checks.check_disk(1 << 40, tmp_path)
    assert (finding.good, finding.fatal) == (False, False)


def test_the_speed_of_the_scratch_directory_is_advertised_and_nothing_is_left(tmp_path: Path) -> None:
    finding = checks.check_speed(tmp_path)
    assert finding.good
    assert isinstance(finding.capabilities["FallowScratchSpeed"], int)
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_directory_that_cannot_be_written_is_fatal(tmp_path: Path) -> None:
    assert checks.check_speed(tmp_path / "missing").fatal


@pytest.mark.parametrize(
    ("offered", "good", "fatal"),
    [
        (Allocation(4, 4000, 1, 0), True, False),
        (Allocation(2, 4000, 1, 0), False, False),
        (Allocation(4, 3000, 1, 0), False, False),
        (Allocation(4, 4000, 0, 0), False, False),
        (Allocation(4, 100, 1, 0), False, True),
    ],
)
def test_less_than_was_asked_for_is_said_and_next_to_no_memory_is_fatal(
    make_spec: Make, offered: Allocation, good: bool, fatal: bool
) -> None:
    finding = checks.check_allocation(make_spec(gpus=1), offered)
    assert (finding.good, finding.fatal) == (good, fatal)


def test_an_image_store_says_whether_it_takes_more(tmp_path: Path) -> None:
    assert checks.check_store(tmp_path).capabilities == {"FallowImageStore": True}


def test_without_an_image_store_nothing_could_run(tmp_path: Path) -> None:
    assert checks.check_store(tmp_path / "missing").fatal


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ("", ""),
        ("cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3", "x86-64-v2"),
        (" ".join(flags for _, flags in checks.LEVELS[:2]), "x86-64-v3"),
        (" ".join(flags for _, flags in checks.LEVELS), "x86-64-v4"),
        (checks.LEVELS[2][1], ""),
    ],
)
def test_the_level_of_the_processor_is_the_highest_that_is_whole(flags: str, level: str) -> None:
    finding = checks.check_processor(f"processor\t: 0\nflags\t\t: fpu {flags}\n", "x86_64")
    assert finding.capabilities.get("FallowProcessor", "") == level


def test_another_architecture_is_told_instead_of_a_level() -> None:
    finding = checks.check_processor("processor\t: 0\nFeatures\t: fp asimd\n", "aarch64")
    assert finding.capabilities == {"FallowProcessor": "aarch64"}


def test_promised_and_mounted_repositories_are_looked_at(tmp_path: Path) -> None:
    for name in ("atlas.example.org", "cms.example.org", "config"):
        (tmp_path / name).mkdir()
    found = checks.repositories(("cms.example.org", "lhcb.example.org"), tmp_path)
    assert found == ["cms.example.org", "lhcb.example.org", "atlas.example.org"]
    assert checks.repositories((), tmp_path / "missing") == []


def test_a_missing_repository_is_not_advertised() -> None:
    finding = checks.check_cvmfs("no.such.example.org", Path("/cvmfs/no.such.example.org"))
    assert (finding.good, finding.fatal, finding.capabilities) == (False, False, {})


def test_a_repository_is_advertised_with_its_revision(tmp_path: Path) -> None:
    place = tmp_path / "atlas.cern.ch"
    place.mkdir()
    copied = checks.check_cvmfs("atlas.cern.ch", place)
    assert copied.capabilities == {"FallowCvmfs": "atlas.cern.ch"}, "nothing says its revision"
    (place / ".cvmfspublished").write_bytes(b"C600230b0ba7\nS2077\nNatlas.cern.ch\n--\nS1\n\xff")
    copied = checks.check_cvmfs("atlas.cern.ch", place)
    assert copied.capabilities["FallowCvmfs_atlas_cern_ch"] == 2077, "a copy's manifest does"
    os.setxattr(place, "user.revision", b"141592")
    found = checks.check_cvmfs("atlas.cern.ch", place)
    assert found.capabilities == {"FallowCvmfs": "atlas.cern.ch", "FallowCvmfs_atlas_cern_ch": 141592}
    assert checks.repositories((), tmp_path) == ["atlas.cern.ch"]


def test_a_copy_among_the_accounts_own_files_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "ann"))
    for name in ("home", "home/ann", "home/ann/secrets"):
        place = tmp_path / name
        place.mkdir()
        finding = checks.check_cvmfs("atlas.cern.ch", place)
        assert (finding.good, finding.capabilities) == (False, {})
        assert finding.words.endswith("holds files of this account: payloads do not see it.")


def test_gpus_that_nobody_asked_for_are_not_looked_for() -> None:
    assert checks.check_gpus(0, Path("/nowhere")).good


def test_gpus_that_are_not_found_are_not_offered() -> None:
    finding = checks.check_gpus(1, Path("/nowhere"))
    assert (finding.good, finding.capabilities) == (False, {})


DISCOVERED = """\
DetectedGPUs="GPU-c4a646d7, GPU-6a96bd13"
Common=[ Capability=8.0; DeviceName="NVIDIA A100-SXM4-40GB"; ECCEnabled=true; ]
GPU_6a96bd13=[ id="GPU-6a96bd13"; DevicePciBusId="0000:AF:00.0"; ]
GPU_c4a646d7=[ id="GPU-c4a646d7"; DevicePciBusId="0000:3B:00.0"; ]
"""


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (DISCOVERED, (2, ["NVIDIA A100-SXM4-40GB"])),
        ("DetectedGPUs=0\n", (0, [])),
        ('DetectedGPUs = "CUDA0"\nCUDA0DeviceName="Tesla P100"\n', (1, ["Tesla P100"])),
        ("", (0, [])),
    ],
)
def test_gpus_are_counted_and_their_models_named(said: str, found: tuple[int, list[str]]) -> None:
    assert checks.gpus(said) == found


def discovery(directory: Path, text: str) -> Path:
    program = directory / "condor_gpu_discovery"
    program.write_text(f"#!/bin/sh\ncat <<'.'\n{text}.\n")
    program.chmod(0o755)
    return directory


@pytest.mark.parametrize(("wanted", "good"), [(2, True), (3, False)])
def test_gpus_are_advertised_with_their_model(tmp_path: Path, wanted: int, good: bool) -> None:
    finding = checks.check_gpus(wanted, discovery(tmp_path, DISCOVERED))
    assert finding.good is good
    assert finding.capabilities["FallowGpuModel"] == "NVIDIA A100-SXM4-40GB"


def test_payloads_do_not_see_a_repository_that_hangs(
    make_spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: True)
    spec = make_spec(cvmfs=("one.example.org", "two.example.org"))
    one, two = (Finding("cvmfs", True, "", capabilities={"FallowCvmfs": name}) for name in spec.cvmfs)
    hangs = Finding("cvmfs", False, "The check of it did not end.")

    def cvmfs(*findings: Finding) -> list[str]:
        return [bind for bind in payload_binds(spec, findings) if bind.startswith("/cvmfs")]

    assert cvmfs(one, two) == ["/cvmfs:/cvmfs:ro"]
    assert cvmfs(one, hangs) == ["/cvmfs/one.example.org:/cvmfs/one.example.org:ro"]
    assert cvmfs(hangs, hangs) == []
