"""An image is what its digest says, and what it holds decides nothing outside of its container."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from fallow.client import client_settings, connect
from fallow.queue.hub import open_queue
from fallow.queue.images import publish
from fallow.queue.spec import JobSpec
from fallow_testbed.host import Host
from fallow_testbed.wait import wait_until

CENTRE = "birch"
ENVIRONMENT = """
export APPTAINER_BIND=/home,/scratch APPTAINER_BINDPATH=/home SINGULARITY_BINDPATH=/home APPTAINER_NO_PID=1
export HTTP_PROXY=http://127.0.0.1:1 LD_PRELOAD=/lib/evil.so
echo environment ran
"""
"""What the image sets for every program in it."""

BUILD = """
set -e
tree=/var/tmp/hostile
rm -rf "$tree" "$tree.sif"
mkdir -p "$tree/bin" "$tree/.singularity.d/env" "$tree/tmp" "$tree/etc" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/home"
cp /bin/busybox "$tree/bin/busybox"
for name in sh env ls cat ps; do ln -s busybox "$tree/bin/$name"; done
mkdir -p "$tree/usr/bin" && ln -s /bin/busybox "$tree/usr/bin/env"
cat >"$tree/.singularity.d/env/99-hostile.sh"
mkdir -p "$tree/fallow" && ln -s /home "$tree/fallow/images"
apptainer -q build "$tree.sif" "$tree"
"""
PLANT = """if True:
    import sys
    from pathlib import Path
    from fallow_matcher.gateway.s3 import Store, image_key
    from fallow_matcher.settings import DEFAULT_PATH, read
    settings = read(DEFAULT_PATH).storage
    Store(settings).client("s3").upload_file("/var/tmp/forged.sif", settings.bucket, image_key(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def sif(hub_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image whose own environment asks for binds."""
    hub_host.run(["sh", "-c", BUILD], stdin=ENVIRONMENT)
    path = tmp_path_factory.mktemp("images") / "hostile.sif"
    path.write_bytes((hub_host.files / "var/tmp/hostile.sif").read_bytes())
    return path


@pytest.fixture(scope="module")
def hostile(sif: Path, at: Callable[..., Any]) -> str:
    """The digest of that image; the hub has it."""
    digest = "sha256:" + hashlib.sha256(sif.read_bytes()).hexdigest()
    at("alice", sent, sif, digest)
    return digest


def sent(sif: Path, digest: str) -> bool:
    """Send a file as the image of a digest; called at the desk."""
    settings = client_settings()
    return publish(connect(settings), sif, digest, ca_file=settings.ca_file)


def test_an_images_own_environment_changes_no_bind(hostile: str, jobs: Callable[..., Any]) -> None:
    look = "ls /home; ls /scratch; ls /home/pilot; ls /var/tmp; ps"
    spec = {"argv": ("/bin/sh", "-c", f"{look}; echo ended"), "image": hostile, "centre": CENTRE}
    outcome = jobs("alice", {"image": spec})["image"]
    assert "ended" in outcome.stdout, outcome
    assert "policy.toml" not in outcome.stdout + outcome.stderr
    assert "launcher.token" not in outcome.stdout + outcome.stderr
    assert "condor" not in outcome.stdout


def queued(digest: str, directory: Path) -> str:
    """Submit a job in an image; called at the desk."""
    argv = ("/bin/sh", "-c", "echo it ran")
    spec = JobSpec(
        run="forged", key="1", name="forged", image=digest, argv=argv, directory=directory, centre=CENTRE,
        memory_mb=256, disk_mb=256, walltime_s=300,
    )  # fmt: skip
    return open_queue(connect()).submit([spec])[0]


def removed(job: str) -> int:
    """Remove a job; called at the desk."""
    return open_queue(connect()).remove(ids=[job])


def test_other_bytes_under_a_digest_never_run(
    at: Callable[..., Any],
    operator: Callable[..., CompletedProcess[str]],
    hub_host: Host,
    sif: Path,
    tmp_path: Path,
) -> None:
    forged = tmp_path / "forged.sif"
    forged.write_bytes(sif.read_bytes() + b"forged")
    promised = "sha256:" + hashlib.sha256(secrets.token_bytes(16)).hexdigest()
    with pytest.raises(AssertionError, match="what came does not have the digest"):
        at("alice", sent, forged, promised)
    # Should it come there all the same, by whoever rules the store, it is the node that checks.
    (hub_host.files / "var/tmp/forged.sif").write_bytes(forged.read_bytes())
    operator("/opt/fallow/bin/python", "-c", PLANT, promised)
    job = at("bob", queued, promised, tmp_path)
    ask = ["condor_q", "-name", "queue@hub", job, "-af"]
    try:
        wait_until(
            lambda: operator(*ask, "NumShadowStarts").stdout.strip() not in ("", "0", "undefined", "1"),
            "a second try of the job with a forged image",
            60,
        )
        said = operator(*ask, "ExitCode").stdout.strip()
        assert said == "undefined", "had it run once, it would have ended then"
    finally:
        at("bob", removed, job)


def uploads(digest: str) -> list[int]:
    """Try to put other bytes in the place of an image that is there; called at the desk."""
    import requests

    settings = client_settings()
    answer = connect(settings).image_upload(digest)
    assert answer is None
    return [
        requests.put(
            "https://hub:8333/fallow/images/x", data=b"x", verify=str(settings.ca_file), timeout=20
        ).status_code
    ]


def test_an_image_is_never_replaced(hostile: str, at: Callable[..., Any]) -> None:
    assert at("bob", uploads, hostile) == [403]
