"""The routes of pilots' reports: a pilot tells what it did, its centre's launcher reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from fallow.reports import PilotName, PilotReport
from fallow.tokens import TokenError
from fallow_matcher.gateway.access import Access, Caller, Launcher, Pilot, Policy
from fallow_matcher.gateway.errors import REFUSALS, GatewayError
from fallow_matcher.gateway.hub import Hub
from fallow_matcher.ledger import reports

router = APIRouter(responses=REFUSALS)


class PilotOfItsCentre(Policy):
    """A pilot may for the pilots of its own centre: the token that it holds names no more than that."""

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:  # noqa: D102
        if not isinstance(caller, Pilot) or caller.centre != _centre(path.get("pilot", "")):
            raise TokenError("forbidden", "Only a pilot of that centre may report for it.")


class LauncherOfThePilot(Policy):
    """The launcher of the pilot's centre may."""

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:  # noqa: D102
        if not isinstance(caller, Launcher) or caller.centre != _centre(path.get("pilot", "")):
            raise TokenError("forbidden", "Only the launcher of the pilot's own centre may read its report.")


_PILOT = Depends(Access(PilotOfItsCentre()))
_LAUNCHER = Depends(Access(LauncherOfThePilot()))


OnePilot = Annotated[PilotName, Path()]


@router.put("/v1/pilots/{pilot}/report", status_code=204, dependencies=[_PILOT])
def put_report(hub: Hub, pilot: OnePilot, report: PilotReport) -> None:
    """Store what a pilot says of itself in place of its last report."""
    if report.pilot != pilot:
        raise GatewayError(422, "invalid_request", f"pilot: the report is of {report.pilot}, not {pilot}.")
    reports.keep(hub.database, report)


@router.get("/v1/pilots/{pilot}/report", dependencies=[_LAUNCHER])
def get_report(hub: Hub, pilot: OnePilot) -> PilotReport:
    """The last report of a pilot."""
    found = reports.latest(hub.database, pilot)
    if found is None:
        raise GatewayError(404, "not_found", f"There is no report of {pilot}.")
    return found


def _centre(pilot: str) -> str:
    return pilot.rpartition("-")[0]
