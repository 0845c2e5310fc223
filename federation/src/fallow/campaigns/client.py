"""Campaigns, seen from their owner: one method per call."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Callable
from urllib.parse import quote, urlencode

from fallow.campaigns.messages import (
    ROWS_AT_ONCE,
    Added,
    Campaign,
    Campaigns,
    Change,
    Done,
    Log,
    RowInfo,
    RowPage,
    Selection,
    Status,
)
from fallow.hub import HubUnavailableError

if TYPE_CHECKING:
    from fallow.campaigns.plan import Prepared
    from fallow.campaigns.table import Row
    from fallow.hub import HubClient

_BYTES_AT_ONCE = 3 * 1024 * 1024
_PATIENCE_S = 120.0

Progress = Callable[[int], None]
"""Is told how many more rows the hub has."""


class CampaignClient:
    """Injects, watches and steers the user's campaigns.

    Args:
        hub: The hub.
        sleep: Waits the given seconds.
    """

    def __init__(self, hub: HubClient, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._hub = hub
        self._sleep = sleep

    def inject(self, prepared: Prepared, progress: Progress = lambda _: None) -> tuple[Added, Status]:
        """Inject a campaign: only the rows that the hub has not, however often it is called.

        Whoever is interrupted calls it again. A new campaign starts when all of its rows are there.
        """
        self._call("POST", "", prepared.plan.model_dump_json())
        path = f"/{quote(prepared.plan.name)}"
        added = known = 0
        for stage, rows in zip(prepared.plan.stages, prepared.rows):
            for body, count in _bodies(stage.name, rows):
                answer = self._patiently(f"{path}/rows", body)
                added, known = added + answer.added, known + answer.known
                progress(count)
        status = self._hub.ask(Status, "POST", f"/v1/campaigns{path}/complete")
        return Added(added=added, known=known), status

    def campaigns(self) -> list[Campaign]:
        """The user's campaigns, the latest first."""
        return self._hub.ask(Campaigns, "GET", "/v1/campaigns").campaigns

    def status(self, name: str) -> Status:
        """A campaign in sums."""
        return self._call("GET", f"/{quote(name, safe='')}")

    def rows(self, name: str, selection: Selection) -> Iterator[RowInfo]:
        """Rows that a selection holds for, page by page."""
        asked = selection.model_dump(mode="json", exclude_none=True)
        asked["id"] = asked.pop("ids")
        after, more = 0, True
        while more:
            query = urlencode({**asked, "after": after}, doseq=True)
            page = self._hub.ask(RowPage, "GET", f"/v1/campaigns/{quote(name, safe='')}/rows?{query}")
            yield from page.rows
            more = page.more and bool(page.rows)
            after = page.rows[-1].number if page.rows else after

    def log(self, name: str, row: str, *, stage: str | None = None, attempt: int | None = None) -> Log:
        """What an attempt of a row wrote; of the last one that left something where none is named."""
        asked = {"id": row, "stage": stage, "attempt": attempt}
        query = urlencode({key: value for key, value in asked.items() if value is not None})
        return self._hub.ask(Log, "GET", f"/v1/campaigns/{quote(name, safe='')}/log?{query}")

    def pause(self, name: str) -> int:
        """Start nothing more; how many rows wait."""
        return self._act(name, "pause")

    def resume(self, name: str) -> int:
        """Go on; how many rows wait."""
        return self._act(name, "resume")

    def cancel(self, name: str) -> int:
        """End it; how many rows had not ended."""
        return self._act(name, "cancel")

    def change(self, name: str, wanted: Change) -> int:
        """Change what has not started; how many rows that concerns."""
        return self._act(name, "set", wanted.model_dump_json(exclude_none=True))

    def retry(self, name: str, selection: Selection) -> int:
        """Run rows again that failed or were cancelled; how many."""
        return self._act(name, "retry", selection.model_dump_json(exclude_none=True))

    def _act(self, name: str, what: str, document: str | None = None) -> int:
        return self._hub.ask(Done, "POST", f"/v1/campaigns/{quote(name, safe='')}/{what}", document).rows

    def _call(self, method: str, path: str, document: str | None = None) -> Status:
        return self._hub.ask(Status, method, f"/v1/campaigns{path}", document)

    def _patiently(self, path: str, body: str) -> Added:
        """Send rows; where the hub asks to wait, wait: rows that it has are not added twice."""
        waited_s = 0.0
        while True:
            try:
                return self._hub.ask(Added, "POST", f"/v1/campaigns{path}", body)
            except HubUnavailableError as error:
                pause_s = error.retry_after_s or 5.0
                waited_s += pause_s
                if not error.retryable or waited_s > _PATIENCE_S:
                    raise
                self._sleep(pause_s)


def _bodies(stage: str, rows: Sequence[Row]) -> Iterator[tuple[str, int]]:
    """Rows as bodies of a bounded size, each with the number of its rows."""
    texts: list[str] = []
    size = 0
    for row in rows:
        text = json.dumps([row.id, row.values], ensure_ascii=False, separators=(",", ":"))
        if texts and (len(texts) >= ROWS_AT_ONCE or size + len(text) > _BYTES_AT_ONCE):
            yield _body(stage, texts), len(texts)
            texts, size = [], 0
        texts.append(text)
        size += len(text.encode())
    if texts:
        yield _body(stage, texts), len(texts)


def _body(stage: str, texts: Sequence[str]) -> str:
    return f'{{"stage":{json.dumps(stage)},"rows":[{",".join(texts)}]}}'
