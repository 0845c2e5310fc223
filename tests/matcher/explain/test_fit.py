"""A job fits an offer exactly when such a slot's START and the job's Requirements are true for each other."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fallow.offers import Condition, Offer, Shape
from fallow.queue.session import bindings
from fallow_matcher.explain.fit import Job, obstacles
from fallow_matcher.explain.slot import slot_of

IMAGE = f"/fallow/images/sha256-{'a' * 64}.sif"
SIZES = (
    '(TARGET.Arch == "X86_64") && TARGET.HasContainer && TARGET.HasSIF && '
    '(versionGE(split(TARGET.CondorVersion)[1],"25.12.0") || (TARGET.Disk >= RequestDisk)) && '
    "(TARGET.Memory >= RequestMemory) && (TARGET.Cpus >= RequestCpus) && (TARGET.HasFileTransfer)"
)
NIGHT = Condition(sentence="Only production work.", requirement='(TARGET.FallowWorkType =?= "production")')
SHORT = Condition(
    sentence="Only jobs that ask for at most 1800 s.",
    requirement="((TARGET.FallowWalltime <= 1800) =?= true)",
)
OWN = Condition(
    sentence="Only jobs of users from birch.", requirement='(TARGET.FallowUserCentre =?= "birch")'
)
OFFLINE = Condition(
    sentence="Only jobs that declare to need no network.", requirement="(TARGET.FallowNetwork =?= false)"
)
A100 = Condition(
    sentence="GPUs of the model A100 only.",
    requirement='((TARGET.RequestGPUs ?: 0) =?= 0 || (MY.FallowGpuModel =?= "A100"))',
)
FOR_PEOPLE = Condition(sentence="Be kind.")


def job(requirements: str = SIZES, **changes: Any) -> Job:
    bindings()
    import classad2

    ad = classad2.ClassAd({
        "JobUniverse": 5,
        "ContainerImage": IMAGE,
        "FallowWalltime": 3600,
        "FallowWorkType": "analysis",
        "FallowUserCentre": "alder",
        "RequestCpus": 1,
        "RequestMemory": 512,
        "RequestDisk": 1024,
        **changes,
    })  # fmt: skip
    ad["Requirements"] = classad2.ExprTree(requirements)
    return Job.of(ad)


def offer(*conditions: Condition, **shape: Any) -> Offer:
    now = datetime.now(UTC)
    size = {"cores": 4, "memory_mb": 65536, "disk_mb": 0, "count": 1, "walltime_s": 7200, **shape}
    return Offer(
        centre="birch",
        shapes=[Shape.model_validate(size)],
        starts=now,
        expires=now + timedelta(minutes=5),
        conditions=list(conditions),
    )


def hindered(wanted: Job, by: Offer, **more: Any) -> list[tuple[str, str]]:
    return [
        (found.reason, found.change) for found in obstacles(wanted, by, by.shapes[0], time.time(), **more)
    ]


def test_a_job_that_fits_meets_no_obstacle() -> None:
    assert hindered(job(), offer(SHORT.model_copy(update={"requirement": ""}), FOR_PEOPLE)) == []


@pytest.mark.parametrize(
    ("changes", "reason", "change"),
    [
        (
            {"RequestMemory": 98304},
            "needs 96 GB of memory; birch offers 64 GB per node",
            "ask for at most 64 GB of memory",
        ),
        ({"RequestCpus": 16}, "needs 16 cores; birch offers 4 cores per node", "ask for at most 4 cores"),
        (
            {"RequestDisk": 300 * 1024**2},
            "needs 300 GB of scratch; birch offers 200 GB per node",
            "ask for at most 200 GB of scratch",
        ),
        ({"RequestGPUs": 1}, "needs 1 GPU; birch offers none per node", ""),
        (
            {"FallowWalltime": 36000},
            "asks for 10 h; pilots at birch stay 2 h at most",
            "ask for at most 7200 s",
        ),
    ],
)
def test_a_job_too_big_is_told_by_how_much(changes: dict[str, Any], reason: str, change: str) -> None:
    assert hindered(job(**changes), offer(disk_mb=204_800)) == [(reason, change)]


@pytest.mark.parametrize(
    ("condition", "change"),
    [
        (NIGHT, "submit it as work type production"),
        (SHORT, "ask for at most 1800 s"),
        (OFFLINE, "declare that it needs no network"),
        (OWN, ""),
    ],
)
def test_a_condition_that_refuses_is_told_in_its_own_words(condition: Condition, change: str) -> None:
    assert hindered(job(), offer(condition), work_types=["test", "production"]) == [
        (f"birch says: “{condition.sentence}”", change)
    ]


def test_everything_that_hinders_is_told_sizes_first() -> None:
    told = hindered(job(RequestCpus=5, RequestMemory=66560), offer(OWN))
    assert [reason.split()[0] for reason, _ in told] == ["needs", "needs", "birch"]


def test_a_job_whose_image_is_for_other_machines_is_told_so() -> None:
    wanted = job('TARGET.Arch == "AARCH64"')
    told = ("has an image for aarch64; nodes at birch are x86_64", "submit it with an image for x86_64")
    assert hindered(wanted, offer()) == [told]
    assert hindered(wanted, offer(capabilities=["aarch64", "fuse"])) == []
    assert hindered(wanted, offer(), live={"Arch": "aarch64"}) == []


def test_a_job_bound_to_another_centre_is_told_so() -> None:
    wanted = job(f'((TARGET.FallowCentre == "alder")) && {SIZES}')
    assert hindered(wanted, offer()) == [("may run at alder only", "let it run at birch too")]


def test_a_clause_of_the_job_of_which_the_offer_says_nothing_is_named() -> None:
    wanted = job(f"{SIZES} && TARGET.has_avx512f")
    assert hindered(wanted, offer()) == [("requires TARGET.has_avx512f, of which birch says nothing", "")]


def test_what_the_offer_does_not_say_is_seen_at_a_pilot_of_the_centre() -> None:
    wanted = job(f"{SIZES} && TARGET.has_avx512f")
    assert hindered(wanted, offer(), live={"has_avx512f": True, "Cpus": 0}) == []


def test_a_condition_that_only_the_pilot_knows_is_found_too() -> None:
    start = '(true) && (TARGET.JobUniverse == 5) && (TARGET.FallowUserCentre =?= "cedar")'
    assert hindered(job(), offer(), live={"Start": start}) == [
        ('pilots at birch ask for: TARGET.FallowUserCentre =?= "cedar"', "")
    ]


def test_a_gpu_of_another_model_is_refused_by_the_jobs_own_clause() -> None:
    bindings()
    import classad2

    matching = "(countMatches(MY.RequireGPUs,TARGET.AvailableGPUs) >= RequestGPUs)"
    wanted = job(f"{SIZES} && {matching}", RequestGPUs=1)
    wanted.ad["RequireGPUs"] = classad2.ExprTree('DeviceName == "V100"')
    assert hindered(wanted, offer(gpus=2, gpu_model="V100")) == []
    assert len(hindered(wanted, offer(gpus=2, gpu_model="A100"))) == 1


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {
            "RequestCpus": st.integers(1, 6),
            "RequestMemory": st.integers(1, 4000),
            "RequestDisk": st.integers(1, 4_000_000),
            "FallowWalltime": st.integers(1, 9000).filter(lambda seconds: not 7190 < seconds < 7210),
            "FallowWorkType": st.sampled_from(["analysis", "production"]),
            "FallowUserCentre": st.sampled_from(["alder", "birch"]),
            "JobUniverse": st.sampled_from([5, 5, 5, 7]),
            "ContainerImage": st.sampled_from([IMAGE, IMAGE, "/tmp/x.sif"]),
        },
        optional={
            "RequestGPUs": st.integers(0, 2),
            "FallowNetwork": st.booleans(),
            "PreCmd": st.just("/bin/true"),
        },
    ),
    st.lists(st.sampled_from([NIGHT, SHORT, OWN, OFFLINE, A100, FOR_PEOPLE]), max_size=2, unique=True),
    st.fixed_dictionaries(
        {"cores": st.integers(1, 6), "memory_mb": st.integers(1, 4000), "disk_mb": st.integers(0, 4000)},
        optional={"gpus": st.integers(0, 2), "gpu_model": st.sampled_from(["A100", "V100"])},
    ),
    st.sampled_from([
        SIZES,
        f'(TARGET.FallowCentre == "birch") && {SIZES}',
        f'(TARGET.FallowCentre == "alder") && {SIZES}',
        f"{SIZES} && TARGET.Unheard",
        f"({SIZES} || TARGET.Unheard)",
        "TARGET.Cpus * 512 > RequestMemory",
    ]),
)  # fmt: skip
def test_it_fits_exactly_when_both_sides_evaluate_true(
    asks: dict[str, Any], conditions: list[Condition], shape: dict[str, Any], requirements: str
) -> None:
    wanted, by = job(requirements, **asks), offer(*conditions, **shape)
    now = time.time()
    slot = slot_of(by, by.shapes[0], now)
    assert (obstacles(wanted, by, by.shapes[0], now) == []) is wanted.ad.symmetricMatch(slot)
