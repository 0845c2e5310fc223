"""A submitter with hostile wishes: identity, others' jobs, the hub's files, text that wants to be code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from fallow.client import connect
from fallow.messages import SCOPE_USER
from fallow.queue.description import description
from fallow.queue.hub import open_queue
from fallow.queue.session import bindings, install_token
from fallow.queue.spec import JobSpec
from fallow_matcher.htcondor import policy
from fallow_testbed.wait import wait_until

OWNER = "alder.alice"
SHOWN = ("Owner", "User", "AcctGroup", "AcctGroupUser", "AccountingGroup", "FallowUserCentre", "NiceUser")
HONEST = {
    "Owner": OWNER,
    "User": f"{OWNER}@fallow.test",
    "AcctGroup": "alder.analysis",
    "AcctGroupUser": "alice",
    "AccountingGroup": "alder.analysis.alice",
    "FallowUserCentre": "alder",
    "NiceUser": False,
}


def schedd() -> Any:
    """The hub's schedd, through the bindings, as a client that does not use ours; called at the desk."""
    hub = connect()
    federation = hub.federation()
    htcondor = bindings()
    install_token(federation.trust_domain, hub.exchange(SCOPE_USER).token)
    place = htcondor.Collector(federation.collector).locate(htcondor.DaemonType.Schedd, federation.schedd)
    return htcondor.Schedd(place)


def attempted(image: str, wishes: list[dict[str, str]]) -> list[str | dict[str, Any]]:
    """Submit a good job with each set of changes: the refusal's words, or what the job looks like; called at the desk."""
    htcondor, queue = bindings(), schedd()
    found: list[str | dict[str, Any]] = []
    for wish in wishes:
        usual = {"run": "hostile", "name": "hostile", "walltime_s": 60, "requirements": "false"}
        spec = JobSpec(**usual, key=str(len(found)), image=image, argv=("true",), directory=Path.cwd())
        shared, rows = description([spec])
        try:
            submit = htcondor.Submit({**shared, **wish})
            result = queue.submit(submit, spool="hold" not in wish, itemdata=iter(rows))
        except (htcondor.HTCondorException, ValueError) as error:
            found.append(" ".join(str(error).split()))
            continue
        mine = f"ClusterId == {result.cluster()}"
        ads = queue.query(mine, [*SHOWN, *(name.removeprefix("MY.") for name in wish)])
        found.append({name: str(value) if name not in SHOWN else value for name, value in ads[0].items()})
        queue.act(htcondor.JobAction.Remove, mine)
    return found


CLAIMS: dict[str, dict[str, str]] = {
    "owner": {"MY.Owner": '"birch.bob"'},
    "hub as owner": {"MY.Owner": '"condor"'},
    "user": {"MY.User": '"birch.bob@fallow.test"'},
    "centre": {"MY.FallowUserCentre": '"birch"'},
    "centre as an expression": {"MY.FallowUserCentre": 'strcat("bir", "ch")'},
    "accounting group": {"accounting_group": "birch.analysis", "accounting_group_user": "bob"},
    "accounting group, raw": {"MY.AcctGroup": '"birch.urgent"', "MY.AccountingGroup": '"birch.urgent.bob"'},
    "accounting group, evaluated": {
        "MY.AcctGroup": 'ifThenElse(time() > 0, "birch.analysis", "alder.analysis")'
    },
    "group user": {"MY.AcctGroupUser": '"bob"'},
    "nice": {"MY.NiceUser": "true"},
}

