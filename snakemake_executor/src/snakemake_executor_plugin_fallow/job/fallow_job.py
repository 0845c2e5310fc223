"""Runs on the node, inside the worker image: prepares the working directory and is the job's Snakemake there.

Only the standard library and what Snakemake's S3 plugin brings (boto3) may be used, and any Python from 3.9. One
interpreter does everything: unpacking the workflow's sources and running the rule, without a second start of Python
and without the second that Snakemake's idle threads take to end.
"""

import base64
import hashlib
import importlib
import io
import itertools
import json
import logging
import os
import posixpath
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

STARTED = "started"
EXIT_INFRASTRUCTURE = 75
EXIT_EXPIRED = 76
EXIT_UNFIT = 77
FETCH_ATTEMPTS = 7
S3_SETTINGS = {
    "endpoint_url": "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL",
    "region_name": "SNAKEMAKE_STORAGE_S3_REGION",
    "aws_access_key_id": "SNAKEMAKE_STORAGE_S3_ACCESS_KEY",
    "aws_secret_access_key": "SNAKEMAKE_STORAGE_S3_SECRET_KEY",
    "aws_session_token": "SNAKEMAKE_STORAGE_S3_TOKEN",
}
CREDENTIALS = "--credentials"
CHILD = ["-m", "snakemake"]
"""The arguments with which the job's Snakemake starts another."""
CREDENTIAL_PROCESS = "@credential_process@"
"""Stands in the AWS configuration for the command that gives the credentials, which only the job can name."""
WILDCARD = re.compile(
    r'(?:^|,)([A-Za-z_]\w*)=(?:"(.*?,.*?)"(?=,[A-Za-z_]\w*=|$)|(.*?))(?=,[A-Za-z_]\w*=|$)',
    re.DOTALL,
)
RENEW_BEFORE_S = 20 * 60
"""AWS clients ask again 15 minutes before the end: then there should be something later."""
LOOK_S = 60.0
"""How long at least between two looks for later credentials."""


def main() -> NoReturn:
    """Prepare and run the job, or leave with a code of ours where it never came to run."""
    if sys.argv[1:2] == [CREDENTIALS]:
        print(json.dumps(credentials(Path(sys.argv[2]))))  # noqa: T201 - the protocol is standard output
        sys.exit()
    if sys.argv[1:3] == CHILD:
        run_snakemake(sys.argv[3:])
    say(STARTED)
    sandbox = Path(__file__).resolve().parent
    job = read(sandbox / "job.json")
    if job.get("conda") and shutil.which("conda") is None:
        give_up(f"the image has no conda, which the rule {', '.join(job['conda'])} asks for", EXIT_UNFIT)
    if job["expires"] is not None and time.time() > job["expires"]:
        give_up("the S3 credentials expired while the job waited", EXIT_EXPIRED)
    work = sandbox / "work"
    try:
        private = prepare(work, job)
        os.chdir(work)
        os.environ.update(environment(private, job))
    except OSError as error:
        give_up(f"the working directory cannot be prepared: {error}")
    keep_renewed(private / "aws" / "access.json")
    notes = take_notes(job)
    if job["precommand"] and subprocess.run(["sh", "-c", job["precommand"]], check=False).returncode != 0:
        sys.exit("the precommand failed")
    if job["sources"]:
        unpack(fetch(job["sources"]["url"], job["sources"]["sha256"]))
    join_storage(job["arguments"], work)
    run_snakemake(job["arguments"], notes, job.get("inputs"))


def read(path: Path) -> "dict[str, Any]":
    """Read the job's description and remove it: it holds the credentials."""
    try:
        job: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
    except (OSError, ValueError) as error:
        give_up(f"the job's description cannot be read: {error}")
    return job


def prepare(work: Path, job: "dict[str, Any]") -> Path:
    """Make the working directory with its links and private files; returns the directory of the latter."""
    private = work.with_name(
        ".fallow"
    )  # not below the working directory, which a rule with a full shadow copies
    work.mkdir(parents=True, exist_ok=True)
    for directory in (private / "home", private / "tmp", private / "cache"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    script = str(Path(__file__).resolve())
    answer = [sys.executable, script, CREDENTIALS, str(private / "aws" / "access.json")]
    for name, text in job["files"].items():
        path = private / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text.replace(CREDENTIAL_PROCESS, shlex.join(answer)))
    for name, target in job["links"].items():
        if not Path(target).exists():
            raise OSError(f"the image {target} is not there")
        link = work / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    return private


