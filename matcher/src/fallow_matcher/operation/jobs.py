"""`fallow hub jobs`: the operator holds, releases or removes anybody's jobs, by an identity that can do no more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fallow.queue.session import bindings
from fallow_matcher.gateway.audit import Audit, audit_file
from fallow_matcher.htcondor import operators
from fallow_matcher.identities import operator_identity
from fallow_matcher.settings import HubSettings

_WORDS = {
    "TotalSuccess": "done",
    "TotalAlreadyDone": "so already",
    "TotalNotFound": "not there",
    "TotalBadStatus": "not in a state for it",
    "TotalPermissionDenied": "refused",
    "TotalError": "failed",
}


def act(settings: HubSettings, out: Path, action: str, jobs: str | Sequence[str], why: str) -> dict[str, int]:
    """Hold, release or remove jobs; how many of them fared how.

    Args:
        settings: The hub's settings.
        out: The folder of HTCondor's configuration.
        action: What to do.
        jobs: Their ids (`12.0`), or a ClassAd expression that is true for them.
        why: What their owners will read.

    Raises:
        NotAvailableError: The queue does not answer.
    """
    token = operators.credential(settings, out / "condor_config")
    identity = operator_identity(settings.trust_domain)
    audit = Audit(audit_file(settings.state_dir))
    audit.write("operator", action=action, jobs=jobs, why=why, issued_jti=token.jti, identity=identity)
    audit.close()
    actions = bindings().JobAction
    verb = {"hold": actions.Hold, "release": actions.Release, "remove": actions.Remove}[action]
    whom = jobs if isinstance(jobs, str) else list(jobs)
    answer = operators.on_queue(settings, token.token, lambda schedd: schedd.act(verb, whom, why))
    return {words: int(answer.get(name, 0)) for name, words in _WORDS.items() if answer.get(name, 0)}
