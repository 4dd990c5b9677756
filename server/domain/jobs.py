"""Jobs: work that follows from a change and is stored in its transaction. `server.storage.jobs` says how they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Job:
    """A job to be stored in the transaction of a change."""

    kind: str
    payload: Mapping[str, int] = field(default_factory=dict)
    """Ids that the handler needs."""
    lock_key: str | None = None
    """Jobs with one lock key, of whatever kind, run one at a time and in the order of their ids."""
    queueing_key: str | None = None
    """While a job waits and was not tried yet, later ones of its kind and queueing key are not stored; needs a lock
    key.

    Jobs with equal queueing keys have equal payloads.
    """
    priority: int = 0
    """Greater first."""
    delay: timedelta = timedelta(0)
    """How long it waits before it may run."""
