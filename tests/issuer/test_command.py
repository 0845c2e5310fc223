"""The `fallow-dev-issuer` command and its state directory."""

import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from fallow_dev_issuer.cli import issuer as command
from fallow_dev_issuer.errors import IssuerError
from fallow_dev_issuer.keys import MAX_LIFE_S, KeyRing
from fallow_dev_issuer.people import People, Person

URL = "https://issuer.example.org:8444"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """The command runs in this process, and sets its umask."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def run(state: Path, people: Path) -> Callable[..., Result]:
    def invoke(*argv: str) -> Result:
        result = CliRunner().invoke(command, list(argv), env={"FALLOW_DEV_ISSUER_STATE": str(state)})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    assert invoke("init", "--issuer", URL, "--host", "localhost", "--people", str(people)).exit_code == 0
    return invoke


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_second_init_keeps_every_file_as_it_is(run: Callable[..., Result], state: Path) -> None:
    before = contents(state)
    run("init", "--issuer", URL, "--host", "localhost")
    assert contents(state) == before


def test_an_init_for_another_host_makes_a_new_certificate_by_the_same_authority(
    run: Callable[..., Result], state: Path
) -> None:
    before = contents(state)
    run("init", "--issuer", URL, "--host", "localhost", "--host", "127.0.0.1")
    after = contents(state)
    assert after["tls.pem"] != before["tls.pem"]
    assert after["ca.pem"] == before["ca.pem"]


def test_the_state_is_private(run: Callable[..., Result], state: Path, mode: Callable[[Path], int]) -> None:
    assert mode(state) == 0o700
    wide = {path.name for path in state.iterdir() if mode(path) != 0o600}
    assert wide == {"ca.pem", "tls.pem"}


def test_a_state_that_others_may_enter_is_refused(run: Callable[..., Result], state: Path) -> None:
    state.chmod(0o750)
    with pytest.raises(IssuerError, match=r"mode 0750.*chmod 0700"):
        run("token", "--user", "alice")


def test_a_directory_that_was_never_initialised_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["rotate", "--state", str(tmp_path)])
    assert isinstance(result.exception, IssuerError)
    assert "init" in str(result.exception)


@pytest.mark.parametrize(
    "url", ["http://issuer.example.org", "https://", "https://host/path", "https://host?x"]
)
def test_an_issuer_that_is_no_plain_https_url_is_refused(run: Callable[..., Result], url: str) -> None:
    with pytest.raises(IssuerError, match="not of the form"):
        run("init", "--issuer", url, "--host", "localhost")


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_an_offline_token_verifies_against_the_published_keys(
    run: Callable[..., Result], state: Path, algorithm: str
) -> None:
    argv = [
        "--user",
        "alice",
        "--audience",
        "a",
        "--audience",
        "b",
        "--life-s",
        "900",
        "--algorithm",
        algorithm,
    ]
    token = run("token", *argv).stdout.strip()
    ring = KeyRing.load(state / "keys.json")
    key = jwt.PyJWKSet.from_dict(ring.jwks(0))[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, [algorithm], audience="b", issuer=URL)
    assert claims["aud"] == ["a", "b"]
    assert claims["exp"] - claims["iat"] == 900
    assert claims["wlcg.groups"] == ["/fallow", "/fallow/alder"]


def test_a_token_written_to_a_file_is_private_and_not_printed(
    run: Callable[..., Result], tmp_path: Path, mode: Callable[[Path], int]
) -> None:
    out = tmp_path / "token"
    result = run("token", "--user", "alice", "--out", str(out))
    assert result.stdout == ""
    assert mode(out) == 0o600
    assert out.read_text().count(".") == 2


def test_a_scope_that_the_user_may_not_have_is_refused_by_name(run: Callable[..., Result]) -> None:
    with pytest.raises(IssuerError, match=r"alice may not have compute\.cancel"):
        run("token", "--user", "alice", "--scope", "compute.read compute.cancel")


def test_an_unknown_user_is_refused_and_the_known_ones_named(run: Callable[..., Result]) -> None:
    with pytest.raises(IssuerError, match=r"no user 'mallory'\. Known: alice"):
        run("token", "--user", "mallory")


def test_approving_a_code_that_nobody_waits_for_is_refused(run: Callable[..., Result]) -> None:
    with pytest.raises(IssuerError, match="No login waits"):
        run("approve", "BCDF-GHJK", "--user", "alice")


def test_a_further_certificate_is_good_for_its_hosts_only(run: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "hub"
    run("certificate", "--host", "hub", "--host", "10.0.0.1", "--out", str(out))
    authority = x509.load_pem_x509_certificate((out / "ca.pem").read_bytes())
    server = x509.load_pem_x509_certificate((out / "tls.pem").read_bytes())
    policy = PolicyBuilder().store(Store([authority]))
    assert policy.build_server_verifier(x509.DNSName("hub")).verify(server, [])
    with pytest.raises(x509.verification.VerificationError):
        policy.build_server_verifier(x509.DNSName("elsewhere")).verify(server, [])


def test_a_certificate_asked_for_again_is_kept(run: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "hub"
    run("certificate", "--host", "hub", "--out", str(out))
    before = contents(out)
    run("certificate", "--host", "hub", "--out", str(out))
    assert contents(out) == before


def test_a_certificate_fits_its_key(run: Callable[..., Result], state: Path) -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(state / "tls.pem", state / "tls-key.pem")


def test_a_name_that_is_no_host_gets_no_certificate(run: Callable[..., Result], tmp_path: Path) -> None:
    with pytest.raises(IssuerError, match="neither a host name nor"):
        run("certificate", "--host", "a b", "--out", str(tmp_path / "out"))


def test_a_retired_key_is_published_until_the_last_token_it_signed_has_expired() -> None:
    first = KeyRing(()).rotated(0, ("ES256",))
    old = first.active("ES256").kid
    second = first.rotated(1000, ("ES256",))
    assert second.active("ES256").kid != old
    assert old in [key["kid"] for key in second.jwks(1000 + MAX_LIFE_S - 1)["keys"]]
    assert old not in [key["kid"] for key in second.jwks(1000 + MAX_LIFE_S)["keys"]]


def test_a_rotation_drops_keys_whose_tokens_have_all_expired() -> None:
    ring = KeyRing(()).rotated(0, ("ES256",)).rotated(1000, ("ES256",)).rotated(1000 + MAX_LIFE_S, ("ES256",))
    assert len(ring.keys) == 2


def test_the_published_keys_hold_no_private_part(state: Path, run: Callable[..., Result]) -> None:
    for key in KeyRing.load(state / "keys.json").jwks(0)["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi"} & key.keys()


@pytest.fixture
def alice(people: Path) -> Person:
    return People.load(people).user("alice")


@pytest.mark.parametrize(
    "scope", ["storage.read:/alice", "storage.read:/alice/data", "wlcg.groups:/fallow/alder"]
)
def test_a_scope_at_or_below_a_listed_one_is_granted(alice: Person, scope: str) -> None:
    assert alice.may_have(scope)


@pytest.mark.parametrize(
    "scope",
    [
        "storage.read:/alicex",
        "storage.read:/",
        "storage.read",
        "storage.read:/alice/../bob",
        "wlcg.groups:/other",
    ],
)
def test_a_scope_beside_or_above_a_listed_one_is_not_granted(alice: Person, scope: str) -> None:
    assert not alice.may_have(scope)


def test_groups_asked_for_by_name_come_first(alice: Person) -> None:
    assert alice.groups_for(["wlcg.groups:/fallow/alder"]) == ["/fallow/alder", "/fallow"]


def test_without_the_scope_there_are_no_groups(alice: Person) -> None:
    assert alice.groups_for(["compute.read"]) is None


def test_a_wrong_field_of_the_people_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "people.toml"
    path.write_text('[users.bob]\nsub = "bob"\nname = "Bob"\ngroups = ["fallow"]\n')
    with pytest.raises(IssuerError, match=r"users\.bob\.groups\.0"):
        People.load(path)


def test_no_other_part_imports_the_issuer() -> None:
    root = Path(__file__).parents[2]
    sources = [*root.glob("*/src/**/*.py")]
    assert sources
    assert [path for path in sources if "fallow_dev_issuer" in path.read_text()] == []
