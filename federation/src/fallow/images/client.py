"""Images and tags, seen from a client: one method per call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from fallow.errors import UsageError
from fallow.hub import HubRefusedError
from fallow.images.architecture import USUAL, Architecture
from fallow.images.messages import AllWanted, Image, Images, Removed, SetTag, Statement, Tag, Tags, Wanted
from fallow.images.names import TagName, is_digest, parse_tag
from fallow.offers import Message

if TYPE_CHECKING:
    from fallow.hub import HubClient

M = TypeVar("M", bound=Message)


class ImageClient:
    """Asks the hub about images, and tells it of them.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: HubClient) -> None:
        self._hub = hub

    def images(self) -> Iterator[Image]:
        """Every image that somebody has published, the latest first."""
        after = ""
        while True:
            page = self._hub.ask(Images, "GET", f"/v1/images?after={quote(after, safe='')}")
            yield from page.images
            if page.after is None:
                return
            after = page.after

    def image(self, digest: str) -> Image | None:
        """What is known of an image, or None if the hub has none of this digest."""
        return self._found(Image, f"{_image(digest)}/record")

    def state(self, digest: str, statement: Statement) -> Image:
        """Say something of an image that the hub's store holds; said again, it takes the place of what was said before."""
        return self._hub.ask(Image, "POST", _image(digest), statement.model_dump_json(exclude_none=True))

    def remove(self, digest: str) -> bool:
        """Take back what the caller has published; whether the image itself is gone now."""
        return self._hub.ask(Removed, "DELETE", _image(digest)).removed

    def tags(self) -> list[Tag]:
        """Every tag."""
        return self._hub.ask(Tags, "GET", "/v1/tags").tags

    def tag(self, name: TagName) -> Tag | None:
        """What a tag means now, or None if there is none of that name."""
        return self._found(Tag, _tag(name))

    def set_tag(self, name: TagName, digest: str, *, move: bool) -> Tag:
        """Let a tag mean an image; one that means another is moved only if `move`."""
        return self._hub.ask(Tag, "PUT", _tag(name), SetTag(digest=digest, move=move).model_dump_json())

    def untag(self, name: TagName) -> None:
        """Take a tag away; the image stays."""
        self._hub.ask(Removed, "DELETE", _tag(name))

    def wanted(self) -> list[Wanted]:
        """The images that waiting jobs need."""
        return self._hub.ask(AllWanted, "GET", "/v1/queued-images").images

    def resolve(self, text: str) -> str:
        """The digest that `text` means now: it is one, or a tag.

        Raises:
            UsageError: It is neither, or there is no such tag.
        """
        if is_digest(text):
            return text
        name = parse_tag(text)
        found = self.tag(name)
        if found is None:
            raise UsageError(
                f"There is no image called {name}.", remedy="See what there is: fallow image list"
            )
        return found.digest

    def architecture(self, digest: str) -> Architecture:
        """What the programs of an image are for; the usual one where the hub does not know the image."""
        found = self.image(digest)
        return USUAL if found is None else found.architecture

    def _found(self, model: type[M], path: str) -> M | None:
        try:
            return self._hub.ask(model, "GET", path)
        except HubRefusedError as error:
            if error.status == 404:
                return None
            raise


def _image(digest: str) -> str:
    return f"/v1/images/{quote(digest, safe=':')}"


def _tag(name: TagName) -> str:
    return f"/v1/tags/{quote(name.owner, safe='~')}/{quote(name.name)}/{quote(name.word)}"
