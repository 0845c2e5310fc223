"""The processes that make a hub: what each is started with, under systemd, in the foreground and in the testbed."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from fallow.errors import UsageError
from fallow_matcher.operation.account import become
from fallow_matcher.settings import HubSettings


@dataclass(frozen=True)
class Part:
    """One process of the hub.

    Args:
        name: What an operator calls it.
        does: What it is, in a few words.
        argv: Its command.
        environment: What it needs beside the usual.
        reloads: Whether it reads its files again on SIGHUP.
    """

    name: str
    does: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    reloads: bool = False


def every(settings_path: Path, out: Path) -> list[Part]:
    """All parts, in the order in which they start."""
    fallow = str(Path(sys.executable).parent / "fallow")
    condor = {"CONDOR_CONFIG": str(out / "condor_config")}
    ours = {"FALLOW_HUB_SETTINGS": str(settings_path), "FALLOW_HUB_CONDOR": str(out)}
    master = shutil.which("condor_master") or "/usr/sbin/condor_master"
    return [
        Part("condor", "HTCondor's queue, collector and negotiator", (master, "-f"), condor, reloads=True),
        Part("gateway", "the gateway and its page", (fallow, "-v", "hub", "gateway"), ours, reloads=True),
        Part("matcher", "the matcher", (fallow, "-v", "hub", "matcher"), ours),
        Part("campaigns", "the conductor of campaigns", (fallow, "-v", "hub", "campaigns"), ours),
    ]


def chosen(parts: list[Part], names: tuple[str, ...]) -> list[Part]:
    """The parts that are named; all where none is.

    Raises:
        UsageError: There is no such part.
    """
    known = {part.name: part for part in parts}
    for name in names:
        if name not in known:
            raise UsageError(f"The hub has no part {name!r}.", remedy=f"It has {', '.join(known)}.")
    return [known[name] for name in names] if names else parts


def environment(part: Part, settings: HubSettings) -> dict[str, str]:
    """The whole environment of a part."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("_CONDOR_")}
    return {**kept, **part.environment, "HOME": str(settings.state_dir)}


def turn_into(part: Part, settings: HubSettings) -> None:
    """Replace this process by the part, as the hub's account."""
    surroundings = environment(part, settings)
    become(settings.account)
    os.execvpe(part.argv[0], part.argv, surroundings)  # noqa: S606 - an argv of ours, without a shell
