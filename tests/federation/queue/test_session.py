import os
import stat
from pathlib import Path

from fallow.queue.session import bindings, install_token


def test_the_bindings_speak_only_with_whom_they_have_authenticated_by_token() -> None:
    param = bindings().param
    assert param["SEC_CLIENT_AUTHENTICATION"] == "REQUIRED"
    assert param["SEC_CLIENT_AUTHENTICATION_METHODS"] == "IDTOKENS"
    assert param["SEC_CLIENT_ENCRYPTION"] == "REQUIRED"
    assert param["SEC_CLIENT_INTEGRITY"] == "REQUIRED"


def test_no_token_of_the_machine_is_used() -> None:
    param = bindings().param
    assert param["SEC_TOKEN_DIRECTORY"] == param["SEC_TOKEN_SYSTEM_DIRECTORY"]
    assert "fallow-tokens-" in param["SEC_TOKEN_DIRECTORY"]


def test_a_token_is_in_one_private_file_and_not_in_the_environment() -> None:
    directory = Path(bindings().param["SEC_TOKEN_DIRECTORY"])
    before = set(directory.iterdir())
    install_token("fallow.test", "first")
    install_token("fallow.test", "second")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    file = directory / "fallow.test"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() == "second"
    assert "second" not in os.environ.values()
    assert set(directory.iterdir()) - before == {file}


def test_a_trust_domain_cannot_name_another_place() -> None:
    directory = Path(bindings().param["SEC_TOKEN_DIRECTORY"])
    install_token("../evil", "token")
    assert not (directory.parent / "evil").exists()
    (directory / "_evil").unlink()
