"""The demo's workflow on this machine alone, with the real images: what a federation's results are compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from fallow.errors import FallowError
from fallow_testbed import demo_data
from fallow_testbed.progress import Progress

FEW = {"replicates": 3}
"""Draws for a test: what they say is rough, but the variants do not depend on them."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("demo")
    demo_data.prepare(directory, Progress())
    demo_data.run_here(directory, config=FEW, progress=Progress())
    return directory


def variants(directory: Path) -> list[str]:
    lines = (directory / "results" / "variants.vcf").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_the_variants_of_the_phage_are_found(done: Path) -> None:
    found = variants(done)
    assert len(found) == 86
    assert found[0].split("\t")[1:5] == ["245", ".", "AT", "A"]


def test_each_variant_has_its_support(done: Path) -> None:
    rows = [line.split("\t") for line in (done / "results" / "support.tsv").read_text().splitlines()[1:]]
    assert len(rows) == 86
    assert all(0 <= float(row[4]) <= 1 for row in rows)
    assert any(float(row[4]) > 0.5 for row in rows)


def test_the_plot_is_a_picture(done: Path) -> None:
    assert (done / "results" / "variants.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert "86 variants in 48,502 bases" in (done / "results" / "variants.svg").read_text()


def test_the_same_input_gives_the_same_bytes(done: Path, tmp_path: Path) -> None:
    demo_data.prepare(tmp_path, Progress())
    demo_data.run_here(tmp_path, config=FEW, progress=Progress())
    for name in ("variants.vcf", "support.tsv", "depth.tsv", "variants.svg", "variants.png"):
        assert (tmp_path / "results" / name).read_bytes() == (done / "results" / name).read_bytes(), name


def test_a_workflow_that_fails_is_told_with_what_snakemake_said(tmp_path: Path) -> None:
    demo_data.prepare(tmp_path, Progress())
    (tmp_path / "input" / "lambda.fa").unlink()
    with pytest.raises(
        FallowError, match=r"The workflow failed on this machine \(code 1\):[\s\S]*input/lambda.fa"
    ):
        demo_data.run_here(tmp_path, config=FEW)
