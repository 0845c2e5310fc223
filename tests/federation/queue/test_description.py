from typing import Any

import classad2
import htcondor2
import pytest

from fallow.errors import UsageError
from fallow.queue.description import description

from .conftest import DIGEST


def test_all_jobs_of_a_batch_share_one_description(spec: Any) -> None:
    shared, rows = description([spec(key=str(number), name=f"job {number}") for number in range(50)])
    assert len(rows) == 50
    assert "job 7" not in str(shared)
    assert set().union(*(row.keys() for row in rows)) == rows[0].keys()


def test_the_bindings_accept_the_description(spec: Any) -> None:
    shared, _ = description([spec()])
    assert dict(htcondor2.Submit(shared).items()).keys() == shared.keys()


def test_the_image_is_named_by_its_digest_and_never_transferred(spec: Any) -> None:
    shared, rows = description([spec()])
    assert rows[0]["f_image"] == f"/fallow/images/sha256-{DIGEST[7:]}.sif"
    assert shared["transfer_container"] == "false"


def test_wishes_become_requirements_of_the_slot(spec: Any) -> None:
    _, rows = description([spec(centre="alder", requirements="Cpus >= 4 || HasX")])
    slot = classad2.ClassAd({"FallowCentre": "alder", "Cpus": 8, "Arch": "X86_64"})
    wanted = classad2.ExprTree(rows[0]["f_requirements"])
    assert wanted.eval(classad2.ClassAd({"Cpus": 8}), slot) is True
    assert wanted.eval(classad2.ClassAd({"Cpus": 8}), classad2.ClassAd({"FallowCentre": "birch"})) is False


def test_a_job_asks_for_nodes_of_its_images_architecture_wherever_it_is_submitted(spec: Any) -> None:
    _, rows = description([spec(), spec(key="k2", architecture="aarch64")])
    slots = [classad2.ClassAd({"Arch": arch}) for arch in ("X86_64", "aarch64")]
    fits = [
        [classad2.ExprTree(row["f_requirements"]).eval(classad2.ClassAd(), slot) for slot in slots]
        for row in rows
    ]
    assert fits == [[True, False], [False, True]]


def test_requirements_cannot_weaken_the_wish_for_a_centre(spec: Any) -> None:
    _, rows = description([spec(centre="alder", requirements="false || true")])
    assert classad2.ExprTree(rows[0]["f_requirements"]).eval(
        classad2.ClassAd(), classad2.ClassAd({"FallowCentre": "birch"})
    ) is False  # fmt: skip


def test_what_centres_may_ask_for_is_declared(spec: Any) -> None:
    source = ("oras://registry.example.org/tools/bwa", "oras://registry.example.org/tools/samtools")
    shared, rows = description(
        [spec(), spec(key="k2", project="genomes", network=False, image_source=source)]
    )
    names = ("f_project", "f_network", "f_image_source")
    assert [[row[name] for name in names] for row in rows] == [
        ["undefined", "true", "undefined"],
        ['"genomes"', "false", f'"{" ".join(source)}"'],
    ]
    assert {f"MY.Fallow{name}" for name in ("Project", "Network", "ImageSource")} <= shared.keys()


@pytest.mark.parametrize(
    "source", ["docker://a/b", "oras://a", "oras://a/../b", "oras://a/b c", 'oras://a/"b', "oras://A/b"]
)
def test_an_image_source_is_a_repository(spec: Any, source: str) -> None:
    with pytest.raises(ValueError, match="image_source"):
        spec(image_source=(source,))


def test_a_job_without_gpus_asks_for_none(spec: Any) -> None:
    _, rows = description([spec(), spec(key="k2", gpus=2)])
    assert [row["f_gpus"] for row in rows] == ["undefined", "2"]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "two\nlines"},
        {"key": "a\x1fb"},
        {"argv": ("sh", "-c", "echo a\nqueue 1000")},
        {"argv": ("sh", "-c", "echo $$(Owner)")},
        {"environment": {"A": "1\nB=2"}},
    ],
)
def test_text_that_could_end_its_line_or_be_expanded_is_refused_naming_the_job(
    spec: Any, changes: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="Job "):
        description([spec(**changes)])
