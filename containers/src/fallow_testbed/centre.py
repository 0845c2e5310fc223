"""A centre's side of the federation in the testbed: policy, the launcher's token, the launcher itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from fallow_testbed import cvmfs, edge, files, hub, issuer, slurm
from fallow_testbed.layout import Layout
from fallow_testbed.spec import Centre

ACCOUNT = "pilot"
POLICY = "/home/pilot/policy.toml"
STATE = "/home/pilot/state"
METRICS = "/home/pilot"
CYCLE_S = 2
BATCH: dict[str, dict[str, object]] = {
    "slurm": {"system": "slurm", "partition": "spare"},
    "htcondor": {"system": "htcondor"},
}
"""The policy's table on each batch system."""
PROFILES: dict[str, dict[str, object]] = {
    "everything": {},
    "login": {"profile": "relay"},
    "nothing": {"profile": "files"},
}
"""The policy's table for what nodes reach."""


def policy_toml(name: str, declared: Centre, hubs: Mapping[str, str] = hub.ALONE) -> str:
    """The site admin's policy file for one centre."""
    give = declared.pilots
    tables: dict[str, dict[str, object]] = {
        "identity": {
            "centre": name,
            **hubs,
            "ca_file": "/home/pilot/ca.pem",
            "token_file": "/home/pilot/launcher.token",
        },
        "batch": BATCH[declared.batch],
        "pilot": {
            "cores": give.cores,
            "memory_mb": give.memory_mb,
            "walltime_s": give.walltime_s,
            "idle_exit_s": give.idle_exit_s,
            "drain_grace_s": slurm.PREEMPTION_GRACE_S - 1,
            "min_walltime_s": min(120, give.walltime_s),
        },
        "limits": {"max_pilots": give.max_pilots, "ramp": 1.0},
        "when": {"only_idle_nodes": False},
        "network": {**PROFILES[declared.nodes_reach], **edge.network(name, declared)},
        "assume": {"scratch_dir": "/scratch"}
        | ({"cvmfs": [cvmfs.REPOSITORY]} if declared.cvmfs != "none" else {}),
        # Pilots that were here before and found no work are hardly a reason to pause.
        "backoff": {"fizzle_s": give.idle_exit_s + 1, "wait_s": 5},
    }
    lines = [f'state_dir = "{STATE}"', f'metrics_dir = "{METRICS}"']
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def start(layout: Layout, name: str) -> None:
    """Give the centre its policy and tokens and start its launcher on the login host."""
    login = layout.login(name)
    home = layout.home(name) / ACCOUNT
    owner = files.ids(login, ACCOUNT)
    ca = (layout.hub().files / issuer.CA_FILE.lstrip("/")).read_text()
    token = issuer.token(layout.hub(), issuer.launcher_account(name), hub.GATEWAY_URL)
    for file, text, mode in (
        ("policy.toml", policy_toml(name, layout.spec.centres[name], hub.named(layout.spec)), 0o644),
        ("ca.pem", ca, 0o644),
        ("launcher.token", token + "\n", 0o600),
    ):
        _put(home / file, text, mode, owner)
    edge.start(layout, name, POLICY)
    start_launcher(layout, name)


def start_launcher(layout: Layout, name: str) -> None:
    """Start the launcher daemon of one centre."""
    argv = ["fallow", "-v", "pilot", "run", "--policy", POLICY, "--interval-s", str(CYCLE_S)]
    layout.login(name).spawn(argv, user=ACCOUNT, log="/var/log/fallow/launcher.log")


def _put(path: Path, text: str, mode: int, owner: tuple[int, int]) -> None:
    partial = path.with_name(f".{path.name}.new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as stream:
        os.fchmod(descriptor, mode)
        os.fchown(descriptor, *owner)
        stream.write(text)
    partial.rename(path)
