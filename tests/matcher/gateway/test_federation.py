"""What a hub says of itself to whoever asks."""

from __future__ import annotations

from dataclasses import replace

from fastapi.testclient import TestClient
from tests.matcher.conftest import GATEWAY

from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import Services
from fallow_matcher.settings import PairSettings


def test_one_hub_names_itself_alone(client: TestClient) -> None:
    said = client.get("/v1/federation").json()
    assert (said["schedd"], said["hubs"]) == ("queue@hub.example.org", [])


def test_each_of_two_hubs_names_both_in_the_same_order_and_its_own_queue(services: Services) -> None:
    pair = PairSettings(first="hub.example.org", second="hub2.example.org")
    answers = []
    for host in (pair.first, pair.second):
        settings = services.settings.model_copy(update={"pair": pair, "host": host})
        with TestClient(create_app(replace(services, settings=settings)), base_url=GATEWAY) as client:
            answers.append(client.get("/v1/federation").json())
    assert [answer["schedd"] for answer in answers] == ["queue@hub.example.org", "queue@hub2.example.org"]
    assert answers[0]["hubs"] == answers[1]["hubs"]
    assert answers[0]["hubs"][1] == {
        "url": "https://hub2.example.org:8443",
        "collector": "hub2.example.org:9618",
        "schedd": "queue@hub2.example.org",
        "queue": "hub2.example.org:9619",
    }
