"""Bodies of the gateway's answers about the ledger. Durations in seconds; core-seconds are GPU-seconds in a GPU's class."""

from enum import Enum
from typing import Optional

from pydantic import Field

from fallow.offers import CentreName, Message, UtcMoment


class Balance(Message):
    """One centre's standing in one resource class, in core-seconds, benchmark-weighted and decayed to `at`."""

    centre: str
    resource_class: str
    balance: float
    """What it gave to others minus what it used of others; the sum over all centres is zero."""
    contributed: float
    """What it gave to others, measured and settled."""
    credit_line: float
    """How much it may owe, or be owed, before its balance counts in full."""


class Balances(Message):
    """Answer of `GET /v1/ledger/balance`."""

    at: UtcMoment
    half_life_s: float
    balances: list[Balance]


class Key(str, Enum):
    """What runs can be summed up by."""

    PROVIDER = "provider"
    CONSUMER = "consumer"
    USER = "user"
    WORK_TYPE = "work_type"
    RESOURCE_CLASS = "resource_class"
    OUTCOME = "outcome"
    DAY = "day"
    MONTH = "month"


class Sum(Message):
    """The runs that have something in common."""

    group: dict[str, str]
    """What they have in common: key → value."""
    runs: int
    wall_s: float
    core_s: float
    """Wall time x cores (GPUs)."""
    value: float
    """What counts in the balances: up to the requested walltime, benchmark-weighted, of runs that are charged."""


class Usage(Message):
    """Answer of `GET /v1/ledger/usage`: the runs that ended from `since` up to `until`."""

    since: UtcMoment
    until: UtcMoment
    sums: list[Sum]


class Line(Message):
    """One run of one job as the hub saw it."""

    number: int
    """Orders the lines; later pages continue after the last one."""
    global_job_id: str
    run: int
    """1 for the job's first run."""
    job: str
    provider: str
    pilot: str
    consumer: str
    user: str
    work_type: str
    resource_class: str
    cores: int
    gpus: int
    factor: float
    """The provider's benchmark factor."""
    requested_s: int
    submitted: Optional[UtcMoment]
    started: UtcMoment
    ended: Optional[UtcMoment]
    wall_s: Optional[float]
    cpu_s: Optional[float]
    outcome: str
    """running, done, failed, removed, evicted, withdrawn or lost."""
    reason: str
    value: float

    @property
    def core_s(self) -> float:
        """Wall time x cores (GPUs)."""
        return (self.wall_s or 0.0) * (self.gpus or self.cores)


class Lines(Message):
    """Answer of `GET /v1/ledger/lines`: a page of the lines of the caller's own centre, as provider or consumer."""

    centre: str
    """The caller's."""
    lines: list[Line]
    more: bool


class Pilots(Message):
    """What the pilots of one centre offered, by their own reports."""

    centre: CentreName
    pilots: int
    offered_core_s: float
    used_core_s: float
    idle_core_s: float
    ends: dict[str, int]
    """How many ended with each outcome code; `running` for those that have not ended."""


class AllPilots(Message):
    """Answer of `GET /v1/ledger/pilots`: the pilots that started from `since` up to `until`."""

    centres: list[Pilots]


class Difference(Message):
    """One run that hub and pilot do not agree on."""

    pilot: str
    global_job_id: str
    started: UtcMoment
    what: str
    """One sentence."""
    hub: str
    """The hub's outcome; empty where it knows no such run."""
    hub_core_s: float
    pilot_core_s: float
    counts: bool
    """Whether it is part of `unexplained_core_s`: a run that is charged, or that its pilot calls done or failed."""


class Agreement(Message):
    """How far two views of one centre's runs agree."""

    centre: CentreName
    both: int
    """Runs that both know."""
    awaited: int
    """Runs that the hub knows and whose pilot may still report."""
    hub_core_s: float
    pilot_core_s: float
    unexplained_core_s: float
    """Differences beyond what two clocks that tick in seconds can tell, and all of a run that one side does not know."""
    share: float = Field(ge=0)
    """`unexplained_core_s` as a share of what the hub measured; the target is at most 0.001."""


class Reconciliation(Message):
    """Answer of `GET /v1/ledger/reconciliation`: every centre's agreement, and the differences of the caller's own."""

    since: UtcMoment
    until: UtcMoment
    centres: list[Agreement]
    differences: list[Difference]
    differences_left_out: int = 0
