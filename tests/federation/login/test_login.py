"""`fallow login` and what follows from it, against the development issuer over TLS."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from fallow.errors import FallowError, NotAvailableError, RefusedError, SettingsError
from fallow.login import access_token
from fallow.login.peek import peek
from fallow.login.store import Session, SessionStore
from fallow_dev_issuer.app import Lives
from fallow_dev_issuer.keys import KeyRing

Run = Callable[..., Result]
LogIn = Callable[..., str]


def ending_in(session: Session, seconds: float) -> Session:
    return session.model_copy(update={"expires": datetime.now(UTC) + timedelta(seconds=seconds)})


def stored(store: SessionStore) -> Session:
    session = store.load()
    assert session is not None
    return session


def jti(token: str) -> str:
    return str(peek(token)[1]["jti"])


def test_a_login_shows_address_and_code_and_then_who_is_logged_in(login_command: LogIn) -> None:
    printed = login_command()
    assert "/device" in printed
    assert "Logged in as Alice Alder." in printed
    assert "it will be renewed when needed" in printed


def test_a_login_prints_no_token(login_command: LogIn, store: SessionStore) -> None:
    printed = login_command()
    session = stored(store)
    assert session.access_token not in printed
    assert session.refresh_token not in printed
    assert session.access_token not in repr(session)
    assert session.refresh_token not in repr(session)


def test_a_login_is_kept_for_the_user_only(login_command: LogIn, home: Path) -> None:
    login_command()
    directory = home / "state" / "fallow"
    modes = {path.name: path.stat().st_mode & 0o777 for path in [directory, *directory.iterdir()]}
    assert modes == {"fallow": 0o700, "login.json": 0o600, "access-token": 0o600, "lock": 0o600}


def test_the_token_is_for_the_audience_that_the_hub_names(login_command: LogIn, store: SessionStore) -> None:
    login_command()
    assert peek(stored(store).access_token)[1]["aud"] == "https://hub.test"


def test_a_refused_login_says_so_and_stores_nothing(login_command: LogIn, store: SessionStore) -> None:
    assert "fallow: The issuer refused: The user refused." in login_command(approve=False)
    assert store.load() is None


def test_a_login_at_an_issuer_that_the_hub_does_not_name_is_refused(federation: Any, run: Run) -> None:
    result = run("login", "--issuer", "https://elsewhere.test")
    assert "offers no login at https://elsewhere.test" in str(result.exception)


def test_a_login_for_an_unregistered_client_is_refused(federation: Any, run: Run) -> None:
    issuer = federation.state.issuer
    result = run("login", "--issuer", issuer, "--client-id", "stranger", "--audience", "https://hub.test")
    assert isinstance(result.exception, RefusedError)
    assert "not registered" in str(result.exception)


def test_an_issuer_that_calls_itself_otherwise_is_refused(federation: Any, run: Run) -> None:
    issuer = federation.state.issuer + "/"
    result = run("login", "--issuer", issuer, "--client-id", "fallow", "--audience", "https://hub.test")
    assert isinstance(result.exception, NotAvailableError)
    assert "a trailing slash matters" in str(result.exception)


def test_a_client_without_its_issuer_is_explained(federation: Any, run: Run) -> None:
    assert "Give all three" in str(run("login", "--client-id", "fallow").exception)


def test_whoami_says_who_in_which_groups_until_when(logged_in: Session, run: Run) -> None:
    about = json.loads(run("whoami", "--json").stdout)
    assert (about["user"], about["name"]) == ("alice", "Alice Alder")
    assert about["groups"] == ["/fallow", "/fallow/alder"]
    assert "compute.create" in about["scopes"]
    assert about["expires_in_words"] == "in 59 minutes"
    assert about["renewable"] is True
    assert "expires  in 59 minutes, renewed when needed" in run("whoami").stdout


def test_token_show_decodes_but_never_prints_token_or_signature(
    logged_in: Session, run: Run, store: SessionStore
) -> None:
    printed = run("token", "show").stdout
    head, body, signature = stored(store).access_token.split(".")
    assert json.loads(printed)["claims"]["sub"] == "alice"
    assert [part for part in (head, body, signature) if part in printed] == []


def test_token_path_names_a_file_that_the_wlcg_discovery_can_use(
    logged_in: Session, run: Run, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run("token", "path").stdout.strip()
    monkeypatch.setenv("BEARER_TOKEN_FILE", path)
    assert access_token() == stored(store).access_token == Path(path).read_text().strip()


def test_the_logins_own_file_in_the_discovery_is_still_renewed(
    logged_in: Session, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = ending_in(stored(store), 10)
    store.save(session)
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(store.token_file))
    assert access_token() != session.access_token


def test_a_token_of_the_environment_comes_before_the_login(
    logged_in: Session, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "from.the.environment")
    assert access_token() == "from.the.environment"
    assert "in no file" in str(run("token", "path").exception)


def test_without_any_token_the_message_says_how_to_get_one(home: Path) -> None:
    with pytest.raises(NotAvailableError, match="Run `fallow login`"):
        access_token()


def test_a_token_with_time_left_is_not_renewed(logged_in: Session, store: SessionStore) -> None:
    assert access_token() == stored(store).access_token


def test_a_token_near_its_end_is_renewed_and_kept(logged_in: Session, store: SessionStore) -> None:
    old = ending_in(stored(store), 200)
    store.save(old)
    new = access_token()
    assert jti(new) != jti(old.access_token)
    assert stored(store).access_token == new
    assert stored(store).refresh_token != old.refresh_token
    assert access_token() == new


def test_an_expired_token_is_renewed_after_the_issuer_has_rotated_its_keys(
    logged_in: Session, store: SessionStore, federation: Any
) -> None:
    old = ending_in(stored(store), -100)
    store.save(old)
    KeyRing.load(federation.state.keys).rotated(federation.clock()).save(federation.state.keys)
    assert peek(access_token())[0]["kid"] != peek(old.access_token)[0]["kid"]


def test_many_callers_at_once_renew_once(logged_in: Session, store: SessionStore) -> None:
    store.save(ending_in(stored(store), 10))
    got: list[str] = []
    callers = [threading.Thread(target=lambda: got.append(access_token())) for _ in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(got) == 5
    assert len(set(got)) == 1


def test_a_failed_renewal_is_no_error_while_the_token_lives(logged_in: Session, store: SessionStore) -> None:
    session = ending_in(stored(store).model_copy(update={"refresh_token": "wrong"}), 100)
    store.save(session)
    assert access_token() == session.access_token


def test_a_login_that_cannot_be_renewed_any_more_leads_to_a_new_one(
    logged_in: Session, store: SessionStore
) -> None:
    store.save(ending_in(stored(store).model_copy(update={"refresh_token": "wrong"}), -1))
    with pytest.raises(RefusedError, match=r"login has ended.*Run `fallow login`"):
        access_token()


def test_a_login_without_a_refresh_token_ends_with_its_token(
    login_command: LogIn, store: SessionStore
) -> None:
    assert "after that, log in again" in login_command("--scope", "openid compute.read")
    store.save(ending_in(stored(store), -1))
    with pytest.raises(RefusedError, match="cannot be renewed"):
        access_token()


def test_a_logout_revokes_and_forgets(logged_in: Session, run: Run, store: SessionStore) -> None:
    session = ending_in(stored(store), -1)
    assert run("logout").stdout == "Logged out.\n"
    assert store.load() is None
    assert not store.token_file.exists()
    store.save(session)
    with pytest.raises(RefusedError, match="revoked"):
        access_token()


def test_a_logout_without_a_login_is_no_error(home: Path, run: Run) -> None:
    assert run("logout").stdout == "You were not logged in.\n"


def test_a_logout_forgets_the_login_also_when_the_issuer_does_not_answer(
    logged_in: Session, run: Run, store: SessionStore
) -> None:
    store.save(stored(store).model_copy(update={"issuer": "https://127.0.0.1:1"}))
    result = run("logout")
    assert isinstance(result.exception, FallowError)
    assert "You are logged out here, but the issuer could not be told" in str(result.exception)
    assert store.load() is None


def test_a_login_file_that_others_may_read_is_refused(logged_in: Session, home: Path) -> None:
    (home / "state" / "fallow" / "login.json").chmod(0o644)
    with pytest.raises(SettingsError, match=r"mode 0644.*chmod 0600"):
        access_token()


def test_a_damaged_login_counts_as_none(logged_in: Session, home: Path) -> None:
    (home / "state" / "fallow" / "login.json").write_text("{")
    with pytest.raises(NotAvailableError, match="no WLCG token"):
        access_token()


def test_token_condor_writes_a_private_file_and_prints_its_path_only(
    logged_in: Session, run: Run, home: Path, federation: Any
) -> None:
    federation.hub.answers.clear()
    federation.hub.says(200, {"access_token": "condor.id.token", "expires_in": 600, "scope": "condor:/READ"})
    path = home / ".condor" / "tokens.d" / "fallow"
    assert run("token", "condor").stdout == f"{path}\n"
    assert path.read_text() == "condor.id.token\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_token_condor_writes_where_it_is_told(
    logged_in: Session, run: Run, tmp_path: Path, federation: Any
) -> None:
    federation.hub.answers.clear()
    federation.hub.says(200, {"access_token": "condor.id.token", "expires_in": 600, "scope": "condor:/READ"})
    out = tmp_path / "new" / "token"
    assert run("token", "condor", "--out", str(out)).exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600


class TestAShortDeviceCode:
    """The issuer gives people one second."""

    @pytest.fixture
    def lives(self) -> Lives:
        return Lives(device_s=1, interval_s=1)

    def test_a_code_that_expires_ends_the_login_with_a_remedy(self, federation: Any, run: Run) -> None:
        result = run("login")
        assert isinstance(result.exception, RefusedError)
        assert "Nobody approved the login before its code expired." in str(result.exception)
