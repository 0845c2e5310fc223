"""One centre of the testbed, as its admin works with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from fallow_testbed import centre as testbed_centre
from fallow_testbed.host import Host
from fallow_testbed.layout import Layout
from fallow_testbed.wait import wait_until


@dataclass
class Site:
    """One centre, as its admin works with it on the login host."""

    name: str
    layout: Layout

    @property
    def login(self) -> Host:
        """The login host."""
        return self.layout.login(self.name)

    @property
    def policy(self) -> Path:
        """The policy, as this machine sees it."""
        return self.layout.home(self.name) / "pilot" / "policy.toml"

    def fallow(self, *argv: str, check: bool = True, timeout_s: float = 120) -> CompletedProcess[str]:
        """`fallow pilot …` as the admin types it."""
        command = ["fallow", "pilot", *argv]
        env = {"FALLOW_POLICY": testbed_centre.POLICY}
        return self.login.run(command, user=testbed_centre.ACCOUNT, env=env, check=check, timeout_s=timeout_s)

    def follow(self, policy: str) -> None:
        """Put another policy in force: pilots that run keep to the old one, so they go first."""
        self.fallow("withdraw", "--now")
        self.policy.write_text(policy)
        self.fallow("resume")

    def pilots(self, **wanted: object) -> list[dict[str, Any]]:
        """What `list` says, the newest first, of pilots with the values `wanted`."""
        rows = json.loads(self.fallow("list", "--json").stdout)
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    def active(self) -> list[dict[str, Any]]:
        """Pilots that are queued or running."""
        return [row for row in self.pilots() if row["state"] in {"intent", "queued", "running"}]

    def batch_jobs(self) -> dict[str, str]:
        """What Slurm says of the pilots' jobs: native id → name, of those that are not over."""
        said = self.login.run(
            ["squeue", "-h", "-u", testbed_centre.ACCOUNT, "-t", "PD,R,CG,S", "-o", "%i %j"]
        ).stdout
        return dict(line.split() for line in said.splitlines())

    def local(self, *options: str, lasts_s: int = 3600) -> str:
        """Submit a job of one of the centre's own users; its native id."""
        argv = ["sbatch", "--parsable", "--partition=main", "--output=/dev/null", "--chdir=/tmp"]
        wrapped = [*argv, *options, f"--wrap=sleep {lasts_s}"]
        return self.login.run(wrapped, user="local").stdout.strip()

    def state_of(self, native_id: str) -> str:
        """Slurm's word for the state of a job."""
        said = self.login.run(["squeue", "-h", "-t", "all", "-j", native_id, "-o", "%T"], check=False)
        return said.stdout.strip()

    def wait_for_pilots(self, count: int = 1, deadline_s: float = 180) -> list[dict[str, Any]]:
        """Wait until so many pilots run; what `list` said of them then (a moment later one may have left)."""

        def enough() -> list[dict[str, Any]]:
            found = self.pilots(state="running")
            return found if len(found) >= count else []

        return wait_until(enough, f"{count} pilots at {self.name}", deadline_s, pause_s=0.5)

    def launcher_pid(self) -> int:
        """The launcher's process on the login host."""
        said = json.loads(self.fallow("status", "--json").stdout)["launcher"]
        found = re.match(r"process ([0-9]+) on ", said)
        assert found, f"no launcher acts for {self.name}: {said}"
        return int(found[1])

    def kill_launcher(self) -> None:
        """End it with SIGKILL."""
        self.login.run(["kill", "-9", str(self.launcher_pid())])
        wait_until(
            lambda: json.loads(self.fallow("status", "--json").stdout)["launcher"] == "not running",
            f"the end of the launcher of {self.name}",
            20,
        )

    def start_launcher(self) -> None:
        """Start it again, as its service would."""
        testbed_centre.start_launcher(self.layout, self.name)

    @contextmanager
    def with_policy(self, **values: object) -> Iterator[None]:
        """Let other values stand in the policy for a while, each where its name stands; the launcher reads them anew."""
        before = self.policy.read_text()
        text = before
        for name, value in values.items():
            text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {json.dumps(value)}", text)
            assert count == 1, f"{name} is {count} times in the policy"
        self.policy.write_text(text)
        try:
            yield
        finally:
            self.policy.write_text(before)
