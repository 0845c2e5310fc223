"""A centre's month for an allocation portal that speaks Waldur's API, as Puhuri's does.

API: `POST /api/marketplace-component-usages/set_usage/` of Waldur (its OpenAPI description, ComponentUsageCreateRequest):
`resource` and `date` name resource and billing period, `usages` are `{type, amount, description}` with two decimals; a
record that is there for the same resource, component and period is updated. Authorisation is `Token` and a key of the
service provider's.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Optional
from uuid import UUID

from pydantic import Field

from fallow.errors import SettingsError
from fallow.files import read_private
from fallow.ledger.monthly import MonthReport
from fallow.offers import CentreName
from fallow.settings import Settings, load
from fallow.web import Web, for_people

PATH = "/api/marketplace-component-usages/set_usage/"
_SAID = 201


class Resource(Settings):
    """An allocation in the portal."""

    consumer: CentreName
    """The centre whose jobs it pays for."""
    resource: UUID
    """What the portal calls it."""


class Portal(Settings):
    """Where usage goes, and what it is called there."""

    url: str = Field(pattern=r"^https://[^/\s]+$")
    """The portal, without a path."""
    token_file: Path
    """A file with mode 0600 that holds the service provider's key; relative to the settings file."""
    ca_file: Optional[Path] = None
    """Certificate authorities to trust in place of the system's."""
    components: dict[str, str]
    """Resource class of the federation → component of the portal's offering, e.g. `cpu = "cpu_hours"`."""
    unit_s: int = Field(default=3600, ge=1)
    """Core-seconds (GPU-seconds) of one unit of a component."""
    resources: list[Resource] = Field(min_length=1)


@dataclass(frozen=True)
class Usage:
    """What one allocation used in a month, as the portal takes it."""

    consumer: str
    resource: UUID
    date: datetime
    amounts: Mapping[str, Decimal]
    """By component, in its unit."""
    description: str

    def body(self) -> str:
        """The request: sent twice it sets the same records twice."""
        usages = [
            {"type": component, "amount": str(amount), "description": self.description}
            for component, amount in sorted(self.amounts.items())
        ]
        document = {"resource": self.resource.hex, "date": self.date.isoformat(), "usages": usages}
        return json.dumps(document)


def read(path: Path) -> Portal:
    """The settings in a file.

    Raises:
        SettingsError: It cannot be used, or names two allocations for one centre.
    """
    found = load(Portal, path)
    names = [each.consumer for each in found.resources]
    if len(names) != len(set(names)):
        raise SettingsError(
            f"{path}: a centre has two resources.", remedy="Name each consumer once.", setting="resources"
        )
    beside = {"token_file": path.parent / found.token_file.expanduser()}
    if found.ca_file is not None:
        beside["ca_file"] = path.parent / found.ca_file.expanduser()
    return found.model_copy(update=beside)


def usages(portal: Portal, report: MonthReport, now: datetime) -> tuple[list[Usage], list[str]]:
    """What to tell the portal about a provider's month, and what it cannot be told, in words; pure.

    A component that nothing used is told as 0, so that an earlier number does not stay.
    """
    used: dict[tuple[str, str], float] = defaultdict(float)
    for one in report.given:
        used[one.group["consumer"], one.group["resource_class"]] += one.core_s
    for one in report.home:
        used[report.centre, one.group["resource_class"]] += one.core_s
    known = {each.consumer for each in portal.resources}
    left = [
        f"{consumer} used {core_s / 3600:.2f} h of {kind}, which the portal has no "
        f"{'component' if consumer in known else 'resource'} for."
        for (consumer, kind), core_s in sorted(used.items())
        if core_s and (consumer not in known or kind not in portal.components)
    ]
    date = min(now, report.until - timedelta(seconds=1))
    description = f"Fallow, {report.centre}, {report.month}, {report.digest}"
    told = []
    for each in portal.resources:
        amounts: dict[str, float] = defaultdict(float)
        for kind, component in portal.components.items():
            amounts[component] += used[each.consumer, kind] / portal.unit_s
        cents = {component: _cents(amount) for component, amount in amounts.items()}
        told.append(Usage(each.consumer, each.resource, date, cents, description))
    return told, left


def push(portal: Portal, told: Sequence[Usage]) -> dict[str, str]:
    """Send usage; by consumer what went wrong, empty where nothing did. Doing it again changes nothing.

    Raises:
        SettingsError: There is no key, or others may have read it.
        NotAvailableError: The portal does not answer, also after some attempts.
    """
    key = (read_private(portal.token_file) or "").strip()
    if not key:
        raise SettingsError(
            f"{portal.token_file} holds no key.", remedy="Write the service provider's key into it."
        )
    web, wrong = Web(portal.ca_file), {}
    for one in told:
        answer = web.send(
            "POST", f"{portal.url}{PATH}", bearer=key, scheme="Token", document=one.body(), repeatable=True
        )
        said = for_people(answer.body.decode("utf-8", "replace"))
        wrong[one.consumer] = "" if answer.status == _SAID else f"status {answer.status}: {said}"
    return wrong


def rows(told: Sequence[Usage], states: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each number that goes to the portal."""
    return [
        {
            "consumer": one.consumer,
            "resource": str(one.resource),
            "component": component,
            "amount": str(amount),
            "date": one.date.isoformat(),
            "state": states.get(one.consumer, ""),
        }
        for one in told
        for component, amount in sorted(one.amounts.items())
    ]


def _cents(amount: float) -> Decimal:
    return Decimal(repr(amount)).quantize(Decimal("0.01"), ROUND_HALF_UP)
