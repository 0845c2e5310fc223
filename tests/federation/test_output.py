"""What commands keep showing."""

from __future__ import annotations

import pytest

from fallow.errors import NotAvailableError
from fallow.output import keep_showing


class Hub:
    """Answers what it is told."""

    def __init__(self, *given: int | Exception) -> None:
        self.given = list(given)

    def __call__(self) -> int:
        """The next answer."""
        one = self.given.pop(0)
        if isinstance(one, Exception):
            raise one
        return one


def test_it_is_shown_until_it_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    hub = Hub(1, 2, 3)
    keep_showing(hub, lambda found: f"{found} of 3", every_s=0, over=lambda found: found == 3)
    assert hub.given == []
    assert "3 of 3" in capsys.readouterr().out


def test_a_hub_that_is_away_for_a_while_is_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    hub = Hub(1, NotAvailableError("The hub does not answer."), 3)
    keep_showing(hub, lambda found: f"{found} of 3", every_s=0, over=lambda found: found == 3)
    assert "3 of 3" in capsys.readouterr().out


def test_a_hub_that_does_not_answer_at_first_is_an_error() -> None:
    with pytest.raises(NotAvailableError):
        keep_showing(Hub(NotAvailableError("The hub does not answer.")), str, every_s=0)
