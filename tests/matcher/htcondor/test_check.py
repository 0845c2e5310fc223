"""`fallow hub check`: the generated configuration passes, and each bad setting is found with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from fallow_matcher.htcondor import effective, render
from fallow_matcher.htcondor.check import Finding, check
from fallow_matcher.htcondor.files import check_files
from fallow_matcher.htcondor.idtokens import Mint
from fallow_matcher.settings import HubSettings

VERSION = (25, 14, 1)
Config = dict[str, str]


def expand(text: str) -> Config:
    """The generated file as HTCondor sees it: lines joined, macros expanded."""
    joined = text.replace("\\\n", " ")
    raw = effective.parse("\n".join(line.strip() for line in joined.splitlines() if not line.startswith("#")))
    for _ in range(3):
        for macro in (
            "FALLOW_HUB",
            "FALLOW_OPERATOR",
            "FALLOW_USERS",
            "FALLOW_PILOTS",
            "FALLOW_SPEAKER",
            "LOCAL_DIR",
        ):
            raw = {name: value.replace(f"$({macro})", raw[macro]) for name, value in raw.items()}
    return raw


@pytest.fixture
def generated(settings: HubSettings, tmp_path: Path) -> Config:
    return {**expand(render.hub_config(settings, tmp_path)), "SEC_TOKEN_REVOCATION_EXPR": "false"}


def findings(config: Config, expected: Config, settings: HubSettings) -> list[Finding]:
    return check(config, expected, settings, VERSION)


def test_what_configure_writes_passes(generated: Config, settings: HubSettings) -> None:
    assert findings(generated, generated, settings) == []


@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [
        ("SEC_READ_AUTHENTICATION", "OPTIONAL", "REQUIRED"),
        ("SEC_CLIENT_ENCRYPTION", "PREFERRED", "REQUIRED"),
        ("SCHEDD.SEC_WRITE_INTEGRITY", "OPTIONAL", "REQUIRED"),
        ("SEC_DEFAULT_AUTHENTICATION_METHODS", "FS,IDTOKENS", "Only IDTOKENS"),
        ("COLLECTOR.SEC_READ_AUTHENTICATION_METHODS", "ANONYMOUS", "Only IDTOKENS"),
        ("ALLOW_READ", "*", "more than the hub's own"),
        ("ALLOW_WRITE", "*@fallow.example.org", "more than the hub's own"),
        ("SCHEDD.ALLOW_WRITE", "*/192.0.2.1", "more than the hub's own"),
        ("SCHEDD.ALLOW_WRITE", "execute-side@matchsession", "more than the hub's own"),
        ("COLLECTOR.ALLOW_READ", "execute-side@matchsession", "more than the hub's own"),
        ("ALLOW_DAEMON", "condor@*", "more than the hub's own"),
        ("ALLOW_ADMINISTRATOR", "", "name the identities"),
        ("DENY_CLIENT", "", "must be denied"),
        ("SEC_DEFAULT_SESSION_DURATION", "86400", "outlive its token"),
        ("SEC_DEFAULT_SESSION_DURATION", "", "outlive its token"),
        ("SEC_ENABLE_TOKEN_FETCH", "True", "must be False"),
        ("START_LOCAL_UNIVERSE", "TotalLocalJobsRunning < 200", "must be False"),
        ("IGNORE_INVALIDATE", "False", "must be True"),
        ("COLLECTOR_REQUIREMENTS", "True", "It must be"),
        ("SUBMIT_REQUIREMENT_NAMES", "", "It must be"),
        ("SUBMIT_REQUIREMENT_IMAGE", "True", "It must be"),
        ("JOB_TRANSFORM_NAMES", "", "It must be"),
        ("LIMIT_DIRECTORY_ACCESS", "", "It must be"),
        ("QUEUE_SUPER_USERS", "root, condor, alice", "It must be"),
        ("CERTIFICATE_MAPFILE", "/etc/condor/map", "It must be"),
        ("IMMUTABLE_JOB_ATTRS", "Owner", "after submission"),
        ("SEC_TOKEN_REVOCATION_EXPR", 'sub == "x', "does not parse"),
        ("SEC_TOKEN_REVOCATION_EXPR", "sub + 1", "does not parse"),
    ],
)
def test_a_bad_setting_is_found_with_its_remedy(
    generated: Config, settings: HubSettings, setting: str, value: str, word: str
) -> None:
    found = findings({**generated, setting: value}, generated, settings)
    assert [finding.setting for finding in found] == [setting]
    assert word in found[0].problem
    assert found[0].remedy


def test_a_setting_that_is_missing_is_found(generated: Config, settings: HubSettings) -> None:
    config = {name: value for name, value in generated.items() if name != "SEC_CLIENT_AUTHENTICATION"}
    assert [item.setting for item in findings(config, generated, settings)] == ["SEC_CLIENT_AUTHENTICATION"]


def test_an_old_htcondor_is_found(generated: Config, settings: HubSettings) -> None:
    (finding,) = check(generated, generated, settings, (25, 13, 1))
    assert finding.remedy == "Install HTCondor 25.13.2 or later."


def test_keys_and_tokens_that_others_may_read_are_found(configured: HubSettings) -> None:
    configured.tls_key.touch(0o600)
    assert check_files(configured) == []
    bad = [configured.state_dir / "keys" / "users", configured.state_dir / "tokens" / "hub"]
    for path in bad:
        path.chmod(0o644)
    assert [finding.remedy for finding in check_files(configured)] == [
        f"Run: chmod 600 {path}" for path in bad
    ]


def test_a_token_that_never_ends_or_may_do_everything_is_found(configured: HubSettings) -> None:
    configured.tls_key.touch(0o600)
    path = configured.state_dir / "tokens" / "hub"
    path.write_text("eyJhbGciOiJIUzI1NiJ9.e30.AAAA")
    assert [finding.problem for finding in check_files(configured)] == [
        "The token never ends.",
        "A token without a condor:/ scope may do everything.",
    ]


def test_an_ended_token_is_found(configured: HubSettings) -> None:
    configured.tls_key.touch(0o600)
    minted = Mint(configured.trust_domain, configured.state_dir / "keys").mint(
        "hub", "condor@fallow.example.org", ("READ",), now=1, expires=2
    )
    (configured.state_dir / "tokens" / "hub").write_text(minted.token)
    assert [finding.problem for finding in check_files(configured)] == ["The token has ended."]


def test_a_dump_is_read_with_its_multi_line_values() -> None:
    text = "A = 1\nJOB_TRANSFORM_X @=end\n  SET a 1\n  SET b 2\n@end\nSCHEDD.B = x = y\nEMPTY = \n# not a setting"
    assert effective.parse(text) == {
        "A": "1",
        "JOB_TRANSFORM_X": "SET a 1\nSET b 2",
        "SCHEDD.B": "x = y",
        "EMPTY": "",
    }
