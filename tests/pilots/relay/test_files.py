"""Connections as files: two sides and a directory, with what can go wrong between them."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow_pilots.relay.files import directory
from fallow_pilots.relay.files.desk import Desk
from fallow_pilots.relay.files.ferry import Ferry
from fallow_pilots.relay.files.frames import MOST_BODY_BYTES, Frame, Kind, LinkBrokenError, packed, unpacked
from fallow_pilots.relay.files.link import BEAT_S, DEAD_S, FLYING_BYTES, SLOW_S, Link, pause_s
from fallow_pilots.relay.files.spool import LENGTHS, MOST_BYTES, Note, Spool
from fallow_pilots.relay.files.stream import GRANTED_BYTES
from fallow_pilots.relay.files.streams import Streams

PILOT = "alder-7"
LIMIT_S = 30.0

bodies = st.binary(max_size=100)
frames = st.one_of(
    st.builds(Frame, st.sampled_from([Kind.OPEN, Kind.END, Kind.CUT]), st.integers(0, 2**32 - 1)),
    st.builds(Frame, st.just(Kind.DATA), st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=100)),
    st.builds(Frame.grant, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
)


@given(st.lists(frames))
def test_frames_come_out_as_they_went_in(said: list[Frame]) -> None:
    assert list(unpacked(packed(said))) == said


@given(st.lists(frames, min_size=1), st.data())
def test_what_is_cut_short_is_no_frame(said: list[Frame], data: st.DataObject) -> None:
    text = packed(said)
    last = len(packed(said[-1:]))
    short = text[: len(text) - data.draw(st.integers(1, last - 1))]
    with pytest.raises(LinkBrokenError):
        list(unpacked(short))


@given(st.binary(min_size=1))
def test_junk_breaks_the_link_and_nothing_else(junk: bytes) -> None:
    with suppress(LinkBrokenError):
        assert packed(unpacked(junk)) == junk


def test_a_frame_that_is_too_large_is_refused() -> None:
    with pytest.raises(LinkBrokenError, match="DATA of"):
        list(unpacked(packed([Frame(Kind.DATA, 1, bytes(MOST_BODY_BYTES + 1))])))


@given(st.builds(Note, *[st.integers(0, 2**64 - 1)] * 3))
def test_a_note_is_read_whole_or_not_at_all(note: Note) -> None:
    text = note.packed()
    assert Note.unpacked(text) == note
    assert Note.unpacked(text[:20]) is None
    assert Note.unpacked(bytes([text[0] ^ 1]) + text[1:]) is None


@pytest.fixture
def spools(tmp_path: Path) -> tuple[Spool, Spool]:
    """A link as node and relay see it."""
    node = directory.make(tmp_path, PILOT)
    return node, directory.found(tmp_path, ())[0]


def test_each_note_has_another_length_than_the_last(spools: tuple[Spool, Spool]) -> None:
    node, relay = spools
    file = node.directory / directory.UP
    sizes = []
    for beat in range(2, 2 * LENGTHS + 2):
        node.tell(Note(beat=beat))
        sizes.append(file.stat().st_size)
        assert relay.look() == Note(beat=beat)
    assert all(one != other for one, other in pairwise(sizes))


def test_what_one_side_writes_the_other_takes_away(spools: tuple[Spool, Spool]) -> None:
    node, relay = spools
    assert relay.read(1) is None
    node.write(1, b"hello")
    assert relay.read(1) == b"hello"
    assert {path.name for path in node.directory.iterdir()} == {directory.UP, directory.DOWN}


def test_a_link_is_closed_to_others(spools: tuple[Spool, Spool]) -> None:
    spools[0].write(1, b"x")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in spools[0].directory.iterdir()}
    assert (stat.S_IMODE(spools[0].directory.stat().st_mode), modes) == (0o700, {0o600})


def _link_to(secret: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(secret)


@pytest.mark.parametrize(
    "plant", [_link_to("/etc/hostname"), os.mkfifo, os.mkdir, lambda path: path.write_bytes(b"short")]
)
def test_what_the_other_side_would_not_have_written_breaks_the_link(
    spools: tuple[Spool, Spool], plant: Callable[[Path], None]
) -> None:
    plant(spools[0].directory / "up.1")
    with pytest.raises(OSError, match=r"damaged|not a plain file|symbolic link"):
        spools[1].read(1)


def test_a_file_that_is_too_large_is_not_read_whole(spools: tuple[Spool, Spool]) -> None:
    with (spools[0].directory / "up.1").open("wb") as stream:
        stream.truncate(MOST_BYTES * 1000)
    with pytest.raises(LinkBrokenError, match="damaged"):
        spools[1].read(1)


def test_only_closed_directories_of_this_user_are_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "alder-1.0123456789abcdef").symlink_to(tmp_path / "real")
    (tmp_path / "alder-2.0123456789abcdef").mkdir(mode=0o755)
    (tmp_path / "other").mkdir(mode=0o700)
    assert directory.found(tmp_path, ()) == []


def test_a_new_link_of_a_pilot_takes_the_place_of_its_last(tmp_path: Path) -> None:
    first = directory.make(tmp_path, PILOT)
    other = directory.make(tmp_path, "alder-77")
    second = directory.make(tmp_path, PILOT)
    assert set(tmp_path.iterdir()) == {other.directory, second.directory}
    with pytest.raises(FileNotFoundError):
        first.look()


@given(st.floats(0, 1e6))
def test_looks_become_rare_where_nothing_moves(quiet_s: float) -> None:
    assert 0.002 <= pause_s(quiet_s) <= SLOW_S
    assert pause_s(quiet_s) <= pause_s(quiet_s + 1)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 2 * LIMIT_S))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def ferry(root: Path) -> AsyncIterator[Ferry]:
    """A node's side."""
    found = Ferry(root, PILOT)
    keeping = asyncio.ensure_future(found.keep())
    try:
        yield found
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def said_back(node: Ferry, text: bytes) -> bytes:
    reader, writer = await node.dial(LIMIT_S)

    async def write() -> None:
        writer.write(text)
        await writer.drain()
        writer.write_eof()

    heard, _ = await asyncio.gather(reader.read(), write())
    await writer.wait_closed()
    return heard


