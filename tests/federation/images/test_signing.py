from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fallow.errors import UsageError
from fallow.images.signing import fingerprint, is_signed, load_key, sign

DIGEST, TREE = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def generated(path: Path, passphrase: str = "", kind: str = "ed25519") -> Path:
    """A key as people make them."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", path], check=True)
    return path


def test_a_signature_holds_for_what_was_signed_only(tmp_path: Path) -> None:
    key, signature = sign(load_key(generated(tmp_path / "key")), DIGEST, TREE)
    assert key == " ".join((tmp_path / "key.pub").read_text().split()[:2])
    assert is_signed(DIGEST, TREE, key, signature)
    assert not is_signed(DIGEST, None, key, signature)
    assert not is_signed(TREE, TREE, key, signature)
    assert not is_signed(DIGEST, TREE, key, "A" * 86 + "==")
    assert not is_signed(DIGEST, TREE, "ssh-ed25519 AAAA", signature)


def test_a_key_with_a_passphrase_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Make one without a passphrase"):
        load_key(generated(tmp_path / "key", "correct horse"))


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Ed25519 key"):
        load_key(generated(tmp_path / "key", kind="ecdsa"))


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(UsageError, match="key"):
        load_key(tmp_path / "key")


def test_a_key_is_shown_as_ssh_keygen_shows_it(tmp_path: Path) -> None:
    public = (generated(tmp_path / "key").with_suffix(".pub")).read_text()
    said = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], check=True, capture_output=True, text=True
    ).stdout
    assert fingerprint(public) == said.split()[1]
