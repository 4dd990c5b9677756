"""Notifications after a commit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """A notification of a commit, which workers get within 100 ms."""

    home_id: int
    collection_id: int | None
    revision: int


ANYTHING = Change(0, None, 0)
"""A notification that changes may have been missed: the database did not answer, or there were too many changes."""

JOBS = Change(-1, None, 0)
"""A notification that jobs may have become due."""

JOURNAL = Change(-2, None, 0)
"""A notification of new rows of the journal; `revision` is the number of the last one."""
