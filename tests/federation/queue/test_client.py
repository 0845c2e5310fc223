"""The queue client against bindings that can be made to fail; the real bindings are used in the integration tests."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from fallow.errors import FullError, NotAvailableError, RefusedError, UsageError
from fallow.queue import JobSpec, JobState, client
from fallow.queue.client import Queue
from fallow.queue.session import QueueToken

ALICES = jwt.encode({"sub": "alder.alice@fallow.test"}, "k" * 32)
FEDERATION = SimpleNamespace(trust_domain="fallow.test", collector="hub:9618", schedd="hub")


class HTCondorException(Exception):  # noqa: N818 - the bindings' own name
    pass


class Schedd:
    """The part of a schedd that counts: jobs by id, and failures to come."""

    def __init__(self) -> None:
        self.ads: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.failures: dict[str, list[str]] = {}
        self.constraints: list[str] = []
        self.before_last_step: Callable[[], object] | None = None
        self._clusters = itertools.count(1)

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if self.failures.get(method):
            raise HTCondorException(self.failures[method].pop(0))

    def submit(self, description: Any, *, spool: bool, itemdata: Any) -> Any:
        self._called("submit")
        assert spool or description["hold"] == "true"
        cluster = next(self._clusters)
        rows = list(itemdata)
        for process, row in enumerate(rows):
            self.ads[f"{cluster}.{process}"] = {
                "ClusterId": cluster, "ProcId": process, "JobStatus": 5, "HoldReasonCode": 16 if spool else 15,
                "FallowRun": row["f_run"].strip('"'), "FallowKey": row["f_key"].strip('"'),
            }  # fmt: skip
        return SimpleNamespace(cluster=lambda: cluster, first_proc=lambda: 0, num_procs=lambda: len(rows))

    def spool(self, result: Any) -> None:
        self._called("spool")
        self._let_go(f"ClusterId == {result.cluster()}")

    def _let_go(self, constraint: str) -> None:
        if self.before_last_step is not None:
            act, self.before_last_step = self.before_last_step, None
            act()
        for ad in self.ads.values():
            if f"ClusterId == {ad['ClusterId']}" in constraint.split(" || "):
                ad.update(JobStatus=1, HoldReasonCode=None)

    def query(self, constraint: str, projection: Sequence[str] = (), **_: Any) -> list[dict[str, Any]]:
        self._called("query")
        self.constraints.append(constraint)
        return [dict(ad) for ad in self.ads.values() if f'"{ad["FallowRun"]}"' in constraint]

    def history(self, constraint: str, projection: Sequence[str], match: int) -> list[dict[str, Any]]:
        self._called("history")
        self.constraints.append(constraint)
        return []

    def act(self, action: str, constraint: str, reason: tuple[str, int] | None = None) -> dict[str, int]:
        self._called(action)
        if action == "release":
            self._let_go(constraint)
            return {"TotalSuccess": 1}
        gone = [
            job
            for job, ad in self.ads.items()
            if f"ClusterId == {ad['ClusterId']}" in constraint or f'"{ad["FallowRun"]}"' in constraint
        ]
        for job in gone:
            del self.ads[job]
        return {"TotalSuccess": len(gone)}


@pytest.fixture
def schedd(monkeypatch: pytest.MonkeyPatch) -> Schedd:
    made = Schedd()
    bindings = SimpleNamespace(
        HTCondorException=HTCondorException,
        Collector=lambda pool: SimpleNamespace(locate=lambda kind, name: {"MyAddress": "<hub>"}),
        DaemonType=SimpleNamespace(Schedd="schedd"),
        Schedd=lambda ad: made,
        Submit=lambda shared: shared,
        JobAction=SimpleNamespace(Remove="remove", Release="release"),
        QueryOpt=SimpleNamespace(DefaultMyJobsOnly=4),
    )
    monkeypatch.setattr(client, "bindings", lambda: bindings)
    monkeypatch.setattr(client, "install_token", lambda domain, token: None)
    return made


@pytest.fixture(params=["spool", "release"])
def last_step(request: pytest.FixtureRequest) -> str:
    """What completes a submission: the files are sent, or a job without any is let go."""
    return str(request.param)


@pytest.fixture
def job(spec: Callable[..., JobSpec], last_step: str, tmp_path: Path) -> Callable[..., JobSpec]:
    """Makes specifications of jobs with a file, or of jobs without."""
    files = (tmp_path / "data",) if last_step == "spool" else ()
    return lambda **changes: spec(input_files=files, **changes)


def a_queue() -> Queue:
    return Queue(FEDERATION, lambda: QueueToken(ALICES, 1e12), clock=lambda: 0.0)


def test_a_batch_is_one_transaction(schedd: Schedd, job: Any, last_step: str) -> None:
    ids = a_queue().submit([job(key=str(number)) for number in range(100)])
    assert ids == [f"1.{number}" for number in range(100)]
    assert schedd.calls == ["query", "submit", last_step]


def test_a_large_batch_is_several_clusters_that_are_let_go_together(
    schedd: Schedd, job: Any, last_step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CLUSTER_JOBS", 2)
    ids = a_queue().submit([job(key=str(number)) for number in range(5)])
    assert ids == ["1.0", "1.1", "2.0", "2.1", "3.0"]
    assert schedd.calls[:4] == ["query", "submit", "submit", "submit"]
    assert set(schedd.calls[4:]) == {last_step}
    assert {ad["JobStatus"] for ad in schedd.ads.values()} == {1}


def test_of_a_large_batch_that_breaks_off_nothing_is_left(
    schedd: Schedd, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(constraint: str) -> None:
        raise HTCondorException(f"no {constraint}")

    monkeypatch.setattr(client, "CLUSTER_JOBS", 2)
    monkeypatch.setattr(schedd, "_let_go", break_off)
    with pytest.raises(NotAvailableError):
        a_queue().submit([job(key=str(number)) for number in range(5)])
    assert schedd.ads == {}


def test_a_key_submitted_twice_is_one_job(schedd: Schedd, spec: Any) -> None:
    queue = a_queue()
    first = queue.submit([spec(key="a")])
    assert queue.submit([spec(key="a"), spec(key="b")]) == [*first, "2.0"]
    assert len(schedd.ads) == 2


def test_a_later_client_finds_the_keys_that_are_in_the_queue(schedd: Schedd, spec: Any) -> None:
    first = a_queue().submit([spec(key="a")])
    assert a_queue().submit([spec(key="a")]) == first


def test_two_jobs_of_a_batch_cannot_have_the_same_key(schedd: Schedd, spec: Any) -> None:
    with pytest.raises(UsageError, match="same run and key"):
        a_queue().submit([spec(), spec()])
    assert schedd.calls == []


def test_jobs_that_could_not_be_completed_are_removed(schedd: Schedd, job: Any, last_step: str) -> None:
    schedd.failures[last_step] = ["connection lost"]
    queue = a_queue()
    with pytest.raises(NotAvailableError, match="connection lost") as caught:
        queue.submit([job()])
    assert caught.value.retryable
    assert schedd.ads == {}
    assert queue.submit([job()]) == ["2.0"]


def test_jobs_that_an_earlier_client_left_half_submitted_are_replaced(
    schedd: Schedd, job: Any, last_step: str
) -> None:
    schedd.failures[last_step] = ["killed"]
    schedd.failures["remove"] = ["killed"]
    with pytest.raises(NotAvailableError):
        a_queue().submit([job()])
    assert [ad["HoldReasonCode"] for ad in schedd.ads.values()] == [16 if last_step == "spool" else 15]
    assert a_queue().submit([job()]) == ["2.0"]
    assert list(schedd.ads) == ["2.0"]


def test_another_clients_jobs_that_are_not_complete_yet_are_left_alone(schedd: Schedd, job: Any) -> None:
    first, second = a_queue(), a_queue()
    found: list[list[str]] = []
    schedd.before_last_step = lambda: found.append(second.submit([job(key="b")]))
    assert first.submit([job(key="a")]) == ["1.0"]
    assert found == [["2.0"]]
    assert {ad["FallowKey"]: ad["JobStatus"] for ad in schedd.ads.values()} == {"a": 1, "b": 1}


def test_what_has_ended_is_asked_for_without_what_still_waits(schedd: Schedd, spec: Any) -> None:
    a_queue().status("r1", ended=True)
    assert schedd.constraints == [
        'FallowRun =?= "r1" && (JobStatus == 3 || JobStatus == 4 || JobStatus == 5)'
    ]


def test_of_what_has_left_the_queue_only_the_users_own_is_asked_for(schedd: Schedd) -> None:
    a_queue().history(["1.0"])
    assert schedd.constraints == ['Owner =?= "alder.alice" && ((ClusterId == 1 && (ProcId == 0)))']


def test_many_ids_make_a_short_constraint(schedd: Schedd) -> None:
    a_queue().ads([*(f"7.{number}" for number in range(300)), "7.400", "9.1"])
    assert schedd.constraints == [
        "(ClusterId == 7 && (ProcId >= 0 && ProcId <= 299 || ProcId == 400)) || (ClusterId == 9 && (ProcId == 1))"
    ]


def test_a_removed_job_may_be_submitted_again_under_its_key(schedd: Schedd, spec: Any) -> None:
    queue = a_queue()
    queue.submit([spec()])
    assert queue.remove(ids=["1.0"]) == 1
    assert queue.submit([spec()]) == ["2.0"]


def test_all_jobs_of_a_run_are_removed_in_one_call(schedd: Schedd, spec: Any) -> None:
    queue = a_queue()
    queue.submit([spec(key=str(number)) for number in range(20)])
    assert queue.remove(run="r1") == 20
    assert schedd.calls.count("remove") == 1


def test_status_is_one_query(schedd: Schedd, spec: Any) -> None:
    queue = a_queue()
    queue.submit([spec(key=str(number)) for number in range(20)])
    schedd.calls.clear()
    assert {job.state for job in queue.status("r1").values()} == {JobState.WAITING}
    assert schedd.calls == ["query"]


def test_a_refusal_says_what_the_schedd_said_and_asks_for_a_new_token(schedd: Schedd, spec: Any) -> None:
    tokens = iter([QueueToken("first", 1e12), QueueToken("second", 1e12)])
    queue = Queue(FEDERATION, lambda: next(tokens), clock=lambda: 0.0)
    schedd.failures["submit"] = ["SUBMIT_REQUIREMENT_Container failed: every job needs an image"]
    with pytest.raises(RefusedError, match="every job needs an image"):
        queue.submit([spec()])
    queue.status("r1")
    assert list(tokens) == []


def test_a_user_with_as_many_jobs_as_the_hub_takes_is_told_so(schedd: Schedd, spec: Any) -> None:
    queue = a_queue()
    schedd.failures["submit"] = ["expected next ProcId to be 0, but Schedd says -3"]
    with pytest.raises(FullError, match=r"as many of your jobs.*max_jobs_per_user.*campaign") as caught:
        queue.submit([spec()])
    assert caught.value.retryable
    assert queue.submit([spec()]) == ["1.0"]


def test_the_token_is_renewed_before_it_ends(schedd: Schedd) -> None:
    now = [0.0]
    given: list[float] = []

    def new_token() -> QueueToken:
        given.append(now[0])
        return QueueToken("t", now[0] + 1000)

    queue = Queue(FEDERATION, new_token, clock=lambda: now[0])
    for moment in (0.0, 500.0, 900.0, 1100.0):
        now[0] = moment
        queue.status("r1")
    assert given == [0.0, 900.0]


def test_what_is_not_a_job_id_never_reaches_the_schedd(schedd: Schedd) -> None:
    with pytest.raises(UsageError, match="not a job id"):
        a_queue().remove(ids=["1.0 || true"])
    assert schedd.calls == []


def test_a_token_is_not_shown(schedd: Schedd) -> None:
    assert "secret" not in repr(QueueToken("secret", 1.0))
