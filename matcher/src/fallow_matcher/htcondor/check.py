"""What is wrong with the configuration in effect: one finding per setting, with what to do about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fallow_matcher.htcondor import policy, work_types
from fallow_matcher.htcondor.render import LEVELS, PROTECTIONS
from fallow_matcher.settings import HubSettings

MINIMUM_VERSION = (25, 13, 2)
AGAIN = "Run `fallow hub configure`, remove what overrides it, and run condor_reconfig."
OFF = (
    "SEC_ENABLE_TOKEN_FETCH", "SEC_ENABLE_TOKEN_REQUEST", "SEC_ENABLE_SCITOKEN_EXCHANGE",
    "SEC_ENABLE_IMPERSONATION_TOKENS", "SEC_ENABLE_REMOTE_ADMINISTRATION", "ENABLE_RUNTIME_CONFIG",
    "ENABLE_PERSISTENT_CONFIG", "QUEUE_ALL_USERS_TRUSTED", "START_LOCAL_UNIVERSE", "START_SCHEDULER_UNIVERSE",
    "SCHEDD_ALLOW_LATE_MATERIALIZE", "ENABLE_HTTP_PUBLIC_FILES",
)  # fmt: skip
ON = ("IGNORE_INVALIDATE",)
EXACT = (
    "COLLECTOR_REQUIREMENTS", "JOB_TRANSFORM_NAMES", "SUBMIT_REQUIREMENT_NAMES",
    "LIMIT_DIRECTORY_ACCESS", "QUEUE_SUPER_USERS", "QUEUE_SUPER_USER_MAY_IMPERSONATE", "TRUST_DOMAIN", "UID_DOMAIN",
    "SEC_PASSWORD_DIRECTORY", "SEC_TOKEN_SYSTEM_DIRECTORY", "SEC_TOKEN_DIRECTORY", "CERTIFICATE_MAPFILE",
)  # fmt: skip
"""Settings that must be just as `fallow hub configure` writes them."""
NEEDED_LEVELS = (
    "READ", "WRITE", "DAEMON", "NEGOTIATOR", "ADMINISTRATOR", "CONFIG", "OWNER", "CLIENT",
    "ADVERTISE_STARTD", "ADVERTISE_SCHEDD", "ADVERTISE_MASTER",
)  # fmt: skip
_MATCH_SESSION = ("SCHEDD.ALLOW_READ", "execute-side@matchsession")
"""A pilot that holds a claim may give it back, by a session that only the schedd's own claim can have made."""
_ALLOW = re.compile(rf"(?:[A-Z_]+\.)?ALLOW_(?:{'|'.join(NEEDED_LEVELS)})")
_METHODS = re.compile(r"(?:[A-Z_]+\.)?SEC_[A-Z_]+_AUTHENTICATION_METHODS")
_PROTECTION = re.compile(r"(?:[A-Z_]+\.)?SEC_(?!ENABLE_)[A-Z_]+_(?:AUTHENTICATION|ENCRYPTION|INTEGRITY)")


@dataclass(frozen=True)
class Finding:
    """One setting that must not stay as it is."""

    setting: str
    value: str
    problem: str
    remedy: str = AGAIN


def check(
    config: Mapping[str, str], expected: Mapping[str, str], settings: HubSettings, version: tuple[int, ...]
) -> list[Finding]:
    """Hold the configuration in effect against the rules.

    Args:
        config: Settings in effect, by upper-case name, macros expanded.
        expected: The same for what `fallow hub configure` would write now.
        settings: The hub's settings.
        version: HTCondor's version.
    """
    findings = [
        *_protection(config),
        *_methods(config),
        *_authorisation(config, settings),
        *_sessions(config, settings),
        *_switches(config),
        *_policy(config, expected),
        *_revocation(config),
    ]
    if version < MINIMUM_VERSION:
        findings.append(
            Finding(
                "version",
                ".".join(map(str, version)),
                "HTCondor before 25.13.2 does not hold a token to its scope everywhere.",
                "Install HTCondor 25.13.2 or later.",
            )
        )
    return findings


def _protection(config: Mapping[str, str]) -> Iterator[Finding]:
    names = {f"SEC_{level}_{what}" for level in LEVELS for what in PROTECTIONS}
    names |= {name for name in config if _PROTECTION.fullmatch(name)}
    for name in sorted(names):
        value = config.get(name, "")
        if value.upper() != "REQUIRED":
            yield Finding(name, value, "Connections of this kind may do without it; it must be REQUIRED.")


