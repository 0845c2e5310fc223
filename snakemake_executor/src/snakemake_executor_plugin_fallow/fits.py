"""Whether the present offers can take a workflow's rules, asked of the hub before anything is submitted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fallow.errors import UsageError
from fallow.fits import FitAnswer, FitRequest
from snakemake_executor_plugin_fallow.resources import request

Ask = Callable[[Sequence[FitRequest]], Sequence[FitAnswer]]
"""Asks the hub: `HubClient.fit`."""


@dataclass
class Wishes:
    """What the rules of a workflow ask for; each distinct request is asked about once.

    Args:
        defaults: What the settings say for rules that say nothing, as `resources.request` takes it.
    """

    defaults: Mapping[str, str | None]
    _rules: dict[str, set[str]] = field(default_factory=dict)
    _requests: dict[str, FitRequest] = field(default_factory=dict)
    _nonsense: dict[str, set[str]] = field(default_factory=dict)

    def add(self, rule: str, threads: int, resources: Mapping[str, Any]) -> None:
        """Note what a job of a rule asks for."""
        try:
            asked = request(rule, threads, resources, self.defaults)
            wish = FitRequest(
                **{name: value for name, value in vars(asked).items() if name != "image_source"},
                image_source=list(asked.image_source),
            )
        except UsageError as error:
            self._nonsense.setdefault(str(error), set()).add(rule)
            return
        except ValueError as error:  # a text that is too long, an amount that is too large
            self._nonsense.setdefault(f"Rule {rule}: {error}", set()).add(rule)
            return
        key = wish.model_dump_json()
        self._requests[key] = wish
        self._rules.setdefault(key, set()).add(rule)

    def held_against(self, ask: Ask) -> Findings:
        """What is to be said of them.

        Raises:
            FallowError: The hub cannot be asked.
        """
        answers = ask(list(self._requests.values())) if self._requests else []
        waiting: dict[str, set[str]] = {}
        never: dict[str, set[str]] = {}
        for key, answer in zip(self._requests, answers, strict=True):
            if not answer.fits:
                (never if answer.impossible else waiting).setdefault(answer.summary, set()).update(
                    self._rules[key]
                )
        return Findings(
            waiting=[f"{_rules(rules)}: {why}" for why, rules in waiting.items()],
            never=[*self._nonsense, *(f"{_rules(rules)}: {why}" for why, rules in never.items())],
        )


@dataclass(frozen=True)
class Findings:
    """What is wrong with a workflow's requests, in sentences that name the rules."""

    waiting: Sequence[str]
    """No present offer can take these; they wait until one can."""
    never: Sequence[str]
    """These can never run."""

    def lines(self) -> list[str]:
        """For people."""
        found = [f"This can never run. {line}" for line in self.never]
        return found + [
            f"No present offer takes this; its jobs will wait until one does. {line}" for line in self.waiting
        ]


def _rules(names: Iterable[str]) -> str:
    several = sorted(names)
    return f"Rule{'s' if len(several) > 1 else ''} {', '.join(several)}"
