"""Documents: what holds together, what they become, and what makes two the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fallow.campaigns.document import read
from fallow.campaigns.messages import Plan
from fallow.campaigns.plan import Prepared, digest, filled, prepare
from fallow.errors import FallowError, SettingsError, UsageError

IMAGE = "sha256:" + 64 * "a"


def _prepared(path: Path) -> Prepared:
    return prepare(read(path), path.parent, lambda _: IMAGE)


def test_each_row_fills_the_templates(document: Callable[..., Path]) -> None:
    more = 'environment = { E = "{{{energy}}}" }\noutputs = [{ path = "o", url = "s3:///mc/{id}.txt" }]'
    ready = _prepared(document(more=more))
    (stage,) = ready.plan.stages
    second = filled(stage, ready.rows[0][1])
    assert second.command == ["echo", "b", "20"]
    assert second.environment == {"E": "{20}"}
    assert second.outputs[0].url == "s3:///mc/b.txt"


def test_yaml_says_the_same_as_toml(document: Callable[..., Path]) -> None:
    path = document()
    other = path.with_suffix(".yaml")
    other.write_text(
        f"name: mc\nimage: {IMAGE}\ntable: {{file: rows.csv}}\n"
        "job:\n  command: [echo, '{id}', '{energy}']\n"
    )
    assert digest(_prepared(path).plan) == digest(_prepared(other).plan)


def test_rows_do_not_change_the_digest_but_all_else_does(document: Callable[..., Path]) -> None:
    first = digest(_prepared(document()).plan)
    assert digest(_prepared(document("id,energy\nz,1\n")).plan) == first
    assert digest(_prepared(document(more="cores = 2")).plan) != first


def test_a_digest_survives_the_way_to_the_hub(document: Callable[..., Path]) -> None:
    plan = _prepared(document()).plan
    assert digest(Plan.model_validate_json(plan.model_dump_json())) == digest(plan)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("core = 2", "job.core: Extra inputs are not permitted"),
        ("memory_mb = 0", "job.memory_mb: Input should be greater than or equal to 1"),
        ('environment = { A = "{" }', "has a single '{'"),
        ('outputs = [{ path = "../x", url = "s3:///x" }]', "job.outputs.0.path"),
        ('outputs = [{ path = "x", url = "http://x/" }]', "job.outputs.0.url"),
        (
            'inputs = [{ path = "x", url = "s3:///x" }]\noutputs = [{ path = "x", url = "s3:///y" }]',
            "called x",
        ),
        ("[grid]\na = [1]", "both a table and a grid"),
        ('[[stages]]\nname = "s"\ncommand = ["x"]', "either `job` or `stages`"),
    ],
)
def test_a_bad_document_is_refused(document: Callable[..., Path], more: str, problem: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(document(more=more))
    assert problem in str(refused.value)


def test_a_stage_comes_after_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        f'name = "c"\nimage = "{IMAGE}"\n[grid]\nx = [1]\n'
        '[[stages]]\nname = "a"\nafter = "b"\ncommand = ["x"]\n[[stages]]\nname = "b"\ncommand = ["x"]\n'
    )
    with pytest.raises(SettingsError, match="stage a is after 'b', which is no earlier stage"):
        read(path)


def test_a_stage_per_row_needs_the_rows_of_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        f'name = "c"\nimage = "{IMAGE}"\n[grid]\nx = [1]\n[[stages]]\nname = "a"\ncommand = ["x"]\n'
        '[[stages]]\nname = "b"\nafter = "a"\nstart = "row"\ncommand = ["x"]\n[stages.grid]\ny = [2]\n'
    )
    with pytest.raises(UsageError, match="1 of its rows are not in a, '2' for one"):
        _prepared(path)


@pytest.mark.parametrize("value", ["$HOME", "`id`", "a\\b"])
def test_what_a_shell_would_read_is_refused_in_an_environment(
    document: Callable[..., Path], value: str
) -> None:
    path = document(f"id,energy\na,{value}\n", 'environment = { E = "{energy}" }')
    with pytest.raises(UsageError, match="would not survive in the environment"):
        _prepared(path)


def test_small_files_travel_with_the_document(document: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("echo $1\n")
    (stage,) = _prepared(document(more='files = ["run.sh"]')).plan.stages
    assert [(file.name, file.text) for file in stage.files] == [("run.sh", "echo $1\n")]
    (tmp_path / "run.sh").write_text("x" * 200_000)
    with pytest.raises(UsageError, match="larger than 128 kB"):
        _prepared(document(more='files = ["run.sh"]'))


@pytest.mark.parametrize("text", ["name: [", "- a", "a: !!python/object/apply:os.system [x]", "\xff"])
def test_what_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FallowError):
        read(path)
