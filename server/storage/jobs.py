"""What a storage plugin must offer about jobs: rows that say what is to be done after a change, or again and again.

A runner takes a job, renews its heartbeat while the handler runs, and settles it at the end: a job that is done is
removed, a periodic one gets its next time, one that failed waits for its next try. A job whose runner died is taken
over when its heartbeat is older than the lease. So a handler runs at least once, and must be idempotent. All times are
those of the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol, runtime_checkable
from uuid import UUID

State = Literal["queued", "running", "failed"]

OWNERS = "owners"
"""Kind of the jobs that follow a change of a person's name or addresses."""
MAINTENANCE = "maintenance"
"""Lock key of all jobs that change many rows: one at a time, so that they leave room for requests."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job to be stored in the transaction of a change."""

    kind: str
    payload: Mapping[str, int] = field(default_factory=dict)
    """Ids that the handler needs."""
    lock_key: str | None = None
    """Jobs with one lock key, of whatever kind, run one at a time and in the order of their ids."""
    queueing_key: str | None = None
    """A job that waits and was not tried yet takes in later ones of its kind and queueing key; needs a lock key.

    It says the same as the payload: the payload of the first job is kept.
    """
    priority: int = 0
    """Greater first."""
    delay: timedelta = timedelta(0)
    """Time before which it does not run."""


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job that runs again and again, on one server at a time."""

    kind: str
    every: timedelta
    """Time between the end of a run and the next run; a tenth more or less."""
    lock_key: str | None = None
    """Does not run beside jobs with the same lock key. One that waits holds up no other."""


@dataclass(frozen=True, slots=True)
class TakenJob:
    """A job that a runner has taken."""

    id: int
    kind: str
    payload: Mapping[str, int]
    attempt: int
    """1 for the first try."""
    periodic: bool
    run: UUID
    """Names this run."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as administrators see it."""

    id: int
    kind: str
    state: State
    held: bool
    """Whether its kind is held."""
    attempts: int
    not_before: datetime
    every: timedelta | None
    error: str | None
    """Name of the last error."""
    payload: Mapping[str, int]
    done: int | None
    """How far it has come, in rows or objects; None where it does not tell."""
    total: int | None
    """How many there were at the beginning."""


@dataclass(frozen=True, slots=True)
class KindCounts:
    """How many jobs of a kind there are."""

    kind: str
    held: bool
    queued: int
    """Waiting jobs, periodic ones not included."""
    running: int
    failed: int
    failing: int
    """Waiting jobs that were tried `FAILING` times or more, periodic ones included."""
    oldest: float
    """Seconds since the job that waits longest was due; 0 where none is due."""


FAILING = 5
"""Tries without success from which on a job that is still tried counts as failing."""


@runtime_checkable
class Jobs(Protocol):
    """The queue, as runners and administrators use it. Each method is one statement."""

    async def define(self, periodic: Periodic) -> None:
        """Store a periodic job, due after a tenth of its time, within 20 s, or the new times of one that is there."""

    async def take(self, kinds: Sequence[str]) -> TakenJob | None:
        """Take the next job of these kinds that is due; None where there is none."""

    async def next_due(self, kinds: Sequence[str]) -> float | None:
        """Seconds until the next job becomes due that is not due yet; None where there is none."""

    async def renew(self, runs: Sequence[tuple[int, UUID]]) -> frozenset[UUID]:
        """Renew the heartbeats of runs, each with the id of its job; returns the runs that are not lost."""

    async def recover(self, lease: timedelta) -> list[tuple[str, int]]:
        """Put jobs back whose heartbeat is older than `lease`; returns their kinds and ids."""

    async def finish(self, job: TakenJob, next_run: timedelta | None) -> bool:
        """Settle a run that succeeded; returns False where it was lost.

        `next_run`: when a periodic job runs next, instead of its usual time.
        """

    async def fail(self, job: TakenJob, error: str, retry: timedelta | None) -> bool:
        """Settle a run that failed; returns False where it was lost.

        The next try is after `retry`, of a periodic job at its next usual time at the latest. None: there is none, and
        the job stays for administrators to see.
        """

    async def give_back(self, job: TakenJob) -> None:
        """Put a job back that was interrupted; the attempt does not count."""

    async def hasten(self, kind: str) -> None:
        """Let a periodic job run at once, or once more after the run under way."""

    async def counts(self) -> list[KindCounts]:
        """How many jobs there are, by kind, with the kinds that are held."""

    async def jobs(self, kind: str | None, state: State | None, limit: int) -> list[StoredJob]:
        """Jobs by id, at most `limit`."""

    async def retry(self, ids: Sequence[int]) -> list[int]:
        """Let jobs that failed or wait run at once, and be tried as often as new ones; returns the ids of these."""

    async def drop(self, ids: Sequence[int]) -> list[int]:
        """Remove jobs that neither run nor are periodic; returns the ids of these."""

    async def hold(self, kind: str) -> None:
        """Take no job of a kind any more. Those that run go on."""

    async def release(self, kind: str) -> bool:
        """Take jobs of a kind again; returns whether it was held."""
