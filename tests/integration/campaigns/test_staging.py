"""Files of campaigns' jobs between S3 and the nodes, on the real federation: faults of the store, of rows and of disks."""

from __future__ import annotations

import ctypes
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.campaigns import work

from fallow.client import client_settings, connect
from fallow.storage.failures import StagingError
from fallow.storage.grants import Grant, Keys, StagedFile
from fallow.storage.objects import objects_of
from fallow.storage.staging import Patience, fetch
from fallow.storage.transfer import put_object
from fallow_testbed import s3
from fallow_testbed.host import Host
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import serve, wait_until

ALICE = "alice"
GEOMETRY = "geometry " * 20_000
DOCUMENT = """
name = "{name}"
image = "{image}"
work_type = "production"
[table]
file = "rows.csv"
[job]
command = ["sh", "run.sh", "{{how}}"]
files = ["run.sh"]
inputs = [
    {{ path = "geometry", url = "s3:///{name}/geometry" }},
    {{ path = "events", url = "s3:///{name}/{{id}}.events" }},
]
outputs = [
    {{ path = "hits", url = "s3:///{name}/{{id}}.hits" }},
    {{ path = "log.txt", url = "s3:///{name}/{{id}}.log" }},
]
memory_mb = 256
disk_mb = 256
walltime_s = 300
"""
SCRIPT = """
set -e
cat events geometry >hits
env | grep -i -e secret -e aws >log.txt || echo "no keys" >log.txt
case $1 in
outage) echo ready; sleep 6 ;;
unmade) rm hits ;;
forged) printf 'x\\nout hits\\n' >_fallow_ticket ;;
linked) ln -sf /etc/passwd hits ;;
esac
"""
ROWS = {
    "good-1": "well",
    "good-2": "well",
    "good-3": "well",
    "outage-1": "outage",
    "outage-2": "outage",
    "missing": "well",
    "unmade": "unmade",
    "forged": "forged",
    "linked": "linked",
}
GOOD = [name for name in ROWS if name.startswith(("good", "outage"))]


def put_inputs(name: str) -> None:
    """Store what the rows read; called at the desk."""
    settings = client_settings()
    access = connect(settings).storage()
    put_object(access, f"{access.prefix}{name}/geometry", GEOMETRY, ca_file=settings.ca_file)
    for row in ROWS:
        if row != "missing":
            put_object(
                access, f"{access.prefix}{name}/{row}.events", f"events of {row}\n", ca_file=settings.ca_file
            )


@pytest.fixture(scope="module")
def staged(
    at: Callable[..., Any], image: str, tmp_path_factory: pytest.TempPathFactory, hub_host: Host
) -> str:
    """The name of a campaign whose rows met all kinds of trouble, the store's among them."""
    folder = tmp_path_factory.mktemp(f"s-{secrets.token_hex(3)}")
    name = folder.name
    (folder / "rows.csv").write_text("id,how\n" + "".join(f"{row},{how}\n" for row, how in ROWS.items()))
    (folder / "run.sh").write_text(SCRIPT)
    (folder / "campaign.toml").write_text(DOCUMENT.format(name=name, image=image))
    at(ALICE, put_inputs, name)
    at(ALICE, work.inject, folder / "campaign.toml")

    def ran() -> set[str]:
        rows = at(ALICE, work.rows, name)
        return {row.id for row in rows if row.state.value in ("running", "done")}

    wait_until(lambda: {"outage-1", "outage-2"} <= ran(), f"jobs of {name}", 120, pause_s=0.3)
    hub_host.run(["pkill", "-KILL", "-x", "weed"])
    serve(hub_host, s3.server_argv(), user="s3", port=s3.PORT, what="s3")
    wait_until(
        lambda: at(ALICE, work.status, name).campaign.state.value == "finished", name, 240, pause_s=0.5
    )
    return name


def test_rows_are_done_though_the_store_went_away(at: Callable[..., Any], staged: str) -> None:
    done = {row.id: row for row in at(ALICE, work.rows, staged) if row.state.value == "done"}
    assert sorted(done) == sorted(GOOD)
    for name, row in done.items():
        hits = f"events of {name}\n{GEOMETRY}".encode()
        stored = {one.path: one for one in row.outputs}
        assert stored["hits"].bytes == len(hits)
        assert stored["hits"].sha256 == hashlib.sha256(hits).hexdigest()


