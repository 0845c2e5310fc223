"""How many tokens one core validates in a second: tokens never seen before, and tokens that come again.

Usage: python -m tests.benchmarks.bench_tokens [--seconds S]

The keys are cached, so the network has no part in it. `distinct` checks every signature; `repeated` is one
of 100 tokens that was validated before, as when a client makes many calls; `PyJWT alone` decodes the same
distinct tokens with `jwt.decode` and none of the profile's other checks. `refused` are distinct tokens of an
unknown issuer: what a flood of them costs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from tests.benchmarks.outcome import as_rows as table
from tests.benchmarks.outcome import conditions, tell

from fallow.tokens import TokenError, TrustedIssuer, TrustedIssuers, Validator, authorise
from fallow.tokens.store import KeyStore, Stored

TITLE = "Token validations on one core"
ISSUER = "https://vo.example.org"
AUDIENCE = "https://hub.example.org"
GOAL_PER_S = 5000
ROUNDS = 5


def sign(key: Any, alg: str, number: int, now: float, issuer: str = ISSUER) -> str:
    """One distinct token, as large as real ones."""
    claims = {
        "wlcg.ver": "1.0",
        "iss": issuer,
        "sub": "e1eb758b-b73c-4761-bfff-adc793da409c",
        "aud": AUDIENCE,
        "iat": int(now),
        "nbf": int(now) - 60,
        "exp": int(now) + 3600,
        "jti": f"40ce5a87-e419-4bdf-9e11-{number:012d}",
        "scope": "compute.read compute.create compute.cancel storage.read:/ storage.create:/stageout",
        "wlcg.groups": ["/fallow", "/fallow/alpha"],
    }
    return jwt.encode(claims, key, algorithm=alg, headers={"kid": alg})


def rate(call: Callable[[str], object], tokens: Iterable[str], seconds: float) -> float:
    """Calls per second of this process's own time, for about `seconds`."""
    done, start = 0, time.process_time()
    for token in tokens:
        call(token)
        done += 1
        if done % 100 == 0 and time.process_time() - start >= seconds:
            break
    return done / (time.process_time() - start)


def measure(seconds: float) -> list[dict[str, Any]]:
    """One row per kind of token."""
    now = time.time()
    keys: dict[str, Any] = {
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "RS256": rsa.generate_private_key(65537, 2048),
    }
    public = {alg: key.public_key() for alg, key in keys.items()}
    jwks = [
        {**json.loads((ECAlgorithm if alg == "ES256" else RSAAlgorithm).to_jwk(key)), "kid": alg}
        for alg, key in public.items()
    ]
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        KeyStore(Path(directory)).save(ISSUER, Stored(now, {"keys": jwks}))
        trusted = TrustedIssuers(issuers=[TrustedIssuer(url=ISSUER)], cache_dir=Path(directory))

        for alg, key in keys.items():
            distinct = [sign(key, alg, number, now) for number in range(int(12000 * seconds))]
            strangers = [sign(key, alg, number, now, "https://other.example") for number in range(100)]

            def validated(token: str, validator: Validator) -> None:
                authorise(validator.validate(token, AUDIENCE, now), "submit").require()

            def refused(token: str, validator: Validator) -> None:
                try:
                    validator.validate(token, AUDIENCE, now)
                except TokenError:
                    return

            def alone(token: str, key: Any = public[alg], alg: str = alg) -> None:
                jwt.decode(token, key, algorithms=[alg], audience=AUDIENCE, issuer=ISSUER)

            for kind, call, tokens in [
                ("distinct", validated, distinct),
                ("repeated", validated, distinct[:100] * 10000),
                ("refused", refused, strangers * 1000),
                ("PyJWT alone", alone, distinct),
            ]:
                rates = []
                for _ in range(ROUNDS):
                    validator = Validator(trusted)  # has seen nothing
                    timed = (lambda token, v=validator, c=call: c(token, v)) if call is not alone else alone
                    for token in tokens[:100]:
                        timed(token)
                    rates.append(rate(timed, itertools.islice(tokens, 100, None), seconds))
                rows.append(
                    {
                        "algorithm": alg,
                        "tokens": kind,
                        "per_s": round(median(rates)),
                        "worst_per_s": round(min(rates)),
                    }
                )
    return rows


def main() -> None:
    """Measure on one core, show the table, keep the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="per figure and round (default: 1)")
    seconds = parser.parse_args().seconds
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    about = conditions()
    rows = measure(seconds)
    tell("tokens", TITLE, about, {"rows": rows, "goal_per_s": GOAL_PER_S}, table)


if __name__ == "__main__":
    main()
