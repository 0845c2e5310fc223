"""What is wrong with the hub's key and token files."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path

import jwt

from fallow_matcher.htcondor.check import Finding
from fallow_matcher.settings import HubSettings


def check_files(settings: HubSettings) -> list[Finding]:
    """Look at every key and token on the hub."""
    findings = []
    for name in ("keys", "tokens"):
        folder = settings.state_dir / name
        findings += list(_private(folder, 0o700))
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            findings += list(_private(path, 0o600))
            if name == "tokens":
                findings += list(_token(path))
    findings += list(_private(settings.tls_key, 0o600))
    findings += list(_private(settings.storage.keys_file, 0o600))
    return findings


def _private(path: Path, mode: int) -> Iterator[Finding]:
    try:
        found = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        yield Finding(str(path), error.strerror or "", "It cannot be read.", "Run `fallow hub configure`.")
        return
    if found & 0o077:
        yield Finding(str(path), f"{found:04o}", "Others may read it.", f"Run: chmod {mode:o} {path}")


def _token(path: Path) -> Iterator[Finding]:
    again = "Remove it and run `fallow hub configure`."
    try:
        claims = jwt.decode(path.read_text(encoding="ascii").strip(), options={"verify_signature": False})
    except (OSError, ValueError, jwt.PyJWTError):
        yield Finding(str(path), "", "It holds no token.", again)
        return
    if "exp" not in claims:
        yield Finding(str(path), "no exp", "The token never ends.", again)
    elif claims["exp"] <= time.time():
        yield Finding(
            str(path), f"exp {claims['exp']}", "The token has ended.", "Run `fallow hub configure`."
        )
    scopes = str(claims.get("scope", "")).split()
    if not any(scope.startswith("condor:/") for scope in scopes):
        yield Finding(str(path), "no scope", "A token without a condor:/ scope may do everything.", again)
