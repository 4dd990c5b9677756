"""The protocol for jobs: rows for work that follows from a change, or that is repeated.

A runner takes a job, renews its heartbeat while the handler runs, and settles it at the end: a finished job is removed,
a periodic one gets its next time, a failed one waits for its next try. If a runner dies, another one takes the job over
when the heartbeat is older than the lease. So a handler runs at least once, and must be idempotent. All times are those
of the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol, runtime_checkable
from uuid import UUID

State = Literal["queued", "running", "failed"]

OWNERS = "owners"
"""Kind of the jobs that follow a change of a person's name or addresses."""
HANDOVERS = "handovers"
"""Kind of the jobs that go on with handing over what a person had."""
MEMBERSHIPS = "memberships"
"""Kind of the jobs that find the meetings of a group whose members have changed."""
ROOM_CARDS = "room_cards"
"""Kind of the jobs that bring the cards of rooms up to date."""
ROOM_ADDRESSES = "rooms.addresses"
"""Kind of the jobs that give rooms without a mail address one, after the setting `rooms.mail_domain` has changed."""
MAINTENANCE = "maintenance"
"""Lock key of all jobs that change many rows. They run one at a time, so that requests are not slowed down."""


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job that is repeated, on one server at a time."""

    kind: str
    every: timedelta
    """Time between the end of a run and the next run, varied by a tenth."""
    lock_key: str | None = None
    """It does not run beside jobs with the same lock key. While it waits, it delays no other job."""


@dataclass(frozen=True, slots=True)
class TakenJob:
    """A job that a runner has taken."""

    id: int
    kind: str
    payload: Mapping[str, int]
    attempt: int
    """Number of the try; 1 for the first."""
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
    """Rows or objects that are done; None for kinds that do not report it."""
    total: int | None
    """Rows or objects at the beginning."""


@dataclass(frozen=True, slots=True)
class KindCounts:
    """The numbers of jobs of a kind."""

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
"""Number of failed tries from which a job counts as failing."""


@runtime_checkable
class Jobs(Protocol):
    """The queue, as runners and administrators use it. Each method is one statement."""

    async def define(self, periodic: Periodic) -> None:
        """Store a periodic job, which is due after a tenth of its interval, at most 20 s; or change the times of a
        stored one."""

    async def take(self, kinds: Sequence[str]) -> TakenJob | None:
        """Take the next due job of these kinds; None if there is none."""

    async def next_due(self, kinds: Sequence[str]) -> float | None:
        """Seconds until the next job that is not due yet becomes due; None if there is none."""

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
        """The numbers of jobs by kind, including kinds that are held."""

    async def jobs(self, kind: str | None, state: State | None, limit: int, *, after: int = 0) -> list[StoredJob]:
        """Jobs with greater ids than `after`, by id, at most `limit`."""

    async def retry(self, ids: Sequence[int]) -> list[int]:
        """Let failed and waiting jobs run at once, with all their tries. Returns the ids of these jobs."""

    async def drop(self, ids: Sequence[int]) -> list[int]:
        """Remove jobs that neither run nor are periodic; returns the ids of these."""

    async def hold(self, kind: str) -> None:
        """Stop taking jobs of a kind. Running jobs continue."""

    async def release(self, kind: str) -> bool:
        """Take jobs of a kind again; returns whether it was held."""
