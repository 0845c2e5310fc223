"""What `fallow hub doctor` makes of what it saw: how it is, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fallow.ledger.messages import Agreement

SOON = timedelta(days=14)
"""A certificate that ends sooner should have been renewed: public authorities' are renewed 30 days before."""
SKEW_WARN_S, SKEW_WRONG_S = 5.0, 60.0
"""Tokens are dated back by 60 s at most, so a clock that is further off refuses good ones."""
UNEXPLAINED = 0.001
"""The share of core-seconds in which hub and pilots may differ."""
BACKUP_S = 2 * 86400
MB = 1024 * 1024


class State(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    words: str
    remedy: str = ""


def certificate(chain: bytes, key: bytes, host: str, now: datetime) -> Iterator[Check]:
    """The gateway's certificate (PEM) with its key, for the name that others reach the hub by."""
    new = "Renew it by your authority's tool and run: systemctl reload fallow-hub-gateway"
    try:
        found = x509.load_pem_x509_certificates(chain)[0]
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, IndexError) as error:
        yield Check(
            "certificate", State.WRONG, f"It cannot be read: {error}.", "Give tls_cert and tls_key in PEM."
        )
        return
    left = found.not_valid_after_utc - now
    until = found.not_valid_after_utc.isoformat(timespec="minutes")
    if found.not_valid_before_utc > now:
        yield Check("certificate", State.WRONG, f"It is good only from {found.not_valid_before_utc} on.", new)
    elif left <= timedelta():
        yield Check("certificate", State.WRONG, f"It ended at {until}.", new)
    elif left < SOON:
        yield Check("certificate", State.WARNING, f"It ends at {until}, in {left.days} days.", new)
    else:
        yield Check("certificate", State.OK, f"It is good until {until}.")
    if found.public_key() != private.public_key():
        yield Check(
            "certificate",
            State.WRONG,
            "The key in tls_key is another one's.",
            "Give the pair that belongs together.",
        )
    if not _covers(found, host):
        yield Check(
            "certificate", State.WRONG, f"It is not for {host}.", f"Have one made for the name {host}."
        )


def _covers(found: x509.Certificate, host: str) -> bool:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    known = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    parent = "*." + host.lower().partition(".")[2]
    return host.lower() in known or parent in known or host in addresses


def reloaded(chain: bytes, shown: bytes) -> Check:
    """Whether the gateway shows (DER) the certificate that lies in its file (PEM)."""
    if x509.load_pem_x509_certificates(chain)[0] == x509.load_der_x509_certificate(shown):
        return Check("gateway's certificate", State.OK, "It shows the one in tls_cert.")
    return Check(
        "gateway's certificate", State.WRONG, "It shows an older one than that in tls_cert.",
        "Run: systemctl reload fallow-hub-gateway, or send SIGHUP to the gateway; let your ACME tool do so.",
    )  # fmt: skip


def clock(whose: str, skew_s: float) -> Check:
    """How far this machine's clock is ahead of another's."""
    words = f"It is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} that of {whose}."
    remedy = "Have both clocks set from the network (chrony, systemd-timesyncd)."
    if abs(skew_s) > SKEW_WRONG_S:
        return Check("clock", State.WRONG, words, remedy)
    if abs(skew_s) > SKEW_WARN_S:
        return Check("clock", State.WARNING, words, remedy)
    return Check("clock", State.OK, f"It agrees with that of {whose}.")


def disk(path: str, free_bytes: int, total_bytes: int, least_mb: int) -> Check:
    """The room where the hub's state lies.

    Args:
        path: Where.
        free_bytes: What the hub's account may still write.
        total_bytes: The whole.
        least_mb: With less the hub takes no new work.
    """
    words = f"{free_bytes // MB} MB of {total_bytes // MB} MB are free below {path}."
    remedy = "Make room, or give state_dir a larger disk; docs/how-to/operate-a-hub.md says what grows."
    if free_bytes < least_mb * MB:
        return Check("disk", State.WRONG, f"{words} The hub takes no new work below {least_mb} MB.", remedy)
    if free_bytes < max(3 * least_mb * MB, total_bytes // 20):
        return Check("disk", State.WARNING, words, remedy)
    return Check("disk", State.OK, words)


def schema(found: str, known: list[str]) -> Check:
    """The version of the database's schema."""
    if found == known[0]:
        return Check("database's schema", State.OK, f"It is {found}, this release's.")
    if found in known:
        return Check(
            "database's schema",
            State.WARNING,
            f"It is {found}, this release's is {known[0]}.",
            "Run: fallow hub upgrade",
        )
    return Check(
        "database's schema", State.WRONG, f"It is {found or 'none'}, which this release does not know.",
        "Install the release that wrote it, or a newer one.",
    )  # fmt: skip


def token(name: str, ends: float | None, soon: bool, now: float) -> Check:
    """A token that the hub itself lives on; `ends` in unix time, None where it cannot be read."""
    remedy = "Run: fallow hub configure. The gateway renews it in time while it runs."
    if ends is None or ends <= now:
        return Check("token", State.WRONG, f"That of {name} has ended or cannot be read.", remedy)
    until = datetime.fromtimestamp(ends, UTC).isoformat(timespec="minutes")
    state, todo = (State.WARNING, remedy) if soon else (State.OK, "")
    return Check("token", state, f"That of {name} ends at {until}.", todo)


def agreement(found: Iterable[Agreement]) -> Iterator[Check]:
    """How far the hub's ledger and the pilots' reports agree, centre by centre."""
    for each in found:
        words = f"Hub and pilots of {each.centre} differ by {each.share:.2%} over {each.both} runs."
        wrong = each.share > UNEXPLAINED
        yield Check(
            "ledger", State.WARNING if wrong else State.OK, words,
            "See which runs: fallow ledger reconcile" if wrong else "",
        )  # fmt: skip


def backup(last: float | None, now: float) -> Check:
    """When the hub was last backed up (unix time)."""
    remedy = "Have `fallow hub backup` run by a timer."
    if last is None:
        return Check("backup", State.WARNING, "None was ever taken here.", remedy)
    words = f"The last one was taken {(now - last) / 3600:.1f} h ago."
    return (
        Check("backup", State.WARNING, words, remedy)
        if now - last > BACKUP_S
        else Check("backup", State.OK, words)
    )
