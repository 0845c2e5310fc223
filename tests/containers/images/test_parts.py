from __future__ import annotations

import gzip
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fallow.errors import FallowError, NotAvailableError
from fallow_testbed.images import package, wheels
from fallow_testbed.images.definition import Package
from fallow_testbed.images.programs import Runner

Program = Callable[[str, str], None]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    log = tmp_path / "log"
    log.touch()
    return Runner(log)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    tree, work = tmp_path / "tree", tmp_path / "work"
    tree.mkdir()
    work.mkdir()
    return tree, work


def make_deb(tmp_path: Path) -> Path:
    root = tmp_path / "deb"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: some\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    (root / "usr").mkdir()
    (root / "usr" / "plain.txt").write_text("plain")
    (root / "usr" / "packed.txt.gz").write_bytes(gzip.compress(b"packed"))
    target = tmp_path / "some_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "-Znone", str(root), str(target)], check=True, capture_output=True)
    return target


def test_files_of_a_package_go_where_they_are_wanted_and_are_unpacked_there(
    tmp_path: Path, runner: Runner, places: tuple[Path, Path], program: Program
) -> None:
    deb = make_deb(tmp_path)
    program("apt-get", f"import shutil; shutil.copy({str(deb)!r}, '.')")
    tree, work = places
    files = {"usr/plain.txt": "a/one", "usr/packed.txt.gz": "two", "./usr/packed.txt.gz": "three.gz"}
    package.take(Package(name="some", files=files), tree, work=work, runner=runner)
    assert (tree / "a" / "one").read_text() == "plain"
    assert (tree / "two").read_text() == "packed"
    assert gzip.decompress((tree / "three.gz").read_bytes()) == b"packed"


def test_a_new_machine_without_package_lists_gets_its_own(
    tmp_path: Path, runner: Runner, places: tuple[Path, Path], program: Program
) -> None:
    deb = make_deb(tmp_path)
    program(
        "apt-get",
        f"""
import shutil
lists = [word.split("=")[1] for word in sys.argv if word.startswith("Dir::State::Lists=")]
known = lists and (pathlib.Path(lists[0]) / "known").exists()
if "update" in sys.argv:
    (pathlib.Path(lists[0]) / "known").touch()
elif known:
    shutil.copy({str(deb)!r}, ".")
else:
    sys.exit("E: Unable to locate package some")
""",
    )
    tree, work = places
    package.take(Package(name="some", files={"usr/plain.txt": "one"}), tree, work=work, runner=runner)
    assert (tree / "one").read_text() == "plain"


def test_a_package_that_cannot_be_had_is_told_with_apts_words(
    runner: Runner, places: tuple[Path, Path], program: Program
) -> None:
    program("apt-get", "sys.exit('E: Unable to locate package some')")
    tree, work = places
    with pytest.raises(
        NotAvailableError, match=r"some cannot be downloaded: Unable to locate package some\. Check"
    ):
        package.take(Package(name="some", files={}), tree, work=work, runner=runner)


def test_a_file_that_a_package_does_not_have_is_named(
    tmp_path: Path, runner: Runner, places: tuple[Path, Path], program: Program
) -> None:
    deb = make_deb(tmp_path)
    program("apt-get", f"import shutil; shutil.copy({str(deb)!r}, '.')")
    tree, work = places
    with pytest.raises(FallowError, match="The Debian package some has no file usr/other"):
        package.take(Package(name="some", files={"usr/other": "x"}), tree, work=work, runner=runner)


def test_programs_of_a_wheel_become_runnable_and_nothing_else_is_taken(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "tool-1-py3-none-any.whl", "w") as archive:
        archive.writestr("tool-1.data/scripts/tool", "#!/bin/sh\n")
        archive.writestr("tool-1.dist-info/METADATA", "Name: tool\n")
    wheels.extract_programs(tmp_path, tmp_path / "bin")
    (found,) = (tmp_path / "bin").iterdir()
    assert found.name == "tool"
    assert found.stat().st_mode & 0o777 == 0o755


def test_wheels_for_older_systems_are_accepted() -> None:
    accepted = wheels.platforms()
    assert accepted[0].startswith("manylinux_2_41_")
    assert accepted[-1].startswith("manylinux1_")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/usr/bin/python3: No module named pip", "failing-python has no pip. Run it with `-m ensurepip`"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError(Failed to establish a new connection)'",
            "The Python package index does not answer.",
        ),
        (
            "ERROR: No matching distribution found for nosuch==1",
            "The packages of some.txt could not be downloaded: No matching distribution found for nosuch==1.",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated them, do.",
            "could not be downloaded: THESE PACKAGES DO NOT MATCH THE HASHES",
        ),
    ],
)
def test_what_pip_could_not_do_is_told_in_one_sentence(
    said: str, told: str, tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch, program: Program
) -> None:
    program("failing-python", f"print({said!r}); sys.exit(1)")
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "failing-python"))
    with pytest.raises(FallowError) as caught:
        wheels.download(tmp_path / "some.txt", tmp_path, version="3.13", runner=runner)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
