"""How a job loads Snakemake."""

import importlib
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import snakemake_executor_plugin_fallow.job
from snakemake_executor_plugin_fallow.job import fallow_modules

JOB = Path(next(iter(snakemake_executor_plugin_fallow.job.__path__)))


def in_a_job(program: str) -> object:
    """What a program prints as JSON that runs in a Python of its own, with the job's files beside it."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=JOB, text=True, capture_output=True, check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_job_loads_neither_sqlalchemy_nor_reports() -> None:
    loaded = in_a_job(
        "import fallow_lean, json, sys; fallow_lean.load().parse_args(['--cores', '1']);"
        "print(json.dumps([name in sys.modules for name in ('snakemake.cli', 'sqlalchemy', 'sqlmodel', 'docutils')]))"
    )
    assert loaded == [True, False, False, False]


def test_a_rule_that_uses_sqlalchemy_has_the_real_one() -> None:
    found = in_a_job(
        "import fallow_lean, json; fallow_lean.load(); import sqlalchemy;"
        "print(json.dumps(sqlalchemy.create_engine('sqlite://').dialect.name))"
    )
    assert found == "sqlite"


def test_a_release_that_cannot_be_loaded_so_is_loaded_whole() -> None:
    loaded = in_a_job(
        "import fallow_lean, json, sys; fallow_lean.Record = None; fallow_lean.load();"
        "print(json.dumps([name in sys.modules for name in ('snakemake.cli', 'sqlalchemy')]))"
    )
    assert loaded == [True, True]


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root directory of an image with one package of two modules, packed."""
    import py_compile

    folder = "/usr/lib/somewhere"
    monkeypatch.setattr(fallow_modules, "_folders", lambda: [folder])
    package = tmp_path / folder.lstrip("/") / "well_known_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from well_known_package.below import ANSWER\n")
    (package / "below.py").write_text("ANSWER = 42\n")
    for file in package.iterdir():
        py_compile.compile(str(file), doraise=True)
    fallow_modules.pack(str(tmp_path))
    return tmp_path


def test_modules_come_from_the_images_one_file_by_their_own_names_and_places(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder = fallow_modules.Finder(f"{image}{fallow_modules.PACKED}")
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    try:
        package = importlib.import_module("well_known_package")
        assert package.ANSWER == 42
        assert package.below.__file__ == "/usr/lib/somewhere/well_known_package/below.py"
        assert package.__path__ == ["/usr/lib/somewhere/well_known_package"]
    finally:
        for name in ("well_known_package", "well_known_package.below"):
            sys.modules.pop(name, None)


def test_modules_that_another_python_compiled_are_not_used(image: Path) -> None:
    packed = Path(f"{image}{fallow_modules.PACKED}")
    packed.write_bytes(b"\0\0\0\0" + packed.read_bytes()[4:])
    with pytest.raises(ValueError, match="another Python"):
        fallow_modules.Finder(str(packed))


def test_modules_are_looked_for_where_this_python_has_them() -> None:
    assert fallow_modules._folders()[0] == sysconfig.get_path("stdlib")
