"""A federation that might be: the file that `fallow simulate --join` reads, and the workload that follows from it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from fallow.errors import SettingsError
from fallow.offers import CentreName
from fallow.rules import CPU
from fallow.rules.model import Name
from fallow.settings import Settings, load
from fallow_matcher.simulation import sacct, swf
from fallow_matcher.simulation.generate import DAY_S, Stream, draw
from fallow_matcher.simulation.workload import Job, Pilots, Step, Workload

_STRICT = ConfigDict(strict=True)
_HOUR_S = 3600.0


class PilotShape(Settings):
    """How a centre's cores come: in pilots."""

    cores: int = Field(ge=1)
    """Cores of one pilot."""
    startup_s: float = Field(60, ge=0, allow_inf_nan=False)
    """How long a pilot takes to start, seconds."""
    walltime_s: float = Field(86_400, gt=0, allow_inf_nan=False)
    """How long it lives, seconds; what runs then goes back to the queue."""


class Local(Settings):
    """Cores that a centre's other work takes, every day from one hour to another."""

    model_config = _STRICT

    from_h: float = Field(ge=0, lt=24)
    """Hour of the day (UTC) at which it takes them."""
    until_h: float = Field(gt=0, le=24)
    """Hour at which it gives them back."""
    cores: int = Field(ge=1)
    """How many."""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Local:
        if self.until_h <= self.from_h:
            raise ValueError(
                f"until_h ({self.until_h}) is not after from_h ({self.from_h}); give two tables for a night"
            )
        return self


class Withdrawal(Settings):
    """A time in which a centre takes all its capacity back."""

    model_config = _STRICT

    after_days: float = Field(ge=0)
    """When it begins, in days from the first job."""
    days: float = Field(gt=0)
    """How long it lasts."""


