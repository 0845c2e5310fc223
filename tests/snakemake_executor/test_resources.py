from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.errors import UsageError
from snakemake_executor_plugin_fallow.resources import Request, request

amounts = st.integers(1, 2**24)


def asked(threads: int = 1, **resources: Any) -> Request:
    return request("map", threads, resources, {"work_type": None, "centre": None, "requirements": None})


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


def test_a_wish_that_is_not_text_is_refused() -> None:
    with pytest.raises(UsageError, match="fallow_centre"):
        asked(fallow_centre=3)
