import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from snakemake_executor_plugin_fallow import used
from snakemake_executor_plugin_fallow.used import watch


def workflow(*rules: SimpleNamespace, outputs: tuple[str, ...] = ()) -> SimpleNamespace:
    return SimpleNamespace(
        dag=SimpleNamespace(jobs=[SimpleNamespace(output=outputs)]), included=["Snakefile"], rules=rules
    )


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "Snakefile",
        "config/samples.tsv",
        ".snakemake/log",
        "made.txt",
        "image.sif",
        "data/reads.fq",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("content")
    watch.stop()
    return tmp_path


def found(directory: Path, flow: SimpleNamespace) -> list[str]:
    return [str(path) for path in used.used(flow, directory)]


def test_what_was_read_travels_and_what_was_only_there_does_not(directory: Path) -> None:
    watch.start()
    Path("config/samples.tsv").read_text()
    (directory / "Snakefile").read_text()
    assert found(directory, workflow()) == ["Snakefile", "config/samples.tsv"]


@pytest.mark.parametrize("name", [".snakemake/log", "made.txt", "image.sif", "/etc/hostname"])
def test_outputs_images_and_what_is_hidden_or_elsewhere_stay(directory: Path, name: str) -> None:
    watch.start()
    Path(name).read_bytes()
    assert found(directory, workflow(outputs=("made.txt",))) == []


def test_what_was_written_stays(directory: Path) -> None:
    watch.start()
    Path("notes.txt").write_text("x")
    assert found(directory, workflow()) == []


def test_data_is_no_source(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(used, "LARGEST_BYTES", 3)
    watch.start()
    Path("data/reads.fq").read_bytes()
    assert found(directory, workflow()) == []


def test_imported_modules_travel(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "ours").mkdir()
    (directory / "ours" / "words.py").write_text("x = 1")
    monkeypatch.syspath_prepend(str(directory))
    importlib.import_module("ours.words")
    try:
        assert found(directory, workflow()) == ["ours/words.py"]
    finally:
        del sys.modules["ours.words"], sys.modules["ours"]


def test_scripts_by_custom_and_local_wrappers_travel_whole(directory: Path) -> None:
    for name in (
        "scripts/deep/plot.sh",
        "wrappers/x/wrapper.py",
        "wrappers/x/environment.yaml",
        "wrappers/y",
    ):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("content")
    rule = SimpleNamespace(wrapper="file:wrappers/x")
    assert found(directory, workflow(rule, SimpleNamespace(wrapper="v1.0/bio/x"))) == [
        "scripts/deep/plot.sh",
        "wrappers/x/environment.yaml",
        "wrappers/x/wrapper.py",
    ]
