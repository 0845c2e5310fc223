"""What a person's own job wrote: what it tells in that person's storage while it runs, then what the queue has of it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from fallow.errors import NotAvailableError
from fallow.queue.description import KEPT_S
from fallow.queue.output import STREAMS, Note, parse
from fallow.queue.records import JobRecord, JobState
from fallow_matcher.campaigns import jobs as campaigns_jobs
from fallow_matcher.campaigns.logs import KEPT_BYTES, Written, folder, written
from fallow_matcher.gateway.s3 import USER_FOLDER, Store, user_bucket
from fallow_matcher.settings import HubSettings

LARGEST_BYTES = 1024 * 1024
"""A note that is larger is not read: jobs tell the end of their streams, a few KiB each."""


@dataclass(frozen=True)
class Told:
    """The ends of a job's streams, or why there are none to show."""

    parts: dict[str, str]
    words: str = ""
    log: str = ""
    """The address of the page that has its output, where that is another."""


def output(store: Store, settings: HubSettings, user: str, record: JobRecord) -> Told:
    """What a job of `user` (`<centre>.<name>`) wrote, as far as the hub can show it.

    Args:
        store: The store, with the hub's keys.
        settings: The hub's settings.
        user: Whose job it is.
        record: The job, as the queue or HTCondor's history has it.
    """
    over = record.state in (JobState.FINISHED, JobState.REMOVED)
    if log := _campaigns_log(record):
        when = "" if over else " once it has ended"
        return Told({}, f"Its campaign keeps the end of what it wrote{when}.", log if over else "")
    if record.started is None:
        return Told({}, "It was never started." if over else "It has not been started yet.")
    cluster, _, process = record.id.partition(".")
    place = folder(settings.state_dir / "spool", int(cluster), int(process))
    if record.state is JobState.FINISHED and place.is_dir():
        return _left(record, written(place))
    found = _last_told(store, settings, user, record)
    if record.state in (JobState.RUNNING, JobState.HELD):
        return found
    why = _why_gone(record) if over else "It waits to be started again."
    return Told(found.parts, f"{why} This is what it told last." if found.parts else why)


def _why_gone(record: JobRecord) -> str:
    """Why the queue has no output of a job that is over."""
    if record.state is JobState.REMOVED:
        return "The queue keeps nothing of a job that was removed."
    if record.taken:
        return (
            "Its client has taken the output with the result. A workflow keeps what failed jobs wrote in "
            f".snakemake/fallow/{record.run}/{record.key}."
        )
    return f"Nobody took its output within {KEPT_S // 86_400} days of its end, so the queue let it go."


def _left(record: JobRecord, left: Written) -> Told:
    """What a finished job left in the queue."""
    streams = dict(zip(STREAMS, (left.stdout, left.stderr), strict=True))
    parts = {name: text.decode("utf-8", "replace") for name, text in streams.items() if text}
    if not parts:
        return Told({}, "It wrote nothing.")
    short = f"These are the last {KEPT_BYTES // 1024} KiB of each; fallow logs {record.id} has all of it."
    return Told(parts, short if left.truncated else "")


def _last_told(store: Store, settings: HubSettings, user: str, record: JobRecord) -> Told:
    """What a job that was started told last in its owner's storage, and nowhere else."""
    if record.notes is None:
        return Told(
            {}, "It does not tell what it writes while it runs; its output is here when it has finished."
        )
    place = urlsplit(record.notes)
    key = place.path.lstrip("/")
    # The place is the job's own word, and the hub's keys open everybody's.
    if place.netloc != user_bucket(settings.storage.bucket, user) or not key.startswith(USER_FOLDER):
        return Told({}, "The job tells it in a storage that is not your own in the federation.")
    try:
        note = _note(store, place.netloc, key)
    except NotAvailableError as error:
        return Told({}, error.what)
    if note is None:
        return Told({}, "The job has told nothing yet.")
    return Told({name: part.text.decode("utf-8", "replace") for name, part in note.parts.items()})


def _campaigns_log(record: JobRecord) -> str:
    """The address of the log of a campaign's job; its words are the job's own, and that page looks who asks."""
    place = campaigns_jobs.place_of({"FallowRun": record.run, "FallowKey": record.key})
    campaign, *rest = record.name.split("/", 2)
    if place is None or len(rest) != 2:
        return ""
    wanted = urlencode({"stage": rest[0], "id": rest[1], "attempt": place[2]})
    return f"/me/campaigns/{quote(campaign, safe='')}/log?{wanted}"


def _note(store: Store, bucket: str, key: str) -> Note | None:
    from botocore.exceptions import ClientError

    def get() -> bytes | None:
        try:
            found = store.client("s3").get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        with found["Body"] as body:
            return bytes(body.read(LARGEST_BYTES))

    text = store.call(get)
    return None if text is None else parse(text)
