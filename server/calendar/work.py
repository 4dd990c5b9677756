"""Bounds on computation, so that no rule that someone writes can hold a processor.

A recurrence counts steps. It also stops at the deadline of the thread that computes it, if that has one. A request that
computes many recurrences divides its steps among them (`share`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from server.domain.errors import TooManyInstances

DEFAULT_WORK = 400_000
"""Steps, each some tenths of a microsecond to some microseconds."""
REQUEST_WORK = 300_000
"""Steps of all recurrences that one request computes, besides `LEAST_WORK` for each."""
OBJECT_WORK = 50_000
"""Steps of one recurrence in a request."""
LEAST_WORK = 2_000
"""Steps of each recurrence after others have used up those of the request: enough for a daily series and a year."""
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


class _Shares:
    """The steps of one request."""

    def __init__(self) -> None:
        self._left = REQUEST_WORK
        self._given = 0
        self._last: Work | None = None

    def next(self, work: Work) -> int:
        """The steps of a further recurrence, after what the one before it has used is counted."""
        if self._last is not None:
            self._left -= self._given - max(self._last.left, 0)
        self._last, self._given = work, max(min(self._left, OBJECT_WORK), LEAST_WORK)
        return self._given


_shares: ContextVar[_Shares | None] = ContextVar("shares", default=None)


def share() -> None:
    """Divide bounded work among the recurrences that are computed from now on in this context."""
    _shares.set(_Shares())


class Work:
    """The number of steps that may still be computed. A step examines one period, instance or date."""

    __slots__ = ("_look_at", "left")

    def __init__(self, steps: int | None = None) -> None:
        """`steps`: None for a share of the request's, or `DEFAULT_WORK` outside of a request that shares."""
        if steps is None:
            shares = _shares.get()
            steps = DEFAULT_WORK if shares is None else shares.next(self)
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
