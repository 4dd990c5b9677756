"""The loop that repeats a write after a conflict."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TypeVar

from server.domain.errors import TooManyConflicts, WriteConflict

ATTEMPTS = 12
"""How often a write is tried while other writes change the state that it is based on."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.128
"""Seconds: the longest pause after the first conflict, and the bound. The pause doubles with each further conflict."""

Turn = Callable[[], AbstractAsyncContextManager[None]]
State = TypeVar("State")
Result = TypeVar("Result")


async def change(read: Callable[[], Awaitable[State]], decide: Callable[[State], Awaitable[Result]]) -> Result:
    """Read a state and pass it to `decide`, which writes. Both run again when the write conflicts with another one.

    Returns the result of `decide`. Raises `TooManyConflicts` when every attempt conflicted, and every error of `read`
    and `decide` except `WriteConflict`. If a conflict has a turn (`WriteConflict.turn`), both run within it.
    """
    pause = _FIRST_PAUSE
    turn: Turn | None = None
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with nullcontext() if turn is None else turn():
                return await decide(await read())
        except WriteConflict as error:
            if attempt == ATTEMPTS:
                break
            turn = error.turn
        await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - no secret
        pause = min(2 * pause, _LONGEST_PAUSE)
    raise TooManyConflicts(retry_after=1)
