"""Advisory locks of PostgreSQL: one namespace, which only this module and the SQL function `koyomi_lock_1` use.

A lock is two numbers: its class, and the hash of its key. Other programs in the same database are unlikely to use these
classes.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum

from storage_plugins.postgres.database import Connection

_POLL = 0.1
"""Seconds between two tries to get a lock of a session."""
_FIRST_CLASS = 0x6B6F0000


class Lock(StrEnum):
    """The classes of locks, in the order of their numbers, as in `koyomi_lock_1`."""

    MIGRATIONS = "migrations"
    """Of the session that applies steps before and after a deployment."""
    ONLINE_STEPS = "online-steps"
    """Of the session that runs online steps. It does not take `MIGRATIONS`."""
    PRINCIPALS = "principals"
    """Of the transaction that writes principals: a name must not become another's address at the same moment."""
    SHARING = "sharing"
    """Of the transaction that changes the sharing or the views of a collection; the key is the collection's id."""
    PLAN_FAN_OUT = "plan-fan-out"
    TOUCH_BINDINGS = "touch-bindings"

    @property
    def number(self) -> int:
        """The first of the two numbers."""
        return _FIRST_CLASS + list(Lock).index(self) + 1


async def lock(connection: Connection, what: Lock, key: int = 0) -> None:
    """Wait for a lock, and hold it until the end of the transaction."""
    await connection.execute("select koyomi_lock_1($1, $2)", what.value, key)


async def try_session_lock(connection: Connection, what: Lock) -> bool:
    """Take a lock until the session ends or releases it; False if another session holds it.

    The functions of the database need not exist yet.
    """
    return bool(await connection.fetchval("select pg_try_advisory_lock($1, 0)", what.number))


async def session_lock(connection: Connection, what: Lock) -> None:
    """Wait for a lock of the session.

    It tries repeatedly: a session that waits in a statement has a snapshot, and CREATE INDEX CONCURRENTLY in the
    session that holds the lock waits for snapshots, which would be a deadlock.
    """
    while True:
        if await try_session_lock(connection, what):
            return
        await asyncio.sleep(_POLL)


async def release(connection: Connection, what: Lock) -> None:
    """Release a lock of the session."""
    await connection.execute("select pg_advisory_unlock($1, 0)", what.number)
