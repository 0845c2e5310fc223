"""What the hub lets one job do with S3 for a while: which objects it may read or write, and by what means."""

import hashlib
from typing import Annotated, Optional

from pydantic import Field, StringConstraints

from fallow.campaigns.document import FileName
from fallow.offers import Message, UtcMoment

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

TICKET_FILE = "_fallow_ticket"
"""The file beside a job that says who it is to the hub, and what it wants staged."""


class Made(Message):
    """An output as the node has it."""

    path: FileName
    bytes: int = Field(ge=0)
    sha256: Sha256


class StagingRequest(Message):
    """Body of `POST /v1/staging`."""

    ticket: Annotated[str, StringConstraints(max_length=1000)]
    """What the hub gave the job when it was submitted."""
    outputs: Optional[list[Made]] = Field(default=None, max_length=100)
    """What is to be stored; left out, the inputs are wanted."""


class Signed(Message):
    """URLs that are good for one object, for a while, without any key."""

    url: str = Field(default="", repr=False)
    """To read it, or to write it in one request."""
    headers: dict[str, str] = Field(default_factory=dict)
    """What a request to write must send along: it is signed too."""
    parts: list[str] = Field(default_factory=list, repr=False)
    """To write it in so many parts."""
    part_bytes: int = 0
    complete: str = Field(default="", repr=False)
    """To make the parts an object, by POST."""


class StagedFile(Message):
    """One object, and its name beside the job."""

    path: FileName
    url: str
    """As the campaign names it, for people."""
    bucket: str
    key: str
    bytes: int = Field(ge=0)
    etag: str = ""
    """Of an input: the very content that is meant; empty where its digest alone says so."""
    sha256: str = ""
    """Empty where the store does not know it."""
    shared: bool = False
    """Whether the rows of the campaign have it in common."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """What is stored with an output."""
    signed: Optional[Signed] = None

    @property
    def content_name(self) -> str:
        """64 hex digits that stand for where the object lies and for its very content."""
        return hashlib.sha256(f"{self.bucket}/{self.key}\n{self.etag}".encode()).hexdigest()


class Keys(Message):
    """Temporary credentials for the objects of one grant."""

    access_key: str
    secret_key: str = Field(repr=False)
    session_token: str = Field(repr=False)
    expires: UtcMoment


class Grant(Message):
    """Answer of `POST /v1/staging`: keys, or signed URLs where the store has no STS."""

    endpoint: str
    region: str
    files: list[StagedFile]
    patience_s: float = Field(ge=0)
    """How long moving all of them may take."""
    keys: Optional[Keys] = None
