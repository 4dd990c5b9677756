"""Notifications of all workers after commits: coalesced NOTIFY statements on a separate connection.

NOTIFY in the transaction of a write would take a lock that all writers share. A notification may be lost, if a worker
dies between its commit and the notification. Then live connections wait for the next change. Caches check versions, and
consumers that must see all changes read the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator

import structlog

from server.domain.errors import KoyomiError
from server.domain.events import ANYTHING, Change
from server.observe.background import failed, run_forever
from storage_plugins.postgres.database import Connection, connect
from storage_plugins.postgres.sqlstates import domain_error

CHANNEL = "koyomi_changes"
_PAYLOAD_LIMIT = 7900
"""PostgreSQL allows a little less than 8000 bytes."""
_PENDING_LIMIT = 10_000
"""Changes that are kept while the database does not answer. With more of them, `ANYTHING` is sent."""
_DELAY = 0.015
"""Seconds for which changes are collected."""
_CHECK_INTERVAL = 30.0
_LONGEST_PAUSE = 2.0

Listener = Callable[[Change], Awaitable[None] | None]

log = structlog.get_logger()


class Notifier:
    """Sends a worker's changes to all workers, and receives those of all workers, its own included."""

    def __init__(self, dsn: str, *, application: str = "koyomi") -> None:
        self._dsn = dsn
        self._application = application
        self._listeners: dict[int, Listener] = {}
        self._numbers = 0
        self._pending: dict[tuple[int, int | None], int] = {}
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._deliveries: set[asyncio.Future[None]] = set()
        self._listening = asyncio.Event()
        self._was_listening = False

    async def open(self) -> None:
        """Begin to listen. Returns when the connection is open, or after a few seconds if the database does not
        answer."""
        self._task = asyncio.get_running_loop().create_task(run_forever("notifier", self._run))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._listening.wait(), 3.0)

    async def close(self) -> None:
        """Send what is pending and stop listening."""
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
        if task is None:
            return
        if self._pending and self._listening.is_set():
            self._wake.set()
            for _ in range(50):
                if not self._pending:
                    break
                await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for delivery in tuple(self._deliveries):
            delivery.cancel()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every change. Returns a function that ends the subscription."""
        self._numbers += 1
        number = self._numbers
        self._listeners[number] = listener
        return lambda: self._listeners.pop(number, None) and None

    def announce(self, change: Change) -> None:
        """Notify all workers of a commit, within some 20 ms."""
        key = (change.home_id, change.collection_id)
        if len(self._pending) >= _PENDING_LIMIT:
            self._pending.clear()
            key = (ANYTHING.home_id, ANYTHING.collection_id)
        self._pending[key] = max(change.revision, self._pending.get(key, 0))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._due)

    def _due(self) -> None:
        self._timer = None
        self._wake.set()

    async def _run(self) -> None:
        pause = 0.05
        while True:
            try:
                connection = await connect(
                    self._dsn, application=f"{self._application} changes", statement_timeout=10.0, connect_timeout=3.0
                )
                try:
                    await connection.add_listener(CHANNEL, self._heard)
                    if self._was_listening:
                        self._deliver(ANYTHING)
                    self._was_listening = True
                    pause = 0.05
                    self._listening.set()
                    await self._send(connection)
                finally:
                    self._listening.clear()
                    connection.terminate()
            except Exception as error:
                if not isinstance(domain_error(error), KoyomiError):
                    raise
                log.debug("notifier_disconnected", reason=str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _send(self, connection: Connection) -> None:
        closed = asyncio.Event()

        def lost(_: object) -> None:
            closed.set()
            self._wake.set()

        connection.add_termination_listener(lost)
        while not closed.is_set():
            if not self._wake.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK_INTERVAL):
                        await self._wake.wait()
            if not self._wake.is_set():
                # This notices a connection that broke without notice.
                await connection.execute("select 1", timeout=5.0)
                continue
            self._wake.clear()
            if closed.is_set():
                break
            sent = dict(self._pending)
            for payload in payloads(sent):
                await connection.execute("select pg_notify($1, $2)", CHANNEL, payload, timeout=5.0)
            for key, revision in sent.items():
                if self._pending.get(key) == revision:
                    del self._pending[key]

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        try:
            changes = [Change(home, collection, revision) for home, collection, revision in json.loads(str(payload))]
        except (ValueError, TypeError):
            log.warning("notification_not_understood", channel=CHANNEL)
            changes = [ANYTHING]
        for change in changes:
            self._deliver(change)

    def _deliver(self, change: Change) -> None:
        for listener in tuple(self._listeners.values()):
            try:
                work = listener(change)
            except Exception as error:
                failed("listener", error)
                continue
            if work is not None:
                delivery = asyncio.ensure_future(work)
                self._deliveries.add(delivery)
                delivery.add_done_callback(self._delivered)

    def _delivered(self, delivery: asyncio.Future[None]) -> None:
        self._deliveries.discard(delivery)
        if not delivery.cancelled() and (error := delivery.exception()) is not None:
            failed("listener", error)


def payloads(changes: dict[tuple[int, int | None], int]) -> Iterator[str]:
    """The changes as JSON lists of [home, collection, revision], each short enough for one notification."""
    items: list[str] = []
    size = 2
    for (home, collection), revision in changes.items():
        item = json.dumps([home, collection, revision], separators=(",", ":"))
        if size + len(item) + 1 > _PAYLOAD_LIMIT and items:
            yield f"[{','.join(items)}]"
            items, size = [], 2
        items.append(item)
        size += len(item) + 1
    if items:
        yield f"[{','.join(items)}]"
