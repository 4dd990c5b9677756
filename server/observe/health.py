"""/healthz, /readyz and /metrics: on the server's own port, and on one for monitoring."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from server.dav.core.registry import Standard
from server.dav.core.request import Request
from server.domain.errors import AccessDenied, DatabaseError, Unavailable
from server.http import unread
from server.http.answer import Answer
from server.observe.metrics import CONTENT_TYPE, Metrics, Momentary
from server.storage.jobs import FAILING, KindCounts
from storage_plugins.postgres.jobs import PostgresJobs
from storage_plugins.postgres.storage import PostgresStorage

_PATIENCE = 3.0
"""Seconds that the database may take to answer."""
_REMEMBERED = 1.0
"""Seconds for which an answer of `/readyz` holds, so that asking often costs the database nothing."""
_METHODS = ("GET", "HEAD")
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

    async def answer(self, path: str) -> Answer:
        """The answer at a path, for clients that may read it."""
        if path == "/healthz":
            return _json(200, {"status": "alive"})
        if path == "/readyz":
            obstacle = await self.obstacle()
            if obstacle is None:
                return _json(200, {"status": "ready"})
            return _json(503, {"status": "not ready", "reasons": [obstacle]})
        if path == "/metrics":
            body = await self._metrics.text(await self._momentary())
            return Answer(200, body, {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})
        return _json(404, {"status": "not found"})

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

    def standard(self) -> Standard:
        """The paths on the server's own port. Metrics are for administrators there."""

        async def open_to_all(request: Request) -> Answer:
            return await self.answer(request.path.href) if request.method in _METHODS else _not_allowed()

        async def for_administrators(request: Request) -> Answer:
            if request.method not in _METHODS:
                return _not_allowed()
            await request.look_up(need="{DAV:}read")
            if not request.person.is_admin:
                raise AccessDenied(request.path.href, "{DAV:}read")
            return await self.answer(request.path.href)

        paths = (("/healthz", open_to_all), ("/readyz", open_to_all), ("/metrics", for_administrators))
        return Standard("monitoring", open_paths=paths)

    def monitored(self) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """aiohttp's handler of a port for monitoring, where everyone is answered."""

        async def handle(http: web.BaseRequest) -> web.StreamResponse:
            answer = await self.answer(http.path) if http.method in _METHODS else _not_allowed()
            response = web.Response(status=answer.status, body=answer.body, headers=answer.headers)
            if not http.content.is_eof():
                await unread.discard(http, response)
            return response

        return handle


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


def _json(status: int, value: dict[str, object]) -> Answer:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Answer(status, json.dumps(value).encode() + b"\n", headers)


def _not_allowed() -> Answer:
    allowed = ", ".join(_METHODS)
    return Answer(405, f"Only {allowed} can be done here.\n".encode(), {"Allow": allowed, "Content-Type": "text/plain"})