def environment(private: Path, job: "dict[str, Any]") -> "dict[str, str]":
    """The job's environment beside what the container has: all that it writes stays below its directory."""
    return {
        "HOME": str(private / "home"),
        "TMPDIR": str(private / "tmp"),
        "XDG_CACHE_HOME": str(private / "cache"),
        "APPTAINER_TMPDIR": str(private / "tmp"),
        "APPTAINER_BIND": str(private / "tmp"),  # a rule's own container is to have its TMPDIR
        **job["environment"],
        **{name: str(private / file) for name, file in job["private_paths"].items()},
    }


def credentials(path: Path) -> "dict[str, Any]":
    """What AWS clients expect of a `credential_process`: the job's credentials, or later ones where there are."""
    access: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    renewal = access.get("renewal")
    if renewal and remaining_s(access) < RENEW_BEFORE_S:
        try:
            later = latest(access, renewal)
            if remaining_s(later) > remaining_s(access):
                access = {**later, "renewal": renewal}
                new = path.with_name(f"{path.name}.{os.getpid()}")
                descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                    json.dump(access, stream)
                new.replace(path)
        except Exception as error:  # noqa: BLE001 - the present ones may still be good
            say(f"no later credentials: {type(error).__name__}")
    return {name: value for name, value in access.items() if name != "renewal"}


def keep_renewed(path: Path) -> None:
    """Look for later credentials while the rule runs: they are read with the present ones, and a rule that computes for long
    asks for none until its end.
    """

    def look() -> None:
        while True:
            left_s = remaining_s(json.loads(path.read_text(encoding="utf-8")))
            time.sleep(min(max(LOOK_S, left_s / 3), RENEW_BEFORE_S))
            credentials(path)

    if path.exists():
        threading.Thread(target=look, name="fallow-renewal", daemon=True).start()


def remaining_s(access: "dict[str, Any]") -> float:
    """Seconds for which credentials are still good."""
    return (datetime.fromisoformat(access["Expiration"]) - datetime.now(UTC)).total_seconds()


def latest(access: "dict[str, Any]", renewal: "dict[str, str]") -> "dict[str, Any]":
    """The credentials that the workflow has put into the storage, read with the present ones."""
    import boto3

    store: Any = boto3.Session(
        aws_access_key_id=access["AccessKeyId"],
        aws_secret_access_key=access["SecretAccessKey"],
        aws_session_token=access.get("SessionToken"),
    ).client("s3")
    answer = store.get_object(Bucket=renewal["bucket"], Key=renewal["key"])
    found: dict[str, Any] = json.loads(answer["Body"].read())
    return found


clients: "list[Any]" = []
"""The client that has fetched the sources: making another takes a tenth of a second."""


def store() -> Any:
    """A client of the workflow's storage."""
    import boto3

    chosen = {
        name: os.environ[variable] for name, variable in S3_SETTINGS.items() if os.environ.get(variable)
    }
    return boto3.resource("s3", **chosen).meta.client  # type: ignore[call-overload]


def fetch(url: str, sha256: str) -> bytes:
    """The archive of the workflow's sources, checked."""
    from botocore.exceptions import BotoCoreError, ClientError

    place = urlsplit(url)
    for attempt in range(FETCH_ATTEMPTS):
        try:
            clients[:] = [store()]
            answer = clients[0].get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))
            archive: bytes = answer["Body"].read()
            if hashlib.sha256(archive).hexdigest() == sha256:
                return archive
            why = "their checksum is wrong"
        except (BotoCoreError, ClientError) as error:
            why = str(error)
        say(f"the workflow's sources could not be fetched: {why}")
        if attempt + 1 < FETCH_ATTEMPTS:
            time.sleep(2**attempt)
    sys.exit(EXIT_INFRASTRUCTURE)


def unpack(archive: bytes) -> None:
    """Unpack the workflow's sources into the working directory."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as sources:
        sources.extractall(filter="data")


def join_storage(arguments: "list[str]", here: Path) -> None:
    """Make the place where Snakemake keeps the workflow's stored files the working directory `here` itself.

    A rule that names its files without `{input}` and `{output}` then finds and makes them as it does on one machine.
    """
    given = {name: value for name, value in itertools.pairwise(arguments) if name.startswith("--")}
    place = urlsplit(given.get("--default-storage-prefix", ""))
    if place.scheme != "s3" or not place.netloc:
        return
    prefix = given.get("--local-storage-prefix", ".snakemake/storage")
    if prefix.startswith("base64//"):
        prefix = base64.b64decode(prefix.removeprefix("base64//")).decode()
    link = here / prefix / "s3" / place.netloc / posixpath.normpath(place.path).strip("/")
    if link.is_relative_to(here) and not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(here, link.parent))


def take_notes(job: "dict[str, Any]") -> Any:
    """What tells how the job gets on and what it needs, or None where nobody wants to know."""
    if not job.get("notes"):
        return None
    return importlib.import_module("fallow_notes").Notes(
        job["notes"], job["logs"], lambda: clients[0] if clients else store()
    )


def member_name(job: Any) -> str:
    """What one of Snakemake's jobs is called on both sides: its rule and wildcards."""
    return json.dumps([job.rule.name, sorted(job.wildcards_dict.items())])


