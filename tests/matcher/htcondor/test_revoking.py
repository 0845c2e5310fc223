"""Revoking at one hub and at two: what either said last counts at both."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from tests.matcher.conftest import revoke_on_disk

from fallow.errors import NotAvailableError, UsageError
from fallow_matcher.gateway.audit import Audit, audit_file
from fallow_matcher.htcondor import revocation, revoking
from fallow_matcher.settings import HubSettings, PairSettings

DOMAIN = "fallow.example.org"


def standing(settings: HubSettings) -> tuple[set[str], set[str]]:
    """The centres and tokens that are revoked at a hub."""
    found = revocation.read(revocation.file_of(settings))
    return set(found.centres), set(found.jtis)


class Hub:
    """One of two, whose HTCondor notes what it is told and may be away."""

    def __init__(self, settings: HubSettings, database: Engine) -> None:
        self.settings = settings
        self.told: list[set[str]] = []
        self.away = False
        self.heeding = revoking.Heeding(settings, settings.state_dir, lambda _: database, self.apply)
        revocation.file_of(settings).parent.mkdir()
        revocation.file_of(settings).write_text(revocation.render(revocation.Revoked(), DOMAIN))

    def apply(self, settings: HubSettings, config: Path, jtis: frozenset[str]) -> None:
        if self.away:
            raise NotAvailableError("condor_reconfig failed.")
        self.told.append(set(jtis))

    def revoke(self, **what: object) -> None:
        revoke_on_disk(self.settings, **what)


@pytest.fixture
def hubs(database: Engine, settings: HubSettings, tmp_path: Path) -> tuple[Hub, Hub]:
    """Both hubs of a federation, on one database."""
    url = database.url.set(drivername=database.url.get_backend_name())
    both = {
        "pair": PairSettings(first="one.example.org", second="two.example.org"),
        "database": SecretStr(url.render_as_string(hide_password=False)),
    }
    first, second = (
        Hub(settings.model_copy(update={**both, "host": host, "state_dir": tmp_path / host}), database)
        for host in ("one.example.org", "two.example.org")
    )
    return first, second


@pytest.mark.parametrize(
    ("what", "wanted"), [({"centre": "north"}, ({"north"}, set())), ({"jti": "stolen"}, (set(), {"stolen"}))]
)
def test_what_one_revokes_the_other_heeds_until_it_is_taken_back(
    hubs: tuple[Hub, Hub], what: dict[str, str], wanted: tuple[set[str], set[str]]
) -> None:
    for here, there in (hubs, hubs[::-1]):
        here.revoke(**what)
        assert standing(here.settings) == wanted
        there.heeding.cycle()
        assert standing(there.settings) == wanted
        here.revoke(**what, undo=True)
        there.heeding.cycle()
        assert standing(there.settings) == (set(), set())


def test_the_last_word_counts_whoever_says_it(hubs: tuple[Hub, Hub]) -> None:
    first, second = hubs
    first.revoke(centre="north")
    second.heeding.cycle()
    second.revoke(centre="north", undo=True)
    first.heeding.cycle()
    assert standing(first.settings) == (set(), set())


def test_what_the_other_never_spoke_of_stays(hubs: tuple[Hub, Hub]) -> None:
    first, second = hubs
    revoke_on_disk(second.settings.model_copy(update={"pair": None}), jti="of-old")
    first.revoke(jti="stolen")
    second.heeding.cycle()
    assert standing(second.settings) == (set(), {"of-old", "stolen"})


def test_revoking_again_ends_the_tokens_connections_where_the_first_command_did_not(
    configured: HubSettings,
) -> None:
    told: list[set[str]] = []
    for _ in range(2):
        revoking.revoke(configured, Path("none"), jti="stolen", apply=lambda *what: told.append(set(what[2])))
    revoking.revoke(
        configured, Path("none"), jti="stolen", undo=True, apply=lambda *what: told.append(set(what[2]))
    )
    assert told == [{"stolen"}, {"stolen"}, set()]


def test_htcondor_is_told_at_the_start_and_of_each_change_once(hubs: tuple[Hub, Hub]) -> None:
    first, second = hubs
    assert second.heeding.cycle()
    assert not second.heeding.cycle()
    first.revoke(jti="stolen")
    assert second.heeding.cycle()
    assert not second.heeding.cycle()
    assert second.told == [set(), {"stolen"}]


def test_htcondor_that_was_away_is_told_later(hubs: tuple[Hub, Hub]) -> None:
    first, second = hubs
    second.away = True
    first.revoke(jti="stolen")
    for _ in range(2):
        with pytest.raises(NotAvailableError):
            second.heeding.cycle()
    assert standing(second.settings) == (set(), {"stolen"})
    second.away = False
    second.heeding.cycle()
    assert second.told == [{"stolen"}]


def test_without_the_database_it_is_revoked_here_and_the_operator_is_told(configured: HubSettings) -> None:
    lost = configured.model_copy(
        update={
            "pair": PairSettings(first="one.example.org", second="two.example.org"),
            "database": SecretStr("sqlite:////nowhere/fallow.sqlite"),
        }
    )
    with pytest.raises(NotAvailableError, match="done here, and the other hub does not know"):
        revoke_on_disk(lost, centre="north")
    assert standing(lost) == ({"north"}, set())


@pytest.mark.parametrize(
    ("centre", "jti"), [(None, None), ("north", "1"), ("east", None), (None, "no id of ours")]
)
def test_what_cannot_be_revoked_is_refused(
    configured: HubSettings, centre: str | None, jti: str | None
) -> None:
    with pytest.raises(UsageError):
        revoke_on_disk(configured, centre=centre, jti=jti)


@pytest.mark.parametrize(
    ("jti", "outlives"), [("pilots", True), ("users", False), ("shown", False), ("never-heard-of", True)]
)
def test_only_a_pilots_connection_outlives_its_token(
    configured: HubSettings, jti: str, outlives: bool
) -> None:
    audit = Audit(audit_file(configured.state_dir))
    audit.write("htcondor_token", jti="shown", identity=f"north.alice@{DOMAIN}", issued_jti="users")
    audit.write("htcondor_token", jti="of-north", identity=f"pilot-north@{DOMAIN}", issued_jti="pilots")
    audit.close()
    assert revoking.outlives_revocation(configured, jti) is outlives
