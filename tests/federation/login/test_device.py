"""The pace of polling (RFC 8628 section 3.5), without clock or network."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fallow.errors import NotAvailableError, RefusedError
from fallow.login.device import wait_for_approval
from fallow.login.oidc import DeviceAuthorization, OAuthRefusedError, Provider, Tokens

DONE = Tokens(access_token="t", token_type="Bearer", expires_in=60)
PENDING = OAuthRefusedError("authorization_pending", "Not yet.")
SLOW_DOWN = OAuthRefusedError("slow_down", "Too fast.")
AWAY = NotAvailableError("No answer.", retryable=True)


class ScriptedProvider(Provider):
    """Answers each poll with the next outcome, the last one for ever."""

    def __init__(self, outcomes: list[Tokens | Exception]) -> None:
        self.outcomes = outcomes

    def redeem_device(self, device_code: str) -> Tokens:
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def poll() -> Callable[..., list[float]]:
    """Runs the loop and returns the pauses that it made."""

    def run(*outcomes: Tokens | Exception, expires_in: int = 600, interval: int = 5) -> list[float]:
        pauses: list[float] = []
        started = DeviceAuthorization(
            device_code="d",
            user_code="U",
            verification_uri="https://issuer.test/device",
            expires_in=expires_in,
            interval=interval,
        )
        provider = ScriptedProvider(list(outcomes))
        assert wait_for_approval(provider, started, clock=lambda: sum(pauses), sleep=pauses.append) is DONE
        return pauses

    return run


Poll = Callable[..., "list[float]"]


def test_polls_come_at_the_issuers_interval(poll: Poll) -> None:
    assert poll(PENDING, PENDING, DONE) == [5.0, 5.0, 5.0]


def test_slow_down_adds_five_seconds_for_all_that_follow(poll: Poll) -> None:
    assert poll(SLOW_DOWN, PENDING, SLOW_DOWN, DONE) == [5.0, 10.0, 10.0, 15.0]


def test_an_issuer_that_is_away_is_asked_ever_more_slowly(poll: Poll) -> None:
    assert poll(AWAY, AWAY, DONE) == [5.0, 10.0, 20.0]


def test_an_interval_of_zero_is_not_taken_literally(poll: Poll) -> None:
    assert poll(PENDING, DONE, interval=0) == [1.0, 1.0]


def test_polling_ends_when_the_code_expires(poll: Poll) -> None:
    with pytest.raises(RefusedError, match="before its code expired"):
        poll(PENDING, expires_in=12)


def test_a_code_that_the_issuer_calls_expired_ends_it_at_once(poll: Poll) -> None:
    with pytest.raises(RefusedError, match="before its code expired"):
        poll(OAuthRefusedError("expired_token", "Too late."), DONE)


def test_a_refusal_ends_it_at_once(poll: Poll) -> None:
    with pytest.raises(OAuthRefusedError, match="The issuer refused: No"):
        poll(OAuthRefusedError("access_denied", "No."), DONE)


def test_an_issuer_that_talks_nonsense_ends_it_at_once(poll: Poll) -> None:
    with pytest.raises(NotAvailableError, match="nonsense"):
        poll(NotAvailableError("It talks nonsense."), DONE)
