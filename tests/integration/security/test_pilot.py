"""The pilot of one centre, and whoever stole its token: it advertises its own centre's slots, and that is all."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from fallow.client import connect
from fallow.queue.hub import open_queue
from fallow.queue.spec import JobSpec
from fallow_testbed.wait import wait_until

Operator = Callable[..., CompletedProcess[str]]
OWN, OTHER = "cedar", "alder"
NUMBERS = itertools.count(90001)

STARTD_AD = """
MyType = "Machine"
Name = "{name}"
Machine = "nowhere"
FallowCentre = {centre}
MyAddress = "<10.77.3.1:1>"
StartdIpAddr = "<10.77.3.1:1>"
State = "Unclaimed"
Activity = "Idle"
Requirements = false
Start = false
"""


@pytest.fixture(scope="module")
def thief(attacker: Callable[..., Any], condor_token: Callable[..., str]) -> Any:
    """Somebody with the token of a pilot of `OWN`."""
    return attacker(condor_token(f"launcher-{OWN}"))


@pytest.fixture(scope="module")
def victim(at: Callable[..., Any], operator: Operator, image: str) -> Iterator[str]:
    """A job of another centre's user that waits in the queue."""
    job = at("alice", queued, image)
    wait_until(lambda: state(operator, job) == ["1", "0"], "the victim's job", 20)
    yield job
    at("alice", removed, job)


def queued(image: str) -> str:
    """Submit a job that no pilot takes; called at the desk."""
    spec = JobSpec(
        run="victim", key="victim", name="victim", image=image, argv=("true",), directory=Path.cwd(),
        requirements="false",
    )  # fmt: skip
    return open_queue(connect()).submit([spec])[0]


def removed(job: str) -> int:
    """Remove a job; called at the desk."""
    return open_queue(connect()).remove(ids=[job])


def state(operator: Operator, job: str) -> list[str]:
    """Status and priority of a job."""
    return operator("condor_q", "-name", "queue@hub", job, "-af", "JobStatus", "JobPrio").stdout.split()


def names(operator: Operator, constraint: str = "true") -> list[str]:
    return operator("condor_status", "-any", "-constraint", constraint, "-af", "Name").stdout.split()


def advertise(thief: Any, operator: Operator, command: str, text: str) -> None:
    """Send an ad, then a good one of the thief's own; return when the collector has that, and so has judged the first."""
    ad = thief.put("ad", text)
    thief.run("condor_advertise", "-tcp", command, ad)
    own = f"slot1@{OWN}-{next(NUMBERS)}@nowhere"
    mark = thief.put("mark", STARTD_AD.format(name=own, centre=f'"{OWN}"'))
    sent = thief.run("condor_advertise", "-tcp", "UPDATE_STARTD_AD", mark)
    assert sent.returncode == 0, sent.stderr
    wait_until(lambda: own in names(operator), "the attacker's own ad", 20)


@pytest.mark.parametrize(
    "centre",
    [
        f'"{OTHER}"',
        f'"{OTHER.upper()}"',
        "undefined",
        "error",
        f'ifThenElse(TARGET.JobUniverse =?= undefined, "{OWN}", "{OTHER}")',
        f'strcat("{OWN}", "")',
        f'{{"{OWN}", "{OTHER}"}}',
        f'"{OWN}\\", \\"{OTHER}"',
        "AuthenticatedIdentity",
    ],
)
def test_it_cannot_advertise_as_another_centre(thief: Any, operator: Operator, centre: str) -> None:
    name = f"slot1@{OWN}-{next(NUMBERS)}@nowhere"
    advertise(thief, operator, "UPDATE_STARTD_AD", STARTD_AD.format(name=name, centre=centre))
    assert name not in names(operator)


@pytest.mark.parametrize(
    "name", [f"slot1@{OTHER}-1@nowhere", f"{OTHER}-1", "anything", f"{OWN}x-1", f"x@{OWN}-1@y"]
)
def test_it_cannot_advertise_under_the_name_of_anything_else(
    thief: Any, operator: Operator, name: str
) -> None:
    ad = STARTD_AD.format(name=name, centre=f'"{OWN}"') + "Forged = true\n"
    advertise(thief, operator, "UPDATE_STARTD_AD", ad)
    assert names(operator, "Forged =?= true") == []


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("UPDATE_SCHEDD_AD", "Scheduler"),
        ("UPDATE_NEGOTIATOR_AD", "Negotiator"),
        ("UPDATE_COLLECTOR_AD", "Collector"),
        ("UPDATE_SUBMITTOR_AD", "Submitter"),
        ("UPDATE_MASTER_AD", "DaemonMaster"),
        ("UPDATE_AD_GENERIC", "Generic"),
        ("UPDATE_ACCOUNTING_AD", "Accounting"),
    ],
)
def test_it_cannot_advertise_another_kind_of_daemon(
    thief: Any, operator: Operator, command: str, kind: str
) -> None:
    ad = STARTD_AD.format(name="queue@hub", centre=f'"{OTHER}"').replace("Machine", kind, 1)
    advertise(thief, operator, command, ad + "Forged = true\nScheddIpAddr = MyAddress\n")
    assert names(operator, "Forged =?= true") == []


