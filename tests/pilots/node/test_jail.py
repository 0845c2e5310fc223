from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fallow_pilots.node import jail
from fallow_pilots.node.launcher import SYSTEM
from fallow_pilots.node.layout import Layout


@pytest.fixture
def plan(place: Layout, tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    document = {
        "root": str(place.root / "jail"),
        "shown": [name for name in SYSTEM if Path(name).exists()] + [str(place.root)],
        "writable": [str(place.logs)],
        "execute": str(place.execute),
        "hidden": [str(place.tokens)],
        "read_only": [str(place.root)],
    }
    path.write_text(json.dumps(document))
    return path


def inside(plan: Path, script: str) -> str:
    command = [sys.executable, "-I", "-S", jail.__file__, str(plan), "/bin/sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=plan.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_starter_does_not_see_the_token(plan: Path, place: Layout) -> None:
    (place.tokens / "hub").write_text("secret")
    assert inside(plan, f"ls -A {place.tokens}") == ""


def test_a_starter_does_not_see_files_of_the_pilots_user(plan: Path, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("secret")
    assert inside(plan, f"cat {tmp_path}/private 2>/dev/null || echo gone") == "gone"
    assert inside(plan, f"ls {Path.home()} 2>/dev/null || echo gone") == "gone"


def test_a_link_leads_nowhere(plan: Path, place: Layout, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("secret")
    script = f"cd {place.execute}; ln -s {tmp_path}/private link; cat link 2>/dev/null || echo gone"
    assert inside(plan, script) == "gone"


def test_a_starter_does_not_see_other_payloads(plan: Path, place: Layout) -> None:
    (place.execute / "dir_1").mkdir()
    assert inside(plan, f"ls -A {place.execute}") == ""


def test_what_a_starter_writes_is_below_its_own_directory(plan: Path, place: Layout) -> None:
    inside(plan, f"mkdir {place.execute}/dir_9")
    assert [path.parent.name[:4] for path in place.execute.glob("*/dir_9")] == ["own-"]


def test_leftovers_of_ended_starters_are_removed(plan: Path, place: Layout) -> None:
    inside(plan, f"echo x > {place.execute}/left")
    inside(plan, "true")
    assert not list(place.execute.glob("*/left"))


def test_a_starter_cannot_change_the_pilots_programs(plan: Path, place: Layout) -> None:
    (place.root / "bin" / "program").write_text("ours")
    script = f"echo theirs 2>/dev/null > {place.root}/bin/program; echo x > {place.logs}/log; true"
    inside(plan, script)
    assert (place.root / "bin" / "program").read_text() == "ours"
    assert (place.logs / "log").exists()


def test_a_starter_is_the_same_user_in_a_namespace_of_its_own(plan: Path) -> None:
    there = inside(plan, "id -u; readlink /proc/self/ns/user").split()
    here = subprocess.run(
        ["sh", "-c", "id -u; readlink /proc/self/ns/user"], capture_output=True, text=True, check=True
    )
    assert there[0] == here.stdout.split()[0]
    assert there[1] != here.stdout.split()[1]


def test_a_plan_that_cannot_be_carried_out_starts_nothing(plan: Path) -> None:
    document = {**json.loads(plan.read_text()), "root": "/nonexistent"}
    plan.write_text(json.dumps(document))
    command = [sys.executable, "-I", "-S", jail.__file__, str(plan), "/bin/echo", "started"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "started" not in done.stdout
    assert "mount" in done.stderr
