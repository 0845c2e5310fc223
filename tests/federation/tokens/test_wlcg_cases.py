"""Every case of the project's WLCG case file, with both signature algorithms and real keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fallow.tokens import STATUS, TokenError, authorise, from_url

CASE_FILE = Path(__file__).parents[4] / "shared" / "wlcg_cases.json"
FILE: dict[str, Any] = json.loads(CASE_FILE.read_text())
NOW: int = FILE["time_base"]
OTHER = {"ES256": "RS256", "RS256": "ES256"}
OTHER_KID = {"key1": "key-rsa", "key-rsa": "key1"}


def build_token(case: dict[str, Any], signer: Any, attacker: Any, *, swap: bool) -> str:
    """The token of a case as `sign` says; with `swap`, its RS256 twin for ES256 and the reverse."""
    header, how = dict(case["header"]), case["sign"]
    if swap:
        header["alg"] = OTHER.get(header["alg"], header["alg"])
        header["kid"] = OTHER_KID.get(header["kid"], header["kid"])
    claims: Any = dict(case["claims"])
    if how == "padded_to_17KiB":
        claims["padding"] = "x" * 17 * 1024
    if how == "raw_payload_duplicate_aud":
        claims = json.dumps(claims)[:-1] + ', "aud": "https://other.example"}'
    by = attacker if how == "attacker_key" else signer
    token: str = by.token(claims, header, header["alg"])
    if how == "stripped_signature":
        return token.rpartition(".")[0] + "."
    return token + "=" if how == "padded_base64" else token


def verdict(case: dict[str, Any], token: str, validator: Any) -> str:
    """`accept`, or the error code of the refusal."""
    request = case["request"]
    state = dict(request.get("state", {}))
    seen_before = state.pop("jti_seen_before", False)
    try:
        claims = validator.validate(token, request["audience"], NOW)
        path, raw = request["path"], request.get("raw_url_path")
        if raw is not None:
            path = from_url(raw, claims.issuer.prefix if case["area"] == "storage-prefix" else "/")
        authorise(
            claims,
            request["operation"],
            path,
            path_to=request.get("path_to"),
            exists=state,
            seen_before=seen_before,
        ).require()
    except TokenError as error:
        return error.code
    return "accept"


@pytest.mark.parametrize("swap", [False, True], ids=["as-written", "other-algorithm"])
@pytest.mark.parametrize("case", FILE["cases"], ids=lambda case: case["id"])
def test_the_case_gets_its_verdict(
    case: dict[str, Any], swap: bool, party: Any, signer: Any, attacker: Any
) -> None:
    token = build_token(case, signer, attacker, swap=swap)
    expected = "accept" if case["expect"] == "accept" else case["error"]
    assert verdict(case, token, party.validator) == expected, case["reason"]


def test_our_error_codes_and_statuses_are_those_of_the_case_file() -> None:
    assert FILE["error_codes"] == STATUS


def test_no_case_made_anybody_ask_an_address_from_a_token(party: Any) -> None:
    assert all(url.startswith("https://vo.example.org/") for url in party.fetch.urls)
