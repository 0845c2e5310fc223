"""Whether jobs that are not submitted yet would find a slot; gateway and client share it."""

from typing import Optional

from pydantic import Field

from fallow.explanations import Verdict
from fallow.images.architecture import USUAL, Architecture
from fallow.offers import Message
from fallow.queue.spec import JobSpec

MOST = 40
"""Requests in one call; a workflow has few distinct ones."""


class FitRequest(Message):
    """What a job would ask for; the fields are those of `JobSpec`."""

    cores: int = Field(default=1, ge=1, le=2**31)
    memory_mb: int = Field(default=1024, ge=1, le=2**40)
    disk_mb: int = Field(default=1024, ge=1, le=2**40)
    walltime_s: int = Field(default=3600, ge=1, le=2**31)
    gpus: int = Field(default=0, ge=0, le=2**31)
    work_type: Optional[str] = Field(default=None, max_length=32)
    project: Optional[str] = Field(default=None, max_length=63)
    centre: Optional[str] = Field(default=None, max_length=63)
    requirements: Optional[str] = Field(default=None, max_length=4000)
    architecture: Architecture = USUAL
    image: str = Field(default=f"sha256:{'0' * 64}", pattern=r"^sha256:[0-9a-f]{64}$")
    image_source: list[str] = Field(default_factory=list, max_length=100)
    network: bool = True

    @classmethod
    def of(cls, spec: JobSpec) -> "FitRequest":
        """The request of a job."""
        return cls.model_validate(spec.model_dump(include=set(cls.model_fields)))


class FitQuestion(Message):
    """Body of `POST /v1/fit`."""

    requests: list[FitRequest] = Field(min_length=1, max_length=MOST)


class FitAnswer(Message):
    """What is to be said of one request, as `fallow explain` would say it of such a job."""

    fits: bool
    """Whether a pilot of some present offer would take such a job."""
    impossible: bool = False
    """Whether such a job would be refused, or could never run: not a matter of present offers."""
    summary: str
    """The answer in one or two sentences."""
    verdicts: list[Verdict] = Field(default_factory=list)
    """Every centre's open offer, those that fit first."""


class FitAnswers(Message):
    """Answer of `POST /v1/fit`: one for each request, in order."""

    answers: list[FitAnswer]
