"""The campaign document: what a production manager declares, checked as a whole before anything is sent."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Optional, Union

from pydantic import Field, StringConstraints, field_validator, model_validator

from fallow.campaigns import template
from fallow.documented import Documented
from fallow.errors import NotAvailableError, SettingsError
from fallow.messages import Digest
from fallow.offers import CentreName, UtcMoment
from fallow.settings import Settings, load, parse

CampaignName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Column = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,62}$")]
Template = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
Url = Annotated[
    str, StringConstraints(max_length=1024, pattern=r"^s3://[a-z0-9.-]{0,63}/[^\x00-\x1f\x7f?#\\\"]+$")
]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,200}$")]
StageName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]

MAIN = "main"
"""The name of a campaign's only stage."""


class Range(Settings):
    """Whole numbers of a grid: `{ from = 1, to = 100 }`, both ends included."""

    from_: int = Field(alias="from")
    to: int
    step: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _goes_up(self) -> "Range":
        if self.to < self.from_:
            raise ValueError(f"from ({self.from_}) is greater than to ({self.to})")
        return self


class Transfer(Settings):
    """One file of a row: an object in S3 and its name beside the job."""

    path: FileName
    """Its name in the job's working directory."""
    url: Url
    """`s3://BUCKET/KEY`, or `s3:///KEY` for a key in the owner's own storage; may name columns as `{column}`."""


class Gathered(Settings):
    """An output of every row of an earlier stage: files that are summed up, merged or compared."""

    path: FileName
    """The output's name there; here it is `<number>-<path>`, in the order of the rows: `000001-hits`."""
    stage: StageName
    """The stage, which this one is `after`, with `start = "all"`."""


class Demands(Documented):
    """What one row runs and needs: its templates may name columns of the table as `{column}`."""

    command: list[Template] = Field(min_length=1, max_length=1000)
    """Program and arguments inside the container."""
    environment: dict[Variable, Template] = Field(default_factory=dict, max_length=200)
    """Environment variables of the job; never secrets."""
    inputs: list[Transfer] = Field(default_factory=list, max_length=100)
    """Objects that are there before the job starts."""
    outputs: list[Transfer] = Field(default_factory=list, max_length=100)
    """Files that the job leaves behind and that are stored when it ends with exit code 0."""
    cores: int = Field(default=1, ge=1, le=100_000)
    """Cores of one job."""
    memory_mb: int = Field(default=1024, ge=1, le=100_000_000)
    """Memory of one job."""
    disk_mb: int = Field(default=1024, ge=1, le=10_000_000)
    """Scratch space of one job."""
    gpus: int = Field(default=0, ge=0, le=1000)
    """GPUs of one job."""
    walltime_s: int = Field(default=3600, ge=1, le=366 * 86_400)
    """Seconds after which a job is stopped: an estimate with some reserve, for pilots take only what ends before they do."""
    network: bool = True
    """Whether the job needs a network; some centres take only jobs that need none."""

    def named(self) -> "set[str]":
        """The columns that the templates name."""
        texts = [
            *self.command,
            *self.environment.values(),
            *(one.url for one in (*self.inputs, *self.outputs)),
        ]
        return {name for text in texts for name in template.columns(text)}


class Step(Demands):
    """The same, at its place in a campaign of several stages."""

    name: StageName
    """What the stage is called."""
    after: Optional[StageName] = None
    """An earlier stage that this one waits for."""
    start: Literal["row", "all"] = "all"
    """`row`: each row starts when the same row of the earlier stage is done; `all`: when all of them are."""
    gather: list[Gathered] = Field(default_factory=list, max_length=10)
    """Outputs of all rows of the stage before, at most 2,000 files for a job."""


def require_order(steps: Sequence[Step]) -> None:
    """Find out whether each stage has a name of its own and waits for an earlier one.

    Raises:
        ValueError: One does not.
    """
    seen: set[str] = set()
    for step in steps:
        if step.name in seen:
            raise ValueError(f"two stages are called {step.name!r}")
        if step.after is not None and step.after not in seen:
            raise ValueError(f"stage {step.name} is after {step.after!r}, which is no earlier stage")
        if any(one.stage != step.after or step.start != "all" for one in step.gather):
            raise ValueError(f"stage {step.name} gathers from a stage that it does not wait for as a whole")
        seen.add(step.name)


class Work(Settings, Demands):
    """What one row runs and needs. Command, environment and URLs may name columns of the table as `{column}`."""

    image: Optional[str] = None
    """A digest `sha256:…`, a tag `fallow://OWNER/NAME:TAG`, or a SIF file beside the document, which is sent to the hub;
    default: the campaign's."""
    files: list[Path] = Field(default_factory=list, max_length=50)
    """Small local files (scripts), beside the document, that every job finds in its working directory."""

    @model_validator(mode="after")
    def _templates_are_sound(self) -> "Work":
        names = [one.path for one in (*self.inputs, *self.outputs)] + [path.name for path in self.files]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"several files are called {', '.join(doubled)}")
        self.named()
        return self


class Table(Settings):
    """Where the rows come from: one job for each."""

    file: Path
    """CSV with a head line (`.csv`), JSON lines (`.jsonl`) or Parquet (`.parquet`), beside the document."""
    id: Column = "id"
    """The column that names each row; no two rows have the same."""


Grid = Annotated[dict[Column, Union[Range, list[Union[str, int, float]]]], Field(min_length=1, max_length=20)]


