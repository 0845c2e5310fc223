"""`fallow testbed` brings a federation up, and takes all of it down again whatever happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fallow_testbed.host import holders
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed

SMALL = """
[centres.oak]
nodes = 1
cores = 2
pilots = { max_pilots = 0 }
[users]
ann = { centre = "oak" }
"""


class Machine:
    """What a testbed could leave behind on the machine, counted."""

    def __init__(self, marker: str) -> None:
        self.marker = marker.encode()

    def processes(self) -> list[int]:
        """Processes that name the testbed's directory, or live in a namespace that is not the machine's."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if self.marker in (entry / "cmdline").read_bytes():
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def mounts(self) -> list[str]:
        """Mounts of the machine's own namespace that lie in the testbed's directory."""
        return [
            line
            for line in Path("/proc/self/mounts").read_text().splitlines()
            if self.marker.decode() in line
        ]

    @staticmethod
    def interfaces() -> list[str]:
        """Network interfaces of the machine's own namespace."""
        return sorted(entry.name for entry in Path("/sys/class/net").iterdir())

    @staticmethod
    def namespaces() -> set[str]:
        """Network namespaces in which some process lives, or that have a name."""
        listed = subprocess.run(
            ["ip", "netns", "list"], text=True, capture_output=True, check=True
        ).stdout.split()
        found = set(listed)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    found.add(str((entry / "ns" / "net").readlink()))
                except OSError:
                    continue
        return found


@pytest.fixture
def declaration(tmp_path: Path) -> Path:
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    return file


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[Testbed]:
    found = Testbed(tmp_path / "beds" / "small")
    yield found
    found.down()


def up(testbed: Testbed, declaration: Path) -> subprocess.Popen[bytes]:
    """Start `fallow testbed up` as a user would, in the background."""
    env = {**os.environ, "FALLOW_TESTBEDS": str(testbed.directory.parent)}
    argv = [
        str(Path(sys.executable).with_name("fallow")),
        "testbed",
        "up",
        "--name",
        testbed.directory.name,
        str(declaration),
    ]
    return subprocess.Popen(
        argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def test_down_after_up_leaves_nothing(layers: tuple[Path, ...], testbed: Testbed, declaration: Path) -> None:
    machine = Machine(str(testbed.directory))
    interfaces, namespaces = machine.interfaces(), machine.namespaces()
    process = up(testbed, declaration)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()
    assert {row["host"]: row["running"] for row in testbed.status()} == dict.fromkeys(
        ["hub", "desk", "oak", "oak-1"], True
    )
    assert machine.processes()
    assert machine.namespaces() > namespaces
    assert machine.interfaces() == interfaces, "the machine's own network is never touched"

    testbed.down()

    assert machine.processes() == []
    assert machine.mounts() == []
    assert machine.interfaces() == interfaces
    assert machine.namespaces() == namespaces
    assert not testbed.directory.exists()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_down_cleans_up_after_up_was_killed(
    layers: tuple[Path, ...], testbed: Testbed, declaration: Path, share: float
) -> None:
    machine = Machine(str(testbed.directory))
    interfaces, namespaces = machine.interfaces(), machine.namespaces()
    hosts = testbed.directory / "hosts"
    process = up(testbed, declaration)
    # Killed at a random moment within one of the phases: while hosts start, while services start, near the end.
    wanted = 1 if share < 0.2 else 4
    end = time.monotonic() + 120
    while len(holders(hosts)) < wanted:
        assert process.poll() is None
        assert time.monotonic() < end
    if wanted > 1:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=random.uniform(0, 6 * share))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    testbed.down()

    assert machine.processes() == []
    assert machine.mounts() == []
    assert machine.interfaces() == interfaces
    assert machine.namespaces() == namespaces


def test_up_that_fails_leaves_nothing_running(
    layers: tuple[Path, ...], testbed: Testbed, declaration: Path
) -> None:
    broken = layers[0].parent / "missing"
    machine = Machine(str(testbed.directory))
    with pytest.raises(Exception, match=r"Host .* did not start"):
        testbed.up(declaration, (broken, *layers), Progress())
    assert machine.processes() == []


def test_down_also_ends_hosts_with_a_stopped_process(
    layers: tuple[Path, ...], testbed: Testbed, declaration: Path
) -> None:
    testbed.up(declaration, layers, Progress())
    testbed.host("oak").spawn(["sh", "-c", "kill -STOP $$"], log="/stopped.log")
    testbed.down()
    assert Machine(str(testbed.directory)).processes() == []


def test_down_without_a_testbed_does_nothing(testbed: Testbed) -> None:
    testbed.down()
    assert not testbed.directory.exists()


def test_two_testbeds_run_side_by_side(layers: tuple[Path, ...], tmp_path: Path, declaration: Path) -> None:
    first, second = Testbed(tmp_path / "beds" / "one"), Testbed(tmp_path / "beds" / "two")
    try:
        for testbed in (first, second):
            testbed.up(declaration, layers, Progress())
        first.down()
        assert all(row["running"] for row in second.status())
        second.host("oak").run(["sbatch", "--wait", "--output=/dev/null", "--wrap=true"], user="local")
    finally:
        first.down()
        second.down()


LACKING = """
[centres.oak]
nodes = 1
cores = 2
nodes_reach = "login"
scratch_mb = 8
user_namespaces = false
fuse = false
pilots = { max_pilots = 0 }
[users]
ann = { centre = "oak" }
"""


def test_a_centre_can_lack_what_the_declaration_says(
    layers: tuple[Path, ...], testbed: Testbed, tmp_path: Path
) -> None:
    declaration = tmp_path / "lacking.toml"
    declaration.write_text(LACKING)
    testbed.up(declaration, layers, Progress())
    login, node = testbed.host("oak"), testbed.host("oak-1")
    reach = ["bash", "-c", 'exec 3<>"/dev/tcp/$0/8443"', "hub"]
    assert login.run(reach, check=False).returncode == 0
    assert node.run(reach, check=False, timeout_s=300).returncode != 0, "the node has no way out"
    fill = node.run(["dd", "if=/dev/zero", "of=/scratch/big", "bs=1M", "count=16"], user="local", check=False)
    assert "No space left on device" in fill.stderr
    assert node.run(["unshare", "--user", "true"], user="local", check=False).returncode != 0
    assert node.run(["test", "-e", "/dev/fuse"], check=False).returncode != 0


def test_an_interrupt_takes_everything_down(
    layers: tuple[Path, ...], testbed: Testbed, tmp_path: Path
) -> None:
    env = {**os.environ, "FALLOW_TESTBEDS": str(testbed.directory.parent)}
    fallow = str(Path(sys.executable).with_name("fallow"))
    argv = [fallow, "testbed", "demo", "--name", "small", "--directory", str(tmp_path / "demo")]
    process = subprocess.Popen(
        argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    end = time.monotonic() + 300
    while len(holders(testbed.directory / "hosts")) < 9:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said.decode()
    assert "interrupted" in said.decode()
    assert holders(testbed.directory / "hosts") == {}
    assert Machine(str(testbed.directory)).processes() == []
