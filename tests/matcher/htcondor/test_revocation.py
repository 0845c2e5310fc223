"""Revocation: what is revoked is, nothing else is, and an expression that HTCondor would ignore is never written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import classad2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.matcher.conftest import revoke_on_disk

from fallow.errors import SettingsError, UsageError
from fallow_matcher.htcondor import configure, revocation
from fallow_matcher.settings import HubSettings

DOMAIN = "fallow.example.org"
centres = st.frozensets(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True), max_size=4)
jtis = st.frozensets(st.from_regex(r"[A-Za-z0-9_.:-]{1,40}", fullmatch=True), max_size=4)


def holds(revoked: revocation.Revoked, **claims: str) -> Any:
    return classad2.ExprTree(revocation.expression(revoked)).eval(classad2.ClassAd(claims))


@pytest.mark.parametrize("sub", [f"pilot-north@{DOMAIN}", f"north.alice@{DOMAIN}"])
def test_a_revoked_centres_pilots_and_users_are_revoked(sub: str) -> None:
    assert holds(revocation.Revoked(centres=frozenset({"north"})), sub=sub, jti="1") is True


@pytest.mark.parametrize(
    "sub", [f"pilot-north-2@{DOMAIN}", f"north-2.alice@{DOMAIN}", f"south.north@{DOMAIN}", f"condor@{DOMAIN}"]
)
def test_a_neighbour_of_similar_name_is_not_revoked(sub: str) -> None:
    assert holds(revocation.Revoked(centres=frozenset({"north"})), sub=sub, jti="1") is False


@given(centres, jtis)
def test_the_file_gives_back_what_was_written(names: frozenset[str], ids: frozenset[str]) -> None:
    revoked = revocation.Revoked(centres=names, jtis=ids)
    assert revocation.parse(revocation.render(revoked, DOMAIN)) == revoked


@given(st.text(max_size=40).filter(lambda text: not revocation.is_jti(text)))
def test_what_is_no_jti_never_becomes_classad_code(text: str) -> None:
    with pytest.raises(UsageError, match="not the jti"):
        revocation.add(revocation.Revoked(), jti=text)


def test_a_revoked_centre_is_denied_at_every_level_it_had(configured: HubSettings) -> None:
    revoke_on_disk(configured, centre="north")
    text = revocation.file_of(configured).read_text()
    for level in ("READ", "WRITE", "ADVERTISE_STARTD", "ADVERTISE_MASTER"):
        assert f"\nDENY_{level} = pilot-north@{DOMAIN}, north.*@{DOMAIN}\n" in text
    assert '\nFALLOW_REVOKED = {"north"}\n' in text


def test_configuring_again_keeps_what_is_revoked(configured: HubSettings, tmp_path: Path) -> None:
    revoke_on_disk(configured, centre="north")
    configure.configure(configured, tmp_path / "condor")
    assert revocation.read(revocation.file_of(configured)).centres == {"north"}


def test_a_file_that_lost_its_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "revoked.config"
    path.write_text("SEC_TOKEN_REVOCATION_EXPR = false\n")
    with pytest.raises(SettingsError, match="lost its list"):
        revocation.read(path)