SENTENCES = {
    "image": "A job runs in an image named by its digest",
    "universe": "Only container jobs are taken",
    "outside": "would run outside its container or reach files of the hub",
    "files": "Input and output are plain file names",
    "output": "Standard input, output and error are files beside the job",
    "type": "FallowWorkType is one of",
    "further": "FallowImages is a space-separated list",
    "restricted": "This work type is for members of the group",
    "spool": "Files of the hub cannot be used as input",
}
WISHES: dict[str, tuple[str, dict[str, str]]] = {
    "an image by tag": ("image", {"MY.ContainerImage": '"docker://debian:13"'}),
    "an image of the hub's files": ("image", {"MY.ContainerImage": '"/etc/passwd"'}),
    "an image beside the store": (
        "image",
        {"MY.ContainerImage": '"/fallow/images/sha256-' + 64 * "0" + '.sif/../../x"'},
    ),
    "an image by URL": ("image", {"MY.ContainerImage": '"http://169.254.169.254/x.sif"'}),
    "an image as an expression": (
        "image",
        {"MY.ContainerImage": 'ifThenElse(JobStatus == 2, "/etc/passwd", "/x")'},
    ),
    "further images with quotes": ("further", {"MY.FallowImages": '"sha256:x\\" --bind /"'}),
    "no container": ("image", {"MY.WantContainer": "false"}),
    "a scheduler job": ("universe", {"MY.JobUniverse": "7"}),
    "a local job": ("universe", {"MY.JobUniverse": "12"}),
    "a grid job": ("universe", {"MY.JobUniverse": "9"}),
    "a pre-command": ("outside", {"MY.PreCmd": '"/bin/sh"'}),
    "a post-command": ("outside", {"MY.PostCmd": '"/bin/sh"'}),
    "a transfer plugin": ("outside", {"MY.TransferPlugins": '"x=/bin/sh"'}),
    "a hook": ("outside", {"MY.HookKeyword": '"EVIL"'}),
    "chirp": ("outside", {"MY.WantIOProxy": "true"}),
    "a container's target": ("outside", {"MY.ContainerTargetDir": '"/home"'}),
    "a checkpoint destination": ("outside", {"MY.CheckpointDestination": '"file:///etc"'}),
    "an output destination": ("outside", {"MY.OutputDestination": '"http://127.0.0.1:1/"'}),
    "a file:// input": ("files", {"MY.TransferInput": '"file:///etc/passwd"'}),
    "a link-local input": ("files", {"MY.TransferInput": '"http://169.254.169.254/latest/meta-data"'}),
    "a loopback input": ("files", {"MY.TransferInput": '"http://127.0.0.1:9333/"'}),
    "an input of another host": ("files", {"MY.TransferInput": '"https://example.org/x"'}),
    "an input of many": ("files", {"MY.TransferInput": '"a,b,osdf:///x"'}),
    "a remap to a URL": ("files", {"MY.TransferOutputRemaps": '"a=http://127.0.0.1/"'}),
    "an input with a quote": ("files", {"MY.TransferInput": '"a\\"b"'}),
    "an absolute output": ("output", {"MY.Out": '"/etc/cron.d/x"'}),
    "an output above": ("output", {"MY.Err": '"../../x"'}),
    "an absolute standard input": ("output", {"MY.In": '"/etc/shadow"'}),
    "a restricted work type": ("restricted", {"MY.FallowWorkType": '"urgent"'}),
    "a restricted work type with a scope of one's own": (
        "restricted",
        {"MY.FallowWorkType": '"urgent"', "MY.AuthTokenScopes": '"fallow:/urgent"'},
    ),
    "an input without spooling": ("spool", {"hold": "true", "MY.TransferInput": '"/etc/passwd"'}),
    "a program without spooling": ("spool", {"hold": "true", "MY.TransferExecutable": "true"}),
    "standard input without spooling": ("spool", {"hold": "true", "MY.Iwd": '"/etc"', "MY.In": '"passwd"'}),
    "neither held nor spooled": ("spool", {"hold": "false"}),
    "a work type of one's own": ("type", {"MY.FallowWorkType": '"admin"'}),
    "a work type that is code": ("type", {"MY.FallowWorkType": '"test\\" || true || \\""'}),
}

LATER = 'ifThenElse(JobStatus == 5, undefined, "/etc/passwd")'
"""Nothing while a job is submitted, a file of the hub afterwards."""
HIDDEN = {
    name: {f"MY.{name}": LATER}
    for name in (
        "FallowImages", "FallowImageSource", "FallowProject", "TransferInput", "TransferOutput", "TransferOutputRemaps",
        "In", "Out", "Err", "UserLog",
    )
}  # fmt: skip
FOLDER = {"hold": "true", "MY.Iwd": '"/etc"', "MY.StageInStart": "0", "MY.KeepClaimIdle": "86400"}
"""A job without files that names its folder on the hub."""
HIDDEN["all at once"] = {name: value for wish in HIDDEN.values() for name, value in wish.items()}


