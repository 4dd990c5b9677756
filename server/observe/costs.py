"""Costs of a request: statements, rows, and texts that are parsed.

The code that answers a request opens an account. Work for the request, also in its tasks and threads, is recorded
there.
"""

from __future__ import annotations

import time
from contextvars import ContextVar


class Costs:
    """An account."""

    __slots__ = ("database_seconds", "expansion_seconds", "rows", "statements", "timeline")

    def __init__(self, *, timeline: bool = False) -> None:
        """`timeline`: record each statement and expansion separately, for traces."""
        self.timeline: list[tuple[str, float, float, int]] | None = [] if timeline else None
        """Kind, start (`time.perf_counter`), seconds and rows of each."""
        self.statements = 0
        self.rows = 0
        """Rows that statements returned."""
        self.database_seconds = 0.0
        """From sending statements to their results, including the wait for a free connection."""
        self.expansion_seconds = 0.0
        """Parsing and expanding of stored texts in threads."""

    def count(self, seconds: float, rows: int) -> None:
        """Add a statement."""
        self.statements += 1
        self.rows += rows
        self.database_seconds += seconds
        if self.timeline is not None:
            self.timeline.append(("SQL", time.perf_counter() - seconds, seconds, rows))


current: ContextVar[Costs | None] = ContextVar("costs", default=None)
"""The account of the request that is being answered."""
