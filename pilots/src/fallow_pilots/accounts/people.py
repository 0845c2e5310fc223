"""The launcher's side of pilots under people's accounts: asks each person's deputy, and believes it of that person only."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Callable

from pydantic import ValidationError

from fallow.files import private_directory, read_private
from fallow_pilots.accounts.consent import Consent
from fallow_pilots.accounts.messages import Answer, Look, Request, Start, Stopping
from fallow_pilots.batch.command import ended, failed
from fallow_pilots.batch.model import BatchError, BatchJob, JobStatus, Stop
from fallow_pilots.credentials import Credentials
from fallow_pilots.layout import Layout
from fallow_pilots.nodefindings import NodeCheck
from fallow_pilots.order import Order
from fallow_pilots.outcome import Outcome
from fallow_pilots.policy import Batch, Policy
from fallow_pilots.policy.accounts import PLACE
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.spec import PilotSpec

TIMEOUT_S = 30.0
AT_ONCE = 8
"""Deputies that are asked side by side."""
MOST_BYTES = 4 * 1024 * 1024
CHECKS_READ = 20
"""A person's pilots whose node checks are read."""


@dataclass(frozen=True)
class Seen:
    """What people's deputies said in one look; each is believed of that person's own pilots only."""

    jobs: dict[str, JobStatus] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    checks: dict[str, NodeCheck] = field(default_factory=dict)
    consents: dict[str, Consent] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    """Accounts that nothing is known of now, and why."""

    def refusals(self, policy: Policy) -> dict[str | None, str]:
        """Why accounts may have no pilot: nothing is known of them, the person said no, or the policy says no."""
        found: dict[str | None, str] = {}
        found.update((account, why) for account, why in self.silent.items())
        for account in policy.accounts.names:
            if account is not None and account not in found and account not in self.consents:
                found[account] = f"{account} has not consented: `fallow pilot consent`."
        for account, consent in self.consents.items():
            if not consent.holds:
                found[account] = f"{account} revoked the consent at {consent.revoked:%Y-%m-%d %H:%M:%S} UTC."
            elif account not in policy.accounts.names:
                found[account] = f"accounts.people does not name {account}."
        return found


class People:
    """The people under whose accounts a centre's pilots run.

    Args:
        policy: The centre's policy.
        layout: The launcher's files.
        credentials: Given a file and a person's account: keeps the token of that person's pilots there.
    """

    def __init__(
        self, policy: Policy, layout: Layout, credentials: Callable[[Path, str], Credentials]
    ) -> None:
        self._policy = policy
        self._layout = layout
        self._credentials = credentials

    def look(self, records: Sequence[PilotRecord], awaited: Sequence[str]) -> Seen:
        """Ask the deputies of all whom the policy names, and of all who have pilots.

        Args:
            records: What the launcher remembers.
            awaited: Pilots whose outcome is wanted.
        """
        named = {account for account in self._policy.accounts.names if account is not None}
        held = {record.account for record in records if record.account and record.state is not State.ENDED}
        accounts = sorted(named | held)
        if not accounts:
            return Seen()
        seen = Seen()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            mine = [[record for record in records if record.account == account] for account in accounts]
            asked = pool.map(lambda one: self._look(one[0], one[1], awaited), zip(accounts, mine))
            for account, own, answer in zip(accounts, mine, asked):
                _take(seen, account, own, answer)
        return seen

    def _look(self, account: str, own: Sequence[PilotRecord], awaited: Sequence[str]) -> Answer | str:
        running = [record.pilot for record in own if record.state is State.RUNNING]
        look = Look(
            pilots=tuple(record.pilot for record in own),
            awaited=tuple(record.pilot for record in own if record.pilot in awaited),
            running=tuple(running[-CHECKS_READ:]),
        )
        try:
            return self._ask(account, look=look)
        except BatchError as error:
            return str(error)

    def refresh(self, account: str, now: datetime) -> str | None:
        """See to it that the person's pilots have a token of their own; why they have none, else None."""
        path = self._layout.token_of(account)
        private_directory(path.parent)
        return self._credentials(path, account).refresh(now).obstacle(now)

    def start(self, account: str, job: BatchJob, spec: PilotSpec) -> str:
        """Have a pilot submitted by the person's deputy; its native id.

        Raises:
            BatchError: It was not, or nobody knows.
        """
        start = Start(
            spec=spec,
            nodes=job.nodes,
            gpu_model=job.gpu_model,
            deadline=job.deadline,
        )
        answer = self._ask(account, start=start)
        if answer.native_id is None:
            raise BatchError(f"{account} has not consented.")
        return answer.native_id

    def stop(self, account: str, orders: Mapping[str, Order], how: Stop) -> None:
        """Have pilots of the person's stopped.

        Raises:
            BatchError: Nobody knows whether they were.
        """
        self._ask(account, stop=Stopping(how=how, orders=dict(orders)))

    def _batch(self, account: str) -> Batch:
        charged = {person.account: person.batch_account for person in self._policy.accounts.people}.get(
            account
        )
        batch = self._policy.batch
        return batch.model_copy(update={"account": charged}) if charged else batch

    def _ask(
        self,
        account: str,
        *,
        look: Look | None = None,
        start: Start | None = None,
        stop: Stopping | None = None,
    ) -> Answer:
        request = Request(
            centre=self._policy.identity.centre,
            batch=self._batch(account),
            token=read_private(self._layout.token_of(account)),
            way=None if self._layout.way is None else read_private(self._layout.way),
            look=look,
            start=start,
            stop=stop,
        )
        deputy = Path(sys.executable).parent / "fallow-pilot-deputy"
        argv = [word.replace(PLACE, account) for word in self._policy.accounts.become]
        text = _run([*argv, str(deputy)], request.model_dump_json())
        try:
            answer = Answer.model_validate_json(text)
        except ValidationError as error:
            raise BatchError(f"The deputy of {account} answered nonsense.") from error
        if answer.trouble:
            raise BatchError(f"The deputy of {account} says: {answer.trouble}")
        return answer


def _take(seen: Seen, account: str, own: Iterable[PilotRecord], answer: Answer | str) -> None:
    if isinstance(answer, str):
        seen.silent[account] = answer
        return
    ids = {Layout.job_name(record.pilot): record for record in own}
    for job in answer.jobs:
        record = ids.get(job.name)
        if record is not None and record.native_id in {None, job.native_id}:
            seen.jobs[record.pilot] = job.status()
    pilots = {record.pilot for record in ids.values()}
    seen.outcomes.update((pilot, found) for pilot, found in answer.outcomes.items() if pilot in pilots)
    seen.checks.update((pilot, found) for pilot, found in answer.checks.items() if pilot in pilots)
    if answer.consent is not None:
        seen.consents[account] = answer.consent


def _run(argv: Sequence[str], request: str) -> bytes:
    """Run the deputy; what it says is of another account, so no more of it is read than makes sense."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        done = ended(
            argv,
            timeout_s=TIMEOUT_S,
            missing="Mend accounts.become.",
            given=request.encode(),
            out=out,
            complaints=complaints,
        )
        if done.returncode != 0:
            complaints.seek(0)
            raise failed(argv, done.returncode, complaints.read(2000))
        out.seek(0)
        # the person's shell may have said something before
        return out.read(MOST_BYTES).strip().rpartition(b"\n")[2]
