"""Bodies of the gateway's calls about images and tags."""

from typing import Annotated, Optional

from pydantic import Field, StringConstraints

from fallow.images.architecture import USUAL, Architecture
from fallow.images.names import NAME_PATTERN, OWNER_PATTERN, TAG_IN_FULL_PATTERN
from fallow.messages import Digest
from fallow.offers import Message, UtcMoment

Owner = Annotated[str, StringConstraints(pattern=OWNER_PATTERN)]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
TagWord = Annotated[str, StringConstraints(pattern=TAG_IN_FULL_PATTERN, max_length=64)]
LabelKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9._/-]{0,126}[a-z0-9])?$")]
LabelValue = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
PublicKey = Annotated[
    str, StringConstraints(max_length=200, pattern=r"^ssh-ed25519 [A-Za-z0-9+/]{20,150}={0,2}$")
]
Signature = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]

MOST_LABELS = 32


class Statement(Message):
    """What a publisher says of an image; body of `POST /v1/images/{digest}`."""

    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=MOST_LABELS)
    source: Text = ""
    """What the image was made from, e.g. `docker://python:3.12`."""
    architecture: Optional[Architecture] = None
    """What its programs are for, as its SIF says it."""
    tree: Optional[Digest] = None
    """The digest of its files, by which an unpacked copy is known again; see `fallow.images.tree`."""
    key: Optional[PublicKey] = None
    """The key of the signature, as OpenSSH writes it."""
    signature: Optional[Signature] = None
    """Ed25519 over what `fallow.images.signing.signed_text` gives, in Base64."""


class Published(Statement):
    """A statement with who made it and when."""

    publisher: str
    """`<centre>.<user>`."""
    created: UtcMoment


class Tag(Message):
    """A tag: its name in full and what it means now."""

    owner: str
    name: str
    tag: str
    architecture: Architecture = USUAL
    """A tag may mean one image for each architecture."""
    digest: Digest
    set_by: str
    """`<centre>.<user>`."""
    changed: UtcMoment


class Image(Message):
    """An image that the hub's store holds, what its publishers say of it, the first of them first, and its tags."""

    digest: Digest
    bytes: int = Field(ge=0)
    published: list[Published]
    tags: list[str] = Field(default_factory=list)
    """In full, `fallow://…`."""

    @property
    def architecture(self) -> Architecture:
        """What its programs are for: the word of the first publisher who says it."""
        return next((said.architecture for said in self.published if said.architecture), USUAL)


class Images(Message):
    """Body of `GET /v1/images`: a page of them, the latest first."""

    images: list[Image]
    after: Optional[str] = None
    """Ask for what comes after this one; None on the last page."""


class Tags(Message):
    """Body of `GET /v1/tags`."""

    tags: list[Tag]


class SetTag(Message):
    """Body of `PUT /v1/tags/{owner}/{name}/{tag}`."""

    digest: Digest
    move: bool = False
    """Whether a tag that means another image may be moved."""


class Removed(Message):
    """Body of the answers to DELETE."""

    removed: bool
    """Whether the image itself is gone; it stays while others have published it too."""


class Wanted(Message):
    """Jobs that wait for a slot, in one image."""

    digest: Digest
    jobs: int = Field(ge=1)
    bytes: int = Field(ge=0)
    centre: str = ""
    work_type: str = ""
    project: str = ""
    architecture: Architecture = USUAL


class AllWanted(Message):
    """Body of `GET /v1/queued-images`: the images that most waiting jobs need first."""

    images: list[Wanted]
