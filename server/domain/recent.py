"""What was met lately, so that something that is met again and again is noted once."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Recent(Generic[K]):
    """Keys that were met in the last seconds. Of more than `most` the earliest are forgotten."""

    def __init__(self, seconds: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._met: dict[K, float] = {}
        """When each began to count, the earliest first."""

    def is_new(self, key: K) -> bool:
        """Whether a key was not met in that time. From now on it was."""
        now = self._clock()
        at = self._met.get(key)
        if at is not None and now - at < self._seconds:
            return False
        self._met.pop(key, None)
        while len(self._met) >= self._most:
            del self._met[next(iter(self._met))]
        self._met[key] = now
        return True

    def forget(self, key: K) -> None:
        """As if a key had not been met."""
        self._met.pop(key, None)
