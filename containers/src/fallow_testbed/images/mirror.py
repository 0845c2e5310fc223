"""Which Debian mirror this machine uses and how, as apt itself says."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fallow.errors import NotAvailableError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

_FIELDS = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(LABEL)|$(CREATED_BY)"
_TRANSPORT = re.compile(r'^Acquire::(https?|ftp|tor|Retries|ForceIPv[46]|Queue-Mode)(::|\s).*"[^"]+";$')


@dataclass(frozen=True)
class Mirror:
    """Where Debian packages come from."""

    uri: str
    options: str
    """Lines of apt configuration: the machine's proxies, certificates and retries."""


def find_mirror() -> Mirror:
    """Read the mirror and transport settings from this machine's apt; `$FALLOW_DEBIAN_MIRROR` wins.

    Raises:
        NotAvailableError: apt names no Debian mirror, or its signing keys are missing.
    """
    if not KEYRING.exists():
        raise NotAvailableError(
            f"{KEYRING}, which holds Debian's signing keys, is missing.",
            remedy="Run `apt-get install debian-archive-keyring`.",
        )
    options = transport_options(_ask("apt-config", "dump"))
    named = os.environ.get("FALLOW_DEBIAN_MIRROR")
    if named:
        return Mirror(named, options)
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    uri = choose_mirror(_ask("apt-get", "indextargets", "--format", _FIELDS), release)
    if uri is None:
        raise NotAvailableError(
            "apt on this machine is not set up for a Debian mirror.",
            remedy="Set FALLOW_DEBIAN_MIRROR to the address of one.",
        )
    return Mirror(_first_of_list(uri), options)


def choose_mirror(targets: str, release: str) -> str | None:
    """Pick the address of Debian's main archive from apt's index targets.

    Args:
        targets: Lines `address|release|component|label|kind`; no label before the first `apt-get update`.
        release: Code name of the machine's own release.
    """
    names = {release, "stable", "oldstable", "testing", "unstable", "sid"}
    candidates = []
    for line in targets.splitlines():
        uri, suite, component, label, kind = [*line.split("|"), "", "", "", ""][:5]
        if kind == "Packages" and component == "main" and suite in names and label in ("Debian", ""):
            candidates.append((label != "Debian", uri))
    return min(candidates)[1].rstrip("/") if candidates else None


def transport_options(dump: str) -> str:
    """Keep of `apt-config dump` what says how to reach a mirror."""
    kept = [line for line in dump.splitlines() if _TRANSPORT.match(line)]
    return "".join(f"{line}\n" for line in kept)


def _first_of_list(uri: str) -> str:
    """Follow `mirror+file:`, where a file of the machine lists the mirrors."""
    scheme, _, path = uri.partition(":")
    if scheme != "mirror+file":
        return uri
    lines = [
        line.split()[0] for line in Path("/" + path.lstrip("/")).read_text().splitlines() if line.strip()
    ]
    return next(line for line in lines if not line.startswith("#")).rstrip("/")


def _ask(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
