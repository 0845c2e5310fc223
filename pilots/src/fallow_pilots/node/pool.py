"""The running HTCondor of one pilot: started, asked to drain, to evict, to end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from fallow_pilots.node import condor
from fallow_pilots.node.finding import devices
from fallow_pilots.node.launcher import SYSTEM_PATH
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.processes import children, die_with_parent, process_age_s
from fallow_pilots.node.way import Way

log = logging.getLogger(__name__)

QUERY_S = 30.0
OVERRIDE = "90-fallow"
SETUP_S = 5.0
"""A starter that takes longer waits for an image, and answers when it is asked to stop."""


class Pool:
    """`condor_master` and what it runs.

    Nothing here needs rights over the network: the startd reads a changed file on SIGHUP, the master ends on signals.

    Args:
        layout: The pilot's directory, configured.
        programs: Where HTCondor lies.
        way: How it reaches the hub.
        collectors: Those of the pools that it joins, `host:port`.
    """

    def __init__(
        self, layout: Layout, programs: condor.Programs, way: Way, collectors: Sequence[str]
    ) -> None:
        self._layout = layout
        self._programs = programs
        self._way = way
        self._collectors = collectors
        self._master: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start `condor_master` in the foreground; it ends with this process."""
        with (self._layout.logs / "master.out").open("ab") as output:
            self._master = subprocess.Popen(
                [str(self._programs.master), "-f"],
                cwd=self._layout.root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=self._become,  # noqa: PLW1509 - this process has one thread
            )
        log.info("condor_master started as process %d", self._master.pid)

    def _become(self) -> None:
        self._way.enter()  # first: it takes the wish for a signal at the parent's death away
        die_with_parent()

    def ended(self) -> int | None:
        """The exit status of `condor_master`, or None while it runs."""
        return None if self._master is None else self._master.poll()

    def override(self, settings: str) -> None:
        """Change settings of the startd: `settings` takes the place of what was changed before."""
        draft = self._layout.overrides / f".{OVERRIDE}"
        draft.write_text(settings, encoding="utf-8")
        draft.replace(self._layout.overrides / OVERRIDE)
        for process in self._startds():
            _signal(process, signal.SIGHUP)

    def busy(self) -> bool:
        """Whether a payload runs or is about to; the startd has a child for each, and the procd."""
        return bool(self._starters())

    def setting_up(self) -> bool:
        """Whether a starter has not started its payload yet.

        Asked to stop now, it would end without a word, and its job would wait for the pilot as long as its lease lasts.
        """
        return any(
            process_age_s(starter) < SETUP_S and not self._launched(starter) for starter in self._starters()
        )

    def _launched(self, starter: int) -> bool:
        """Whether the container of a starter's payload stands: its entry has said so (see fallow-payload)."""
        scratch = self._layout.execute / f"own-{starter}" / f"dir_{starter}" / "scratch"
        return (scratch / ".condor_container_launched").exists()

    def _starters(self) -> list[int]:
        return [
            child
            for startd in self._startds()
            for child in children(startd)
            if _program(child) != "condor_procd"
        ]

    def evict(self) -> None:
        """Stop what runs, so that it goes back to the queue, and end."""
        self._signal_master(signal.SIGTERM)

    def quit(self) -> None:
        """End at once."""
        self._signal_master(signal.SIGQUIT)

    def listed(self, pilot: str) -> bool | None:
        """Whether a collector lists the pilot; None if none does and one refused our token.

        A collector that does not answer does not list.
        """
        refused = False
        for collector in self._collectors:
            found = self._lists(collector, pilot)
            if found:
                return True
            refused |= found is None
        return None if refused else False

    def _lists(self, collector: str, pilot: str) -> bool | None:
        argv = [
            str(self._programs.sbin.parent / "bin" / "condor_status"),
            "-pool",
            collector,
            "-constraint",
            f"FallowPilot == {condor.literal(pilot)}",
            "-af",
            "Name",
        ]
        try:
            answer = subprocess.run(
                argv,
                check=False,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=QUERY_S,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                preexec_fn=self._way.enter,
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            log.warning("the collector could not be asked: %s", error)
            return False
        if answer.returncode == 0:
            return bool(answer.stdout.strip())
        log.warning("the collector did not answer: %s", answer.stderr.strip()[-300:])
        return None if "DENIED" in answer.stderr or "AUTHENTICATE" in answer.stderr else False

    def _startds(self) -> list[int]:
        if self._master is None:
            return []
        return [child for child in children(self._master.pid) if _program(child) == "condor_startd"]

    def _signal_master(self, number: signal.Signals) -> None:
        if self._master is not None and self._master.poll() is None:
            _signal(self._master.pid, number)

    def _environment(self) -> dict[str, str]:
        return {
            "CONDOR_CONFIG": str(self._layout.config),
            "PATH": SYSTEM_PATH,
            "HOME": str(self._layout.root / "home"),
            "LC_ALL": "C",
            **devices(),
        }


def _program(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        log.debug("process %d has ended", process)
