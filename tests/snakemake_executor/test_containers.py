import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from fallow.errors import UsageError
from snakemake_executor_plugin_fallow.containers import (
    image_arguments,
    links,
    rule_image,
    rule_images,
    without_conda,
)

from .conftest import DIGEST


def a_job(rule: str, url: str | None) -> SimpleNamespace:
    return SimpleNamespace(rule=SimpleNamespace(name=rule), container_img_url=url)


def test_a_local_image_keeps_its_relative_name(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "bwa.sif").touch()
    made = rule_image("map", "images/bwa.sif", tmp_path)
    assert (made.link, made.file) == ("images/bwa.sif", tmp_path / "images" / "bwa.sif")


@pytest.mark.parametrize("name", [DIGEST, "fallow://north.alice/bwa:0.7"])
def test_an_image_that_the_hub_has_is_named_by_digest_or_tag_and_found_where_snakemake_keeps_pulled_ones(
    tmp_path: Path, name: str
) -> None:
    made = rule_image("map", name, tmp_path)
    assert made.named == name
    assert made.link == f".snakemake/singularity/{hashlib.md5(name.encode()).hexdigest()}.simg"
    assert image_arguments([made]) == ["--apptainer-prefix", ".snakemake/singularity"]
    (tmp_path / "x.sif").touch()
    assert image_arguments([rule_image("map", "x.sif", tmp_path)]) == []


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (["--deployment-method", "apptainer", "conda", "--mode", "remote"], ["apptainer"]),
        (["--deployment-method", "conda", "--mode", "remote"], None),
        (["--mode", "remote"], None),
    ],
)
def test_a_rule_that_asks_for_no_conda_does_not_look_for_it(given: list[str], left: list[str] | None) -> None:
    option = ["--deployment-method", *left] if left else []
    assert without_conda(given) == [*option, "--mode", "remote"]


def test_an_image_of_several_members_of_a_group_is_brought_once(tmp_path: Path) -> None:
    (tmp_path / "x.sif").touch()
    jobs = [a_job("a", "x.sif"), a_job("b", "x.sif"), a_job("c", None)]
    assert [image.link for image in rule_images(jobs, tmp_path)] == ["x.sif"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("docker://ubuntu:24.04", "cannot pull"),
        ("https://example.org/x.sif", "cannot pull"),
        ("file:///x.sif", "cannot pull"),
        ("/images/x.sif", "outside of the working directory"),
        ("../x.sif", "outside of the working directory"),
        ("absent.sif", "no image"),
    ],
)
def test_an_image_that_cannot_be_brought_is_refused_naming_the_rule(
    tmp_path: Path, url: str, why: str
) -> None:
    with pytest.raises(UsageError, match=f"Rule map: .*{why}"):
        rule_image("map", url, tmp_path)


def test_links_lead_to_the_images_names_in_the_job() -> None:
    assert links({"x.sif": DIGEST}) == {"x.sif": f"/fallow/images/sha256-{DIGEST[7:]}.sif"}
