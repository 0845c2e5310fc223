"""The hub's gateway, seen from a client: one method per call, typed answers, `FallowError` on failure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Callable, TypeVar
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from fallow.capacity import CapacityHistory
from fallow.capacity_requests import CapacityRequests
from fallow.client import ClientSettings
from fallow.errors import NotAvailableError, RefusedError
from fallow.explanations import Explanation
from fallow.fits import MOST, FitAnswer, FitAnswers, FitQuestion, FitRequest
from fallow.gateways import Gateways
from fallow.ledger.messages import AllPilots, Balances, Key, Lines, Reconciliation, Usage
from fallow.ledger.messages import Line as LedgerLine
from fallow.ledger.monthly import MonthReport
from fallow.messages import (
    ACCESS_TOKEN_TYPE,
    JWT_TOKEN_TYPE,
    TOKEN_EXCHANGE_GRANT,
    Federation,
    ImageUpload,
    ImageUrl,
    Refusal,
    StorageAccess,
    TokenResponse,
)
from fallow.offers import Message, Offer, Offers
from fallow.reports import PilotReport
from fallow.rules.entry import Line
from fallow.rules.messages import ApprovalBody, DocumentBody, HistoryPage, RulesReport, Simulation
from fallow.web import PASSING, Answer, Web, for_people

M = TypeVar("M", bound=Message)


class HubRefusedError(RefusedError):
    """The gateway said no.

    Args:
        status: The HTTP status.
        code: The gateway's error code, e.g. `insufficient_scope`; empty where it gave none.
    """

    def __init__(self, what: str, *, status: int, code: str = "", remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.status = status
        self.code = code


class HubUnavailableError(NotAvailableError):
    """The gateway is not there, overloaded, or answers nonsense.

    Args:
        retry_after_s: Seconds that the gateway asks to wait, or None.
    """

    def __init__(self, what: str, *, retryable: bool = True, retry_after_s: float | None = None) -> None:
        remedy = "Try again later." if retryable else "Check that the hub's URL is a Fallow gateway's."
        super().__init__(what, remedy=remedy, retryable=retryable)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class CondorToken:
    """An HTCondor IDTOKEN and when it expires."""

    token: str = field(repr=False)
    expires: datetime


class HubClient:
    """Calls the gateway of a federation's hub, or of either where it has two.

    Args:
        settings: Where the hub is and who vouches for its certificate.
        token: Gives the user's WLCG token; called only for calls that need one.
        web: How requests are sent; made from `settings` unless given.
    """

    def __init__(self, settings: ClientSettings, *, token: Callable[[], str], web: Web | None = None) -> None:
        self._gateways = Gateways(settings, web or Web(settings.ca_file))
        self._token = token

    def federation(self) -> Federation:
        """What this federation is: its daemons, issuers and centres."""
        return _read(Federation, self._gateways.send("GET", "/v1/federation", repeatable=True))

    def exchange(self, scope: str) -> CondorToken:
        """Exchange the WLCG token for an HTCondor one of at most `scope`, e.g. `messages.SCOPE_USER`.

        A lost answer only leaves a short-lived token behind that nobody has, so the call may be repeated.
        """
        form = {
            "grant_type": TOKEN_EXCHANGE_GRANT,
            "subject_token": self._token(),
            "subject_token_type": ACCESS_TOKEN_TYPE,
            "requested_token_type": JWT_TOKEN_TYPE,
            "scope": scope,
        }
        asked = datetime.now(timezone.utc)
        answer = _read(TokenResponse, self._gateways.send("POST", "/v1/token", form=form, repeatable=True))
        return CondorToken(answer.access_token, asked + timedelta(seconds=answer.expires_in))

    def offers(self) -> list[Offer]:
        """Every offer that has not expired."""
        return _read(Offers, self._gateways.send("GET", "/v1/offers", repeatable=True)).offers

    def publish_offer(self, centre: str, offer: Offer) -> None:
        """Store a centre's offer in place of its last one."""
        path = f"/v1/offers/{quote(centre, safe='')}"
        document = offer.model_dump_json()
        _accepted(self._gateways.send("PUT", path, bearer=self._token(), document=document, repeatable=True))

    def send_report(self, report: PilotReport, *, repeatable: bool = True) -> None:
        """Store a pilot's report in place of its last one; the token is the centre's HTCondor one.

        Args:
            report: What the pilot says.
            repeatable: Whether to try again, for up to a minute, while the hub is away.
        """
        path = f"/v1/pilots/{quote(report.pilot, safe='')}/report"
        document = report.model_dump_json()
        _accepted(
            self._gateways.send("PUT", path, bearer=self._token(), document=document, repeatable=repeatable)
        )

    def report(self, pilot: str) -> PilotReport | None:
        """The last report of a pilot of the launcher's own centre, or None if it has sent none."""
        path = f"/v1/pilots/{quote(pilot, safe='')}/report"
        answer = self._gateways.send("GET", path, bearer=self._token(), repeatable=True)
        return None if answer.status == 404 else _read(PilotReport, answer)

    def capacity_history(self, since_s: int) -> CapacityHistory:
        """What each centre offered, ran and used in the last `since_s` seconds."""
        path = f"/v1/capacity/history?since_s={since_s}"
        return _read(CapacityHistory, self._gateways.send("GET", path, repeatable=True))

    def capacity_requests(self, centre: str) -> CapacityRequests:
        """What an admin of a centre has asked of it."""
        path = f"/v1/requests/{quote(centre, safe='')}"
        return _read(
            CapacityRequests, self._gateways.send("GET", path, bearer=self._token(), repeatable=True)
        )

    def balances(self) -> Balances:
        """What every centre gave and used, as it counts now."""
        return _read(Balances, self._ledger("balance"))

    def usage(self, by: Sequence[Key], since: int, until: int, **limits: str | bool) -> Usage:
        """Sums over the runs that ended from `since` up to `until`, unix time.

        Args:
            by: What the runs of one sum have in common.
            since: From when on.
            until: Up to when.
            **limits: `consumer`, `provider`: only this centre's; `lent`: only work for another centre.
        """
        wanted = [("by", key.value) for key in by]
        wanted += [(name, str(value).lower()) for name, value in limits.items()]
        return _read(Usage, self._ledger("usage", [*wanted, *_span(since, until)]))

    def ledger_lines(self, since: int, until: int) -> Iterator[tuple[str, LedgerLine]]:
        """The runs in which the caller's centre gave or used, page by page, each with the name of that centre."""
        after, more = 0, True
        while more:
            page = _read(Lines, self._ledger("lines", [("after", str(after)), *_span(since, until)]))
            yield from ((page.centre, line) for line in page.lines)
            more = page.more and bool(page.lines)
            after = page.lines[-1].number if page.lines else after

    def month_report(self, centre: str, month: str) -> MonthReport:
        """What a centre gave and got in one month of UTC, written as 2026-11."""
        return _read(MonthReport, self._ledger(f"report/{quote(centre, safe='')}", [("month", month)]))

    def pilots(self, since: int, until: int) -> AllPilots:
        """What the pilots of every centre offered, that started from `since` up to `until`."""
        return _read(AllPilots, self._ledger("pilots", _span(since, until)))

    def reconciliation(self, since: int, until: int) -> Reconciliation:
        """How far the hub's view of the runs and the pilots' agree."""
        return _read(Reconciliation, self._ledger("reconciliation", _span(since, until)))

    def _ledger(self, what: str, wanted: Sequence[tuple[str, str]] = ()) -> Answer:
        path = f"/v1/ledger/{what}?{urlencode(wanted)}"
        return self._gateways.send("GET", path, bearer=self._token(), repeatable=True)

    def explain(self, job: str) -> Explanation:
        """Why the user's own job waits, or why it runs or ran where and when it does."""
        path = f"/v1/jobs/{quote(job, safe='.')}/explain"
        return _read(Explanation, self._gateways.send("GET", path, bearer=self._token(), repeatable=True))

    def ask(self, model: type[M], method: str, path: str, document: str | None = None) -> M:
        """One call in the user's name that may be repeated, for the clients of single topics."""
        answer = self._gateways.send(method, path, bearer=self._token(), document=document, repeatable=True)
        return _read(model, answer)

    def fit(self, requests: Sequence[FitRequest], *, patient: bool = True) -> list[FitAnswer]:
        """Whether such jobs would find a slot now, in the order of `requests`.

        Args:
            requests: What the jobs would ask for.
            patient: Whether to try again while the hub is away.
        """
        found: list[FitAnswer] = []
        for start in range(0, len(requests), MOST):
            body = FitQuestion(requests=list(requests[start : start + MOST])).model_dump_json()
            answer = self._gateways.send(
                "POST", "/v1/fit", bearer=self._token(), document=body, repeatable=patient
            )
            found += _read(FitAnswers, answer).answers
        return found

    def storage(self, below: str = "") -> StorageAccess:
        """Short-lived S3 access to the user's own area; a repetition gives another, so it may be repeated.

        Args:
            below: Folder of that area that the access is narrowed to, ending in a slash; all of it where empty.
        """
        path, document = "/v1/storage", json.dumps({"prefix": below})
        answer = self._gateways.send("POST", path, bearer=self._token(), document=document, repeatable=True)
        return _read(StorageAccess, answer)

    def image_url(self, digest: str) -> ImageUrl | None:
        """Where to read an image, or None if the hub has none of this digest."""
        path = f"/v1/images/{quote(digest, safe=':')}"
        answer = self._gateways.send("GET", path, bearer=self._token(), repeatable=True)
        return None if answer.status == 404 else _read(ImageUrl, answer)

    def image_upload(self, digest: str) -> ImageUpload | None:
        """Where to write an image, or None if the hub has it already."""
        path = f"/v1/images/{quote(digest, safe=':')}"
        answer = self._gateways.send("PUT", path, bearer=self._token(), repeatable=True)
        return None if answer.status == 409 else _read(ImageUpload, answer)

    def rules(self) -> RulesReport:
        """The rules in force, and the proposals that centres can approve."""
        return _read(RulesReport, self._rules("GET", ""))

    def rules_history(self) -> list[Line]:
        """The whole history of the rules, as the hub tells it: `fallow.rules.history.replay` checks it."""
        found: list[Line] = []
        while True:
            page = _read(HistoryPage, self._rules("GET", f"/history?after={len(found)}"))
            found += page.entries
            if not page.more or not page.entries:
                return found

    def propose_rules(self, document: str) -> RulesReport:
        """Propose rules in the name of the user's centre; the same proposed again change nothing."""
        body = DocumentBody(document=document).model_dump_json()
        return _read(RulesReport, self._rules("POST", "/proposals", body))

    def approve_rules(self, digest: str) -> RulesReport:
        """Approve proposed rules in the name of the user's centre; once more changes nothing."""
        body = ApprovalBody(digest=digest).model_dump_json()
        return _read(RulesReport, self._rules("POST", "/approvals", body))

    def simulate_rules(self, document: str) -> Simulation:
        """What rules would have done to the work that the hub's ledger has recorded."""
        body = DocumentBody(document=document).model_dump_json()
        return _read(Simulation, self._rules("POST", "/simulation", body))

    def _rules(self, method: str, path: str, document: str | None = None) -> Answer:
        path = f"/v1/rules{path}"
        return self._gateways.send(method, path, bearer=self._token(), document=document, repeatable=True)


