"""Turns of workers (`server.storage.journal.Turn`): a lock of a session that shows, by a statement a second, that its
worker is alive."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg

from storage_plugins.postgres import advisory_locks
from storage_plugins.postgres.advisory_locks import TurnLock
from storage_plugins.postgres.database import Connection, connect
from storage_plugins.postgres.sqlstates import domain_error

BEAT = 1.0
"""Seconds between two signs of life."""
SILENCE = 3.0
"""Seconds without one after which another worker takes the turn."""
_STATEMENT_TIMEOUT = 3.0


class PostgresTurn:
    """See `Turn`; on a connection of its own."""

    def __init__(self, dsn: str, lock: TurnLock) -> None:
        self._dsn = dsn
        self._lock = lock
        self._connection: Connection | None = None
        self._beating: asyncio.Task[None] | None = None

    async def take(self) -> bool:
        """See `Turn`."""
        if self._beating is not None:
            if not self._beating.done():
                return True
            await self.give_up()
        try:
            if self._connection is None:
                self._connection = await connect(
                    self._dsn, application="koyomi turn", statement_timeout=_STATEMENT_TIMEOUT, connect_timeout=3.0
                )
            connection = self._connection
            if not await advisory_locks.try_session_lock(connection, self._lock):
                await advisory_locks.end_idle_holders(connection, self._lock, SILENCE)
                return False
        except BaseException as error:
            await self.give_up()
            raise domain_error(error) from error
        self._beating = asyncio.create_task(_beat(connection))
        return True

    async def give_up(self) -> None:
        """See `Turn`."""
        connection, self._connection = self._connection, None
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
            await asyncio.wait([beating])
        if connection is not None:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.close(timeout=1.0)


async def _beat(connection: Connection) -> None:
    """Show that the worker is alive, as long as the session lasts."""
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        while True:
            await asyncio.sleep(BEAT)
            await connection.execute("select 1")
