"""Parsing and expanding of texts off the event loop: in a bounded number of threads, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from server.calendar.work import until
from server.domain.errors import Unavailable
from server.observe import costs

_P = ParamSpec("_P")
_T = TypeVar("_T")

THREADS = 4
"""Texts that one worker parses or expands at the same time; further ones wait for a thread."""
DEADLINE = 30.0
"""Seconds after which a computation that has not begun is cancelled, and recurrences that are computed stop."""
_GRACE = 1.0
"""Seconds more that a computation which stops at the deadline has for its error."""

_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="computing")


async def computed(work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Parse or expand texts in one of `THREADS` threads, so that the event loop is free meanwhile.

    :raises Unavailable: when the result is not there after `DEADLINE` seconds.
    :raises TooManyInstances: when a recurrence is still being computed then.
    """
    began = time.perf_counter()
    deadline = time.monotonic() + DEADLINE

    def run() -> _T:
        with until(deadline):
            return work(*arguments, **named)

    try:
        async with asyncio.timeout(DEADLINE + _GRACE):
            return await asyncio.get_running_loop().run_in_executor(_pool, copy_context().run, run)
    except TimeoutError:
        raise Unavailable("The server is busy; try again later.") from None
    finally:
        account = costs.current.get()
        if account is not None:
            seconds = time.perf_counter() - began
            account.expansion_seconds += seconds
            if account.timeline is not None:
                account.timeline.append(("expansion", began, seconds, 0))