@pytest.fixture(scope="module")
def answers(at: Callable[..., Any], image: str) -> dict[str, Any]:
    """What became of each hostile submission."""
    wishes = {**CLAIMS, **HIDDEN, "folder": FOLDER, **{name: wish for name, (_, wish) in WISHES.items()}}
    return dict(zip(wishes, at("alice", attempted, image, list(wishes.values())), strict=True))


@pytest.mark.parametrize("what", CLAIMS)
def test_whatever_a_job_claims_the_schedd_stamps_who_it_is(what: str, answers: dict[str, Any]) -> None:
    answer = answers[what]
    if isinstance(answer, str):
        assert re.search("owner|user|EACCES|permission", answer, re.IGNORECASE), answer
    else:
        assert {name: answer[name] for name in SHOWN} == HONEST


@pytest.mark.parametrize("what", WISHES)
def test_what_must_not_be_is_refused_with_a_sentence(what: str, answers: dict[str, Any]) -> None:
    sentence, _ = WISHES[what]
    assert isinstance(answers[what], str), answers[what]
    assert SENTENCES[sentence] in answers[what]


@pytest.mark.parametrize("what", HIDDEN)
def test_what_has_no_value_at_submission_never_gets_one(what: str, answers: dict[str, Any]) -> None:
    answer = answers[what]
    assert "passwd" not in str(answer), answer
    assert isinstance(answer, dict)


def test_a_job_without_files_gets_a_folder_of_its_own(answers: dict[str, Any]) -> None:
    answer = answers["folder"]
    assert re.fullmatch(r"/var/lib/fallow/spool/\d+/0/cluster\d+[.]proc0[.]subproc0", answer["Iwd"])
    assert int(answer["StageInStart"]) > 0
    assert int(answer["KeepClaimIdle"]) == policy.KEPT_IDLE_S


NAMES = [
    'a"b',
    "a\\b",
    "it's",
    "x = y",
    "]; [Owner = 1",
    '" || true || "',
    "$(HOME) $ENV(PATH)",
    "ünïcödé",
    "a;b`c`|d",
]


def named(image: str, names: list[str]) -> dict[str, str]:
    """Submit jobs with such names and keys: key → name, as the queue has them; called at the desk."""
    queue = open_queue(connect())
    usual = {
        "run": "names",
        "image": image,
        "argv": ("true",),
        "directory": Path.cwd(),
        "requirements": "false",
    }
    queue.submit([JobSpec(**usual, key=name, name=name) for name in names])
    found = {key: job.name for key, job in queue.status("names").items()}
    queue.remove(run="names")
    return found


def test_quotes_and_code_in_a_name_stay_text(at: Callable[..., Any], image: str) -> None:
    assert at("alice", named, image, NAMES) == {name: name for name in NAMES}


@pytest.mark.parametrize("character", ["\0", "\n", "\r", "\x1b"])
def test_control_characters_never_leave_the_client(
    at: Callable[..., Any], image: str, character: str
) -> None:
    with pytest.raises(AssertionError, match="holds a control character"):
        at("alice", named, image, [f"a{character}Owner = condor"])


@pytest.fixture(scope="module")
def job_of_bob(
    at: Callable[..., Any],
    operator: Callable[..., CompletedProcess[str]],
    image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Path]]:
    """A job of somebody else that waits in the queue, and the directory that it belongs to."""
    directory = tmp_path_factory.mktemp("bob")
    job = at("bob", bobs, image, directory)
    ask = ["condor_q", "-name", "queue@hub", job, "-af", "JobStatus"]
    wait_until(lambda: operator(*ask).stdout.strip() == "1", "bob's job", 20)
    yield job, directory
    at("bob", removed, job)


