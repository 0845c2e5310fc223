from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.errors import UsageError
from snakemake_executor_plugin_fallow.resources import Request, request

amounts = st.integers(1, 2**24)


def asked(threads: int = 1, **resources: Any) -> Request:
    return request("map", threads, resources, {})


@given(amounts, amounts, st.integers(1, 100_000))
def test_a_job_gets_at_least_what_its_rule_asks_for_and_little_more(
    memory: int, disk: int, minutes: int
) -> None:
    made = asked(mem_mb=memory, disk_mb=disk, runtime=minutes)
    assert memory <= made.memory_mb <= max(memory * 1.25, memory + 256)
    assert disk <= made.disk_mb <= max((disk + 256) * 1.25, disk + 1280)
    assert minutes * 60 <= made.walltime_s <= max(minutes * 60 * 1.25, minutes * 60 + 300)


def test_requests_take_few_distinct_values() -> None:
    assert len({asked(mem_mb=memory).memory_mb for memory in range(1, 64_000)}) < 60


@pytest.mark.parametrize("value", [None, "<TBD>", "TBD"])
def test_what_snakemake_leaves_open_takes_a_default(value: Any) -> None:
    assert asked(mem_mb=value, disk_mb=value, runtime=value) == asked()
    assert asked().memory_mb == 2048
    assert asked().walltime_s == 3600


def test_runtime_is_in_minutes() -> None:
    assert asked(runtime=10).walltime_s == 600


@pytest.mark.parametrize("value", [-1, 0, True, 2**50])
def test_an_amount_that_makes_no_sense_is_refused_naming_the_rule(value: Any) -> None:
    with pytest.raises(UsageError, match="Rule map: mem_mb"):
        asked(mem_mb=value)


def test_no_gpu_is_a_valid_wish() -> None:
    assert (asked(gpu=0).gpus, asked(gpu=2).gpus, asked().gpus) == (0, 2, 0)


def test_a_rules_wish_wins_over_the_workflows() -> None:
    defaults = {"work_type": "test", "centre": "birch", "requirements": None}
    made = request("map", 1, {"fallow_centre": "alder", "fallow_work_type": ""}, defaults)
    assert (made.centre, made.work_type) == ("alder", "test")


def test_a_gpu_model_is_a_wish_on_the_slot_beside_the_rules_own() -> None:
    made = asked(gpu=1, gpu_model="A100 (40.GB)", fallow_requirements="TARGET.Big || TARGET.Fast")
    assert made.requirements == (
        'regexp("A100 [(]40[.]GB[)]", TARGET.FallowGpuModel, "i") && (TARGET.Big || TARGET.Fast)'
    )
    assert asked(gpu=1).requirements is None


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"gpu_model": "A100"}, "without a GPU"),
        ({"gpu": 1, "gpu_model": 'A" || true'}, "no name of a GPU model"),
        ({"gpu": 1, "gpu_model": 100}, "gpu_model=100 is not text"),
        ({"fallow_network": "maybe"}, "neither true nor false"),
        ({"fallow_network": 2}, "neither true nor false"),
        ({"mem_mb": "much"}, "mem_mb='much' is not a number"),
        ({"fallow_project": 7}, "fallow_project=7 is not text"),
    ],
)
def test_a_resource_that_makes_no_sense_is_refused(resources: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        asked(**resources)


@pytest.mark.parametrize("no", [False, 0, "false", "No"])
def test_a_rule_may_say_that_it_needs_no_network(no: Any) -> None:
    assert asked().network
    assert not asked(fallow_network=no).network
    assert request("map", 1, {"fallow_network": True}, {"network": "false"}).network


def test_a_project_and_where_images_are_come_from_the_rule_or_the_settings() -> None:
    made = request(
        "map", 1, {"fallow_project": "phage"}, {"project": "other", "image_source": "oras://a/b  oras://c/d"}
    )
    assert (made.project, made.image_source) == ("phage", ("oras://a/b", "oras://c/d"))


def test_a_wish_that_is_not_text_is_refused() -> None:
    with pytest.raises(UsageError, match="fallow_centre"):
        asked(fallow_centre=3)
