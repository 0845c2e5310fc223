"""Bodies of the gateway's calls about campaigns."""

from enum import Enum
from typing import Annotated, Optional

from pydantic import Field, StringConstraints, model_validator

from fallow.campaigns.document import (
    CampaignName,
    Column,
    FileName,
    StageName,
    Step,
    Terms,
    require_order,
)
from fallow.images.architecture import USUAL, Architecture
from fallow.messages import Digest
from fallow.offers import Message, UtcMoment

ROWS_AT_ONCE = 20_000
"""How many rows one request may bring."""


class RowState(str, Enum):
    """Where a row is. `done`, `failed` and `cancelled` are ends; the others are on their way."""

    BLOCKED = "blocked"
    """It waits for an earlier stage."""
    WAITING = "waiting"
    """It waits in the hub's database."""
    SUBMITTING = "submitting"
    """It is being handed to the queue."""
    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"
    """Its owner holds the job."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDS = (RowState.DONE, RowState.FAILED, RowState.CANCELLED)


class CampaignState(str, Enum):
    """What happens with a campaign."""

    INJECTING = "injecting"
    """Rows are missing: nothing of it is started until an injection has come to its end."""
    RUNNING = "running"
    PAUSED = "paused"
    """Nothing more is started; what runs goes on."""
    CANCELLED = "cancelled"
    FINISHED = "finished"
    """Every row has come to an end, good or bad."""


class SmallFile(Message):
    """A text file that every job finds beside it."""

    name: FileName
    text: Annotated[str, StringConstraints(max_length=256 * 1024)]


class PlanStage(Message, Step):
    """One stage, complete: its image is a digest, its files are in it, its columns are known."""

    columns: list[Column] = Field(min_length=1, max_length=500)
    image: Digest
    architecture: Architecture = USUAL
    files: list[SmallFile] = Field(default_factory=list, max_length=50)

    @model_validator(mode="after")
    def _templates_name_columns(self) -> "PlanStage":
        missing = self.named() - {*self.columns, "id"}
        if missing:
            raise ValueError(f"stage {self.name} names columns that it has not: {', '.join(sorted(missing))}")
        return self


class Plan(Message, Terms):
    """A campaign as the hub keeps it: all but its rows."""

    stages: list[PlanStage] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _stages_are_in_order(self) -> "Plan":
        require_order(self.stages)
        return self


RowId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class NewRows(Message):
    """Body of `POST /v1/campaigns/{name}/rows`: the id and the values of each row, in the order of the columns."""

    stage: StageName
    rows: list[tuple[RowId, list[str]]] = Field(max_length=ROWS_AT_ONCE)


class Added(Message):
    """What an injection brought."""

    added: int
    known: int


class Counts(Message):
    """How many rows of a stage are in one state, at one centre, for one reason."""

    stage: StageName
    state: RowState
    centre: str = ""
    failure: str = ""
    """The class of the failure."""
    rows: int


class Failure(Message):
    """Rows that failed alike."""

    stage: StageName
    failure: str
    """exit, signal, memory, disk, walltime, staging, image, node, row, refused or removed."""
    signature: str
    """What they have in common in words, e.g. `exit code 3`."""
    rows: int
    sample: str
    """The id of one of them; its log is kept."""
    centres: dict[str, int]
    """How many of them ended at which centre."""


class Campaign(Message):
    """A campaign in short."""

    name: CampaignName
    owner: str
    """`<centre>.<user>`."""
    digest: Digest
    state: CampaignState
    reason: str
    """Why it is paused or waits; one sentence."""
    priority: int
    created: UtcMoment
    changed: UtcMoment
    deadline: Optional[UtcMoment] = None
    notes: str = ""
    rows: int
    done: int
    failed: int


class Campaigns(Message):
    """Answer of `GET /v1/campaigns`."""

    campaigns: list[Campaign]


class Status(Message):
    """Answer of `GET /v1/campaigns/{name}`."""

    campaign: Campaign
    counts: list[Counts]
    failures: list[Failure]
    retried: int
    """How many attempts were spent beyond the first of each row."""


class Stored(Message):
    """An output that is in S3."""

    path: str
    url: str
    bytes: int
    sha256: str


class RowInfo(Message):
    """One row."""

    number: int
    """Orders the rows; later pages continue after the last one."""
    stage: StageName
    id: str
    state: RowState
    attempt: int
    job: str = ""
    centre: str = ""
    failure: str = ""
    signature: str = ""
    exit_code: Optional[int] = None
    reason: str = ""
    ended: Optional[UtcMoment] = None
    wall_s: Optional[float] = None
    values: list[str] = Field(default_factory=list)
    outputs: list[Stored] = Field(default_factory=list)


class RowPage(Message):
    """Answer of `GET /v1/campaigns/{name}/rows`."""

    rows: list[RowInfo]
    more: bool


class Log(Message):
    """Answer of `GET /v1/campaigns/{name}/log`: the end of what one attempt of a row wrote."""

    id: str
    stage: StageName
    attempt: int
    stdout: str
    stderr: str
    truncated: bool


class Selection(Message):
    """Which rows an action is for; what is left out does not matter."""

    stage: Optional[StageName] = None
    state: Optional[RowState] = None
    centre: Optional[Annotated[str, StringConstraints(max_length=63)]] = None
    failure: Optional[Annotated[str, StringConstraints(max_length=32)]] = None
    signature: Optional[Annotated[str, StringConstraints(max_length=300)]] = None
    exit_code: Optional[int] = Field(default=None, ge=-(2**31), le=2**31 - 1)
    ids: list[RowId] = Field(default_factory=list, max_length=10_000)


class Change(Message):
    """Body of `POST /v1/campaigns/{name}/set`; what is left out stays."""

    priority: Optional[int] = Field(default=None, ge=-1000, le=1000)
    stage: Optional[StageName] = None
    """The stage whose resources change; all of them where it is left out."""
    cores: Optional[int] = Field(default=None, ge=1, le=100_000)
    memory_mb: Optional[int] = Field(default=None, ge=1, le=100_000_000)
    disk_mb: Optional[int] = Field(default=None, ge=1, le=10_000_000)
    walltime_s: Optional[int] = Field(default=None, ge=1, le=366 * 86_400)
    max_waiting: Optional[int] = Field(default=None, ge=1, le=10_000)


class Done(Message):
    """Answer of an action: how many rows it concerns."""

    rows: int
