"""Centres of the shared testbed as their admins see them, and jobs of a user at the desk."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import USER, Batch, removed, submitted

from fallow_testbed.testbed import Testbed


@pytest.fixture(scope="session")
def site(bed: Testbed) -> Callable[[str], Site]:
    """`site(name)`: a centre, open and with pilots."""

    def ready(name: str) -> Site:
        found = Site(name, bed.layout())
        found.fallow("resume")
        return found

    return ready


@pytest.fixture(scope="module")
def submit(at: Callable[..., Any], image: str) -> Iterator[Callable[..., Batch]]:
    """`submit({name: argv, …}, **values)`: submit jobs of `USER`; what is left of them is removed at the end."""
    runs: list[str] = []

    def go(jobs: dict[str, Sequence[str]], **values: Any) -> Batch:
        run = f"pilots-{secrets.token_hex(4)}"
        runs.append(run)
        specs = [
            {"key": name, "name": name, "image": image, "argv": tuple(argv), **values}
            for name, argv in jobs.items()
        ]
        return Batch(at, run, dict(zip(jobs, at(USER, submitted, run, specs), strict=True)))

    yield go
    for run in runs:
        at(USER, removed, run)
