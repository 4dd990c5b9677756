"""The signals that a running server handles, as events that tasks wait for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from server.domain.errors import KoyomiError

_T = TypeVar("_T")

_ONE_PRESS = 1.0
"""Seconds in which several signals are one: `make`, `timeout` and others pass on what reached the group anyway."""


class Stopped(Exception):
    """The server was told to stop before it was ready."""


class Signals:
    """One event for each action that signals ask for."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        """Finish the requests and end."""
        self.stop_now = asyncio.Event()
        """End."""
        self.reload = asyncio.Event()
        """Read the TLS certificate again."""
        self.replace = asyncio.Event()
        """Replace the workers."""
        self._told_at = 0.0

    @classmethod
    @contextlib.contextmanager
    def handled(cls) -> Iterator[Signals]:
        """Handle the signals as long as the context lasts."""
        signals, loop = cls(), asyncio.get_running_loop()
        handlers: dict[int, Callable[[], None]] = {
            signal.SIGTERM: signals._on_stop,
            signal.SIGINT: signals._on_stop,
            signal.SIGHUP: signals._on_stop if sys.stdin and sys.stdin.isatty() else signals.reload.set,
            signal.SIGUSR2: signals.replace.set,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield signals
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _on_stop(self) -> None:
        if not self.stop.is_set():
            self._told_at = time.monotonic()
            self.stop.set()
        elif time.monotonic() - self._told_at > _ONE_PRESS:
            self.stop_now.set()

    async def unless_stopped(self, work: Awaitable[_T]) -> _T:
        """Wait for something; when told to stop, cancel it and raise `Stopped`."""
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self.stop.wait())
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not working.done():
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError, KoyomiError):
                await working
            raise Stopped
        return await working
