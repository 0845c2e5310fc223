"""What the rules say: one frozen model of the whole document.

Nearly every field must be written: what the centres approve is what the document says, never what a release of Fallow
takes for granted.
"""

import re
from enum import Enum
from typing import Annotated, Literal, Optional

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from fallow.offers import CentreName
from fallow.settings import Settings

CPU = "cpu"
"""The resource class of slots without GPUs; counted in core-seconds, all others in gpu-seconds."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
"""A work type or resource class: it becomes part of ClassAd strings and accounting groups, so it is narrow."""

GpuModel = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,98}[\x21-\x7e])?$")]
"""A GPU's model as its node reports it."""

Factor = Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)]

_STRICT = ConfigDict(strict=True)


class Quorum(str, Enum):
    """How many of the current centres must approve."""

    MAJORITY = "majority"
    TWO_THIRDS = "two-thirds"
    ALL = "all"

    def needed(self, centres: int) -> int:
        """How many of `centres` that is; always more than half, so that no two quorums miss each other."""
        if self is Quorum.ALL:
            return max(1, centres)
        if self is Quorum.TWO_THIRDS:
            return max(1, centres // 2 + 1, -(-2 * centres // 3))
        return centres // 2 + 1


Published = Literal["capacity", "waiting", "waits", "balances", "rules"]
"""A part of the federation's page: what each centre offers, runs and uses; how many jobs of which work type wait; how long
jobs waited and would have waited alone; what each centre gave, and its balance; the rules, proposals and approvals."""


class WorkType(Settings):
    """One kind of work."""

    model_config = _STRICT

    weight: Factor
    """Its weight in the score; only the ratio between work types matters."""


class ResourceClass(Settings):
    """Resources that are comparable: the ledger counts each class apart."""

    model_config = _STRICT

    gpu_models: list[GpuModel] = Field(default_factory=list, max_length=100)
    """The GPU models of the class, letters' case ignored; none for `cpu`, at least one for every other."""


class Rules(Settings):
    """The rules by which free slots are given to waiting work."""

    model_config = _STRICT

    ageing_s: int = Field(ge=1, le=30 * 86_400)
    """τ: a job's urgency has doubled after it waited this long, in seconds, and grows on."""
    balance_factor: float = Field(ge=1, le=100, allow_inf_nan=False)
    """G: a centre whose balance is its credit line or more scores G times as high, one that gave no more than it used 1/G
    times; 1 switches it off."""
    half_life_s: int = Field(ge=60, le=3_660 * 86_400)
    """What a centre gave or used counts half after this many seconds."""
    credit_line: float = Field(ge=0.001, le=1, allow_inf_nan=False)
    """A centre's credit line as a share of what it contributed in a half-life, as the hub measured it."""
    home_first: bool
    """Whether a centre's own waiting work takes its free slots before anybody else's."""
    quorum: Quorum = Field(strict=False)
    """Share of the current centres that must approve the rules that replace these: `majority`, `two-thirds` or `all`."""
    default_work_type: str
    """The work type of a job that names none."""
    work_types: dict[Name, WorkType] = Field(min_length=1, max_length=20)
    """The work types by name; a job of another is refused."""
    resource_classes: dict[Name, ResourceClass] = Field(max_length=50)
    """The classes of comparable resources by name; `cpu` is always one. A GPU model in no class is a class of its own."""
    benchmark: dict[CentreName, Factor] = Field(default_factory=dict, max_length=1_000)
    """How much work a core or GPU of a centre does, beside the average; 1 for a centre that is not named."""
    publish: Optional[list[Published]] = Field(default=None, max_length=20)
    """What of the federation's page anybody may read without a login; left out, `capacity` alone. Members read all of it."""

    @field_validator("resource_classes")
    @classmethod
    def _classes_are_apart(cls, classes: dict[str, ResourceClass]) -> dict[str, ResourceClass]:
        if CPU not in classes:
            raise ValueError(f"the class {CPU} is missing; add an empty table [resource_classes.{CPU}]")
        owner: dict[str, str] = {}
        for name, each in classes.items():
            if bool(each.gpu_models) == (name == CPU):
                said = "must name no GPU models" if name == CPU else "names no GPU models; name at least one"
                raise ValueError(f"the class {name} {said}")
            for model in each.gpu_models:
                other = owner.setdefault(model.lower(), name)
                if other != name or [one.lower() for one in each.gpu_models].count(model.lower()) > 1:
                    raise ValueError(f"the GPU model {model!r} is named twice, in {other} and in {name}")
        return classes

    @model_validator(mode="after")
    def _hold_together(self) -> "Rules":
        if self.default_work_type not in self.work_types:
            raise ValueError(
                f"default_work_type ({self.default_work_type}) is not among work_types ({', '.join(self.work_types)})"
            )
        if self.ageing_s > self.half_life_s:
            raise ValueError(
                f"ageing_s ({self.ageing_s}) is longer than half_life_s ({self.half_life_s}), so a balance would be "
                "forgotten before waiting tells"
            )
        return self

    def weight(self, work_type: str) -> float:
        """The weight of a work type; of one that these rules no longer know, the default one's."""
        known = self.work_types.get(work_type) or self.work_types[self.default_work_type]
        return known.weight

    def published(self) -> frozenset[Published]:
        """What anybody may read."""
        return frozenset(["capacity"] if self.publish is None else self.publish)

    def benchmark_factor(self, centre: str) -> float:
        """How much work a core or GPU of `centre` does, beside the average."""
        return self.benchmark.get(centre, 1.0)

    def resource_class(self, gpu_model: str = "") -> str:
        """The class of a slot by its GPUs' model, empty where it has none.

        A model that the rules do not name gets a class of its own, so that it is never exchanged for another.
        """
        if not gpu_model:
            return CPU
        for name, each in self.resource_classes.items():
            if gpu_model.lower() in (model.lower() for model in each.gpu_models):
                return name
        return "gpu:" + (re.sub(r"[^a-z0-9]+", "-", gpu_model.lower()).strip("-")[:60] or "unknown")
