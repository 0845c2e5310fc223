"""Signatures over images: Ed25519 (RFC 8032) with the keys that people have for OpenSSH.

A signature says that the holder of a key vouches for a digest and, where one is given, for the digest of its files.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from fallow.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def signed_text(digest: str, tree: str | None) -> bytes:
    """What is signed."""
    return f"fallow image 1\n{digest}\n{tree or '-'}\n".encode("ascii")


def load_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a file, as `ssh-keygen -t ed25519` writes it without a passphrase.

    Raises:
        UsageError: It is no such key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    remedy = "Make one without a passphrase: ssh-keygen -t ed25519 -N '' -f FILE"
    try:
        key = load_ssh_private_key(path.read_bytes(), None)
    except OSError as error:
        raise UsageError(f"Cannot read the key {path}: {error.strerror}.", remedy=remedy) from error
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{path} holds no private key of OpenSSH that can be opened.", remedy=remedy
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is no Ed25519 key.", remedy=remedy)
    return key


def sign(key: Ed25519PrivateKey, digest: str, tree: str | None) -> tuple[str, str]:
    """The public key, as OpenSSH writes it, and the signature in Base64."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    return public, base64.b64encode(key.sign(signed_text(digest, tree))).decode("ascii")


def is_signed(digest: str, tree: str | None, key: str, signature: str) -> bool:
    """Whether the holder of `key` signed this."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        public = load_ssh_public_key(key.encode("ascii"))
        if not isinstance(public, Ed25519PublicKey):
            return False
        public.verify(base64.b64decode(signature, validate=True), signed_text(digest, tree))
    except (ValueError, binascii.Error, InvalidSignature):
        return False
    return True


def fingerprint(key: str) -> str:
    """A public key in short, as `ssh-keygen -l` shows it."""
    try:
        blob = base64.b64decode(key.split()[1], validate=True)
    except (IndexError, binascii.Error):
        return "unreadable"
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")