class Stage(Work, Step):
    """One stage of a campaign: a job for each row."""

    table: Optional[Table] = None
    """Rows of its own; default: the campaign's. `{ from = … }` of an `all` stage is often a single row."""
    grid: Optional[Grid] = None
    """Rows of its own as a grid."""


class Breaker(Settings):
    """When a campaign pauses itself."""

    share: float = Field(default=0.5, gt=0, le=1)
    """The share of failed rows among those that ended last."""
    of: int = Field(default=50, ge=1, le=100_000)
    """How many rows that ended last are looked at; nothing is judged before so many have ended."""


class Terms(Documented):
    """What holds for a campaign as a whole."""

    name: CampaignName
    """What the campaign is called; one centre has no two of the same name."""
    work_type: Optional[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]] = None
    """A work type of the rules in force, e.g. `production`; the rules decide where it is left out."""
    project: Optional[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]] = None
    """A project that the owner is a member of."""
    centre: Optional[CentreName] = None
    """Run at this centre only."""
    image_source: list[Annotated[str, StringConstraints(pattern=r"^oras://[a-z0-9:/._-]+$")]] = Field(
        default_factory=list, max_length=10
    )
    """Repositories of registries that hold the images; centres may ask there."""
    priority: int = Field(default=0, ge=-1000, le=1000)
    """Which of the owner's campaigns goes first: the greater one."""
    retries: int = Field(default=0, ge=0, le=20)
    """How often a row that failed by its own doing (exit code, signal, memory, walltime) is run again."""
    infrastructure_retries: int = Field(default=5, ge=0, le=100)
    """How often a row that failed by a node's or the federation's doing is run again, elsewhere."""
    max_waiting: int = Field(default=200, ge=1, le=10_000)
    """How many of its jobs wait in the queue at once, in each where there are two; the others wait in the hub's database."""
    pause: Breaker = Breaker()
    """When the campaign pauses itself."""
    deadline: Optional[UtcMoment] = None
    """When it should be done; it is shown, and a campaign that is late says so."""
    after: list[CampaignName] = Field(default_factory=list, max_length=20)
    """Campaigns of the same owner that must be done before this one starts."""
    notes: Annotated[str, StringConstraints(max_length=4000)] = ""
    """For people."""

    @field_validator("notes")
    @classmethod
    def _printable(cls, value: str) -> str:
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value):
            raise ValueError("it holds a control character")
        return value


class Document(Settings, Terms):
    """A campaign: jobs that differ in the values of a table's row."""

    image: Optional[str] = None
    """The image of all stages that name none: a digest `sha256:…`, a tag, or a SIF file beside the document. What a tag
    means when the campaign is injected is what runs."""
    table: Optional[Table] = None
    """The rows, from a file."""
    grid: Optional[Grid] = None
    """The rows, as every combination of some values: `energy = [10, 20]`, `seed = { from = 1, to = 100 }`."""
    job: Optional[Work] = None
    """What every row runs; a campaign has either `job` or `stages`."""
    stages: list[Stage] = Field(default_factory=list, max_length=20)
    """Several stages, in order."""

    @model_validator(mode="after")
    def _holds_together(self) -> "Document":
        if (self.job is None) == (not self.stages):
            raise ValueError("a campaign has either `job` or `stages`")
        _one_source("the campaign", self.table, self.grid)
        for stage in self.stages:
            _one_source(f"stage {stage.name}", stage.table, stage.grid)
        require_order(self.stages)
        for stage in self.expanded():
            if stage.image is None and self.image is None:
                raise ValueError(f"{_place(stage)} has no image; name one there or for the campaign")
            if stage.table is None and stage.grid is None and self.table is None and self.grid is None:
                raise ValueError(f"{_place(stage)} has neither a table nor a grid")
        if self.name in self.after:
            raise ValueError("a campaign cannot come after itself")
        return self

    def expanded(self) -> "list[Stage]":
        """The stages; a campaign with a single job has one."""
        if self.job is None:
            return list(self.stages)
        return [Stage(name=MAIN, **self.job.model_dump(by_alias=True))]


def _one_source(place: str, table: Optional[Table], grid: "Optional[Grid]") -> None:
    if table is not None and grid is not None:
        raise ValueError(f"{place} has both a table and a grid; give one")


def _place(stage: Stage) -> str:
    return "the job" if stage.name == MAIN else f"stage {stage.name}"


def read(path: Path) -> Document:
    """Read a campaign document: TOML, or YAML by its suffix.

    Raises:
        SettingsError: The file is missing or does not hold together; the message names every bad field.
    """
    if path.suffix not in {".yaml", ".yml"}:
        return load(Document, path)
    try:
        import yaml
    except ImportError as error:
        raise NotAvailableError(
            "PyYAML is not installed.",
            remedy="Install it with: pip install 'fallow[campaigns]', or write TOML.",
        ) from error
    try:
        raw = yaml.safe_load(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.", remedy="Name another file.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise SettingsError(f"{path} is not valid YAML: {said}.", remedy="Mend the line it names.") from error
    if not isinstance(raw, dict):
        raise SettingsError(f"{path} is not a table of settings.", remedy="Write `name: …` and the like.")
    return parse(Document, raw, source=str(path))


__all__ = ["CampaignName", "Digest", "Document", "Stage", "Transfer", "Work", "read"]
