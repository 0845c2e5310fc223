"""Who gets a connection from the relay, and to where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow_pilots.relay import connect

KEY = "k" * 64
NOW = 1_790_000_000.0
TARGETS = {"hub.example.org:8443"}


def judged(head: bytes, now: float = NOW) -> connect.Answer:
    return connect.judge(head, KEY, TARGETS, now)[1]


def test_a_pilot_of_the_centre_gets_what_the_relay_leads_to() -> None:
    head = connect.request("hub.example.org:8443", KEY, NOW)
    assert connect.judge(head, KEY, TARGETS, NOW + 3) == ("hub.example.org:8443", connect.CONNECTED)
    assert KEY.encode() not in head, "the key does not travel"


def test_the_relay_leads_nowhere_else() -> None:
    assert judged(connect.request("intranet:22", KEY, NOW)) is connect.ELSEWHERE


def test_a_proof_holds_for_one_target_only() -> None:
    head = connect.request("intranet:22", KEY, NOW).replace(b"intranet:22", b"hub.example.org:8443")
    assert judged(head) is connect.UNPROVEN


@pytest.mark.parametrize("moved_s", [-61, 61, 86400])
def test_an_old_proof_counts_for_nothing(moved_s: float) -> None:
    assert judged(connect.request("hub.example.org:8443", KEY, NOW), NOW + moved_s) is connect.UNPROVEN


def test_another_key_proves_nothing() -> None:
    assert judged(connect.request("hub.example.org:8443", "x" * 64, NOW)) is connect.UNPROVEN


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT hub.example.org:8443\r\n\r\n",
        b"\xff CONNECT\r\n\r\n",
    ],
)
def test_what_is_no_request_is_called_so(head: bytes) -> None:
    assert judged(head) is connect.MALFORMED


@given(st.binary(max_size=300))
def test_no_bytes_of_a_stranger_get_a_connection(junk: bytes) -> None:
    assert judged(junk) is not connect.CONNECTED
    assert judged(b"CONNECT hub.example.org:8443 HTTP/1.1\r\n" + junk) is not connect.CONNECTED


def test_a_status_is_read_from_an_answer_only() -> None:
    assert connect.status_of(connect.CONNECTED.encoded()) == 200
    assert connect.status_of(b"SSH-2.0-OpenSSH_9\r\n") == 0
