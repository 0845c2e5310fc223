"""Where files lie, and what that costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fallow_pilots.node import scratch

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /tmp rw,nosuid - tmpfs tmpfs rw,size=1g
31 22 0:31 / /lustre rw shared:9 - lustre 10.0.0.1@o2ib:/work rw
32 22 254:1 / /with\\040blank rw - xfs /dev/vdb rw
33 30 254:1 / /tmp/disk rw - xfs /dev/vdb rw
34 31 0:34 / /lustre rw - ext4 /dev/vdc rw
35 34 0:35 / /lustre rw - lustre 10.0.0.1@o2ib:/again rw
a line of nonsense
"""


@pytest.mark.parametrize(
    ("directory", "where"),
    [
        ("/scratch", "local"),
        ("/tmp/fallow-alder-1", "memory"),
        ("/tmp", "memory"),
        ("/tmpfile", "local"),
        ("/tmp/disk/x", "local"),
        ("/lustre/user", "shared"),
        ("/with blank/x", "local"),
    ],
)
def test_the_innermost_mount_counts(directory: str, where: str) -> None:
    assert scratch.kind(Path(directory), MOUNTS) == where


@pytest.mark.parametrize(
    ("where", "promised_mb", "kept"),
    [
        ("local", 0, (4000, 90_000)),
        ("shared", 500, (4000, 500)),
        ("memory", 0, (3000, 1000)),
        ("memory", 3000, (1000, 3000)),
    ],
)
def test_files_in_memory_are_paid_for_with_memory(
    where: str, promised_mb: int, kept: tuple[int, int]
) -> None:
    assert scratch.shares(where, 4000, promised_mb, 90_000) == kept


def test_no_more_is_offered_than_is_free() -> None:
    assert scratch.shares("memory", 4000, 3000, 200) == (3800, 200)
    assert scratch.shares("local", 4000, 3000, 200) == (4000, 200)


def test_a_pilot_whose_files_leave_no_memory_takes_no_jobs() -> None:
    good = scratch.check("memory", 3000, 1000)
    assert (good.good, good.capabilities) == (True, {"FallowScratch": "memory"})
    bad = scratch.check("memory", 100, 3900)
    assert (bad.good, bad.fatal) == (False, True)
    assert "promise less in pilot.disk_mb" in bad.words
    assert scratch.check("shared", 100, 10).good, "only memory is paid for"
