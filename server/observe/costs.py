"""Costs of a request beside its own time: statements, rows, and texts that are parsed for it.

The code that answers a request opens an account. Work done for the request, also in its tasks and threads, is recorded
there.
"""

from __future__ import annotations

import time
from contextvars import ContextVar


class Costs:
    """An account."""

    __slots__ = ("database_seconds", "expansion_seconds", "rows", "statements", "timeline")

    def __init__(self, *, timeline: bool = False) -> None:
        """`timeline`: note each statement and expansion by itself, for traces."""
        self.timeline: list[tuple[str, float, float, int]] | None = [] if timeline else None
        """Kind, begin (`time.perf_counter`), seconds and rows of each."""
        self.statements = 0
        self.rows = 0
        """That statements gave."""
        self.database_seconds = 0.0
        """From sending a statement to its answer; waiting for a free connection is included."""
        self.expansion_seconds = 0.0
        """Parsing and expanding of stored texts, off the event loop."""

    def count(self, seconds: float, rows: int) -> None:
        """Add a statement."""
        self.statements += 1
        self.rows += rows
        self.database_seconds += seconds
        if self.timeline is not None:
            self.timeline.append(("SQL", time.perf_counter() - seconds, seconds, rows))


current: ContextVar[Costs | None] = ContextVar("costs", default=None)
"""The account of the request that is being answered."""
