"""Files moved several at a time: by threads, or by processes where they are many or large."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from fallow.storage.failures import StagingError, Trouble
from fallow.storage.grants import StagedFile
from fallow.storage.movers import MANY_BYTES, MANY_FILES, PROCESSES, each, moved


@pytest.fixture(autouse=True)
def found_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they are to do is in this module."""
    monkeypatch.syspath_prepend(Path(__file__).parents[3])


def files(count: int, size: int = 1) -> list[StagedFile]:
    return [
        StagedFile(path=f"f{n}", url=f"s3://b/f{n}", bucket="b", key=f"f{n}", bytes=size)
        for n in range(count)
    ]


def signed_by_process(folder: Path, file: StagedFile) -> None:
    with (folder / file.path).open("x") as stream:
        stream.write(str(os.getpid()))


def refused(file: StagedFile) -> None:
    raise StagingError(Trouble.MISSING, f"There is no {file.url}.")


def killed(_: StagedFile) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("wanted", [files(MANY_FILES), files(2, MANY_BYTES // 2)], ids=["many", "large"])
def test_many_files_or_large_ones_are_moved_by_processes(tmp_path: Path, wanted: list[StagedFile]) -> None:
    moved(partial(signed_by_process, tmp_path), wanted)
    by = {path.read_text() for path in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) == len(wanted)
    assert 1 <= len(by) <= PROCESSES
    assert str(os.getpid()) not in by


@pytest.mark.parametrize("wanted", [files(3), files(1, MANY_BYTES), []], ids=["few", "one", "none"])
def test_few_files_are_moved_right_here(tmp_path: Path, wanted: list[StagedFile]) -> None:
    moved(partial(signed_by_process, tmp_path), wanted)
    assert {path.read_text() for path in tmp_path.iterdir()} <= {str(os.getpid())}
    assert len(list(tmp_path.iterdir())) == len(wanted)


@pytest.mark.parametrize("count", [2, MANY_FILES])
def test_a_failure_keeps_its_class_wherever_it_was(count: int) -> None:
    with pytest.raises(StagingError, match="There is no s3://b/f") as error:
        moved(refused, files(count))
    assert error.value.trouble is Trouble.MISSING


def test_processes_that_were_killed_are_replaced(tmp_path: Path) -> None:
    with pytest.raises(StagingError, match="killed") as error:
        moved(killed, files(MANY_FILES))
    assert error.value.trouble is Trouble.AWAY
    moved(partial(signed_by_process, tmp_path), files(MANY_FILES))
    assert len(list(tmp_path.iterdir())) == MANY_FILES


def test_the_results_come_in_order() -> None:
    assert each(str, range(20)) == [str(number) for number in range(20)]