def _span(since: int, until: int) -> list[tuple[str, str]]:
    return [("since", str(since)), ("until", str(until))]


def _accepted(answer: Answer) -> Answer:
    """Return the answer if it is a success; raise what it says otherwise."""
    if 200 <= answer.status < 300:
        return answer
    try:
        refusal = Refusal.model_validate(answer.json())
        code, said = for_people(refusal.error, 80), for_people(refusal.error_description or refusal.error)
    except ValueError:
        code, said = "", f"status {answer.status} without an explanation"
    if answer.status in PASSING or answer.status >= 500:
        wait_s = answer.retry_after_s(datetime.now(timezone.utc))
        raise HubUnavailableError(f"The hub cannot answer now: {said.rstrip('.')}.", retry_after_s=wait_s)
    if 300 <= answer.status < 400 or answer.status < 200:
        raise HubUnavailableError(f"The hub answered with status {answer.status}.", retryable=False)
    remedy = "Run `fallow login`." if answer.status == 401 else ""
    raise HubRefusedError(
        f"The hub refused: {said.rstrip('.')}.", status=answer.status, code=code, remedy=remedy
    )


def _read(model: type[M], answer: Answer) -> M:
    """The body of a success as `model`."""
    try:
        return model.model_validate(_accepted(answer).json())
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, item["loc"])) for item in error.errors(include_input=False))
        raise HubUnavailableError(f"The hub's answer lacks sense in: {wrong}.", retryable=False) from None
    except ValueError as error:
        raise HubUnavailableError(f"The hub's answer is no JSON object: {error}.", retryable=False) from None