class Centre(Settings):
    """One centre: what it would bring, and what work it has."""

    model_config = _STRICT

    cores: int = Field(0, ge=0, le=10_000_000)
    """Cores that it shares."""
    gpus: dict[Name, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(default_factory=dict, max_length=50)
    """GPUs that it shares, by class: of a dump, the model in small letters, with `-` for all but letters and digits."""
    keeps: int = Field(0, ge=0)
    """Cores beside these that only its own jobs use."""
    pilots: PilotShape | None = Field(None, strict=False)
    """How its cores come; without it they are simply there."""
    local: list[Local] = Field(default_factory=list, max_length=100)
    """Cores that other work takes now and then; jobs on them go back to the queue."""
    withdrawn: list[Withdrawal] = Field(default_factory=list, max_length=100)
    """When it takes everything back."""
    sacct: str | None = None
    """Its jobs: a dump of Slurm's accounting, relative to this file."""
    trace: str | None = None
    """Its jobs: a trace in the Standard Workload Format, relative to this file."""
    work: Stream | None = Field(None, strict=False)
    """Its jobs: drawn from distributions."""
    idle: bool = False
    """It has no jobs of its own."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Centre:
        named = [name for name in ("sacct", "trace", "work") if getattr(self, name) is not None]
        if len(named) + self.idle > 1:
            raise ValueError(
                f"{' and '.join([*named, *(['idle'] if self.idle else [])])} exclude each other; name one"
            )
        return self


class Federation(Settings):
    """Centres that might federate."""

    mine: CentreName
    """The centre whose jobs `--mine` gives, and that asks what it would gain."""
    centres: dict[CentreName, Centre] = Field(min_length=1, max_length=200)
    """Every centre by its name."""

    @model_validator(mode="after")
    def _knows_mine(self) -> Federation:
        if self.mine not in self.centres:
            raise ValueError(f"mine ({self.mine}) is not among the centres ({', '.join(self.centres)})")
        return self


@dataclass(frozen=True)
class Described:
    """A workload and what is to be known of it."""

    workload: Workload
    mine: str
    notes: list[str]
    """Sentences on what was assumed."""


def read(path: Path, mine: Path | None, seed: int) -> Described:
    """The workload of a federation.

    Args:
        path: The file.
        mine: A dump of the accounting of the centre that asks; None where the file says what its jobs are.
        seed: Of all that is drawn.

    Raises:
        SettingsError: A file is wrong; the message names the line or the field.
    """
    found = load(Federation, path)
    notes: list[str] = []
    jobs: dict[str, list[Job]] = {}
    own = found.centres[found.mine]
    if mine is not None:
        if own.sacct or own.trace or own.work or own.idle:
            raise SettingsError(
                f"{path}: centres.{found.mine} says what its jobs are, and so does --mine.",
                remedy="Leave one out.",
            )
        jobs[found.mine] = _from_dump(mine, found.mine, notes)
    for name, centre in found.centres.items():
        if centre.sacct:
            jobs[name] = _from_dump(path.parent / centre.sacct, name, notes)
        elif centre.trace:
            jobs[name] = swf.deal(swf.read(path.parent / centre.trace), [name], "")
        elif centre.idle:
            jobs[name] = []
    if found.mine not in jobs and own.work is None:
        raise SettingsError(
            f"{path}: nothing says what the jobs of {found.mine} are.",
            remedy="Give --mine, or sacct, trace or work there.",
        )
    jobs = {name: _from_zero(of, jobs.get(found.mine) or of) for name, of in jobs.items()}
    span_s = max([7 * DAY_S, *(of[-1].submitted_s for of in jobs.values() if of)])
    for name, centre in found.centres.items():
        dice = random.Random(f"{seed} {name}")  # noqa: S311 - no secret is drawn
        if centre.work is not None:
            jobs[name] = draw(centre.work, name, span_s, dice)
        elif name not in jobs:
            jobs[name] = _like(jobs[found.mine], name, centre, own, span_s, dice)
            notes.append(
                f"Nothing is known of the work of {name}: it is taken to have work like {found.mine}'s at other times, "
                "as much for each core."
            )
    all_jobs = sorted(
        (job for of in jobs.values() for job in of), key=lambda job: (job.submitted_s, job.centre)
    )
    capacity = [step for name, centre in found.centres.items() for step in _capacity(name, centre, span_s)]
    pilots = {
        (name, CPU): Pilots(shape.cores, shape.startup_s, shape.walltime_s)
        for name, centre in found.centres.items()
        if (shape := centre.pilots) is not None
    }
    return Described(Workload(all_jobs, capacity, pilots), found.mine, notes)


def _from_dump(path: Path, name: str, notes: list[str]) -> list[Job]:
    dump = sacct.read(path, name)
    said = (
        f"{name}: {len(dump.jobs)} jobs from {path.name}; "
        f"{dump.skipped} lines of steps or of jobs without an end left out"
    )
    if dump.waited_s is not None:
        said += f"; by the dump its jobs waited {dump.waited_s / 60:.1f} min on average"
    notes.append(said + ".")
    return dump.jobs


def _from_zero(jobs: list[Job], mine: list[Job]) -> list[Job]:
    """Moments from the first midnight (UTC) before a trace begins; a trace of other days than mine is moved onto them."""
    if not jobs:
        return jobs
    begin_s = (mine if _overlap(jobs, mine) else jobs)[0].submitted_s
    begin_s -= begin_s % DAY_S
    return [replace(job, submitted_s=job.submitted_s - begin_s) for job in jobs]


def _overlap(one: list[Job], other: list[Job]) -> bool:
    return one[0].submitted_s <= other[-1].submitted_s and other[0].submitted_s <= one[-1].submitted_s


def _like(
    mine: list[Job], name: str, centre: Centre, own: Centre, span_s: float, dice: random.Random
) -> list[Job]:
    """Jobs like mine: each as often as the centre is larger, all moved by one random time, around the end."""
    times = centre.cores / max(1, own.cores + own.keeps)
    shift_s = dice.uniform(0.2, 0.8) * span_s
    found = []
    for job in mine:
        if job.resource_class != CPU and job.resource_class not in centre.gpus:
            continue
        for _ in range(int(times) + (dice.random() < times % 1)):
            at_s = (job.submitted_s + shift_s + dice.uniform(0, 60)) % span_s
            found.append(replace(job, centre=name, submitted_s=at_s))
    return sorted(found, key=lambda job: job.submitted_s)


def _capacity(name: str, centre: Centre, span_s: float) -> list[Step]:
    steps = [
        Step(name, float("-inf"), units, kind) for kind, units in {CPU: centre.cores, **centre.gpus}.items()
    ]
    if centre.keeps:
        steps.append(Step(name, float("-inf"), centre.keeps, private=True))
    steps += [Step(name, at_s, cores, CPU, evicts=True) for at_s, cores in _levels(centre, span_s).items()]
    for absence in centre.withdrawn:
        from_s, until_s = absence.after_days * DAY_S, (absence.after_days + absence.days) * DAY_S
        for kind, units in centre.gpus.items():
            steps += [Step(name, from_s, 0, kind, evicts=True), Step(name, until_s, units, kind)]
    return steps


def _levels(centre: Centre, span_s: float) -> Mapping[float, int]:
    """The shared cores from each moment on at which they change; after the span all are there, so that all is served."""
    changes: dict[float, int] = {}
    for day in range(int(span_s // DAY_S) + 1):
        for local in centre.local:
            for hour, cores in ((local.from_h, -local.cores), (local.until_h, local.cores)):
                at_s = day * DAY_S + hour * _HOUR_S
                if at_s <= span_s:
                    changes[at_s] = changes.get(at_s, 0) + cores
    absences = [(each.after_days * DAY_S, (each.after_days + each.days) * DAY_S) for each in centre.withdrawn]
    moments = sorted(
        {*changes, *(moment for absence in absences for moment in absence), *([span_s] if changes else [])}
    )
    level, levels = centre.cores, {}
    for at_s in moments:
        level += changes.get(at_s, 0)
        away = any(from_s <= at_s < until_s for from_s, until_s in absences)
        levels[at_s] = 0 if away else centre.cores if at_s >= span_s else max(0, level)
    return levels
