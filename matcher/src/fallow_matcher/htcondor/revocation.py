"""Revoked centres and tokens: kept as one ClassAd expression that HTCondor holds against every token it is shown."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from fallow.errors import SettingsError, UsageError
from fallow_matcher.identities import pilot_identity
from fallow_matcher.settings import HubSettings

DENIED_LEVELS = ("READ", "WRITE", "ADVERTISE_STARTD", "ADVERTISE_MASTER")
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


def is_jti(text: str) -> bool:
    """Whether a text can be the id of a token of ours; only such a text goes into an expression."""
    return _JTI.fullmatch(text) is not None


def add(revoked: Revoked, *, centre: str | None = None, jti: str | None = None) -> Revoked:
    """`revoked` with one centre or one token more.

    Raises:
        UsageError: The `jti` holds what no token of ours has.
    """
    if jti is not None and not is_jti(jti):
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


def render(revoked: Revoked, trust_domain: str) -> str:
    """The configuration file, with the list it was made of as a comment.

    The expression ends tokens. Denying a centre's identities ends what its sessions may do as well, for HTCondor asks
    that for every command; and the collector's own list refuses the ads that come over a connection that stands.
    """
    record = json.dumps({"centres": sorted(revoked.centres), "jtis": sorted(revoked.jtis)})
    lines = [
        "# Written by `fallow hub revoke`; read by HTCondor and the gateway.",
        f"# revoked: {record}",
        f"SEC_TOKEN_REVOCATION_EXPR = {expression(revoked)}",
        "FALLOW_REVOKED = {{{}}}".format(", ".join(f'"{centre}"' for centre in sorted(revoked.centres))),
    ]
    denied = ", ".join(
        f"{pilot_identity(centre, trust_domain)}, {centre}.*@{trust_domain}"
        for centre in sorted(revoked.centres)
    )
    lines += [f"DENY_{level} = {denied}" for level in DENIED_LEVELS] if denied else []
    return "\n".join(lines) + "\n"


def parse(text: str) -> Revoked | None:
    """What a rendered file revokes; None when its list is not there."""
    match = _LIST.search(text)
    if match is None:
        return None
    record = json.loads(match[1])
    return Revoked(centres=frozenset(record["centres"]), jtis=frozenset(record["jtis"]))


def read(path: Path) -> Revoked:
    """What the file at `path` revokes.

    Raises:
        SettingsError: The file is missing or was changed by hand.
    """
    try:
        revoked = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        raise SettingsError(
            f"Cannot read the revocations in {path}: {error}.", remedy="Run: fallow hub configure"
        ) from error
    if revoked is None:
        raise SettingsError(
            f"{path} has lost its list of revocations.",
            remedy="Restore it from a backup; deleting it admits all again.",
        )
    return revoked
