"""The state of a worker and of its database, for monitoring."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from server.domain.errors import DatabaseError, Unavailable
from server.observe.metrics import Metrics, Momentary
from server.storage.jobs import FAILING, KindCounts
from storage_plugins.postgres.jobs import PostgresJobs
from storage_plugins.postgres.storage import PostgresStorage

_PATIENCE = 3.0
"""Seconds that the database may take to answer."""
_REMEMBERED = 1.0
"""Seconds for which an answer of `/readyz` holds, so that asking often costs the database nothing."""
_QUEUES = """
    select
        (select count(*) from (select distinct home_id, collection_id from fan_out) as waiting),
        (select extract(epoch from clock_timestamp() - at) from outbox order by xid, id limit 1),
        (select extract(epoch from clock_timestamp() - at) from outbox
         where xid >= pg_snapshot_xmin(pg_current_snapshot()) order by xid, id limit 1)
"""


class Health:
    """The state of a worker and of its database."""

    def __init__(self, storage: PostgresStorage, metrics: Metrics) -> None:
        self._storage = storage
        self._metrics = metrics
        self._obstacle: str | None = None
        self._asked = float("-inf")
        self._asking = asyncio.Lock()

    async def obstacle(self) -> str | None:
        """Why requests cannot be answered; None if they can."""
        async with self._asking:
            if time.monotonic() - self._asked > _REMEMBERED:
                self._obstacle = await self._look()
                self._asked = time.monotonic()
            return self._obstacle

    async def _look(self) -> str | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._storage.database.fetchval("select 1")
                if not await self._storage.ready():
                    return "The tables are not those of this version: run koyomi db upgrade."
        except (Unavailable, TimeoutError):
            return f"The database does not answer within {_PATIENCE:g} seconds."
        except DatabaseError:
            return "The database refuses connections."
        return None

    async def metrics(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return await self._metrics.text(await self._momentary())

    async def _momentary(self) -> list[Momentary]:
        """Gauges that only the database knows."""
        found: list[Momentary] = []
        up = 1.0
        try:
            async with asyncio.timeout(_PATIENCE):
                waiting, oldest, unsettled = (await self._storage.database.fetch(_QUEUES))[0]
                found += job_gauges(await PostgresJobs(self._storage.database).counts())
            found += [
                _gauge(
                    "koyomi_fan_out_waiting",
                    "Shared collections with changes that not all sharees' homes show yet.",
                    waiting,
                ),
                _gauge("koyomi_outbox_age_seconds", "Age of the oldest row of the outbox.", oldest or 0),
                _gauge(
                    "koyomi_outbox_unsettled_seconds",
                    "Age of the oldest row of the outbox that waits for an open transaction to end.",
                    unsettled or 0,
                ),
            ]
        except (Unavailable, DatabaseError, TimeoutError):
            up = 0.0
        return [_gauge("koyomi_database_up", "Whether the database answers.", up), *found]


def job_gauges(counts: Sequence[KindCounts]) -> list[Momentary]:
    """Figures of the job queue, by kind."""
    kind = ("kind",)
    return [
        Momentary(
            "koyomi_jobs",
            "Jobs by state; periodic jobs that wait are not counted.",
            {
                (each.kind, state): float(count)
                for each in counts
                for state, count in (("queued", each.queued), ("running", each.running), ("failed", each.failed))
            },
            ("kind", "state"),
        ),
        Momentary(
            "koyomi_jobs_failing",
            f"Jobs that wait for another try after {FAILING} without success or more.",
            {(each.kind,): float(each.failing) for each in counts},
            kind,
        ),
        Momentary(
            "koyomi_jobs_held", "Whether the kind is held.", {(each.kind,): float(each.held) for each in counts}, kind
        ),
        Momentary(
            "koyomi_jobs_oldest_seconds",
            "How long the job that waits longest has been due.",
            {(each.kind,): each.oldest for each in counts},
            kind,
        ),
    ]


def _gauge(name: str, described: str, value: float) -> Momentary:
    return Momentary(name, described, {(): float(value)})