def test_what_is_recorded_is_what_is_stored(at: Callable[..., Any], staged: str, tmp_path: Path) -> None:
    at(ALICE, work.said, "outputs", staged, "--get", str(tmp_path))
    for name in GOOD:
        assert (tmp_path / staged / f"{name}.hits").read_text() == f"events of {name}\n{GEOMETRY}"


def test_no_job_holds_a_key(at: Callable[..., Any], staged: str) -> None:
    logs = at(ALICE, logs_of, staged)
    assert logs == dict.fromkeys(GOOD, "no keys\n")


def logs_of(name: str) -> dict[str, str]:
    """What the rows found of keys; called at the desk."""
    found = work.outputs(name)
    return {row: found[row] for row in found}


def test_each_failure_has_its_class(at: Callable[..., Any], staged: str) -> None:
    failed = {row.id: row for row in at(ALICE, work.rows, staged) if row.state.value == "failed"}
    said = {name: (row.failure, row.signature.partition(":")[0]) for name, row in failed.items()}
    assert said == {
        "missing": ("staging", "missing"),
        "unmade": ("staging", "missing"),
        "forged": ("staging", "denied"),
        "linked": ("staging", "denied"),
    }
    assert f"There is no input s3:///{staged}/missing.events" in failed["missing"].reason


def test_an_input_of_all_rows_is_fetched_once_for_a_centre(bed: Testbed, staged: str) -> None:
    digest = hashlib.sha256(GEOMETRY.encode()).hexdigest()
    kept = [
        len(list((login.files / "home/pilot/state/images/inputs").glob(f"*-{digest}")))
        for login in map(bed.host, ("alder", "birch", "cedar"))
    ]
    assert set(kept) <= {0, 1}
    assert 1 in kept


def own_grant(name: str) -> tuple[Grant, str | None]:
    """A grant for one object, as its owner could make it."""
    settings = client_settings()
    access = connect(settings).storage()
    keys = Keys(**access.model_dump(include={"access_key", "secret_key", "session_token", "expires"}))
    file = StagedFile(
        path="geometry",
        url=f"s3:///{name}/geometry",
        bucket=access.bucket,
        key=f"{access.prefix}{name}/geometry",
        bytes=len(GEOMETRY),
        etag=hashlib.md5(GEOMETRY.encode(), usedforsecurity=False).hexdigest(),
    )
    grant = Grant(endpoint=access.endpoint, region=access.region, files=[file], patience_s=2, keys=keys)
    return grant, str(settings.ca_file) if settings.ca_file else None


def trouble_of(grant: Grant, ca_file: str | None, folder: Path) -> str:
    """Why an object cannot be fetched."""
    try:
        fetch(
            grant.files[0],
            folder / "geometry",
            objects_of(grant, lambda: grant, ca_file),
            Patience.of(grant.patience_s),
        )
    except StagingError as error:
        return error.trouble.value
    return ""


def onto_a_full_disk(name: str, folder: Path) -> tuple[str, list[str]]:
    """Fetch where there is less space than it needs; called at the desk, in a process of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x00020000) == 0
    assert libc.mount(b"none", b"/", None, 1 << 18 | 1 << 14, None) == 0
    assert libc.mount(b"small", os.fsencode(folder), b"tmpfs", 0, b"size=64k") == 0
    return trouble_of(*own_grant(name), folder), [path.name for path in folder.iterdir()]


def test_a_full_disk_is_told_as_such_and_nothing_is_left(
    at: Callable[..., Any], staged: str, tmp_path: Path
) -> None:
    assert at(ALICE, onto_a_full_disk, staged, tmp_path) == ("full", [])


def test_a_store_that_does_not_go_on_is_slow(
    at: Callable[..., Any], staged: str, tmp_path: Path, hub_host: Host
) -> None:
    grant = at(ALICE, own_grant, staged)
    hub_host.run(["pkill", "-STOP", "-x", "weed"])
    try:
        assert at(ALICE, trouble_of, *grant, tmp_path) == "slow"
    finally:
        hub_host.run(["pkill", "-CONT", "-x", "weed"])
