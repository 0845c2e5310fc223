"""S3 requests of one job with many inputs: Snakemake's own job script, and ours.

Usage: python -m tests.benchmarks.bench_requests

A rule reads N files of a folder and makes one file and a log. Both ways run the same command line of the job's Snakemake as
processes of this machine against a real S3 server (SeaweedFS) on the loopback interface; each request that botocore sends
is counted in all processes of the job, also those for the notes that ours writes of itself. `stock` fetches the sources with
`--deploy-sources` first, in an interpreter of its own, as Snakemake's job script does without a shared file system. The
goal: at most 12 requests beside one for each input.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.outcome import ROOT, conditions, tell
from tests.benchmarks.outcome import as_rows as table
from tests.snakemake_executor.server import served

JOB = ROOT / "snakemake_executor" / "src" / "snakemake_executor_plugin_fallow" / "job"
TITLE = "S3 requests of one job"
INPUTS = (1, 10, 100)
MOST_OF_OURS = 12
SNAKEFILE = """
rule join:
    input: expand("in/{n}.txt", n=range(COUNT))
    output: "all.txt"
    log: "logs/all.log"
    shell: "cat {input} > {output} 2> {log}"
"""
COUNTING = """
import os, sys
if os.environ.get("COUNT_REQUESTS"):
    import botocore.endpoint
    send = botocore.endpoint.Endpoint._send
    def counted(self, request):
        with open(os.environ["COUNT_REQUESTS"], "a") as told:
            told.write(request.method + "\\n")
        return send(self, request)
    botocore.endpoint.Endpoint._send = counted
"""
"""What each Python of a job imports first."""


def arguments(prefix: str) -> list[str]:
    """The command line of the job's Snakemake, as the executor interface makes it."""
    options = {
        "--snakefile": ["Snakefile"], "--target-jobs": ["join:"], "--allowed-rules": ["join"], "--cores": ["1"],
        "--attempt": ["1"], "--max-inventory-time": ["0"], "--retries": ["0"], "--shared-fs-usage": ["none"],
        "--local-storage-prefix": [".snakemake/storage"], "--storage-s3-retries": ["5"],
        "--default-storage-prefix": [prefix], "--default-storage-provider": ["s3"], "--mode": ["remote"],
    }  # fmt: skip
    flags = [
        "--force-use-threads",
        "--force",
        "--target-files-omit-workdir-adjustment",
        "--nocolor",
        "--no-hooks",
    ]
    flags += ["--nolock", "--ignore-incomplete"]
    return [*(word for name, values in options.items() for word in (name, *values)), *flags]


def packed(count: int) -> bytes:
    """The workflow's sources."""
    archive = io.BytesIO()
    text = SNAKEFILE.replace("COUNT", str(count)).encode()
    with tarfile.open(fileobj=archive, mode="w:xz") as tar:
        member = tarfile.TarInfo("Snakefile")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return archive.getvalue()


def measure(way: str, count: int, url: str, place: Path) -> dict[str, Any]:
    """Run the job one way with so many inputs; the requests that it sent, and its seconds."""
    import boto3

    store = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    folder, sources = f"{way}-{count}", packed(count)
    for number in range(count):
        store.put_object(Bucket="users", Key=f"{folder}/in/{number}.txt", Body=f"{number}\n".encode())
    sha256 = hashlib.sha256(sources).hexdigest()
    store.put_object(Bucket="users", Key=f"{folder}/{sha256}.tar.xz", Body=sources)
    address, prefix = f"s3://users/{folder}/{sha256}.tar.xz", f"s3://users/{folder}"
    sandbox = place / folder
    (sandbox / "counting").mkdir(parents=True)
    (sandbox / "counting" / "sitecustomize.py").write_text(COUNTING)
    told = sandbox / "requests"
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(sandbox),
        "PYTHONPATH": str(sandbox / "counting"), "COUNT_REQUESTS": str(told), "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": url,
    }  # fmt: skip
    commands = [[sys.executable, "-m", "snakemake", *arguments(prefix)]]
    if way == "stock":
        provider = ["--default-storage-prefix", prefix, "--default-storage-provider", "s3"]
        commands.insert(
            0, [sys.executable, "-m", "snakemake", "--deploy-sources", address, sha256, *provider]
        )
    else:
        for script in JOB.glob("fallow_*.py"):
            shutil.copy(script, sandbox)
        job = {
            "arguments": arguments(prefix), "sources": {"url": address, "sha256": sha256}, "precommand": "",
            "environment": {}, "links": {}, "logs": ["logs/all.log"], "notes": f"{prefix}/notes/1.json", "files": {},
            "private_paths": {}, "expires": None,
        }  # fmt: skip
        (sandbox / "job.json").write_text(json.dumps(job))
        commands = [[sys.executable, "fallow_job.py"]]
    began = time.perf_counter()
    for command in commands:
        subprocess.run(command, cwd=sandbox, env=env, check=True, capture_output=True, text=True)
    took_s = time.perf_counter() - began
    made = store.get_object(Bucket="users", Key=f"{folder}/all.txt")["Body"].read().decode()
    assert made.split() == [str(number) for number in range(count)]
    return {
        "way": way,
        "inputs": count,
        "requests": len(told.read_text().split()),
        "seconds": round(took_s, 2),
    }


def main() -> int:
    """Measure and show; 1 where the goal is missed."""
    about = conditions()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "s3").mkdir()
        with served(place / "s3") as url:
            rows = [measure(way, count, url, place) for count in INPUTS for way in ("stock", "fallow")]
    versions = {name: version(name) for name in ("snakemake", "snakemake-storage-plugin-s3")}
    tell("requests", TITLE, about, {"rows": rows, "versions": versions}, table)
    ours = [row for row in rows if row["way"] == "fallow"]
    return int(any(row["requests"] > row["inputs"] + MOST_OF_OURS for row in ours))


if __name__ == "__main__":
    sys.exit(main())
