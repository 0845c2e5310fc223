"""What the centres offer and what was used of it, as people and programs see it on a real federation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fallow.capacity import CapacityPoint
from fallow.client import client_settings, connect
from fallow.offers import Offer, Shape
from fallow_testbed import hub, issuer
from fallow_testbed.host import Host
from fallow_testbed.spec import DEFAULT, Federation
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

CENTRES = ["alder", "birch", "cedar"]
FALLOW = str(Path(sys.executable).with_name("fallow"))


def command(*words: str) -> str:
    """What `fallow …` prints; called at the desk."""
    return subprocess.run([FALLOW, *words], text=True, capture_output=True, check=True, timeout=60).stdout


def watched() -> tuple[int, str, str]:
    """`fallow capacity --watch --json` until it has printed twice, ended by Ctrl-C; called at the desk."""
    argv = [FALLOW, "capacity", "--watch", "--json"]
    with subprocess.Popen(
        argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as running:
        assert running.stdout is not None
        lines = running.stdout.readline() + running.stdout.readline()
        os.killpg(running.pid, signal.SIGINT)
        rest, said = running.communicate(timeout=60)
    return running.returncode, lines + rest, said


def recorded() -> list[CapacityPoint]:
    """The capacity of the last minutes; called at the desk."""
    return connect().capacity_history(600).points


def published(path: str, document: dict[str, Any], token: str) -> tuple[int, dict[str, Any]]:
    """What the gateway answers to an offer; called at the desk."""
    import requests

    answer = requests.put(
        f"{hub.GATEWAY_URL}/v1/offers/{path}",
        json=document,
        headers={"Authorization": f"Bearer {token}"},
        verify=str(client_settings().ca_file),
        timeout=30,
    )
    return answer.status_code, answer.json() if answer.content else {}


def offer(
    centre: str = "cedar", *, begins_s: float = 0, ends_s: float = 300, cores: int = 2
) -> dict[str, Any]:
    """An offer, begin and end in seconds from now."""
    now = datetime.now(UTC)
    made = Offer(
        centre=centre,
        shapes=[Shape(cores=1, memory_mb=1, disk_mb=0, count=1)],
        starts=now + timedelta(seconds=begins_s),
        expires=now + timedelta(seconds=ends_s),
    ).model_dump(mode="json")
    made["shapes"][0]["cores"] = cores
    return made


def test_people_see_what_every_centre_offers(bed: Testbed, at: Callable[..., Any]) -> None:
    def offering() -> bool:
        found = json.loads(at("alice", command, "capacity", "--json"))
        return [each["centre"] for each in found] == CENTRES

    wait_until(offering, "An offer of every centre", 60)
    found = {each["centre"]: each for each in json.loads(at("alice", command, "capacity", "--json"))}
    declared = Federation.model_validate(_declaration()).centres
    for name in CENTRES:
        assert found[name]["state"] == "open"
        assert found[name]["shapes"][0]["cores"] == declared[name].pilots.cores
        assert found[name]["shapes"][0]["walltime_s"] <= declared[name].pilots.walltime_s
    assert "2 cores, 2048 MB" in at("alice", command, "capacity")


def _declaration() -> dict[str, Any]:
    import tomllib

    return tomllib.loads(DEFAULT.read_text())


def test_watching_ends_with_ctrl_c_and_without_a_word(at: Callable[..., Any]) -> None:
    code, printed, said = at("alice", watched)
    assert (code, said) == (0, "")
    assert all(isinstance(json.loads(line), list) for line in printed.splitlines())
    assert len(printed.splitlines()) >= 2


def test_what_was_offered_and_used_is_kept(at: Callable[..., Any]) -> None:
    def known() -> bool:
        return {point.centre for point in at("alice", recorded)} == set(CENTRES)

    wait_until(known, "A record of every centre's capacity", 30)
    points = at("alice", recorded)
    assert any(point.cores.offered > 0 for point in points)
    for point in points:
        assert point.cores.running == pytest.approx(point.cores.idle + point.cores.used)
    table = at("alice", command, "capacity", "--since", "10m")
    assert all(centre in table for centre in CENTRES)


@pytest.mark.parametrize(
    ("path", "document", "status", "said"),
    [
        ("cedar", {"begins_s": -600, "ends_s": -300}, 422, "expires: the offer ended at"),
        ("cedar", {"begins_s": 3600, "ends_s": 7200}, 422, "starts: the offer begins at"),
        ("cedar", {"ends_s": 30 * 86_400}, 422, "expires: an offer stands for 7 days at most"),
        ("cedar", {"centre": "birch"}, 422, "centre: the offer is of birch, not cedar."),
        ("birch", {"centre": "birch"}, 403, "Only the centre's own launcher may do this."),
        ("cedar", {"cores": 10**9}, 422, "cores"),
    ],
)
def test_an_offer_that_cannot_be_meant_is_refused_with_the_reason(
    hub_host: Host, at: Callable[..., Any], path: str, document: dict[str, Any], status: int, said: str
) -> None:
    token = issuer.token(hub_host, issuer.launcher_account("cedar"), hub.GATEWAY_URL)
    code, answer = at("alice", published, path, offer(**document), token)
    assert code == status
    assert said in answer["error_description"]


def test_a_user_cannot_offer_for_the_own_centre(hub_host: Host, at: Callable[..., Any]) -> None:
    token = issuer.token(hub_host, "mona", hub.GATEWAY_URL)
    assert at("mona", published, "cedar", offer(), token)[0] == 403
