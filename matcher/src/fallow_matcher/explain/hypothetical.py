"""Requests of jobs that are not submitted yet, held against the offers as if such a job waited; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fallow.errors import UsageError
from fallow.fits import FitAnswer, FitRequest
from fallow.images.architecture import requirement
from fallow.queue.literals import expression
from fallow.queue.spec import image_path
from fallow_matcher.explain.fit import Job
from fallow_matcher.explain.situation import Situation
from fallow_matcher.explain.summary import of_waiting
from fallow_matcher.explain.verdict import verdicts


@dataclass(frozen=True)
class Person:
    """Whose jobs they would be, and what these may ask for."""

    name: str
    """`<centre>.<user>`, as a job's owner."""
    centre: str
    projects: Collection[str]
    """Those of which the person is a member."""
    forbidden: Collection[str]
    """Work types that only members of a group may submit, of which the person is none."""


def fit(situation: Situation, request: FitRequest, person: Person) -> FitAnswer:
    """What is to be said of such a job."""
    hindrance = never(situation, request, person)
    if hindrance:
        return FitAnswer(fits=False, impossible=True, summary=hindrance)
    try:
        ad = ad_of(request, person, situation.rules.rules.default_work_type)
    except UsageError as error:
        return FitAnswer(fits=False, impossible=True, summary=str(error))
    waits = replace(situation, job=ad)
    job = Job.of(ad)
    found = [each.verdict for each in verdicts(waits, job)]
    summary = of_waiting(waits, found, None, job.demand)
    return FitAnswer(fits=any(each.fits for each in found), summary=summary, verdicts=found)


def never(situation: Situation, request: FitRequest, person: Person) -> str:
    """Why no offer could ever take such a job, or the hub would refuse it; empty where that is not so."""
    types = situation.rules.rules.work_types
    if request.centre is not None and request.centre not in situation.centres:
        return f"There is no centre {request.centre!r}; there are {_list(situation.centres)}."
    if request.work_type is not None and request.work_type not in types:
        return f"There is no work type {request.work_type!r}; there are {_list(types)}."
    if request.work_type in person.forbidden:
        return f"The work type {request.work_type} is for members of a group only, and your token has no such group."
    if request.project is not None and request.project not in person.projects:
        return f"You are no member of a project {request.project!r}."
    return ""


def ad_of(request: FitRequest, person: Person, default_work_type: str) -> Any:
    """The ad that such a job would have, as far as offers look at it.

    Raises:
        UsageError: The requirements are no ClassAd expression.
    """
    import classad2

    ad = classad2.ClassAd({
        "ClusterId": 0, "ProcId": 0, "JobStatus": 1, "JobUniverse": 5, "WantContainer": True,
        "Owner": person.name, "FallowUserCentre": person.centre,
        "ContainerImage": image_path(request.image), "FallowNetwork": request.network,
        "FallowWorkType": request.work_type or default_work_type, "FallowWalltime": request.walltime_s,
        "RequestCpus": request.cores, "RequestMemory": request.memory_mb, "RequestDisk": request.disk_mb * 1024,
    })  # fmt: skip
    if request.gpus:
        ad["RequestGPUs"] = request.gpus
    if request.project is not None:
        ad["FallowProject"] = request.project
    if request.image_source:
        ad["FallowImageSource"] = " ".join(request.image_source)
    clauses = [requirement(request.architecture)]
    if request.centre is not None:
        clauses.append(f'TARGET.FallowCentre == "{request.centre}"')
    if request.requirements is not None:
        clauses.append(expression(request.requirements, what="The requirement"))
    ad["Requirements"] = classad2.ExprTree(" && ".join(f"({clause})" for clause in clauses))
    return ad


def _list(names: Sequence[str] | Collection[str]) -> str:
    return ", ".join(sorted(names))
