"""Moves files of payloads between S3 and their directories: `python -m fallow_pilots.node.stager SPEC ROOT`.

One process for all payloads of a pilot, so that the next one finds connections open and libraries loaded. A launcher asks
with a file `<in|out>.<n>.wanted` that holds the payload's directory below `execute/own-<n>`; when it is gone, `….said` has
the answer: `ok`, or a class of `fallow.storage.failures` and a sentence.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Callable

from fallow.errors import FallowError
from fallow.hub import HubClient, HubRefusedError
from fallow.storage.cache import InputCache
from fallow.storage.failures import StagingError, Trouble, by_system
from fallow.storage.grants import TICKET_FILE, Grant, StagedFile, StagingRequest
from fallow.storage.movers import Mover, each, moved
from fallow.storage.staging import Patience, fetch, made
from fallow_pilots.node.hub import hub_of
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.stagerequests import CACHE
from fallow_pilots.spec import PilotSpec

log = logging.getLogger(__name__)

JOBS_AT_ONCE = 4
LOOK_EVERY_S = 0.05
IDLE_S = 60.0
"""After so long without a request it ends, and its memory is free."""
CACHE_BYTES = 20 << 30
TICKET_BYTES = 64 * 1024
_WANTED = re.compile(r"(in|out)\.([0-9]{1,10})\.wanted")
_PLACE = re.compile(r"dir_[0-9]{1,10}(/scratch)?")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,200}")


class Stager:
    """Stages the files of one payload at a time, for several in threads.

    Args:
        hub: The gateway, with the pilot's token.
        spec: The pilot's specification.
    """

    def __init__(self, hub: HubClient, spec: PilotSpec) -> None:
        self._hub = hub
        self._spec = spec
        self._cache = InputCache(spec.image_store_dir / CACHE, CACHE_BYTES)

    def stage_in(self, folder: Path) -> None:
        """Have a payload's inputs in its directory.

        Raises:
            StagingError: One cannot be had.
        """
        ticket, _ = read_ticket(folder)
        try:
            self._fetch(folder, ticket)
        except StagingError as error:
            if error.trouble is not Trouble.CHANGED:
                raise
            log.warning("%s It is asked for once more.", error.what)
            self._fetch(folder, ticket)

    def _fetch(self, folder: Path, ticket: str) -> None:
        files, mover = self._granted(folder, StagingRequest(ticket=ticket))
        moved(partial(fetched, mover, self._cache), files)

    def stage_out(self, folder: Path) -> None:
        """Store what a payload has made.

        Raises:
            StagingError: Something could not be stored; every object that can be seen is whole.
        """
        ticket, names = read_ticket(folder)
        wanted = StagingRequest(ticket=ticket, outputs=each(partial(made, folder), names))
        files, mover = self._granted(folder, wanted)
        moved(mover.store, files)

    def _granted(self, folder: Path, wanted: StagingRequest) -> tuple[list[StagedFile], Mover]:
        grant = asked(self._hub, wanted)
        ca_file = str(self._spec.ca_file) if self._spec.ca_file else None
        again = partial(asked_again, self._spec, wanted)
        return grant.files, Mover(grant, again, ca_file, folder, Patience.of(grant.patience_s))


def fetched(mover: Mover, cache: InputCache, file: StagedFile) -> None:
    """Have an input in its place: by way of the centre's cache where it is shared.

    Raises:
        StagingError: It cannot be had.
    """
    if not file.shared:
        mover.fetch(file)
        return
    try:
        here = cache.copy(
            file,
            mover.folder / file.path,
            lambda path: fetch(file, path, mover.objects, mover.patience),
        )
    except StagingError as error:
        if error.trouble not in (Trouble.FULL, Trouble.DENIED):
            raise
        log.warning("%s It is fetched for this job alone.", error.what)
        mover.fetch(file)
        return
    log.info("input %s %s", file.url, "was in the cache" if here else "was fetched into the cache")


def asked_again(spec: PilotSpec, wanted: StagingRequest) -> Grant:
    """The same, by whichever process has to."""
    return asked(hub_of(spec), wanted)


def asked(hub: HubClient, wanted: StagingRequest) -> Grant:
    """What the hub grants.

    Raises:
        StagingError: Nothing, with its reason.
    """
    try:
        return hub.ask(Grant, "POST", "/v1/staging", wanted.model_dump_json(exclude_none=True))
    except HubRefusedError as error:
        known = {trouble.value: trouble for trouble in Trouble}
        raise StagingError(known.get(error.code, Trouble.DENIED), error.what) from error
    except FallowError as error:
        raise StagingError(Trouble.AWAY, error.what) from error


def read_ticket(folder: Path) -> tuple[str, list[str]]:
    """A payload's ticket and the names of its outputs; the file is the payload's word, and it may have changed it.

    Raises:
        StagingError: It is none.
    """
    try:
        descriptor = os.open(folder / TICKET_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            lines = stream.read(TICKET_BYTES).decode("ascii").splitlines()
    except OSError as error:
        raise StagingError(by_system(error), f"The job's ticket cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise StagingError(Trouble.DENIED, "The job's ticket is no ticket.") from error
    names = [line[4:] for line in lines[1:] if line.startswith("out ")]
    if not lines or not all(_NAME.fullmatch(name) for name in names):
        raise StagingError(Trouble.DENIED, "The job's ticket is no ticket.")
    return lines[0], names


def answer(call: Callable[[Path], None], folder: Path) -> str:
    """What a launcher is told."""
    began = time.monotonic()
    try:
        call(folder)
    except StagingError as error:
        log.warning("%s of %s: %s", call.__name__, folder, error.what)
        return f"{error.trouble.value}: {error.what}"
    except Exception:
        log.exception("%s of %s failed", call.__name__, folder)
        return f"{Trouble.AWAY.value}: The pilot failed; its log has the details."
    log.info("%s of %s took %.2f s", call.__name__, folder, time.monotonic() - began)
    return "ok"


def serve(stager: Stager, layout: Layout, idle_s: float = IDLE_S) -> None:
    """Answer requests until there were none for a while, or the pilot is gone."""
    pilot, last = os.getppid(), time.monotonic()
    running: dict[str, Future[None]] = {}

    def one(request: Path, call: Callable[[Path], None], number: str) -> None:
        place = request.read_text(encoding="ascii", errors="replace").strip()
        text = f"{Trouble.DENIED.value}: The request names no directory of a job."
        if _PLACE.fullmatch(place):
            text = answer(call, layout.execute / f"own-{number}" / place)
        said = request.with_suffix(".said")
        draft = request.with_suffix(".answer")
        draft.write_text(" ".join(text.split()) + "\n", encoding="utf-8")
        draft.replace(said)
        request.unlink(missing_ok=True)

    with ThreadPoolExecutor(JOBS_AT_ONCE, "fallow-stager") as pool:
        while os.getppid() == pilot and (running or time.monotonic() - last < idle_s):
            for request in layout.staging.glob("*.wanted"):
                what = _WANTED.fullmatch(request.name)
                if what is None:
                    request.unlink(missing_ok=True)
                elif request.name not in running:
                    call = stager.stage_in if what[1] == "in" else stager.stage_out
                    running[request.name] = pool.submit(one, request, call, what[2])
            for name in [name for name, done in running.items() if done.done()]:
                running.pop(name).result()
                last = time.monotonic()
            time.sleep(LOOK_EVERY_S)


def main() -> int:
    """Entry point."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    spec = PilotSpec.read(Path(sys.argv[1]))
    serve(Stager(hub_of(spec), spec), Layout(Path(sys.argv[2])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
