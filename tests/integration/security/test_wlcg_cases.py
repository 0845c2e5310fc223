"""Every case of the project's WLCG case file, sent to a running gateway over TLS, with both signature algorithms.

Each case keeps its issuer, `https://vo.example.org`, which is a server on the hub here; only the times are shifted to
now. A gateway runs for each list of audiences in the file. What it is asked for depends on the case:

* to submit, query or cancel: the HTCondor token for that (`POST /v1/token`);
* else: an image that does not exist (`GET /v1/images/…`), which whoever has a good token is told (404).

The gateway serves no files, so it has no say in the cases that are decided by a storage path, a group's storage policy
or a memory of used tokens, and it has no right for editing jobs. Of these the token itself must be found good.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, RSAAlgorithm

CASE_FILE = Path(__file__).parents[4] / "shared" / "wlcg_cases.json"
FILE: dict[str, Any] = json.loads(CASE_FILE.read_text())
CASES: list[dict[str, Any]] = FILE["cases"]
FIRST_PORT = 8451
RIGHTS = {"submit": "condor:/WRITE", "cancel": "condor:/WRITE", "query": "condor:/READ"}
OTHER = {"ES256": "RS256", "RS256": "ES256", "key1": "key-rsa", "key-rsa": "key1"}
NO_IMAGE = "sha256:" + 64 * "0"

Question = tuple[str, str, "str | None"]
"""URL of a gateway, token, HTCondor scope or None."""


def decided_elsewhere(case: dict[str, Any]) -> bool:
    """Whether a good token's fate is decided by something that a gateway does not have."""
    asked = case["request"]
    if asked["operation"] in RIGHTS:
        return False
    path_is_malformed = case.get("error") == "invalid_request" and "raw_url_path" in asked
    return case.get("error") in {"insufficient_scope", "replayed"} or path_is_malformed


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signature(algorithm: str, message: bytes, es256: Any, rs256: Any) -> bytes:
    if algorithm == "none":
        return b""
    if algorithm == "HS256":
        public = rs256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return HMACAlgorithm(HMACAlgorithm.SHA256).sign(message, public)
    if algorithm == "ES256":
        return ECAlgorithm(ECAlgorithm.SHA256, ec.SECP256R1).sign(message, es256)
    return RSAAlgorithm(RSAAlgorithm.SHA256).sign(message, rs256)


def token(case: dict[str, Any], shift_s: int, es256: Any, rs256: Any, *, swap: bool) -> str:
    """The token of a case as it says, moved in time; with `swap`, its RS256 twin for ES256 and the reverse."""
    header, how, claims = dict(case["header"]), case["sign"], dict(case["claims"])
    if swap:
        header = {**header, **{name: OTHER.get(header[name], header[name]) for name in ("alg", "kid")}}
    for name in ("iat", "nbf", "exp"):
        if isinstance(claims.get(name), (int, float)) and not isinstance(claims[name], bool):
            claims[name] += shift_s
    if how == "padded_to_17KiB":
        claims["padding"] = "x" * 17 * 1024
    text = json.dumps(claims)
    if how == "raw_payload_duplicate_aud":
        text = text[:-1] + ', "aud": "https://other.example"}'
    message = f"{b64(json.dumps(header).encode())}.{b64(text.encode())}"
    signed = (
        "" if how == "stripped_signature" else b64(signature(header["alg"], message.encode(), es256, rs256))
    )
    return f"{message}.{signed}" + ("=" if how == "padded_base64" else "")


def answers(questions: list[Question]) -> list[tuple[int, str]]:
    """Status and error code that the gateways give; called at the desk."""
    import requests

    found = []
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(Path(os.environ["HOME"]) / "ca.pem")
        for url, bearer, scope in questions:
            if scope is None:
                headers = {"Authorization": f"Bearer {bearer}"}
                answer = session.get(f"{url}/v1/images/{NO_IMAGE}", headers=headers, timeout=30)
            else:
                form = {
                    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                    "subject_token": bearer,
                    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    "scope": scope,
                }
                answer = session.post(f"{url}/v1/token", data=form, timeout=30)
            found.append((answer.status_code, str(answer.json().get("error", "accept"))))
    return found


@pytest.fixture(scope="module")
def verdicts(
    at: Callable[..., Any], case_issuer: Any, case_gateway: Callable[[list[str], int], Any]
) -> dict[tuple[str, bool], tuple[int, str]]:
    """Case and whether its algorithm was swapped → status and error code."""
    audiences = sorted({tuple(case["request"]["audience"]) for case in CASES})
    ports = dict(zip(audiences, range(FIRST_PORT, FIRST_PORT + len(audiences)), strict=True))
    for wanted, port in ports.items():
        case_gateway(list(wanted), port)
    foreign = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    own = case_issuer.es256, case_issuer.rs256
    shift_s = int(time.time()) - FILE["time_base"]
    named, questions = [], []
    for case in CASES:
        for swap in (False, True):
            keys = foreign if case["sign"] == "attacker_key" else own
            port = ports[tuple(case["request"]["audience"])]
            scope = RIGHTS.get(case["request"]["operation"])
            named.append((case["id"], swap))
            questions.append((f"https://hub:{port}", token(case, shift_s, *keys, swap=swap), scope))
    return dict(zip(named, at("alice", answers, questions), strict=True))


@pytest.mark.parametrize("swap", [False, True], ids=["as-written", "other-algorithm"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_gateway_gives_the_case_its_verdict(
    case: dict[str, Any], swap: bool, verdicts: dict[tuple[str, bool], tuple[int, str]]
) -> None:
    if case["expect"] == "accept" or decided_elsewhere(case):
        good = (200, "accept") if case["request"]["operation"] in RIGHTS else (404, "not_found")
        assert verdicts[case["id"], swap] == good, case["reason"]
    else:
        expected = (FILE["error_codes"][case["error"]], case["error"])
        assert verdicts[case["id"], swap] == expected, case["reason"]


def test_most_cases_are_for_the_gateway_to_decide() -> None:
    elsewhere = [case["id"] for case in CASES if decided_elsewhere(case)]
    assert len(CASES) - len(elsewhere) >= 80, elsewhere
    assert all(
        case["area"].startswith(("storage-", "groups", "replay", "identity"))
        for case in CASES
        if case["id"] in elsewhere
    )


def test_a_thousand_unknown_key_ids_cause_one_fetch(
    verdicts: object, at: Callable[..., Any], case_issuer: Any
) -> None:
    good = next(case for case in CASES if case["expect"] == "accept" and case["area"] == "storage-path")
    shift_s = int(time.time()) - FILE["time_base"]
    # Of the gateways that know the issuer's keys already, one that has not been asked for an unknown one.
    audience = next(
        tuple(case["request"]["audience"]) for case in CASES if len(case["request"]["audience"]) == 2
    )
    port = FIRST_PORT + sorted({tuple(case["request"]["audience"]) for case in CASES}).index(audience)
    before = case_issuer.fetches()
    questions = []
    for number in range(1000):
        unknown = {**good, "header": {**good["header"], "kid": f"unknown-{number}"}}
        made = token(unknown, shift_s, case_issuer.es256, case_issuer.rs256, swap=False)
        questions.append((f"https://hub:{port}", made, None))
    assert set(at("alice", answers, questions)) == {(401, "unknown_key")}
    assert case_issuer.fetches() - before == 1
