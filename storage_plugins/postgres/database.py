"""A worker's connections to PostgreSQL.

Statements run in autocommit: one round trip, after which the connection is clean without a reset. If that is not
certain (the caller was cancelled, or a transaction is open), the connection is closed. Taking a free connection costs
nothing. One task watches all connections and ends statements that exceed all limits, so that statements need no timers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import asyncpg

from server.domain.errors import Unavailable
from server.observe import costs
from server.observe.background import run_forever, start
from storage_plugins.postgres.sqlstates import domain_error

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

_GRACE = 3.0
"""Seconds that the server may take to end a statement before the connection is closed."""
_WATCH_INTERVAL = 1.0
_CLIENT_CHECK = 5000
"""Milliseconds between two checks of the server whether the client of a statement is connected."""
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_RETRY_PAUSE = 0.25
"""Seconds after a failed attempt to connect within which others fail at once."""


@dataclass(frozen=True, slots=True)
class DatabaseLimits:
    """Limits of a worker's use of the database; times in seconds."""

    connections: int = 10
    acquire_timeout: float = 5.0
    """Longest wait for a free connection."""
    connect_timeout: float = 3.0
    statement_timeout: float = 10.0


DEFAULT_LIMITS = DatabaseLimits()


async def connect(
    dsn: str,
    *,
    application: str = "koyomi",
    statement_timeout: float | None = None,
    connect_timeout: float = 10.0,
    synchronous_commit: bool = True,
    end_with_client: bool = False,
) -> Connection:
    """Open a connection with the settings that all of ours have. Raises what asyncpg raises.

    Without `synchronous_commit` a crash of the database may lose its last commits. `end_with_client`: where this
    process is killed, the server ends a statement within `_CLIENT_CHECK` instead of at the statement's end.
    """
    milliseconds = 0 if statement_timeout is None else max(1, round(statement_timeout * 1000))
    connection: Connection = await asyncpg.connect(
        dsn,
        timeout=connect_timeout,
        statement_cache_size=200,
        max_cached_statement_lifetime=0,
        server_settings={
            "application_name": application,
            "statement_timeout": str(milliseconds),
            "idle_in_transaction_session_timeout": "60000",
            # Every statement is a lookup by keys: planning it anew for its values gains nothing.
            "plan_cache_mode": "force_generic_plan",
            # Plans are made once for each connection, perhaps while the tables are still empty.
            "enable_seqscan": "off",
            "jit": "off",
            "synchronous_commit": "on" if synchronous_commit else "off",
            "timezone": "UTC",
        },
    )
    try:
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=_JSON.encode, decoder=json.loads, format="text"
        )
        if end_with_client:
            # A server on a system without this check refuses the setting.
            with contextlib.suppress(asyncpg.InvalidParameterValueError):
                await connection.execute(f"set client_connection_check_interval = {_CLIENT_CHECK}")
    except BaseException:
        connection.terminate()
        raise
    return connection


