"""What runs behind the fence; importing it loads all that is needed there."""

from __future__ import annotations

from dataclasses import replace

import classad2

from fallow.queue.session import bindings
from fallow_matcher.explain.explanation import explain
from fallow_matcher.explain.situation import Situation

bindings()


def explained(situation: Situation) -> bytes:
    """The explanation as JSON; the job and the whole slots of `situation` are text."""
    whole = [classad2.ClassAd(ad) for ad in situation.whole]
    return (
        explain(replace(situation, job=classad2.ClassAd(situation.job), whole=whole))
        .model_dump_json()
        .encode()
    )