def test_connections_are_carried_side_by_side(tmp_path: Path) -> None:
    async def work() -> None:
        async with Desk(tmp_path, echo), ferry(tmp_path) as node:
            texts = [os.urandom(size) for size in (0, 1, 70_000, 3 * GRANTED_BYTES, 5)]
            assert await asyncio.gather(*(said_back(node, text) for text in texts)) == texts
        assert list(tmp_path.iterdir()) == [], "nothing is left"

    run(work())


def test_what_nobody_reads_holds_up_neither_others_nor_the_disk(tmp_path: Path) -> None:
    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    async def either(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (echo if await reader.readexactly(1) == b"e" else deaf)(reader, writer)

    held: list[asyncio.StreamWriter] = []

    async def work() -> None:
        async with Desk(tmp_path, either), ferry(tmp_path) as node:
            _, full = await node.dial(LIMIT_S)
            full.write(b"d" + bytes(8 * GRANTED_BYTES))
            draining = asyncio.ensure_future(full.drain())
            assert await said_back(node, b"e" + bytes(4 * GRANTED_BYTES)) == bytes(4 * GRANTED_BYTES)
            lying = sum(path.stat().st_size for path in tmp_path.glob("*/*.*"))
            assert lying < FLYING_BYTES
            assert not draining.done()
            full.transport.abort()
            await asyncio.gather(draining, return_exceptions=True)

    run(work())


def test_a_connection_that_is_cut_ends_for_the_other_side(tmp_path: Path) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.transport.abort()

    async def work() -> None:
        async with Desk(tmp_path, cut), ferry(tmp_path) as node:
            reader, writer = await node.dial(LIMIT_S)
            writer.write(b"x")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    run(work())


def test_a_relay_that_comes_back_mixes_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with ferry(tmp_path) as node:
            async with Desk(tmp_path, echo):
                reader, writer = await node.dial(LIMIT_S)
                writer.write(b"first")
                assert await reader.readexactly(5) == b"first"
            with suppress(ConnectionResetError):
                assert await reader.read() == b"", "the connection has ended"
            async with Desk(tmp_path, echo):
                assert await said_back(node, b"second") == b"second"

    run(work())


def test_a_node_that_comes_back_mixes_nothing(tmp_path: Path) -> None:
    ended = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await echo(reader, writer)
        ended.append(True)

    async def work() -> None:
        async with Desk(tmp_path, take):
            async with ferry(tmp_path) as first:
                reader, writer = await first.dial(LIMIT_S)
                writer.write(b"first")
                assert await reader.readexactly(5) == b"first"
            async with ferry(tmp_path) as second:
                assert await said_back(second, b"second") == b"second"
            while len(ended) < 2:
                await asyncio.sleep(0.01)

    run(work())


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def turns(link: Link, clock: Clock, passed_s: float) -> None:
    """Let a link look for so long."""
    for _ in range(int(passed_s / SLOW_S)):
        clock.now += SLOW_S
        vars(Link)["_turn"](link, b"")


def test_a_dead_side_is_noticed_and_a_quiet_one_is_not(spools: tuple[Spool, Spool], clock: Clock) -> None:
    node, relay = spools

    async def work() -> None:
        ours, theirs = Link(node, Streams(), clock), Link(relay, Streams(), clock)
        for _ in range(int(3 * DEAD_S / BEAT_S)):
            turns(theirs, clock, BEAT_S)
            turns(ours, clock, BEAT_S)
        clock.now += 10 * DEAD_S  # both were stopped, as by a file system that hung
        turns(theirs, clock, 2 * BEAT_S)
        turns(ours, clock, 2 * BEAT_S)
        with pytest.raises(LinkBrokenError, match="silent for 60 s"):
            turns(ours, clock, 2 * DEAD_S)

    run(work())


@pytest.mark.parametrize("note", [Note(9, made=10_000), Note(9, taken=1)])
def test_a_note_that_makes_no_sense_breaks_the_link(
    spools: tuple[Spool, Spool], clock: Clock, note: Note
) -> None:
    async def work() -> None:
        spools[0].tell(note)
        with pytest.raises(LinkBrokenError, match="no sense"):
            turns(Link(spools[1], Streams(), clock), clock, SLOW_S)

    run(work())


def test_a_file_that_never_comes_breaks_the_link(spools: tuple[Spool, Spool], clock: Clock) -> None:
    async def work() -> None:
        spools[0].tell(Note(2, made=1))
        link = Link(spools[1], Streams(), clock)
        turns(link, clock, DEAD_S)
        with pytest.raises(LinkBrokenError):
            turns(link, clock, DEAD_S)

    run(work())


@pytest.mark.parametrize(
    "said",
    [
        [Frame(Kind.OPEN, 1), Frame(Kind.OPEN, 1)],
        [Frame(Kind.OPEN, 1), *[Frame(Kind.DATA, 1, bytes(MOST_BODY_BYTES))] * 9],
        [Frame(Kind.OPEN, 1), Frame(Kind.END, 1), Frame(Kind.DATA, 1, b"x")],
    ],
)
def test_who_keeps_to_no_rule_loses_the_link(said: list[Frame]) -> None:
    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []

    async def work() -> None:
        streams = Streams(never)
        for frame in said[:-1]:
            streams.hear(frame)
        with pytest.raises(LinkBrokenError):
            streams.hear(said[-1])
        streams.lose()
        await asyncio.sleep(0)

    run(work())


def test_what_comes_late_for_a_connection_that_is_over_does_not_matter() -> None:
    async def work() -> None:
        streams = Streams()
        _, writer = streams.dial()
        writer.transport.abort()
        streams.hear(Frame(Kind.DATA, 1, b"late"))
        assert [frame.kind for frame in streams.say(100)] == [Kind.OPEN, Kind.CUT]
        streams.hear(Frame(Kind.END, 1))

    run(work())


def test_a_connection_that_is_closed_says_all_before_it_ends() -> None:
    async def work() -> None:
        streams = Streams()
        _, writer = streams.dial()
        writer.write(b"last words")
        writer.close()
        assert [frame.kind for frame in streams.say(100)] == [Kind.OPEN, Kind.DATA, Kind.END, Kind.CUT]
        await writer.wait_closed()

    run(work())


def test_the_relay_opens_no_connections_to_nodes() -> None:
    async def work() -> None:
        with pytest.raises(LinkBrokenError, match="may not open"):
            Streams().hear(Frame(Kind.OPEN, 1))

    run(work())