def _methods(config: Mapping[str, str]) -> Iterator[Finding]:
    names = {"SEC_DEFAULT_AUTHENTICATION_METHODS", "SEC_CLIENT_AUTHENTICATION_METHODS"}
    names |= {name for name in config if _METHODS.fullmatch(name)}
    for name in sorted(names):
        value = config.get(name, "")
        if value.upper() != "IDTOKENS":
            yield Finding(
                name, value, "Only IDTOKENS is allowed: every other method can be had without a token."
            )


def _authorisation(config: Mapping[str, str], settings: HubSettings) -> Iterator[Finding]:
    domain = re.escape(settings.trust_domain)
    identity = re.compile(
        rf"(?:condor|operator|pilot-[a-z0-9-]+|[a-z][a-z0-9-]*\.\*)@{domain}|condor@password"
    )
    names = {f"ALLOW_{level}" for level in NEEDED_LEVELS}
    names |= {name for name in config if _ALLOW.fullmatch(name)}
    for name in sorted(names):
        value = config.get(name, "")
        entries = [entry for entry in re.split(r"[,\s]+", value) if entry]
        wrong = [
            entry for entry in entries if not identity.fullmatch(entry) and (name, entry) != _MATCH_SESSION
        ]
        if not entries:
            yield Finding(name, value, "It is empty, so it falls back to a wider level; name the identities.")
        elif wrong:
            yield Finding(name, value, f"{', '.join(wrong)} is more than the hub's own identities.")
    if "*@unmapped" not in config.get("DENY_CLIENT", ""):
        yield Finding("DENY_CLIENT", config.get("DENY_CLIENT", ""), "*@unmapped must be denied.")


def _sessions(config: Mapping[str, str], settings: HubSettings) -> Iterator[Finding]:
    name = "SEC_DEFAULT_SESSION_DURATION"
    value = config.get(name, "")
    shortest = min(settings.lives.user_token_s, settings.lives.pilot_token_s)
    if not value.isdecimal() or int(value) > shortest:
        problem = f"A session may outlive its token, whose life is {shortest} s; a session must not."
        yield Finding(name, value, problem)


def _switches(config: Mapping[str, str]) -> Iterator[Finding]:
    for name in OFF:
        if config.get(name, "").upper() != "FALSE":
            yield Finding(name, config.get(name, ""), "It must be False: it opens a way around the gateway.")
    for name in ON:
        if config.get(name, "").upper() != "TRUE":
            yield Finding(
                name, config.get(name, ""), "It must be True: else a pilot can remove another's slots."
            )


def _policy(config: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[Finding]:
    rules = [rule.name for rule in policy.requirements()] + [work_types.NAME]
    names = [f"SUBMIT_REQUIREMENT_{rule}".upper() for rule in rules]
    names += [f"JOB_TRANSFORM_{name}".upper() for name in (*policy.named_transforms(), work_types.NAME)]
    for name in (*EXACT, *names):
        if config.get(name, "") != expected.get(name, ""):
            yield Finding(name, config.get(name, ""), f"It must be: {expected.get(name, '') or '(empty)'}")
    fixed = set(config.get("IMMUTABLE_JOB_ATTRS", "").upper().split())
    missing = [name for name in expected.get("IMMUTABLE_JOB_ATTRS", "").split() if name.upper() not in fixed]
    if missing:
        value = config.get("IMMUTABLE_JOB_ATTRS", "")
        yield Finding(
            "IMMUTABLE_JOB_ATTRS", value, f"Users could change {', '.join(missing)} after submission."
        )


def _revocation(config: Mapping[str, str]) -> Iterator[Finding]:
    name = "SEC_TOKEN_REVOCATION_EXPR"
    value = config.get(name, "")
    import classad2

    try:
        verdict = (
            classad2.ExprTree(value).eval(classad2.ClassAd({"sub": "a.b@c", "jti": "none"}))
            if value
            else None
        )
    except classad2.ClassAdException:
        verdict = None
    if not isinstance(verdict, bool):
        problem = (
            "It does not parse or is neither true nor false, and HTCondor then revokes nothing, in silence."
        )
        yield Finding(name, value, problem, "Run `fallow hub revoke` again, then condor_reconfig.")
