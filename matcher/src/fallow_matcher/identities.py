"""HTCondor identities: made from templates only, and read back.

A user is `<centre>.<user>`, a centre's pilots are `pilot-<centre>`, the hub's daemons are `condor`, its
operator at the queue is `operator`, each `@<trust domain>`.
Centre and user names hold no dot, so the three forms never meet, and the centre of a user is part of the authenticated
identity: the schedd needs no table and no word of the user's to know it.
"""

from __future__ import annotations

import hashlib
import re

DAEMON = "condor"
OPERATOR = "operator"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LOOKS_DIGESTED = re.compile(r".*-[0-9a-f]{16}")
_USER = re.compile(r"([a-z][a-z0-9-]*)\.([a-z0-9][a-z0-9_-]*)")


def user_name(issuer: str, subject: str, *, plain_names_issuer: str | None) -> str:
    """The name of a user: never the same for two pairs of issuer and subject.

    The subject stays as it is where `plain_names_issuer` vouches for it and it cannot be mistaken for a digested name;
    else it becomes what is readable of it and 64 bits of a digest.
    """
    if issuer == plain_names_issuer and _PLAIN.fullmatch(subject) and not _LOOKS_DIGESTED.fullmatch(subject):
        return subject
    readable = re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")[:24].strip("-") or "user"
    digest = hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()[:16]
    return f"{readable}-{digest}"


def user_identity(centre: str, user: str, trust_domain: str) -> str:
    """`<centre>.<user>@<trust domain>`."""
    return f"{centre}.{user}@{trust_domain}"


def pilot_identity(centre: str, trust_domain: str) -> str:
    """`pilot-<centre>@<trust domain>`."""
    return f"pilot-{centre}@{trust_domain}"


def daemon_identity(trust_domain: str) -> str:
    """`condor@<trust domain>`: the hub's own daemons."""
    return f"{DAEMON}@{trust_domain}"


def operator_identity(trust_domain: str) -> str:
    """`operator@<trust domain>`: who may hold, release and remove any job, and nothing else."""
    return f"{OPERATOR}@{trust_domain}"


def centre_of(identity: str) -> str | None:
    """The centre of a user's or a pilot's identity; None for any other."""
    name = identity.partition("@")[0]
    if match := _USER.fullmatch(name):
        return match[1]
    return name.removeprefix("pilot-") if name.startswith("pilot-") else None
