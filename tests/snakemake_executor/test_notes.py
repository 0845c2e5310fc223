"""What a job says about itself, written into a real S3 server by a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_fallow.job import fallow_notes
from snakemake_executor_plugin_fallow.notes import Notes

KEYS: dict[str, Any] = {
    "aws_access_key_id": "key",
    "aws_secret_access_key": "secret",
    "region_name": "us-east-1",
}
JOB = f"""
import os, signal, sys, time
sys.path.insert(0, {str(Path(fallow_notes.__file__).parent)!r})
import boto3, fallow_notes
fallow_notes.FIRST_S = 0.2
notes = fallow_notes.Notes(sys.argv[2], ["rule.log"], lambda: boto3.client("s3", endpoint_url=sys.argv[1], **{KEYS!r}))
signal.signal(signal.SIGTERM, lambda *_: None)
print("out", flush=True)
print("err", file=sys.stderr, flush=True)
open("rule.log", "w").write("log\\n")
"""
ENDS = JOB + "held = bytearray(b'x' * 60_000_000)\ntime.sleep(1.5)\nnotes.finish(3)\nos._exit(3)\n"
STAYS = (
    JOB.replace("FIRST_S = 0.2", "FIRST_S = 1e6") + "print('late', flush=True)\nwhile True: time.sleep(0.1)\n"
)


@pytest.fixture
def client(s3: str) -> Any:
    import boto3

    return boto3.Session(**KEYS).client("s3", endpoint_url=s3)


@pytest.fixture
def notes(client: Any, tmp_path: Path) -> Notes:
    return Notes(f"s3://users/{tmp_path.name}", "r", lambda: client)


@pytest.fixture
def job(s3: str, notes: Notes, tmp_path: Path) -> Callable[[str], subprocess.Popen[bytes]]:
    """`job(program)`: start a program whose notes are those of the key `k`; its output goes to files."""

    def start(program: str) -> subprocess.Popen[bytes]:
        with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
            argv = [sys.executable, "-c", program, s3, notes.url("k")]
            return subprocess.Popen(argv, cwd=tmp_path, stdout=out, stderr=err)

    return start


def test_the_last_note_says_what_the_job_wrote_and_used(
    job: Callable[..., Any], notes: Notes, tmp_path: Path
) -> None:
    assert job(ENDS).wait(timeout=60) == 3, (tmp_path / "err").read_text()
    note = notes.read("k")
    assert note is not None
    assert note.said == {"stdout": "out\n", "stderr": "err\n", "rule.log": "log\n"}
    assert note.cpu_s > 0
    assert note.memory_mb > 60


def test_a_job_that_is_asked_to_stop_tells_at_once(
    job: Callable[..., Any], notes: Notes, tmp_path: Path
) -> None:
    process = job(STAYS)
    until(lambda: "late" in (tmp_path / "out").read_text())
    assert notes.read("k") is None
    process.send_signal(signal.SIGTERM)
    until(lambda: notes.read("k") is not None)
    process.kill()
    process.wait()
    note = notes.read("k")
    assert note is not None
    assert note.said["stdout"] == "out\nlate\n"


def test_all_notes_of_a_run_are_read_and_removed(notes: Notes, client: Any, tmp_path: Path) -> None:
    for key in ("a", "b"):
        body = json.dumps({"cpu_s": 1, "memory_mb": 2, "said": {}}).encode()
        client.put_object(Bucket="users", Key=f"{tmp_path.name}/.fallow/notes/r/{key}.json", Body=body)
    assert set(notes.read_all(["a", "b", "c"])) == {"a", "b"}
    notes.remove_all()
    assert notes.read_all(["a", "b"]) == {}


def test_a_tail_says_how_long_the_whole_is(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"a" * fallow_notes.TAIL_BYTES + b"end")
    found = fallow_notes.tail(file)
    assert found is not None
    assert (found["bytes"], len(found["text"]), found["text"][-3:]) == (
        fallow_notes.TAIL_BYTES + 3,
        fallow_notes.TAIL_BYTES,
        "end",
    )
    assert fallow_notes.tail(tmp_path / "none") is None


def test_memory_is_that_of_a_process_and_its_descendants() -> None:
    alone = fallow_notes.tree_mb(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "x = bytearray(b'x' * 50_000_000); print(1, flush=True); input()"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    with child:
        assert child.stdout
        child.stdout.readline()
        assert fallow_notes.tree_mb(os.getpid()) > alone + 40
        child.kill()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
