"""Revoked centres and tokens: kept as one ClassAd expression that HTCondor holds against every token it is shown."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from fallow.errors import SettingsError, UsageError
from fallow_matcher.settings import HubSettings

_JTI = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
_LIST = re.compile(r"^# revoked: (\{.*\})$", re.MULTILINE)


def file_of(settings: HubSettings) -> Path:
    """The file that keeps what is revoked, read by HTCondor and by the gateway."""
    return settings.state_dir / "revoked.config"


@dataclass(frozen=True)
class Revoked:
    """What is revoked: whole centres (their pilots and their users), and single tokens."""

    centres: frozenset[str] = field(default_factory=frozenset)
    jtis: frozenset[str] = field(default_factory=frozenset)


def add(revoked: Revoked, *, centre: str | None = None, jti: str | None = None) -> Revoked:
    """`revoked` with one centre or one token more.

    Raises:
        UsageError: The `jti` holds what no token of ours has.
    """
    if jti is not None and not _JTI.fullmatch(jti):
        raise UsageError(f"{jti!r} is not the jti of a token.", remedy="Take it from the audit log.")
    return Revoked(
        centres=revoked.centres | ({centre} if centre else set()),
        jtis=revoked.jtis | ({jti} if jti else set()),
    )


def remove(revoked: Revoked, *, centre: str | None = None, jti: str | None = None) -> Revoked:
    """`revoked` without one centre or one token."""
    return Revoked(centres=revoked.centres - {centre}, jtis=revoked.jtis - {jti})


def expression(revoked: Revoked) -> str:
    """The ClassAd expression; HTCondor ignores one that does not parse, so it is parsed before it is used.

    Raises:
        SettingsError: It does not parse, or is not false for a token that nobody revoked.
    """
    terms = [f'regexp("^(pilot-{centre}@|{centre}[.])", sub)' for centre in sorted(revoked.centres)]
    terms += [f'jti =?= "{jti}"' for jti in sorted(revoked.jtis)]
    text = " || ".join(terms) or "false"
    _check(text)
    return text


def _check(text: str) -> None:
    import classad2

    try:
        token = classad2.ClassAd({"sub": "nobody.nobody@nowhere", "jti": "none"})
        verdict = classad2.ExprTree(text).eval(token)
    except classad2.ClassAdException as error:
        raise SettingsError(f"The revocation expression {text!r} does not parse: {error}.") from error
    if verdict is not False:
        raise SettingsError(
            f"The revocation expression {text!r} is {verdict!r} for a token that nobody revoked."
        )


def render(revoked: Revoked) -> str:
    """The configuration file with the expression and, as a comment, the list it was made of."""
    record = json.dumps({"centres": sorted(revoked.centres), "jtis": sorted(revoked.jtis)})
    return (
        "# Written by `fallow hub revoke`; read by HTCondor and the gateway.\n"
        f"# revoked: {record}\n"
        f"SEC_TOKEN_REVOCATION_EXPR = {expression(revoked)}\n"
    )


def read(path: Path) -> Revoked:
    """What the file at `path` revokes.

    Raises:
        SettingsError: The file is missing or was changed by hand.
    """
    try:
        match = _LIST.search(path.read_text(encoding="utf-8"))
        record = json.loads(match[1]) if match else None
    except (OSError, json.JSONDecodeError) as error:
        raise SettingsError(
            f"Cannot read the revocations in {path}: {error}.", remedy="Run: fallow hub configure"
        ) from error
    if record is None:
        raise SettingsError(
            f"{path} has lost its list of revocations.",
            remedy="Restore it from a backup; deleting it admits all again.",
        )
    return Revoked(centres=frozenset(record["centres"]), jtis=frozenset(record["jtis"]))
