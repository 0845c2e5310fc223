"""Paths in scopes and requests, in one strict normal form.

The normal form is decoded, absolute, begins with one slash, has no empty, `.` or `..` segment and no
trailing slash. What could be read in two ways is refused, not repaired, so no path reaches further than what
was written: `..` in any spelling, an encoded separator, NUL, a backslash, a broken escape, an escape that
hides another of these.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from fallow.tokens.errors import TokenError

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class BadPath(ValueError):  # noqa: N818 - never leaves the package
    """A path that has no normal form; its text continues a sentence that begins with the path's name."""


class Traversal(BadPath):
    """A path with a `..` segment."""


def normalise(path: str) -> tuple[str, bool]:
    """The normal form of a decoded path, and whether it was written as a directory (with a trailing slash).

    Raises:
        BadPath: It has no normal form.
        Traversal: It has a `..` segment.
    """
    if not path.startswith("/"):
        raise BadPath("is not absolute")
    if "\0" in path or "\\" in path:
        raise BadPath("holds a NUL or a backslash")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise BadPath("is not text") from error
    segments = [segment for segment in path.split("/") if segment not in {"", "."}]
    if ".." in segments:
        raise Traversal("climbs with '..'")
    return "/" + "/".join(segments), path.endswith(("/", "/."))


def decode(path: str) -> str:
    """Undo percent-encoding once.

    Raises:
        BadPath: An escape is broken, is not UTF-8, or hides a separator or a climb.
    """
    if _BROKEN_ESCAPE.search(path):
        raise BadPath("has a broken percent escape")
    return "/".join(_decode_segment(segment) for segment in path.split("/"))


def _decode_segment(segment: str) -> str:
    if "%" not in segment:
        return segment
    try:
        plain = unquote_to_bytes(segment).decode()
        # something behind us may decode once more: what that would make of it must be harmless too
        again = unquote_to_bytes(plain).decode()
    except UnicodeError as error:
        raise BadPath("is not UTF-8 when decoded") from error
    if "/" in plain or (again != plain and (again in {".", ".."} or set(again) & set("/\\\0"))):
        raise BadPath("hides a separator or a climb in a percent escape")
    return plain


def from_scope(path: str) -> tuple[str, bool]:
    """The normal form of a scope's path, and whether it stands for a directory only.

    Raises:
        BadPath: It has none.
    """
    return normalise(decode(path))


def of_request(path: str) -> tuple[str, bool]:
    """`normalise` for the decoded path of a request.

    Raises:
        TokenError: `insufficient_scope`: it climbs; `invalid_request`: it has no normal form.
    """
    try:
        return normalise(path)
    except Traversal as error:
        raise TokenError("insufficient_scope", f"The request's path {error}.") from error
    except BadPath as error:
        raise TokenError("invalid_request", f"The request's path {error}.") from error


def from_url(raw_path: str, prefix: str = "/") -> str:
    """The decoded path, within an issuer's storage area, that the path of a request's URL means.

    Use what this returns both for `authorise` and for the access itself, never the URL's path again.

    Args:
        raw_path: The URL's path as it came, not decoded.
        prefix: Where the area begins on this server.

    Raises:
        TokenError: `invalid_request`: it has no normal form; `insufficient_scope`: it climbs or is outside.
    """
    try:
        decoded = decode(raw_path)
    except BadPath as error:
        raise TokenError("invalid_request", f"The request's path {error}.") from error
    path, directory = of_request(decoded)
    if not below(path, prefix):
        raise TokenError("insufficient_scope", "The request's path is outside the issuer's area.")
    inside = path[len(prefix.rstrip("/")) :] or "/"
    return inside + "/" if directory and inside != "/" else inside


def below(path: str, top: str) -> bool:
    """Whether a normal path is `top` or under it, on segment boundaries."""
    return path == top or path.startswith(top.rstrip("/") + "/")
