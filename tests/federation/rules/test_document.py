"""The rules document: what is refused and why, and a digest that follows meaning, not spelling."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.errors import SettingsError
from fallow.rules import CPU, Quorum, Rules, default_text, digest_of, parse_rules
from fallow.rules.changes import Change, changes
from fallow.rules.document import MAX_BYTES

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
FACTORS = st.floats(0.01, 100).map(lambda value: round(value, 4)) | st.integers(1, 100)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Valid rules as a table of TOML."""
    types = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    models = draw(st.lists(st.sampled_from("ABCDEFGH"), max_size=6, unique=True))
    classes: dict[str, Any] = {CPU: {}}
    for position, model in enumerate(models):
        classes.setdefault(f"gpu-{position % 2}", {"gpu_models": []})["gpu_models"].append(model)
    ageing_s = draw(st.integers(1, 30 * 86400))
    return {
        "ageing_s": ageing_s,
        "balance_factor": draw(st.floats(1, 100).map(lambda value: round(value, 4)) | st.integers(1, 100)),
        "half_life_s": draw(st.integers(max(60, ageing_s), 3660 * 86400)),
        "credit_line": draw(st.floats(0.001, 1).map(lambda value: round(value, 4))),
        "home_first": draw(st.booleans()),
        "quorum": draw(st.sampled_from(["majority", "two-thirds", "all"])),
        "default_work_type": draw(st.sampled_from(types)),
        "work_types": {name: {"weight": draw(FACTORS)} for name in types},
        "resource_classes": classes,
        "benchmark": draw(
            st.dictionaries(NAMES.filter(lambda name: not name.endswith("-")), FACTORS, max_size=3)
        ),
    }


def written(table: dict[str, Any], order: random.Random, *, floats: bool = False) -> str:
    """The table as TOML: keys in any order, comments and blank lines anywhere, numbers in another form."""

    def value(name: str, raw: Any) -> str:
        if isinstance(raw, bool):
            return str(raw).lower()
        if isinstance(raw, list):
            models = [model.lower() if order.random() < 0.5 else model for model in raw]
            return "[" + ", ".join(f'"{model}"' for model in order.sample(models, len(models))) + "]"
        if isinstance(raw, str):
            return f"'{raw}'" if order.random() < 0.5 else f'"{raw}"'
        return repr(float(raw)) if floats and not name.endswith("_s") else repr(raw)

    def lines(place: str, content: dict[str, Any]) -> list[str]:
        names = order.sample(sorted(content), len(content))
        plain = [name for name in names if not isinstance(content[name], dict)]
        tables = [name for name in names if isinstance(content[name], dict)]
        found = [f"{name}  = {value(name, content[name])} # said {order.random()}" for name in plain]
        for name in tables:
            inner = f"{place}.{name}".lstrip(".")
            found += ["", f"[ {inner} ]", *lines(inner, content[name])]
        return found

    return "\n".join(lines("", table)) + "\n"


def changed(old: str, new: str) -> str:
    """The shipped rules with one part replaced."""
    text = default_text()
    assert old in text
    return text.replace(old, new)


@given(documents(), st.integers(), st.integers())
def test_documents_that_mean_the_same_have_one_digest(table: dict[str, Any], one: int, other: int) -> None:
    said = written(table, random.Random(one))
    otherwise = written(table, random.Random(other), floats=True)
    assert parse_rules(said) is not None
    assert digest_of(said) == digest_of(otherwise)


@given(documents(), documents())
def test_documents_that_differ_have_two(one: dict[str, Any], other: dict[str, Any]) -> None:
    texts = [written(table, random.Random(0)) for table in (one, other)]
    rules = [parse_rules(text) for text in texts]
    differ = bool(changes(*rules))
    assert (digest_of(texts[0]) != digest_of(texts[1])) == differ


def test_rules_from_before_there_was_a_page_keep_their_digest_and_publish_the_capacity_alone() -> None:
    before = default_text().replace('publish = ["balances", "capacity", "rules", "waiting", "waits"]\n', "")
    assert digest_of(before) == "sha256:49b3e7c774b0aea935808d8cec34995b177ee0e7816a07b86a8b93d6210c6162"
    assert parse_rules(before).published() == {"capacity"}


def test_the_order_in_which_rules_name_what_is_published_does_not_matter() -> None:
    turned = default_text().replace('"balances", "capacity"', '"capacity", "balances", "capacity"')
    assert digest_of(turned) == digest_of(default_text())


def test_the_digest_is_the_one_that_every_release_must_find() -> None:
    assert (
        digest_of(default_text()) == "sha256:e8a85b3976fe69e2378e75359de8535ef1248de52270008bd14ad9a8488c08a9"
    )


