"""Statements and tags in the hub's database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from fallow.errors import RefusedError
from fallow.images.architecture import USUAL
from fallow.images.messages import Image, Images, Published, Statement, Tag
from fallow.images.names import TagName
from fallow_matcher.images.tables import IMAGE, TAG

PAGE = 200
MOST_TAGS = 2000
"""Tags of one owner."""
MOST_STATEMENTS = 20_000
"""Images that one person may have published."""
SHOWN_STATEMENTS = 50
"""How many publishers of one image are told of."""


def state(
    connection: Connection,
    digest: str,
    size_bytes: int,
    person: tuple[str, str],
    statement: Statement,
    now: float,
) -> None:
    """Keep what a person says of an image, in place of what that person said before.

    Raises:
        RefusedError: The person has published too many.
    """
    centre, user = person
    text = statement.model_dump_json(exclude_none=True)
    mine = (IMAGE.c.centre == centre) & (IMAGE.c.user == user)
    changed = connection.execute(
        update(IMAGE).where((IMAGE.c.digest == digest) & mine).values(statement=text, bytes=size_bytes)
    )
    if changed.rowcount:
        return
    count = connection.execute(select(func.count()).select_from(IMAGE).where(mine)).scalar_one()
    if count >= MOST_STATEMENTS:
        raise RefusedError(f"You have published {count} images, the most that one person may: remove some.")
    values = {"digest": digest, "centre": centre, "user": user, "bytes": size_bytes, "created": now}
    connection.execute(insert(IMAGE).values(statement=text, **values))


def image(connection: Connection, digest: str) -> Image | None:
    """What is known of an image; None if nobody has published it."""
    found = images(connection, [digest])
    return found[0] if found else None


def page(connection: Connection, after: str) -> Images:
    """Images, the latest first, from the one behind `after`, which an earlier page named."""
    number = int(after) if after.isdecimal() and len(after) < 18 else 0
    first = func.min(IMAGE.c.id)
    asked = select(IMAGE.c.digest, first).group_by(IMAGE.c.digest).order_by(first.desc()).limit(PAGE + 1)
    rows = connection.execute(asked.having(first < number) if number else asked).all()
    more = len(rows) > PAGE
    shown = rows[:PAGE]
    return Images(
        images=images(connection, [row[0] for row in shown]), after=str(shown[-1][1]) if more else None
    )


def take_back(
    connection: Connection, digest: str, person: tuple[str, str], *, for_centre: bool
) -> bool | None:
    """Remove a person's statement, or all of the person's centre; None if there was none, else whether any is left.

    Raises:
        RefusedError: It is the last one, and tags name the image.
    """
    centre, user = person
    mine = (IMAGE.c.digest == digest) & (IMAGE.c.centre == centre)
    gone = connection.execute(delete(IMAGE).where(mine if for_centre else mine & (IMAGE.c.user == user)))
    if not gone.rowcount:
        return None
    left = connection.execute(select(IMAGE.c.id).where(IMAGE.c.digest == digest).limit(1)).first() is not None
    if not left and (named := _names(connection, [digest]).get(digest)):
        raise RefusedError(f"The image has tags: {', '.join(named[:5])}.")
    return left


def tags(connection: Connection) -> list[Tag]:
    """Every tag, by name."""
    order = (TAG.c.owner, TAG.c.name, TAG.c.tag)
    return [_tag(row) for row in connection.execute(select(TAG).order_by(*order))]


def tag(connection: Connection, name: TagName) -> Tag | None:
    """What a tag means; without an architecture the usual one, else the only one. None where there is none."""
    row = connection.execute(select(TAG).where(_is(name))).first()
    if row is None and name.architecture is None:
        rows = connection.execute(select(TAG).where(_others(name)).limit(2)).all()
        row = rows[0] if len(rows) == 1 else None
    return _tag(row) if row is not None else None


def set_tag(connection: Connection, name: TagName, digest: str, *, move: bool, by: str, now: float) -> Tag:
    """Let a tag mean an image.

    Raises:
        RefusedError: It means another one and `move` is not set, or its owner has too many.
    """
    said = image(connection, digest)
    known = USUAL if said is None else said.architecture
    if name.architecture not in {None, known}:
        raise RefusedError(f"The image {digest} is for {known}, not for {name.architecture}.")
    name = name._replace(architecture=known)
    found = tag(connection, name)
    values = {"digest": digest, "set_by": by, "changed": now}
    if found is not None and found.digest == digest:
        return found
    if found is not None:
        if not move:
            raise RefusedError(
                f"{name} means {found.digest} already; it is moved only where that is asked for."
            )
        connection.execute(update(TAG).where(_is(name)).values(**values))
    else:
        count = connection.execute(
            select(func.count()).select_from(TAG).where(TAG.c.owner == name.owner)
        ).scalar_one()
        if count >= MOST_TAGS:
            raise RefusedError(
                f"{name.owner} has {count} tags, the most that one owner may have: remove some."
            )
        connection.execute(insert(TAG).values(owner=name.owner, name=name.name, tag=name.word, **values))
    set_now = tag(connection, name)
    assert set_now is not None  # noqa: S101 - written in this transaction
    return set_now


def untag(connection: Connection, name: TagName) -> bool:
    """Take a tag away, of all architectures where it names none; whether there was one."""
    which = _is(name) if name.architecture else _is(name) | _others(name)
    return bool(connection.execute(delete(TAG).where(which)).rowcount)


def _is(name: TagName) -> Any:
    return (TAG.c.owner == name.owner) & (TAG.c.name == name.name) & (TAG.c.tag == name.word)


def _others(name: TagName) -> Any:
    """The same tag for other architectures than the usual one."""
    same = (TAG.c.owner == name.owner) & (TAG.c.name == name.name)
    return same & TAG.c.tag.startswith(f"{name.tag}@", autoescape=True)


def images(connection: Connection, digests: Sequence[str]) -> list[Image]:
    """What is known of these images, in this order, without those that nobody has published."""
    rows = connection.execute(select(IMAGE).where(IMAGE.c.digest.in_(digests)).order_by(IMAGE.c.id)).all()
    named = _names(connection, digests)
    by_digest: dict[str, list[Row[Any]]] = {}
    for row in rows:
        by_digest.setdefault(row.digest, []).append(row)
    return [
        Image(
            digest=digest,
            bytes=by_digest[digest][0].bytes,
            published=[_published(row) for row in by_digest[digest][:SHOWN_STATEMENTS]],
            tags=named.get(digest, []),
        )
        for digest in digests
        if digest in by_digest
    ]


def _names(connection: Connection, digests: Sequence[str]) -> dict[str, list[str]]:
    asked = select(TAG).where(TAG.c.digest.in_(digests)).order_by(TAG.c.owner, TAG.c.name, TAG.c.tag)
    named: dict[str, list[str]] = {}
    for row in connection.execute(asked):
        named.setdefault(row.digest, []).append(str(TagName.of_word(row.owner, row.name, row.tag)))
    return named


def _published(row: Row[Any]) -> Published:
    said = Statement.model_validate_json(row.statement).model_dump()
    return Published(publisher=f"{row.centre}.{row.user}", created=_moment(row.created), **said)


def _tag(row: Row[Any]) -> Tag:
    name = TagName.of_word(row.owner, row.name, row.tag)
    architecture = name.architecture or USUAL
    told = {"tag": name.tag, "architecture": architecture, "changed": _moment(row.changed)}
    return Tag(**{**row._asdict(), **told})


def _moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, tz=UTC)
