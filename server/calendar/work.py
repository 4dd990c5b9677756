"""Bounds on computation, so that no rule that someone writes can hold a processor.

A recurrence counts steps. It also stops at the deadline of the thread that computes it, if that has one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from server.errors import TooManyInstances

DEFAULT_WORK = 400_000
"""Steps, each some tenths of a microsecond to some microseconds."""
_STEPS_BETWEEN_LOOKS = 5_000
"""Steps after which the clock is read again."""

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Stop recurrences that are computed inside at a time of `time.monotonic`."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


class Work:
    """What may still be computed; a step is one period, instance or date looked at."""

    __slots__ = ("_look_at", "left")

    def __init__(self, steps: int = DEFAULT_WORK) -> None:
        self.refill(steps)

    def refill(self, steps: int) -> None:
        """Begin another computation on the same recurrence."""
        self.left = steps
        self._look_at = max(steps - _STEPS_BETWEEN_LOOKS, 0)

    def spend(self, steps: int = 1) -> None:
        """Count steps.

        :raises TooManyInstances: when no more are left, or the deadline has passed.
        """
        self.left -= steps
        if self.left < self._look_at:
            self._look()

    def _look(self) -> None:
        deadline = _deadline.get()
        if self.left < 0 or (deadline is not None and time.monotonic() > deadline):
            raise TooManyInstances
        self._look_at = max(self.left - _STEPS_BETWEEN_LOOKS, 0)