def test_changes_name_each_setting_on_both_sides() -> None:
    proposed = changed("[work_types.test]\nweight = 0.5", "[work_types.bulk]\nweight = 0.25")
    assert changes(parse_rules(default_text()), parse_rules(proposed)) == [
        Change("work_types.test.weight", 0.5, None),
        Change("work_types.bulk.weight", None, 0.25),
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ageing_s = 3600", "ageing = 3600", "ageing: Extra inputs are not permitted"),
        ("ageing_s = 3600", "", "ageing_s: Field required"),
        ("ageing_s = 3600", "ageing_s = 0", "ageing_s: Input should be greater than or equal to 1"),
        ("ageing_s = 3600", 'ageing_s = "3600"', "ageing_s: Input should be a valid integer"),
        ("ageing_s = 3600", "ageing_s = 3600.0", "ageing_s: Input should be a valid integer"),
        ("ageing_s = 3600", "ageing_s = 604801", "ageing_s (604801) is longer than half_life_s (604800)"),
        ("balance_factor = 8", "balance_factor = 0.5", "balance_factor: Input should be greater than"),
        ("balance_factor = 8", "balance_factor = nan", "balance_factor: Input should be a finite number"),
        ("balance_factor = 8", "balance_factor = true", "balance_factor: Input should be a valid number"),
        ("credit_line = 0.5", "credit_line = inf", "credit_line: Input should be a finite number"),
        ("home_first = true", "home_first = 1", "home_first: Input should be a valid boolean"),
        ('"two-thirds"', '"half"', "quorum: Input should be 'majority', 'two-thirds' or 'all'"),
        (
            '"analysis"',
            '"nothing"',
            "default_work_type (nothing) is not among work_types (urgent, production",
        ),
        ("weight = 4", "weight = 0", "work_types.urgent.weight: Input should be greater than"),
        ("weight = 4", "wait = 4", "work_types.urgent.wait: Extra inputs are not permitted"),
        ("[work_types.urgent]", "[work_types.'ur.gent']", "work_types.ur.gent"),
        ("[resource_classes.cpu]", "[resource_classes.other]", "the class cpu is missing"),
        (
            "[resource_classes.cpu]",
            "[resource_classes.cpu]\ngpu_models = ['X']",
            "cpu must name no GPU models",
        ),
        ("[benchmark]", "[resource_classes.big]\n[benchmark]", "the class big names no GPU models"),
        (
            "[benchmark]",
            "[resource_classes.a]\ngpu_models=['X 1']\n[resource_classes.b]\ngpu_models=['x 1']\n[benchmark]",
            "the GPU model 'x 1' is named twice, in a and in b",
        ),
        ("[benchmark]", "[benchmark]\nnorth = 1000", "benchmark.north: Input should be less than"),
        ("[benchmark]", "[benchmark]\n'../x' = 1", "benchmark.../x"),
        ("[benchmark]", "[benchmark", "not valid TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(old: str, new: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_rules(changed(old, new))
    assert said in str(refused.value)


def test_a_document_is_bounded() -> None:
    with pytest.raises(SettingsError, match="bytes are more than"):
        parse_rules(default_text() + "#" * MAX_BYTES)


def test_a_document_nested_without_end_is_refused() -> None:
    with pytest.raises(SettingsError):
        parse_rules("a = " + "[" * 30_000)


@given(st.text(max_size=300))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_rules(text)


@given(st.sampled_from(Quorum), st.integers(1, 1000))
def test_a_quorum_is_more_than_half_and_never_more_than_all(quorum: Quorum, centres: int) -> None:
    assert centres < 2 * quorum.needed(centres)
    assert quorum.needed(centres) <= centres


@pytest.mark.parametrize(
    ("quorum", "needed"),
    [
        ("majority", [1, 2, 2, 3, 3, 4, 4]),
        ("two-thirds", [1, 2, 2, 3, 4, 4, 5]),
        ("all", [1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_a_quorum_of_few_centres(quorum: str, needed: list[int]) -> None:
    assert [Quorum(quorum).needed(centres) for centres in range(1, 8)] == needed


def rules_with_gpus() -> Rules:
    return parse_rules(
        changed(
            "[benchmark]", "[resource_classes.a100]\ngpu_models = ['NVIDIA A100']\n[benchmark]\nnorth = 1.5"
        )
    )


def test_gpu_models_of_one_class_are_comparable_and_others_apart() -> None:
    rules = rules_with_gpus()
    assert rules.resource_class() == "cpu"
    assert rules.resource_class("nvidia a100") == "a100"
    assert rules.resource_class('Tesla "T4"; 1 or 1') == "gpu:tesla-t4-1-or-1"


def test_what_the_rules_do_not_name_has_a_plain_answer() -> None:
    rules = rules_with_gpus()
    assert (rules.benchmark_factor("north"), rules.benchmark_factor("south")) == (1.5, 1.0)
    assert (rules.weight("urgent"), rules.weight("gone")) == (4.0, 1.0)
