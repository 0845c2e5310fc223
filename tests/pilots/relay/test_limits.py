"""Waiting for no longer than a limit."""

from __future__ import annotations

import asyncio

import pytest

from fallow_pilots.relay.limits import within


async def ticks(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("between", range(4))
def test_whoever_is_cancelled_learns_it_also_in_the_moment_when_the_work_ends(between: int) -> None:
    async def work() -> None:
        event = asyncio.Event()
        waiting = asyncio.ensure_future(for_ever(event))
        await ticks(5)
        event.set()
        await ticks(between)
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=10)
        assert waiting.cancelled()

    async def for_ever(event: asyncio.Event) -> None:
        await within(event.wait(), 60)
        await within(asyncio.Event().wait(), 60)

    asyncio.run(work())


def test_what_takes_longer_is_cancelled() -> None:
    ended = []

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(within(long(), 0.01))
    assert ended == [True]


def test_a_result_and_an_error_come_through() -> None:
    async def fail() -> None:
        raise OSError("no")

    assert asyncio.run(within(asyncio.sleep(0, "yes"), 60)) == "yes"
    with pytest.raises(OSError, match="no"):
        asyncio.run(within(fail(), 60))
