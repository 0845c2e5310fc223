from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from fallow_testbed.images.cli import images


@pytest.fixture(autouse=True)
def here(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALLOW_SOURCE", str(checkout))
    monkeypatch.setenv("FALLOW_CACHE", str(tmp_path / "cache"))


def call(*argv: str) -> list[dict[str, object]]:
    done = CliRunner().invoke(images, [*argv, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return list(json.loads(done.stdout))


def test_build_tells_name_digest_and_size(debian: Callable[[], int]) -> None:
    (row,) = call("build", "rootfs")
    assert (row["name"], row["kind"], row["size_mb"]) == ("rootfs", "tree", 0)
    assert Path(str(row["path"])).name == f"rootfs-{row['digest']}"


def test_list_says_which_images_are_current(debian: Callable[[], int], checkout: Path) -> None:
    call("build")
    (checkout / "containers" / "images" / "second" / "finish.sh").write_text("true\n")
    assert [(row["name"], row["current"]) for row in call("list")] == [("rootfs", True), ("second", False)]


def test_prune_removes_what_is_not_current(debian: Callable[[], int], checkout: Path) -> None:
    call("build")
    (checkout / "containers" / "images" / "second" / "finish.sh").write_text("true\n")
    assert [row["name"] for row in call("prune")] == ["second"]
    assert [row["name"] for row in call("list")] == ["rootfs"]


def test_prune_all_empties_the_cache(debian: Callable[[], int]) -> None:
    call("build")
    assert len(call("prune", "--all")) == 2
    assert call("list") == []


def test_prune_keeps_what_a_running_testbed_has_mounted(debian: Callable[[], int], tmp_path: Path) -> None:
    (row,) = call("build", "rootfs")
    mountpoint = tmp_path / "root"
    mountpoint.mkdir()
    script = f"cd {mountpoint} && mount -t tmpfs x . && cd {mountpoint} && mkdir u w r"
    script += (
        f" && mount -t overlay x -o lowerdir={row['path']}/tree,upperdir=u,workdir=w r && echo up && read x"
    )
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as testbed:
        assert testbed.stdout is not None
        assert testbed.stdout.readline() == "up\n"
        assert call("prune", "--all") == []
        testbed.communicate("end\n")
    assert len(call("prune", "--all")) == 1