@pytest.mark.parametrize(
    "command",
    ["INVALIDATE_STARTD_ADS", "INVALIDATE_MASTER_ADS", "INVALIDATE_SCHEDD_ADS", "INVALIDATE_ADS_GENERIC"],
)
def test_it_cannot_take_ads_away(thief: Any, operator: Operator, command: str) -> None:
    before = set(names(operator))
    query = 'MyType = "Query"\nTargetType = "Any"\nRequirements = true\n'
    advertise(thief, operator, command, query)
    assert before <= set(names(operator))


def test_it_sees_no_secret_of_a_claim(thief: Any) -> None:
    seen = thief.run("condor_status", "-any", "-long")
    assert seen.returncode == 0
    text = seen.stdout.lower()
    assert "fallowcentre" in text
    for word in ("claimid", "capability", "sessionkey", "childclaimids"):
        assert re.search(rf"^{word}(list)? =", text, re.MULTILINE) is None
    private = thief.run("condor_status", "-direct", "slot1@alder-1", "-long")
    assert "ClaimId" not in private.stdout


COMMANDS: dict[str, tuple[str, ...]] = {
    "read the queue": ("condor_q", "-name", "queue@hub", "-allusers"),
    "read the history": ("condor_history", "-name", "queue@hub"),
    "remove jobs": ("condor_rm", "-name", "queue@hub", "-all"),
    "hold jobs": ("condor_hold", "-name", "queue@hub", "-all"),
    "change jobs": ("condor_qedit", "-name", "queue@hub", "-constraint", "true", "JobPrio", "20"),
    "set job priorities": ("condor_prio", "-name", "queue@hub", "-p", "20", "-all"),
    "set a user's priority": ("condor_userprio", "-setfactor", "cedar.mona@fallow.test", "1"),
    "reset usage": ("condor_userprio", "-resetall"),
    "fetch a token": ("condor_token_fetch", "-type", "SCHEDD", "-name", "queue@hub"),
    "fetch a token of the collector": ("condor_token_fetch", "-type", "COLLECTOR", "-pool", "hub:9618"),
    "list token requests": ("condor_token_request_list", "-type", "COLLECTOR", "-pool", "hub:9618"),
    "approve tokens": ("condor_token_request_auto_approve", "-netblock", "0.0.0.0/0", "-lifetime", "600"),
    "read a log": ("condor_fetchlog", "-pool", "hub:9618", "hub", "SCHEDD"),
    "change the configuration": ("condor_config_val", "-collector", "-rset", "A = 1"),
    "read the queue's configuration": ("condor_config_val", "-schedd", "-name", "queue@hub", "SPOOL"),
    "stop a daemon": ("condor_off", "-name", "hub", "-daemon", "schedd"),
    "reconfigure": ("condor_reconfig", "-name", "hub"),
    "drain a pilot": ("condor_drain", "alder-1"),
    "vacate": ("condor_vacate", "-all"),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_it_cannot(what: str, thief: Any, victim: str, operator: Operator) -> None:
    said = thief.run(*COMMANDS[what])
    told = said.stdout + said.stderr
    assert said.returncode != 0 or "AUTHENTICATE" in told or "Can't" in told, told
    assert victim not in said.stdout
    assert "eyJ" not in said.stdout
    assert state(operator, victim) == ["1", "0"], "the other centre's job waits as before"


def test_it_cannot_submit(thief: Any) -> None:
    job = thief.put("job", "universe = vanilla\nexecutable = /bin/true\nqueue\n")
    said = thief.run("condor_submit", "-name", "queue@hub", "-spool", job)
    assert said.returncode != 0
    assert "submitted to cluster" not in said.stdout


def test_the_gateway_gives_it_nothing_but_images(
    at: Callable[..., Any], condor_token: Callable[..., str], image: str
) -> None:
    token = condor_token(f"launcher-{OWN}")
    assert at("alice", gateway_answers, token, image) == {
        "GET image": 200,
        "PUT image": 403,
        "PUT own offer": 403,
        "PUT other offer": 403,
        "POST storage": 403,
        "POST token": 401,
    }


def gateway_answers(token: str, image: str) -> dict[str, int]:
    """What each call of the gateway answers to a bearer; called at the desk."""
    import requests

    found = {}
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(Path(os.environ["HOME"]) / "ca.pem")
        session.headers["Authorization"] = f"Bearer {token}"
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        }
        for name, method, path, body in (
            ("GET image", "GET", f"images/{image}", {}),
            ("PUT image", "PUT", "images/sha256:" + 64 * "1", {}),
            ("PUT own offer", "PUT", f"offers/{OWN}", {}),
            ("PUT other offer", "PUT", f"offers/{OTHER}", {}),
            ("POST storage", "POST", "storage", {}),
            ("POST token", "POST", "token", form),
        ):
            answer = session.request(method, f"https://hub:8443/v1/{path}", data=body, timeout=30)
            found[name] = answer.status_code
    return found
