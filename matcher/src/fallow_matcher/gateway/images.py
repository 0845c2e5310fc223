"""The routes of images and tags: nothing is stored under another's digest, and who may tag what follows from the token."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from fallow.errors import NotAvailableError, RefusedError
from fallow.images.architecture import USUAL
from fallow.images.messages import (
    AllWanted,
    Image,
    Images,
    Name,
    Owner,
    Removed,
    SetTag,
    Statement,
    Tag,
    Tags,
    TagWord,
    Wanted,
)
from fallow.images.names import OWN, TagName
from fallow.images.signing import is_signed
from fallow.messages import Digest, ImageUpload, ImageUrl
from fallow.queue.spec import image_path
from fallow_matcher.database import reading, writing
from fallow_matcher.gateway.access import Access, Caller, Member, User, UserWho
from fallow_matcher.gateway.errors import REFUSALS, GatewayError
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.images import catalogue

router = APIRouter(responses=REFUSALS)

Reader = Annotated[Caller, Depends(Access(Member()))]
Submitter = Annotated[User, Depends(Access(UserWho("submit")))]
OneDigest = Annotated[Digest, Path()]
OneOwner = Annotated[Owner, Path()]
OneName = Annotated[Name, Path()]
OneTag = Annotated[TagWord, Path()]


@router.get("/v1/images")
def get_images(
    hub: Hub,
    caller: Reader,  # noqa: ARG001 - a member, whoever it is
    after: Annotated[str, Query(max_length=20, pattern=r"^[0-9]*$")] = "",
) -> Images:
    """A page of what has been published, the latest first."""
    with reading(hub.database) as connection:
        return catalogue.page(connection, after)


@router.get("/v1/images/{digest}")
def get_image(hub: Hub, digest: OneDigest, caller: Reader) -> ImageUrl:  # noqa: ARG001 - a member, whoever it is
    """Where to read an image."""
    size = hub.store.image_bytes(digest)
    if size is None:
        raise _absent(digest)
    return ImageUrl(url=hub.store.image_url(digest, "get_object", hub.settings.lives.url_s), bytes=size)


@router.put("/v1/images/{digest}")
def put_image(hub: Hub, digest: OneDigest, caller: Submitter) -> ImageUpload:
    """Where to write an image; once, and nothing that has another digest."""
    if hub.store.image_bytes(digest) is not None:
        raise GatewayError(409, "exists", f"The image {digest} is there already.")
    url = hub.store.image_url(digest, "put_object", hub.settings.lives.url_s)
    _record(hub, caller, "image_upload", digest=digest)
    return ImageUpload(url=url)


@router.get("/v1/images/{digest}/record")
def get_record(hub: Hub, digest: OneDigest, caller: Reader) -> Image:  # noqa: ARG001 - a member, whoever it is
    """What is known of an image; one that nobody has published has a size and nothing else."""
    with reading(hub.database) as connection:
        found = catalogue.image(connection, digest)
    if found is not None:
        return found
    size = hub.store.image_bytes(digest)
    if size is None:
        raise _absent(digest)
    return Image(digest=digest, bytes=size, published=[])


@router.post("/v1/images/{digest}")
def post_image(hub: Hub, digest: OneDigest, statement: Statement, caller: Submitter) -> Image:
    """Say something of an image that is stored; the store has to vouch for what it holds, or it is read again."""
    if (statement.key is None) != (statement.signature is None):
        raise GatewayError(422, "invalid_request", "key and signature go together.")
    if statement.key and not is_signed(digest, statement.tree, statement.key, statement.signature or ""):
        raise GatewayError(422, "invalid_request", "signature: it is not one of this key over this image.")
    size = hub.store.image_bytes(digest)
    if size is None:
        raise _absent(digest)
    if not hub.store.image_is_sound(digest):
        hub.store.remove_image(digest)
        _record(hub, caller, "image_refused", digest=digest)
        raise GatewayError(
            409, "conflict", f"What was stored as {digest} was something else; it has been removed."
        )
    try:
        with writing(hub.database) as connection:
            catalogue.state(connection, digest, size, (caller.centre, caller.name), statement, time.time())
            found = catalogue.image(connection, digest)
    except RefusedError as error:
        raise GatewayError(409, "conflict", str(error)) from error
    assert found is not None  # noqa: S101 - written in this transaction
    _record(hub, caller, "image_published", digest=digest)
    return found


@router.delete("/v1/images/{digest}")
def delete_image(hub: Hub, digest: OneDigest, caller: Submitter) -> Removed:
    """Take back what the caller published, or the centre that the caller speaks for; the image goes with the last."""
    person = caller.centre, caller.name
    try:
        _require_unused(hub, digest)
        with writing(hub.database) as connection:
            left = catalogue.take_back(connection, digest, person, for_centre=caller.speaks_for_centre)
            if left is None:
                raise GatewayError(404, "not_found", f"You have not published the image {digest}.")
            if not left:
                hub.store.remove_image(digest)
    except RefusedError as error:
        raise GatewayError(409, "conflict", str(error)) from error
    _record(hub, caller, "image_removed", digest=digest, gone=not left)
    return Removed(removed=not left)


@router.get("/v1/tags")
def get_tags(hub: Hub, caller: Reader) -> Tags:  # noqa: ARG001 - a member, whoever it is
    """Every tag."""
    with reading(hub.database) as connection:
        return Tags(tags=catalogue.tags(connection))


@router.get("/v1/tags/{owner}/{name}/{tag}")
def get_tag(hub: Hub, owner: OneOwner, name: OneName, tag: OneTag, caller: Reader) -> Tag:
    """What a tag means now."""
    wanted = _in_full(caller, owner, name, tag)
    with reading(hub.database) as connection:
        found = catalogue.tag(connection, wanted)
    if found is None:
        raise GatewayError(404, "not_found", f"There is no tag {wanted}.")
    return found


@router.put("/v1/tags/{owner}/{name}/{tag}")
def put_tag(hub: Hub, owner: OneOwner, name: OneName, tag: OneTag, wanted: SetTag, caller: Submitter) -> Tag:
    """Let a tag of the caller's, or of the centre that the caller speaks for, mean an image."""
    full = _require_own(caller, owner, name, tag)
    if hub.store.image_bytes(wanted.digest) is None:
        raise _absent(wanted.digest)
    by = f"{caller.centre}.{caller.name}"
    try:
        with writing(hub.database) as connection:
            found = catalogue.set_tag(
                connection, full, wanted.digest, move=wanted.move, by=by, now=time.time()
            )
    except RefusedError as error:
        raise GatewayError(409, "conflict", str(error)) from error
    _record(hub, caller, "image_tagged", tag=str(full), digest=wanted.digest)
    return found


