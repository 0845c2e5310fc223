"""A testbed for all tests of this folder, and what they need to look at it."""

from __future__ import annotations

import ctypes
import os
import pickle
import re
import shutil
import tempfile
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, TypeVar

import pytest

from fallow.client import client_settings, connect
from fallow.queue.images import publish
from fallow_testbed import hub, people
from fallow_testbed.host import Host
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.progress import Progress
from fallow_testbed.spec import DEFAULT
from fallow_testbed.testbed import Testbed

HERE = Path(__file__).parent
FAILED = HERE.parents[1] / "build" / "failed"
LOGS = ("var/log", "var/lib/fallow/log")
"""Where a host of a testbed writes what it does."""
DEPTHS = ("*/*/hosts/*", "*/*/*/hosts/*")
"""Where tests put testbeds; what lies in their hosts is not walked through, as it comes and goes."""

T = TypeVar("T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what every host wrote, in `build/failed/`, before a test's failure is told."""
    report = yield
    if report.failed and HERE in item.path.parents:
        base = item.config._tmp_path_factory.getbasetemp().resolve()  # type: ignore[attr-defined]
        into = FAILED / re.sub(r"\W+", "-", item.nodeid)
        # pytest's links to the newest folder lead to the same hosts.
        for host in {one.resolve() for depth in DEPTHS for one in base.glob(depth)}:
            for logs in LOGS:
                kept, written = into / host.relative_to(base) / logs, host / "upper" / logs
                if written.is_dir():
                    shutil.copytree(written, kept, ignore=_no_files, copy_function=_copy, dirs_exist_ok=True)
        report.sections.append(("what the hosts wrote", str(into)))
    return report


def _no_files(folder: str, names: list[str]) -> list[str]:
    """Sockets, devices and the marks of an overlay for what was removed."""
    return [name for name in names if not (Path(folder, name).is_file() or Path(folder, name).is_dir())]


def _copy(source: str, target: str) -> None:
    with suppress(FileNotFoundError):  # a log is rotated while it is copied
        shutil.copyfile(source, target)


@pytest.fixture(scope="session")
def layers() -> tuple[Path, ...]:
    """Root file system layers of testbed hosts, built if need be."""
    return testbed_layers()


@pytest.fixture(scope="session")
def bed(layers: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """The demo's federation, shared by the tests that leave it as they found it."""
    testbed = Testbed(tmp_path_factory.mktemp("testbeds") / "shared")
    testbed.up(DEFAULT, layers, Progress())
    yield testbed
    testbed.down()


@pytest.fixture(scope="session")
def hub_host(bed: Testbed) -> Host:
    """The hub."""
    return bed.host("hub")


@pytest.fixture(scope="session")
def at(bed: Testbed) -> Callable[..., Any]:
    """`at(person, function, *arguments)`: call a function at the desk, as that person; what it returns or raises."""

    def call(person: str, function: Callable[..., T], *arguments: Any) -> T:
        environment = people.environment(bed.layout(), person)
        return inside(bed.host("desk"), environment, function, *arguments)

    return call


@pytest.fixture(scope="session")
def operator(hub_host: Host) -> Callable[..., CompletedProcess[str]]:
    """`operator(*argv)`: run a command as the hub's account with the hub's configuration."""

    def run(*argv: str, check: bool = True) -> CompletedProcess[str]:
        return hub_host.run(list(argv), user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT, check=check)

    return run


@pytest.fixture(scope="session")
def queue_says(operator: Callable[..., CompletedProcess[str]]) -> Callable[..., str]:
    """`queue_says(job, attribute)`: an attribute of a job, evaluated; with `check=False` nothing while the queue is away."""

    def ask(job: str, attribute: str, *, check: bool = True) -> str:
        return operator("condor_q", "-name", "queue@hub", job, "-af", attribute, check=check).stdout.strip()

    return ask


def inside(
    host: Host,
    environment: Mapping[str, str],
    function: Callable[..., T],
    *arguments: Any,
    namespaces: tuple[str, ...] = ("net", "uts", "mnt"),
) -> T:
    """Call a function in a process of its own with a host's network and mounts, or what else is named of it.

    Only for hosts that have the machine's own files: the function brings its modules along.
    """
    pid = host.pid()
    with tempfile.TemporaryFile() as results:
        child = os.fork()
        if child == 0:
            try:
                _enter(pid, namespaces)
                os.environ.update(environment)
                answer: tuple[bool, Any] = (True, function(*arguments))
            except BaseException as error:  # noqa: BLE001 - handed over to the parent
                answer = (False, "".join(traceback.format_exception(error)))
            pickle.dump(answer, results)
            results.flush()
            os._exit(0)
        os.waitpid(child, 0)
        results.seek(0)
        good, result = pickle.load(results)
    if not good:
        raise AssertionError(result)
    return result  # type: ignore[no-any-return]


def _enter(pid: int, namespaces: tuple[str, ...]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    here = Path.cwd()
    for name in namespaces:
        with Path(f"/proc/{pid}/ns/{name}").open() as namespace:
            if libc.setns(namespace.fileno(), 0) != 0:
                raise OSError(ctypes.get_errno(), f"setns {name}")
    os.chdir(here)


@pytest.fixture(scope="session")
def image(at: Callable[..., Any]) -> str:
    """The digest of an image with Python in it, which the hub has."""
    packed = ensure_sif("analysis")
    digest = f"sha256:{packed.sha256}"
    at("alice", published, packed.sif, digest)
    return digest


def published(path: Path, digest: str) -> None:
    """Send an image to the hub; called at the desk."""
    settings = client_settings()
    publish(connect(settings), path, digest, ca_file=settings.ca_file)
