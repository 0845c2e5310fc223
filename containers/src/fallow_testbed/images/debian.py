"""A root directory out of Debian packages, by mmdebstrap."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from fallow.errors import FallowError, NotAvailableError
from fallow_testbed.images.definition import Debian
from fallow_testbed.images.mirror import KEYRING, Mirror, find_mirror
from fallow_testbed.images.programs import ProgramError, Runner, isolated, require_programs

_APT = """\
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::Retries "2";
APT::Install-Recommends "false";
"""
# Testing suites on a mirror that lags behind have expired; their signatures are checked all the same.

_NEVER = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
]
_UNREACHABLE = re.compile(
    r"(Could not (resolve|connect|handshake)|Temporary failure|Connection (refused|timed out|failed)|"
    r"Unable to connect|Network is unreachable|No route to host|Certificate verification failed).*",
    re.IGNORECASE,
)
_OF_APT = [
    "etc/apt/sources.list",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/apt/preferences.d/fallow",
    "var/lib/apt/lists",
    "var/cache/apt",
]


def bootstrap(debian: Debian, tree: Path, *, definition: Path, work: Path, runner: Runner) -> None:
    """Install Debian packages into an empty directory.

    Args:
        debian: What to install.
        tree: The empty directory; owned by root afterwards.
        definition: Directory of the definition, with its `preferences` if it has any.
        work: An empty directory for files that are not kept.
        runner: Runs the programs.

    Raises:
        NotAvailableError: A program or the mirror is missing.
        FallowError: A package does not exist or does not install.
    """
    require_programs("mmdebstrap", "unshare", "setpriv", "apt-get", "apt-config")
    mirror = find_mirror()
    options = work / "apt.conf"
    options.write_text(_APT + mirror.options)
    options.chmod(0o600)  # a proxy's address may hold a password
    preferences = definition / "preferences"
    argv = command(debian, tree, mirror, options, preferences if preferences.exists() else None)
    try:
        runner.run(isolated(argv, network=True), cwd=work)
    except ProgramError as error:
        raise explain(error.output, mirror.uri, runner.log) from error
    for name in _OF_APT:
        runner.run(["rm", "-rf", "--one-file-system", "--", str(tree / name)])


def command(debian: Debian, tree: Path, mirror: Mirror, options: Path, preferences: Path | None) -> list[str]:
    """The mmdebstrap command line; addresses and passwords of proxies stay in the `options` file."""
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in [*_NEVER, *debian.exclude]]
    pins = [
        '--setup-hook=mkdir -p "$1/etc/apt/preferences.d"',
        f"--setup-hook=upload {shlex.quote(str(preferences))} /etc/apt/preferences.d/fallow",
    ]
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=essential",
        f"--keyring={KEYRING}",
        f"--aptopt={options}",
        "--dpkgopt=force-unsafe-io",
        *excluded,
        *(pins if preferences else []),
        f"--include={','.join(debian.packages)}",
        debian.suites[0],
        str(tree),
        *(f"deb {mirror.uri} {suite} main" for suite in debian.suites),
    ]


def explain(output: str, mirror: str, log: Path) -> FallowError:
    """Turn what mmdebstrap said into one sentence."""
    lines = [line.strip() for line in output.splitlines()]
    unreachable = _UNREACHABLE.search(output)
    if unreachable:
        return NotAvailableError(
            f"The Debian mirror {mirror} does not answer: {unreachable[0].rstrip('.')}.",
            remedy="Check the network and apt's configuration, then run the command again.",
        )
    if any("No space left" in line for line in lines):
        return FallowError(
            "The disk became full while Debian packages were installed.", remedy="Make space and try again."
        )
    errors = _told(lines)
    return FallowError(f"mmdebstrap failed: {errors}.", remedy=f"All that it said is in {log}.")


def _told(lines: Sequence[str]) -> str:
    errors = [line[3:] for line in lines if line.startswith("E: ")]
    return errors[0].rstrip(".") if errors else "it gave no reason"
