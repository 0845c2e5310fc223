"""Making an issuer's state directory ready."""

import time
from pathlib import Path

from fallow_dev_issuer.certificates import TestAuthority, utc_now
from fallow_dev_issuer.keys import KeyRing
from fallow_dev_issuer.people import EXAMPLE, People
from fallow_dev_issuer.state import State, write_private


def initialise(directory: Path, issuer: str, hosts: list[str], people: Path | None = None) -> State:
    """Make what is missing or does not fit, keep the rest.

    Args:
        directory: The state directory.
        issuer: The issuer's URL.
        hosts: Names and addresses for the TLS certificate.
        people: The file of people to copy; without it the one that is there stays, or an example is written.

    Raises:
        IssuerError: One of the arguments cannot be meant; nothing was changed.
    """
    if people is not None:
        People.load(people)
    state = State.create(directory, issuer)
    if people is not None:
        write_private(state.people, people.read_bytes())
    elif not state.people.exists():
        write_private(state.people, EXAMPLE.encode())
    if not state.keys.exists():
        KeyRing(()).rotated(time.time()).save(state.keys)
    authority = TestAuthority(directory)
    authority.ensure(utc_now())
    authority.ensure_certificate(hosts, directory, utc_now())
    return state