def bobs(image: str, directory: Path) -> str:
    """Submit a job that no pilot takes; called at the desk."""
    usual = {"image": image, "argv": ("true",), "requirements": "false"}
    return open_queue(connect()).submit(
        [JobSpec(run="bobs", key="1", name="bobs", directory=directory, **usual)]
    )[0]


def removed(job: str) -> int:
    """Remove a job; called at the desk."""
    return open_queue(connect()).remove(ids=[job])


def attacked(job: str, into: str) -> dict[str, str]:
    """Try everything on somebody else's job: action → what came of it; called at the desk."""
    htcondor, queue = bindings(), schedd()
    action = htcondor.JobAction
    attempts: dict[str, Callable[[], Any]] = {
        "remove": lambda: queue.act(action.Remove, [job])["TotalSuccess"],
        "hold": lambda: queue.act(action.Hold, [job])["TotalSuccess"],
        "vacate": lambda: queue.act(action.Vacate, [job])["TotalSuccess"],
        "edit": lambda: queue.edit([job], "JobPrio", "20"),
        "steal": lambda: queue.edit([job], "Owner", '"alder.alice"'),
        "fetch": lambda: queue.retrieve(job),
        "export": lambda: queue.export_jobs([job], into, into),
        "priority": lambda: htcondor.Negotiator().setFactor("birch.analysis.bob@fallow.test", 1e6),
    }
    found = {}
    for name, attempt in attempts.items():
        try:
            found[name] = str(attempt())
        except (htcondor.HTCondorException, OSError, TypeError, ValueError) as error:
            found[name] = f"refused: {error}"
    return found


def test_nobody_touches_anothers_job(
    at: Callable[..., Any],
    operator: Callable[..., CompletedProcess[str]],
    job_of_bob: tuple[str, Path],
    tmp_path: Path,
) -> None:
    job, directory = job_of_bob
    for name, answer in at("alice", attacked, job, str(tmp_path)).items():
        assert answer == "0" or answer.startswith("refused:") or name == "fetch", (name, answer)
    assert list(directory.iterdir()) == [], "fetching brought nothing, whatever it answered"
    ask = ["condor_q", "-name", "queue@hub", job, "-af", "JobStatus", "JobPrio", "Owner"]
    assert operator(*ask).stdout.split() == ["1", "0", "birch.bob"]
    assert list(tmp_path.iterdir()) == []


EDITS = {
    "Owner": '"birch.bob"',
    "GlobalJobId": '"queue@hub#1.0#1"',
    "NumJobMatches": "-5",
    "JobCurrentStartDate": "1",
    "MachineAttrFallowCentre0": '"alder"',
    "MachineAttrCpus0": "64",
    "FallowUserCentre": '"birch"',
    "AcctGroup": '"birch.analysis"',
    "AccountingGroup": '"birch.analysis.bob"',
    "ContainerImage": '"/etc/passwd"',
    "WantContainer": "false",
    "JobUniverse": "7",
    "TransferInput": '"/etc/passwd"',
    "Iwd": '"/etc"',
    "Out": '"/etc/x"',
    "UserLog": '"/etc/x"',
    "PreCmd": '"/bin/sh"',
    "FallowImages": '"x"',
    "TransferPlugins": '"x=y"',
    "WantIOProxy": "true",
}


def edited(image: str, edits: dict[str, str]) -> dict[str, str]:
    """Change one's own job after it was taken: attribute → what came of it; called at the desk."""
    htcondor, queue = bindings(), schedd()
    spec = JobSpec(
        run="edited",
        key="1",
        name="edited",
        image=image,
        argv=("true",),
        directory=Path.cwd(),
        requirements="false",
    )
    job = open_queue(connect()).submit([spec])[0]
    found = {}
    for name, value in edits.items():
        try:
            queue.edit([job], name, value)
            found[name] = "changed"
        except htcondor.HTCondorException:
            found[name] = "refused"
    queue.act(htcondor.JobAction.Remove, [job])
    return found


def test_what_was_checked_at_submission_cannot_be_changed_later(at: Callable[..., Any], image: str) -> None:
    assert at("alice", edited, image, EDITS) == dict.fromkeys(EDITS, "refused")
