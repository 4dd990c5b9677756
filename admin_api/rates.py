"""How many requests a person may send: so many a minute to each worker (draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

WINDOW = 60.0
"""Seconds."""
_MOST = 10_000
"""People that are remembered."""


@dataclass(slots=True)
class _Window:
    began: float
    used: int = 0


class Rates:
    """Counts the requests of each person in windows of a minute. One for each worker."""

    def __init__(self, quota: int) -> None:
        """`quota`: requests in a window; 0 limits nobody."""
        self._quota = quota
        self._windows: dict[int, _Window] = {}

    def take(self, principal_id: int) -> tuple[bool, dict[str, str]]:
        """Count a request: whether it may go on, and the headers that tell how many more may."""
        if not self._quota:
            return True, {}
        now = time.monotonic()
        window = self._windows.get(principal_id)
        if window is None or now - window.began >= WINDOW:
            self._windows.pop(principal_id, None)
            while len(self._windows) >= _MOST:
                del self._windows[next(iter(self._windows))]
            window = self._windows[principal_id] = _Window(now)
        window.used += 1
        left = max(self._quota - window.used, 0)
        reset = max(math.ceil(WINDOW - (now - window.began)), 1)
        headers = {
            "RateLimit-Policy": f'"default";q={self._quota};w={WINDOW:g}',
            "RateLimit": f'"default";r={left};t={reset}',
        }
        return window.used <= self._quota, headers

    def wait(self, principal_id: int) -> int:
        """Seconds until the window of a person ends."""
        window = self._windows.get(principal_id)
        return 1 if window is None else max(math.ceil(WINDOW - (time.monotonic() - window.began)), 1)
