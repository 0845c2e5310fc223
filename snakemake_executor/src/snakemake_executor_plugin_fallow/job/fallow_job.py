"""Runs on the node, inside the worker image: prepares the working directory and starts Snakemake's job there.

Only the standard library may be used, and any Python from 3.9. It has two roles:

* `fallow_job.py` reads `job.json` beside it, prepares, and becomes the job's command.
* `fallow_job.py -m snakemake …` is what that command runs instead of `python -m snakemake …`: the same, without the
  second that Snakemake's idle threads take to end.
"""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

STARTED = "fallow-job: started"
EXIT_INFRASTRUCTURE = 75
PREPARE_ATTEMPTS = 3


def main() -> NoReturn:
    """Prepare and become the job's command, or leave with `EXIT_INFRASTRUCTURE` where that cannot be."""
    say(STARTED.partition(": ")[2])
    sandbox = Path(__file__).resolve().parent
    job = read(sandbox / "job.json")
    if job["expires"] is not None and time.time() > job["expires"]:
        give_up("the S3 credentials expired while the job waited")
    work = sandbox / "work"
    try:
        private = prepare(work, job)
        os.chdir(work)
        os.environ.update(environment(private, job))
    except OSError as error:
        give_up(f"the working directory cannot be prepared: {error}")
    if job["prepare"]:
        fetch_sources(job["prepare"])
    os.execvp("sh", ["sh", "-c", job["command"]])


def read(path: Path) -> dict[str, Any]:
    """Read the job's description and remove it: it holds the credentials."""
    try:
        job: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
    except (OSError, ValueError) as error:
        give_up(f"the job's description cannot be read: {error}")
    return job


def prepare(work: Path, job: dict[str, Any]) -> Path:
    """Make the working directory with its links and private files; returns the directory of the latter."""
    private = work / ".fallow"
    for directory in (private / "home", private / "tmp", private / "cache"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in job["files"].items():
        path = private / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as stream:
            stream.write(text)
    for name, target in job["links"].items():
        if not os.path.exists(target):  # noqa: PTH110 - a name of the container, not of the working directory
            raise OSError(f"the image {target} is not there")
        link = work / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    return private


def environment(private: Path, job: dict[str, Any]) -> dict[str, str]:
    """The job's environment beside what the container has: nothing is read from or written to outside of it."""
    return {
        "HOME": str(private / "home"),
        "TMPDIR": str(private / "tmp"),
        "XDG_CACHE_HOME": str(private / "cache"),
        "APPTAINER_TMPDIR": str(private / "tmp"),
        "FALLOW_JOB": str(Path(__file__).resolve()),
        **job["environment"],
        **{name: str(private / file) for name, file in job["private_paths"].items()},
    }


def fetch_sources(command: str) -> None:
    """Run the command that fetches the workflow's sources; nothing of the rule has run if that fails."""
    for attempt in range(PREPARE_ATTEMPTS):
        if subprocess.run(["sh", "-c", command], check=False).returncode == 0:
            return
        time.sleep(2**attempt)
    give_up("the workflow's sources could not be fetched from the storage")


def run_snakemake(arguments: list[str]) -> NoReturn:
    """Run Snakemake's command line in this process and end at once with its exit code."""
    sys.path[0] = str(Path.cwd())
    from snakemake.cli import main as snakemake

    code = 1
    try:
        snakemake(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def say(text: str) -> None:
    """One line for the job's stderr, which the user sees if the job fails."""
    print(f"fallow-job: {text}", file=sys.stderr, flush=True)  # noqa: T201


def give_up(why: str) -> NoReturn:
    """Leave with the exit code that has the job run elsewhere."""
    say(why)
    sys.exit(EXIT_INFRASTRUCTURE)


if __name__ == "__main__":
    if sys.argv[1:3] == ["-m", "snakemake"]:
        run_snakemake(sys.argv[3:])
    main()
