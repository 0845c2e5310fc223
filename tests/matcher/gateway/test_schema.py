"""The gateway keeps what its own OpenAPI promises, for a thousand requests that nobody would write by hand."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, CheckContext, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import Services, build
from fallow_matcher.settings import HubSettings


@pytest.fixture
def unlimited(configured: HubSettings, tokens: Any) -> Any:
    limits = configured.limits.model_copy(
        update={"per_address_per_minute": 10**6, "per_identity_per_minute": 10**6}
    )
    services = build(configured.model_copy(update={"limits": limits}), validate=tokens.validate)
    yield services
    services.close()


OPERATIONS = (
    ("GET", "/healthz"),
    ("GET", "/v1/federation"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/token"),
    ("PUT", "/v1/offers/{centre}"),
    ("GET", "/v1/offers"),
    ("GET", "/v1/capacity/history"),
    ("GET", "/v1/requests/{centre}"),
    ("PUT", "/v1/requests/{centre}"),
    ("GET", "/v1/jobs/{job}/explain"),
    ("POST", "/v1/fit"),
    ("PUT", "/v1/pilots/{pilot}/report"),
    ("GET", "/v1/pilots/{pilot}/report"),
    ("GET", "/v1/ledger/balance"),
    ("GET", "/v1/ledger/usage"),
    ("GET", "/v1/ledger/lines"),
    ("GET", "/v1/ledger/pilots"),
    ("GET", "/v1/ledger/report/{centre}"),
    ("GET", "/v1/ledger/reconciliation"),
    ("POST", "/v1/storage"),
    ("GET", "/v1/images"),
    ("GET", "/v1/images/{digest}"),
    ("PUT", "/v1/images/{digest}"),
    ("POST", "/v1/images/{digest}"),
    ("DELETE", "/v1/images/{digest}"),
    ("GET", "/v1/images/{digest}/record"),
    ("GET", "/v1/tags"),
    ("GET", "/v1/tags/{owner}/{name}/{tag}"),
    ("PUT", "/v1/tags/{owner}/{name}/{tag}"),
    ("DELETE", "/v1/tags/{owner}/{name}/{tag}"),
    ("GET", "/v1/queued-images"),
    ("POST", "/v1/staging"),
    ("GET", "/v1/rules"),
    ("GET", "/v1/rules/history"),
    ("POST", "/v1/rules/proposals"),
    ("POST", "/v1/rules/approvals"),
    ("POST", "/v1/rules/simulation"),
    ("GET", "/v1/campaigns"),
    ("POST", "/v1/campaigns"),
    ("GET", "/v1/campaigns/{name}"),
    ("GET", "/v1/campaigns/{name}/rows"),
    ("POST", "/v1/campaigns/{name}/rows"),
    ("POST", "/v1/campaigns/{name}/complete"),
    ("GET", "/v1/campaigns/{name}/log"),
    ("POST", "/v1/campaigns/{name}/pause"),
    ("POST", "/v1/campaigns/{name}/resume"),
    ("POST", "/v1/campaigns/{name}/cancel"),
    ("POST", "/v1/campaigns/{name}/set"),
    ("POST", "/v1/campaigns/{name}/retry"),
)


@pytest.fixture
def schema(unlimited: Services) -> BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(unlimited))


def test_every_operation_is_tried(schema: BaseSchema) -> None:
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    described = {(operation.method.upper(), operation.path) for operation in operations}
    assert described == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_answers_are_what_the_schema_says(
    schema: BaseSchema, method: str, path: str, alice: dict[str, str], launcher: dict[str, str], admin: Any
) -> None:
    headers = (
        launcher if "offers" in path else admin("north") if "rules" in path or "requests" in path else alice
    )

    # The S3 store that is away is asked twice for each image.
    examples = 10 if "{digest}" in path else 20

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=schema[path][method].as_strategy())
    def answers(case: Case[Any]) -> None:
        case.call_and_validate(
            headers=headers,
            checks=[not_a_server_error_but_absence, response_schema_conformance, status_code_conformance],
        )

    answers()


def not_a_server_error_but_absence(context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Like `not_a_server_error`; 503 is right here, since no S3 store answers."""
    if response.status_code != 503:
        not_a_server_error(context, response, case)