@router.delete("/v1/tags/{owner}/{name}/{tag}")
def delete_tag(hub: Hub, owner: OneOwner, name: OneName, tag: OneTag, caller: Submitter) -> Removed:
    """Take a tag away."""
    full = _require_own(caller, owner, name, tag)
    with writing(hub.database) as connection:
        gone = catalogue.untag(connection, full)
    if not gone:
        raise GatewayError(404, "not_found", f"There is no tag {full}.")
    _record(hub, caller, "image_untagged", tag=str(full))
    return Removed(removed=False)


@router.get("/v1/queued-images")
def get_queued(hub: Hub, caller: Reader) -> AllWanted:  # noqa: ARG001 - a member, whoever it is
    """The images that waiting jobs need, so that a centre can have them before the jobs come."""
    try:
        needs = hub.needs.now()
    except NotAvailableError as error:
        raise GatewayError(
            503, "temporarily_unavailable", "The queue does not answer.", retry_after_s=30
        ) from error
    digests = list(dict.fromkeys(need.digest for need, _ in needs))
    sizes = {digest: hub.store.image_bytes(digest) for digest in digests}
    with reading(hub.database) as connection:
        known = {image.digest: image.architecture for image in catalogue.images(connection, digests)}
    return AllWanted(
        images=[
            Wanted(**need._asdict(), jobs=jobs, bytes=size, architecture=known.get(need.digest, USUAL))
            for need, jobs in needs
            if (size := sizes[need.digest]) is not None
        ]
    )


def _require_unused(hub: Hub, digest: str) -> None:
    """Refuse while jobs that have not ended need the image."""
    constraint = (
        f'ContainerImage == "{image_path(digest)}" || stringListMember("{digest}", FallowImages ?: "", " ")'
    )
    try:
        found = hub.pool.jobs(constraint, ("ClusterId",), 1)
    except NotAvailableError as error:
        raise GatewayError(
            503, "temporarily_unavailable", "The queue does not answer.", retry_after_s=30
        ) from error
    if found:
        raise RefusedError("Jobs in the queue need the image.")


def _in_full(caller: Caller, owner: str, name: str, tag: str) -> TagName:
    if owner == OWN and isinstance(caller, User):
        owner = f"{caller.centre}.{caller.name}"
    return TagName.of_word(owner, name, tag)


def _require_own(caller: User, owner: str, name: str, tag: str) -> TagName:
    """The tag in full, if the caller may set it: below its own name, or its centre's if it speaks for that."""
    full = _in_full(caller, owner, name, tag)
    own = {f"{caller.centre}.{caller.name}", *([caller.centre] if caller.speaks_for_centre else [])}
    if full.owner not in own:
        raise GatewayError(
            403, "forbidden", f"You may not set tags of {full.owner}; yours are {', '.join(sorted(own))}."
        )
    return full


def _absent(digest: str) -> GatewayError:
    return GatewayError(404, "not_found", f"There is no image {digest}.")


def _record(hub: Hub, caller: User, event: str, **more: object) -> None:
    hub.audit.write(event, iss=caller.iss, sub=caller.sub, jti=caller.jti, centre=caller.centre, **more)
