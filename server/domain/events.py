"""What listeners hear after a commit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """What a worker hears after a commit, within 100 ms."""

    home_id: int
    collection_id: int | None
    revision: int


ANYTHING = Change(0, None, 0)
"""What a worker hears when it may have missed changes: the database was away, or there were too many to tell."""

JOBS = Change(-1, None, 0)
"""What a worker hears when jobs may have become due."""
