"""`fallow hub jobs`: the operator holds, releases or removes anybody's jobs, by an identity that can do no more."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from fallow.errors import NotAvailableError
from fallow.queue.session import LOCK, bindings, install_token
from fallow_matcher.gateway.audit import Audit, audit_file
from fallow_matcher.htcondor import effective, keys
from fallow_matcher.htcondor.idtokens import USER_RIGHTS, Mint
from fallow_matcher.identities import operator_identity
from fallow_matcher.settings import HubSettings

TOKEN_S = 600
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
    identity = operator_identity(settings.trust_domain)
    effective.add_user(out / "condor_config", settings.account, settings.schedd_name, identity)
    now = int(time.time())
    mint = Mint(settings.trust_domain, keys.directory(settings))
    token = mint.mint(keys.DAEMON_KEY, identity, USER_RIGHTS, now=now, expires=now + TOKEN_S)
    audit = Audit(audit_file(settings.state_dir))
    audit.write("operator", action=action, jobs=jobs, why=why, issued_jti=token.jti, identity=identity)
    audit.close()
    with LOCK:
        htcondor = bindings()
        actions = htcondor.JobAction
        verb = {"hold": actions.Hold, "release": actions.Release, "remove": actions.Remove}[action]
        install_token(settings.trust_domain, token.token)
        try:
            collector = htcondor.Collector(settings.collector_address)
            place = collector.locate(htcondor.DaemonType.Schedd, settings.schedd_name)
            whom = jobs if isinstance(jobs, str) else list(jobs)
            answer = htcondor.Schedd(place).act(verb, whom, why)
        except (htcondor.HTCondorException, OSError) as error:
            said = " ".join(str(error).split())
            raise NotAvailableError(f"The queue does not answer: {said}", retryable=True) from error
    return {words: int(answer.get(name, 0)) for name, words in _WORDS.items() if answer.get(name, 0)}
