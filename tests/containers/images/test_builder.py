from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fallow.errors import FallowError, NotAvailableError
from fallow_testbed.images import programs
from fallow_testbed.images.builder import Builder
from fallow_testbed.images.cache import ImageCache
from fallow_testbed.wait import wait_until

Make = Callable[[], Builder]
Program = Callable[[str, str], None]

BUILD = """
import sys
from pathlib import Path
from fallow_testbed.images.builder import Builder
from fallow_testbed.images.cache import ImageCache
from fallow_testbed.progress import Progress
Builder(Path(sys.argv[1]), ImageCache(Path(sys.argv[2])), Progress()).ensure(["second"])
"""


def names(cache: ImageCache) -> list[str]:
    return sorted(image.name for image in cache.all())


def leftovers(cache: ImageCache) -> list[Path]:
    return list(cache.images.glob(".building-*"))


def test_an_image_is_built_once_with_what_it_needs(
    builder: Make, cache: ImageCache, debian: Callable[[], int]
) -> None:
    first = builder().ensure(["second"])["second"]
    assert (first.tree / "etc" / "debian_version").read_text() == "13\n"
    assert builder().ensure(["second"])["second"] == first
    assert (debian(), names(cache)) == (1, ["rootfs", "second"])


def test_a_changed_definition_builds_anew_and_only_what_depends_on_it(
    builder: Make, checkout: Path, cache: ImageCache, debian: Callable[[], int]
) -> None:
    builder().ensure(["second"])
    finish = checkout / "containers" / "images" / "second" / "finish.sh"
    finish.write_text("echo 14 > etc/debian_version\n")
    changed = builder().ensure(["second"])["second"]
    assert (changed.tree / "etc" / "debian_version").read_text() == "14\n"
    assert (debian(), names(cache)) == (1, ["rootfs", "second", "second"])


def test_an_image_does_not_share_files_with_the_one_it_was_copied_from(
    builder: Make, debian: Callable[[], int]
) -> None:
    found = builder().ensure(["rootfs", "second"])
    (found["second"].tree / "etc" / "debian_version").write_text("changed\n")
    assert (found["rootfs"].tree / "etc" / "debian_version").read_text() == "13\n"


def test_a_failed_build_leaves_its_log_and_nothing_else(
    builder: Make, cache: ImageCache, program: Program
) -> None:
    program("mmdebstrap", 'print("E: Unable to locate package busybox-static"); sys.exit(25)')
    with pytest.raises(
        FallowError, match="mmdebstrap failed: Unable to locate package busybox-static"
    ) as caught:
        builder().ensure(["second"])
    log = Path(caught.value.remedy.removeprefix("All that it said is in ").rstrip("."))
    assert "Unable to locate" in log.read_text()
    assert (names(cache), leftovers(cache)) == ([], [])


def test_a_disk_that_fills_up_is_told_and_leaves_nothing(
    builder: Make, cache: ImageCache, program: Program
) -> None:
    program("mmdebstrap", 'print("dpkg: error: cannot copy: No space left on device"); sys.exit(1)')
    with pytest.raises(FallowError, match=r"The disk became full .* Make space and try again"):
        builder().ensure(["rootfs"])
    assert (names(cache), leftovers(cache)) == ([], [])


def test_a_step_that_fails_is_told_with_the_last_line_of_what_it_said(
    builder: Make, checkout: Path, debian: Callable[[], int]
) -> None:
    (checkout / "containers" / "images" / "rootfs" / "finish.sh").write_text(
        "echo 'no such thing' >&2; exit 1\n"
    )
    with pytest.raises(FallowError, match=r"The image rootfs could not be built: .*no such thing"):
        builder().ensure(["rootfs"])


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_build_that_is_killed_leaves_no_process_and_the_next_one_clears_up(
    end: signal.Signals, builder: Make, checkout: Path, cache: ImageCache, program: Program, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    program(
        "mmdebstrap",
        f"""
tree = pathlib.Path(sys.argv[sys.argv.index("trixie") + 1])
(tree / "half").touch()
pathlib.Path({str(pid_file)!r}).write_text(os.readlink("/proc/self/ns/pid"))
time.sleep(600)
""",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, str(checkout), str(cache.root)], stderr=subprocess.PIPE
    )
    wait_until(lambda: pid_file.exists() and pid_file.read_text() != "", "the build", 60)
    assert members(pid_file.read_text())
    process.send_signal(end)
    process.communicate(timeout=60)
    wait_until(lambda: not members(pid_file.read_text()), "the end of the build's processes", 60)
    assert names(cache) == []

    program("mmdebstrap", "sys.exit(0)")
    builder().ensure(["rootfs"])
    assert (names(cache), leftovers(cache)) == (["rootfs"], [])
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if str(cache.root) in line]


def members(namespace: str) -> list[str]:
    """Processes that live in a PID namespace."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "ns" / "pid").readlink() == Path(namespace):
                    found.append(entry.name)
            except OSError:  # it ended meanwhile
                continue
    return found


def test_a_disk_that_fills_up_while_files_are_copied_is_told(
    builder: Make, cache: ImageCache, debian: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "image.json")

    monkeypatch.setattr(ImageCache, "publish", full)
    with pytest.raises(
        FallowError, match=r"rootfs could not be built: No space left on device .* Make space"
    ):
        builder().ensure(["rootfs"])
    assert (names(cache), leftovers(cache)) == ([], [])


def test_without_root_the_remedy_is_named(builder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(
        NotAvailableError, match=r"Building images needs root, and this is user 1000\. Run it with sudo\."
    ):
        builder().ensure(["rootfs"])


def test_what_is_built_can_be_used_without_root(
    builder: Make, debian: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    builder().ensure(["rootfs"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert builder().ensure(["rootfs"])["rootfs"].tree.is_dir()


def test_missing_programs_are_told_with_the_packages_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        NotAvailableError,
        match=r"mmdebstrap and setpriv are not installed\. Run `apt-get install mmdebstrap util-linux`\.",
    ):
        programs.require_programs("mmdebstrap", "setpriv")