def target_jobs(entries: "list[str] | None") -> "list[Any] | None":
    """What `--target-jobs` names: `RULE:WILDCARD=VALUE,…`, where a value with a comma has quotes.

    Snakemake's own reading of what it wrote splits such values, and takes the quotes from those that end with one.
    """
    from snakemake_interface_executor_plugins.utils import TargetSpec

    targets = []
    for entry in entries or ():
        rule, _, text = entry.partition(":")
        found = WILDCARD.findall(text)
        targets.append(TargetSpec(rule, {name: quoted or plain for name, quoted, plain in found}))
    return targets if entries is not None else None


def check_inputs(job: Any, wanted: "dict[str, list[str]]") -> None:
    """Refuse to run a job that would read less here than the workflow has found for it.

    Raises:
        WorkflowError: It would; the message names a file.
    """
    from snakemake_interface_common.exceptions import WorkflowError

    here = {file.storage_object.query for file in job.input if file.is_storage}
    missing = [query for query in wanted.get(member_name(job), ()) if query not in here]
    if missing:
        raise WorkflowError(
            f"Rule {job.rule.name} reads {missing[0]} and, in all, {len(missing)} files that the workflow does not "
            "find on the node. Files that it looks for by a pattern (glob_wildcards, listdir) must be looked for in "
            "the storage, or be listed in a file beside the Snakefile."
        )


def run_snakemake(
    arguments: "list[str]", notes: Any = None, inputs: "dict[str, list[str]] | None" = None
) -> NoReturn:
    """Run Snakemake's command line in this process and end at once with its exit code."""
    lean = importlib.import_module("fallow_lean")
    cli = lean.load()
    from snakemake.executors.local import Executor as Local
    from snakemake.jobs import Job
    from snakemake.rules import Rule

    storage = careful_storage()
    prepare_job = Job.prepare

    async def prepared(job: Any) -> None:
        check_inputs(job, inputs or {})
        for file in job.output:
            if "update" in file.flags and file.is_storage and file.storage_object.exists():
                file.storage_object.bring()
        await prepare_job(job)
        if job.shadow_dir:  # a full shadow has all but what is stored
            join_storage(arguments, Path(job.shadow_dir))

    Job.prepare = prepared
    cli.parse_target_jobs_cli_args = target_jobs
    parse, sys.path[0] = cli.parse_args, str(Path.cwd())

    def parsed(given: "list[str]") -> Any:
        found = parse(given)  # loads the plugins
        lean.slow_down()
        return found

    cli.parse_args = parsed
    # some rules of a group run in a Snakemake of their own: that is this one too
    child = f"{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).resolve()))}"
    Local.get_python_executable = lambda executor: child  # noqa: ARG005
    # a rule's own `retries` would run it again here, with what was too little before; the workflow does it in a new slot
    Rule.restart_times = property(lambda rule: 0, lambda rule, value: None)  # noqa: ARG005
    sys.argv = ["snakemake", *arguments]
    code = 1
    try:
        cli.main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    if code != 0 and storage is not None and storage.troubles:
        say(f"the storage failed: {storage.troubles[-1]}")
        code = EXIT_INFRASTRUCTURE
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    if notes is not None:
        notes.finish(code)
    os._exit(code)


def careful_storage() -> Any:
    """Snakemake's S3 plugin as the module beside this one makes it, or None where the image has no such plugin."""
    try:
        storage = importlib.import_module("fallow_s3")
    except ImportError as error:
        say(f"no S3 storage: {error}")
        return None
    storage.install(remember=True)
    return storage


def say(text: str) -> None:
    """One line for the job's stderr, which the user sees if the job fails."""
    print(f"fallow-job: {text}", file=sys.stderr, flush=True)  # noqa: T201


def give_up(why: str, code: int = EXIT_INFRASTRUCTURE) -> NoReturn:
    """Leave with an exit code that has the job submitted again."""
    say(why)
    sys.exit(code)


if __name__ == "__main__":
    main()
