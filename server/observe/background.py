"""Background tasks: they belong to no request. An exception is logged and counted, and the step that raised it is
tried again after a pause."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

import structlog

from server.domain.errors import KoyomiError

FIRST_PAUSE = 0.5
"""Seconds before the next try after a failure; doubled with each further one."""
LONGEST_PAUSE = 60.0
"""Seconds. After a step that lasted this long, the pauses start again with the first."""

failures: Counter[str] = Counter()
"""The number of failures of each task of this process, by its name; metrics are set from it."""

log = structlog.get_logger()


def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task that belongs to no request, also where a request starts it: neither the costs of its statements nor
    its lines in the log are that request's."""
    return Context().run(asyncio.create_task, work)


async def run_forever(name: str, step: Callable[[], Awaitable[object]]) -> None:
    """Call `step` repeatedly until cancelled, after failures with growing pauses. Raises nothing else."""
    pause = FIRST_PAUSE
    while True:
        began = time.monotonic()
        try:
            await step()
            pause = FIRST_PAUSE
        except Exception as error:
            if time.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            failed(name, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def failed(name: str, error: BaseException, **fields: int) -> None:
    """Log and count a failure of a task, with `fields` in the log.

    Domain errors are expected at times. Other exceptions are defects, and logged with a traceback.
    """
    failures[name] += 1
    expected = isinstance(error, KoyomiError)
    log.log(
        _WARNING if expected else _ERROR,
        "background_task_failed",
        task=name,
        reason=type(error).__name__,
        exc_info=None if expected else error,
        **fields,
    )


_WARNING, _ERROR = 30, 40
"""Levels of `logging`."""
