"""Staging beside `rclone copy`: 4 x 256 MB and 2,000 x 64 kB, to and from a real S3 server on the loopback interface.

Usage: python -m tests.benchmarks.bench_staging [ROUNDS]

Needs `rclone`, a package of Debian that `make bench` installs. Both sides move the same files, one after the other, thrice
unless told, each with its usual settings; ours reads each file for its SHA-256 before it is sent, and compares what arrives.
A pilot's processes for large work live as long as it does, so they are there before the first round. The medians count. The
goal: at least 80 % of rclone's throughput.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.outcome import conditions, tell
from tests.snakemake_executor.server import served

from fallow.storage.grants import Grant, Keys, StagedFile
from fallow.storage.movers import Mover, each, moved
from fallow.storage.staging import Patience, made

TITLE = "Staging beside rclone copy"
CASES = ((2000, 64 << 10), (4, 256 << 20))
ROUNDS = 3
GOAL = 0.8
BUCKET = "users"


def mover(url: str, local: Path) -> Mover:
    """Moves files with keys that the hub gave."""
    keys = Keys(
        access_key="admin",
        secret_key="secret",
        session_token="",
        expires=datetime.now(UTC) + timedelta(hours=1),
    )
    grant = Grant(endpoint=url, region="us-east-1", files=[], patience_s=600, keys=keys)
    return Mover(grant, partial(renewed, grant), None, local, Patience.of(grant.patience_s))


def renewed(grant: Grant) -> Grant:
    """The same keys once more."""
    return grant


def ours_up(url: str, local: Path, folder: str) -> list[StagedFile]:
    """Store a directory; what is stored."""
    files = [
        StagedFile(
            path=found.path,
            url=f"s3://{BUCKET}/{folder}/{found.path}",
            bucket=BUCKET,
            key=f"{folder}/{found.path}",
            bytes=found.bytes,
            sha256=found.sha256,
            metadata={"sha256": found.sha256},
        )
        for found in each(partial(made, local), sorted(path.name for path in local.iterdir()))
    ]
    moved(mover(url, local).store, files)
    return files


def ours_down(url: str, files: list[StagedFile], local: Path) -> None:
    """Fetch objects into a directory."""
    moved(mover(url, local).fetch, files)


def rclone(url: str, source: str, target: str) -> None:
    """Copy by rclone as it comes."""
    environment = {
        "PATH": os.environ["PATH"],
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_HERE_TYPE": "s3",
        "RCLONE_CONFIG_HERE_PROVIDER": "Other",
        "RCLONE_CONFIG_HERE_ENDPOINT": url,
        "RCLONE_CONFIG_HERE_ACCESS_KEY_ID": "admin",
        "RCLONE_CONFIG_HERE_SECRET_ACCESS_KEY": "secret",
        "RCLONE_CONFIG_HERE_FORCE_PATH_STYLE": "true",
    }
    subprocess.run(["rclone", "copy", "--quiet", source, target], check=True, env=environment)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    began = time.monotonic()
    found = call()
    return time.monotonic() - began, found


def with_etags(url: str, files: list[StagedFile]) -> list[StagedFile]:
    """The same with the ETags that the store gave them."""
    import boto3

    client: Any = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="admin",
        aws_secret_access_key="secret",
    )
    tags = {
        found["Key"]: found["ETag"].strip('"')
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        for found in page.get("Contents", [])
    }
    return [file.model_copy(update={"etag": tags[file.key]}) for file in files]


def measured(url: str, count: int, size: int, scratch: Path) -> list[dict[str, Any]]:
    """Both ways, both sides."""
    source = scratch / "source"
    source.mkdir()
    for number in range(count):
        (source / f"f{number:05}").write_bytes(os.urandom(size))
    ours_up(url, source, "before")
    seconds: dict[tuple[str, str], list[float]] = {}
    for turn in range(int(sys.argv[1]) if sys.argv[1:] else ROUNDS):
        took, files = timed(lambda: ours_up(url, source, f"ours-{count}-{turn}"))  # noqa: B023
        seconds.setdefault(("up", "ours"), []).append(took)
        there = f"HERE:{BUCKET}/rclone-{count}-{turn}"
        took, _ = timed(lambda: rclone(url, str(source), there))  # noqa: B023
        seconds.setdefault(("up", "rclone"), []).append(took)
        files = with_etags(url, files)
        target = scratch / "target"
        target.mkdir()
        took, _ = timed(lambda: ours_down(url, files, target))  # noqa: B023
        seconds.setdefault(("down", "ours"), []).append(took)
        shutil.rmtree(target)
        took, _ = timed(lambda: rclone(url, there, str(target)))  # noqa: B023
        seconds.setdefault(("down", "rclone"), []).append(took)
        shutil.rmtree(target)
    shutil.rmtree(source)
    found = []
    for way in ("up", "down"):
        ours, theirs = (statistics.median(seconds[way, who]) for who in ("ours", "rclone"))
        found.append(
            {
                "files": f"{count} x {size // 1024} kB",
                "way": way,
                "ours_mb_s": round(count * size / ours / 1e6, 1),
                "rclone_mb_s": round(count * size / theirs / 1e6, 1),
                "share": round(theirs / ours, 2),
            }
        )
    return found


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at."""
    return [
        {
            "files": row["files"],
            "way": row["way"],
            "Fallow": f"{row['ours_mb_s']:.0f} MB/s",
            "rclone": f"{row['rclone_mb_s']:.0f} MB/s",
            "share": f"{row['share']:.2f}",
        }
        for row in figures["rows"]
    ]


def main() -> int:
    """Measure and show; 1 where ours is too slow, 2 where there is no rclone."""
    about = conditions()
    if shutil.which("rclone") is None:
        print("There is no rclone. Install it: containers/setup-machine.sh rclone", file=sys.stderr)
        return 2
    rows = []
    for count, size in CASES:
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / "store").mkdir()
            with served(Path(scratch) / "store") as url:
                rows += measured(url, count, size, Path(scratch))
    said = subprocess.run(["rclone", "version"], check=True, capture_output=True, text=True).stdout
    tell("staging", TITLE, about, {"rows": rows, "rclone": said.split()[1]}, table)
    return 0 if all(row["share"] >= GOAL for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
