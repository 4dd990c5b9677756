"""Breakers: after repeated failures a service that Koyomi calls is left alone for a while, and shown as unavailable.

A breaker is closed at first. After `FAILURES` failures in a row it opens: calls fail at once, the service is not asked.
After a pause one call is let through; if it fails, the next pause is longer, and if it succeeds, the breaker closes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog

FAILURES = 3
"""Failures in a row after which a breaker opens."""
FIRST_PAUSE = 1.0
"""Seconds until the first call is let through."""
LONGEST_PAUSE = 30.0
"""Seconds of the longest pause."""
PATIENCE = 120.0
"""Seconds after which a call that was let through, and has not ended, keeps no others away any more."""

log = structlog.get_logger()


class _Gauge(Protocol):
    def set(self, value: float) -> None: ...


class Breaker:
    """The breaker of one service in one worker."""

    def __init__(
        self,
        service: str,
        gauge: _Gauge,
        open_error: Callable[[str], Exception],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`gauge` gets 1 while the breaker is closed and 0 while it is open; `open_error` makes what calls fail with
        then."""
        self.service = service
        self._gauge = gauge
        self._open_error = open_error
        self._clock = clock
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._next_try = 0.0
        """When the next call is let through, while the breaker is open."""
        gauge.set(1)

    @property
    def is_open(self) -> bool:
        """Whether the service counts as unavailable."""
        return self._failures >= FAILURES

    @contextmanager
    def call(self, *failures: type[Exception]) -> Iterator[None]:
        """A call of the service. `failures` are the errors by which it did not answer; others are answers.

        Raises what `open_error` makes, if the service is left alone.
        """
        if self.is_open:
            now = self._clock()
            if now < self._next_try:
                raise self._open_error(f"{self.service} did not answer and is not asked for a while.")
            # Others wait for what comes of this call.
            self._next_try = now + PATIENCE
        try:
            yield
        except failures:
            self._failed()
            raise
        except Exception:
            self._answered()
            raise
        except BaseException:
            # It was cancelled: nobody knows. The next call finds out.
            self._next_try = 0.0
            raise
        self._answered()

    def _failed(self) -> None:
        was_open = self.is_open
        self._failures += 1
        if not self.is_open:
            return
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if was_open else FIRST_PAUSE
        self._next_try = self._clock() + self._pause
        if not was_open:
            self._gauge.set(0)
            log.warning("service_unavailable", service=self.service)

    def _answered(self) -> None:
        if self.is_open:
            self._gauge.set(1)
            log.info("service_available", service=self.service)
        self._failures = 0
