"""What runs behind the fence; importing it loads all that is needed there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import classad2

from fallow.fits import FitAnswers, FitRequest
from fallow.queue.session import bindings
from fallow_matcher.explain.explanation import explain
from fallow_matcher.explain.hypothetical import Person, fit
from fallow_matcher.explain.situation import Situation

bindings()


def explained(situation: Situation) -> bytes:
    """The explanation as JSON; the job and the whole slots of `situation` are text."""
    return explain(replace(_read(situation), job=classad2.ClassAd(situation.job))).model_dump_json().encode()


def fitted(situation: Situation, requests: Sequence[FitRequest], person: Person) -> bytes:
    """The answers as JSON; the whole slots of `situation` are text."""
    there = _read(situation)
    answers = FitAnswers(answers=[fit(there, request, person) for request in requests])
    return answers.model_dump_json().encode()


def _read(situation: Situation) -> Situation:
    return replace(situation, whole=[classad2.ClassAd(ad) for ad in situation.whole])
