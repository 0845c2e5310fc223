"""What the doctor makes of what it saw."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fallow.ledger.messages import Agreement
from fallow_matcher.operation import checks
from fallow_matcher.operation.checks import MB, State

HOST = "hub.example.org"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])


def pair(
    until: datetime = NOW + 60 * DAY, since: datetime = NOW - DAY, host: str = HOST
) -> tuple[x509.Certificate, bytes, bytes]:
    """A certificate, and it and its key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, since, until)
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made, made.public_bytes(serialization.Encoding.PEM), pem


@pytest.mark.parametrize(
    ("made", "state", "words"),
    [
        (pair(), State.OK, "is good until"),
        (pair(host="*.example.org"), State.OK, "is good until"),
        (pair(until=NOW + 3 * DAY), State.WARNING, "in 3 days"),
        (pair(until=NOW - timedelta(hours=1)), State.WRONG, "It ended at"),
        (pair(since=NOW + DAY), State.WRONG, "good only from"),
        (pair(host="other.example.org"), State.WRONG, "It is not for hub.example.org"),
    ],
)
def test_a_certificate_is_told_by_its_days_and_name(
    made: tuple[x509.Certificate, bytes, bytes], state: State, words: str
) -> None:
    found = list(checks.certificate(made[1], made[2], HOST, NOW))
    assert (found[-1].state, words in found[-1].words) == (state, True)
    assert state is State.OK or found[-1].remedy


def test_a_key_of_another_certificate_is_found() -> None:
    found = list(checks.certificate(pair()[1], pair()[2], HOST, NOW))
    assert [each.words for each in found if each.state is State.WRONG] == [
        "The key in tls_key is another one's."
    ]


def test_a_certificate_that_cannot_be_read_is_found() -> None:
    (found,) = checks.certificate(b"nothing", b"nothing", HOST, NOW)
    assert found.state is State.WRONG


def test_a_gateway_that_shows_an_older_certificate_is_found() -> None:
    new, old = pair(), pair()
    der = serialization.Encoding.DER
    assert checks.reloaded(new[1], new[0].public_bytes(der)).state is State.OK
    assert checks.reloaded(new[1], old[0].public_bytes(der)).state is State.WRONG


@pytest.mark.parametrize(("skew_s", "state"), [(-2.0, "ok"), (20.0, "warning"), (-90.0, "wrong")])
def test_a_clock_is_told_by_how_far_it_is_off(skew_s: float, state: str) -> None:
    assert checks.clock("the store", skew_s).state == state


@pytest.mark.parametrize(("free_mb", "state"), [(90_000, "ok"), (2_000, "warning"), (1_000, "wrong")])
def test_a_disk_is_told_by_what_is_free(free_mb: int, state: str) -> None:
    assert checks.disk("/var/lib/fallow", free_mb * MB, 100_000 * MB, 1024).state == state


@pytest.mark.parametrize(("found", "state"), [("3", "ok"), ("2", "warning"), ("4", "wrong"), ("", "wrong")])
def test_a_schema_is_this_releases_or_older(found: str, state: str) -> None:
    assert checks.schema(found, ["3", "2", "1"]).state == state


@pytest.mark.parametrize(
    ("ends", "soon", "state"),
    [(200.0, False, "ok"), (150.0, True, "warning"), (90.0, True, "wrong"), (None, True, "wrong")],
)
def test_a_token_is_told_by_its_end(ends: float | None, soon: bool, state: str) -> None:
    assert checks.token("the daemons", ends, soon, 100.0).state == state


@pytest.mark.parametrize(("share", "state"), [(0.0, "ok"), (0.01, "warning")])
def test_a_ledger_is_told_by_what_pilots_say(share: float, state: str) -> None:
    said = Agreement(
        centre="north",
        both=10,
        awaited=0,
        hub_core_s=100,
        pilot_core_s=100,
        unexplained_core_s=1,
        share=share,
    )
    (found,) = checks.agreement([said])
    assert found.state == state


@pytest.mark.parametrize(("last", "state"), [(None, "warning"), (0.0, "warning"), (999_000.0, "ok")])
def test_a_backup_is_told_by_its_age(last: float | None, state: str) -> None:
    assert checks.backup(last, 1_000_000.0).state == state
