"""Waiting for no longer than a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

_T = TypeVar("_T")


async def within(work: Awaitable[_T], limit_s: float) -> _T:
    """The result of `work`.

    `asyncio.wait_for` does the same, but before Python 3.12 it forgets that it was cancelled when the work ends in that very
    moment (https://github.com/python/cpython/issues/86296), and then whoever cancelled waits for ever.

    Raises:
        asyncio.TimeoutError: It took longer, and was cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=limit_s)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        await asyncio.wait({task})
        raise asyncio.TimeoutError
    return task.result()
