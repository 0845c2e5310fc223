"""Whether some slot could run a job."""

from __future__ import annotations

from typing import Any

import classad2
import pytest

from fallow.rules import default_text, parse_rules
from fallow_matcher.matching.fitting import Slots
from fallow_matcher.matching.waiting import Kind

RULES = parse_rules(default_text())


def slot(**other: Any) -> Any:
    return classad2.ClassAd(
        {
            "FallowCentre": "birch",
            "Cpus": 0,
            "TotalSlotCpus": 2,
            "Memory": 128,
            "TotalSlotMemory": 2048,
            "Disk": 1,
            "TotalSlotDisk": 1_000_000,
            "Requirements": classad2.ExprTree(
                "TARGET.RequestCpus <= MY.Cpus && TARGET.RequestMemory <= MY.Memory"
            ),
            **other,
        }
    )


def job(requirements: str = "true", **other: Any) -> Any:
    return classad2.ClassAd(
        {"RequestCpus": 1, "RequestMemory": 512, "Requirements": classad2.ExprTree(requirements), **other}
    )


def test_a_full_slot_fits_what_it_could_run_when_empty() -> None:
    assert Slots([slot()], RULES).kind_of(job()) == Kind(("cpu",), fits=True)


@pytest.mark.parametrize("large", [{"RequestCpus": 3}, {"RequestMemory": 4096}])
def test_a_job_that_is_larger_than_every_slot_fits_none(large: dict[str, Any]) -> None:
    assert Slots([slot()], RULES).kind_of(job(**large)) == Kind(("cpu",), fits=False)


def test_a_job_that_refuses_every_slot_fits_none() -> None:
    assert not Slots([slot()], RULES).kind_of(job('TARGET.FallowCentre == "cedar"')).fits


def test_a_gpu_job_competes_for_the_models_that_fit() -> None:
    with_gpu = slot(TotalSlotGPUs=1, GPUs_DeviceName="NVIDIA A100")

    found = Slots([slot(), with_gpu], RULES).kind_of(job("TARGET.GPUs >= 1", RequestGPUs=1))

    assert found == Kind(("gpu:nvidia-a100",), fits=True)


def test_a_cpu_job_on_a_slot_with_gpus_counts_as_cpu() -> None:
    with_gpu = slot(TotalSlotGPUs=1, GPUs_DeviceName="NVIDIA A100")

    assert Slots([with_gpu], RULES).kind_of(job()).classes == ("cpu",)


def test_the_providers_of_each_class_are_known() -> None:
    slots = Slots([slot(), slot(FallowCentre="alder", TotalSlotGPUs=1, GPUs_DeviceName="NVIDIA A100")], RULES)

    assert slots.providers() == {"cpu": {"birch"}, "gpu:nvidia-a100": {"alder"}}