class _Slot:
    """A connection, and the time since which it is in use."""

    __slots__ = ("busy_since", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.busy_since = 0.0


class Database:
    """A pool of connections that raises domain errors. Use between `open` and `close`, in one event loop."""

    def __init__(
        self,
        dsn: str,
        limits: DatabaseLimits = DEFAULT_LIMITS,
        *,
        application: str = "koyomi",
        synchronous_commit: bool = True,
        end_with_client: bool = False,
    ) -> None:
        self._dsn = dsn
        self._end_with_client = end_with_client
        self._synchronous_commit = synchronous_commit
        self._limits = limits
        self._application = application
        self._idle: list[_Slot] = []
        self._busy: set[_Slot] = set()
        self._opening = 0
        self._waiters: deque[asyncio.Future[_Slot]] = deque()
        self._down_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = True
        self._drained: asyncio.Event | None = None
        self.waits = 0
        """The number of waits for a connection."""
        self._loop: asyncio.AbstractEventLoop

    async def open(self) -> None:
        """Connect once; raises `Unavailable` or `DatabaseError` when that fails."""
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._drained = None
        self._start(self._watch())
        try:
            self._release(await self._acquire())
        except BaseException:
            await self.close(0)
            raise

    async def close(self, patience: float = 5.0) -> None:
        """Close all connections; statements under way get `patience` seconds."""
        self._closed = True
        self._fail_waiters()
        if self._busy and patience > 0:
            self._drained = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._drained.wait()
        for task in tuple(self._tasks):
            task.cancel()
        for slot in tuple(self._busy):
            slot.connection.terminate()
        idle, self._idle = self._idle, []
        for slot in idle:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await slot.connection.close(timeout=1.0)

    # -- statements ---------------------------------------------------------------------------------------------------

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """All rows of one statement, which is its own transaction."""
        began, rows = perf_counter(), 0
        slot = await self._acquire()
        try:
            found = await slot.connection.fetch(sql, *args)
            rows = len(found)
            return found
        except BaseException as error:
            self._failed(slot, error)
            raise domain_error(error) from error
        finally:
            self._release(slot)
            if (account := costs.current.get()) is not None:
                account.count(perf_counter() - began, rows)

    async def fetchrow(self, sql: str, *args: object) -> asyncpg.Record | None:
        """The first row of one statement, which is its own transaction."""
        began, rows = perf_counter(), 0
        slot = await self._acquire()
        try:
            found = await slot.connection.fetchrow(sql, *args)
            rows = found is not None
            return found
        except BaseException as error:
            self._failed(slot, error)
            raise domain_error(error) from error
        finally:
            self._release(slot)
            if (account := costs.current.get()) is not None:
                account.count(perf_counter() - began, rows)

    async def fetchval(self, sql: str, *args: object) -> Any:
        """The first value of the first row of one statement; None when there is no row."""
        row = await self.fetchrow(sql, *args)
        return None if row is None else row[0]

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection with a transaction of several statements, committed at the end; errors become domain errors."""
        slot = await self._acquire()
        try:
            async with slot.connection.transaction():
                yield slot.connection
        except BaseException as error:
            self._failed(slot, error)
            raise domain_error(error) from error
        finally:
            self._release(slot)

    # -- connections --------------------------------------------------------------------------------------------------

    @property
    def in_use(self) -> int:
        """Connections that statements run on."""
        return len(self._busy)

    @property
    def connections(self) -> int:
        """The most connections that it opens."""
        return self._limits.connections

    @property
    def waiting(self) -> int:
        """Callers that wait for a connection."""
        return len(self._waiters)

    async def _acquire(self) -> _Slot:
        idle = self._idle
        while idle:
            slot = idle.pop()
            if not slot.connection.is_closed():
                slot.busy_since = self._loop.time()
                self._busy.add(slot)
                return slot
        if self._closed:
            raise Unavailable
        if len(self._busy) + self._opening < self._limits.connections:
            return await self._connect()
        return await self._wait()

    async def _connect(self) -> _Slot:
        if self._loop.time() < self._down_until:
            raise Unavailable
        self._opening += 1
        try:
            connection = await connect(
                self._dsn,
                application=self._application,
                statement_timeout=self._limits.statement_timeout,
                connect_timeout=self._limits.connect_timeout,
                synchronous_commit=self._synchronous_commit,
                end_with_client=self._end_with_client,
            )
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                self._down_until = self._loop.time() + _RETRY_PAUSE
            raise domain_error(error) from error
        finally:
            self._opening -= 1
        slot = _Slot(connection)
        slot.busy_since = self._loop.time()
        self._busy.add(slot)
        return slot

    async def _wait(self) -> _Slot:
        self.waits += 1
        waiter: asyncio.Future[_Slot] = self._loop.create_future()
        self._waiters.append(waiter)
        timer = self._loop.call_later(self._limits.acquire_timeout, _give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._release(waiter.result())
            raise
        finally:
            timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _failed(self, slot: _Slot, error: BaseException) -> None:
        """Close a connection, unless the error came from the server, which is then ready for the next statement."""
        connection = slot.connection
        if connection.is_closed():
            return
        if not isinstance(error, asyncpg.PostgresError) or connection.is_in_transaction():
            connection.terminate()

    def _release(self, slot: _Slot) -> None:
        self._busy.discard(slot)
        if self._drained is not None and not self._busy:
            self._drained.set()
        connection = slot.connection
        if connection.is_closed():
            if self._waiters and not self._closed:
                self._start(self._replace())
            return
        if self._closed or connection.is_in_transaction():
            connection.terminate()
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                slot.busy_since = self._loop.time()
                self._busy.add(slot)
                waiter.set_result(slot)
                return
        self._idle.append(slot)

    async def _replace(self) -> None:
        """Connect again for the callers that wait. If that fails, all of them fail."""
        if len(self._busy) + self._opening >= self._limits.connections:
            return
        try:
            slot = await self._connect()
        except Exception:
            self._fail_waiters()
            return
        self._release(slot)

    def _fail_waiters(self) -> None:
        while self._waiters:
            _give_up(self._waiters.popleft())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = start(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self) -> None:
        """End statements that the server did not end, because it does not answer."""
        limit = self._limits.statement_timeout + _GRACE

        async def step() -> None:
            await asyncio.sleep(_WATCH_INTERVAL)
            now = self._loop.time()
            for slot in tuple(self._busy):
                connection = slot.connection
                if now - slot.busy_since > limit and not connection.is_closed() and not connection.is_in_transaction():
                    connection.terminate()

        await run_forever("database_watch", step)


def _give_up(waiter: asyncio.Future[_Slot]) -> None:
    if not waiter.done():
        waiter.set_exception(Unavailable())
