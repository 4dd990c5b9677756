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
_FIRST_QUEUE = 0x6B6F0100
_FIRST_TURN = 0x6B6F0200


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
    """Of servers of the version before."""
    TOUCH_BINDINGS = "touch-bindings"
    ROOM_PARTS = "room-parts"
    """Of the transaction that reserves a room which is a part of others; the key is the principal's id."""
    SEQUENCER = "sequencer"
    """Of the transaction that moves rows of the outbox into the journal."""
    SEQUENCER_TURN = "sequencer-turn"
    """Of the session of the worker whose turn it is to do so. Others do it when this worker stops doing so."""
    JOURNAL_PARTITIONS = "journal-partitions"

    @property
    def number(self) -> int:
        """The first of the two numbers."""
        return _FIRST_CLASS + list(Lock).index(self) + 1


class QueueLock(StrEnum):
    """The classes of locks that writers queue for, in the order of their numbers. Only this module takes them."""

    MEETINGS = "meetings"
    """Of the transaction of those who write what a meeting is in several homes; the key is the meeting's number."""
    ROOMS = "rooms"
    """Of the transaction of those who book a room; the key is the principal's id."""

    @property
    def number(self) -> int:
        """The first of the two numbers."""
        return _FIRST_QUEUE + list(QueueLock).index(self) + 1


class TurnLock(StrEnum):
    """The classes of locks of sessions, in the order of their numbers, that one worker of all holds. Only this module
    takes them."""

    RELAY = "relay"
    """Of the worker that brings the journal to the bus."""

    @property
    def number(self) -> int:
        """The first of the two numbers."""
        return _FIRST_TURN + list(TurnLock).index(self) + 1


async def lock(connection: Connection, what: Lock, key: int = 0) -> None:
    """Wait for a lock, and hold it until the end of the transaction."""
    await connection.execute("select koyomi_lock_1($1, $2)", what.value, key)


async def lock_within(connection: Connection, what: QueueLock, key: int, seconds: float) -> None:
    """Wait for a lock, but not longer than this, and hold it until the end of the transaction.

    Raises `asyncpg.LockNotAvailableError` when the time is over.
    """
    await connection.execute(f"set local lock_timeout = {max(1, round(seconds * 1000))}")
    await connection.execute("select pg_advisory_xact_lock($1, hashint8($2))", what.number, key)


def held(what: QueueLock, key: str) -> str:
    """SQL: whether another transaction holds a lock, or waits for it. `key` is an expression; if null, nobody does.

    It takes the lock beside others that ask the same, until the end of the statement.
    """
    return f"coalesce((select not pg_try_advisory_xact_lock_shared({what.number}, hashint8({key}))), false)"


async def try_session_lock(connection: Connection, what: Lock | TurnLock) -> bool:
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


async def end_idle_holders(connection: Connection, what: Lock | TurnLock, seconds: float = 0.0) -> None:
    """End the session that holds a lock of sessions while it runs no statement, and has run none for as long as this:
    its process may be stopped."""
    await connection.execute(
        "select pg_terminate_backend(l.pid) from pg_locks l join pg_stat_activity a on a.pid = l.pid "
        "where l.locktype = 'advisory' and a.datname = current_database() and l.database = a.datid "
        "and l.classid::bigint = $1 and l.objid = 0 and l.objsubid = 2 and l.granted and a.state = 'idle' "
        "and a.state_change <= clock_timestamp() - make_interval(secs => $2) and l.pid <> pg_backend_pid()",
        what.number,
        seconds,
    )


async def release(connection: Connection, what: Lock) -> None:
    """Release a lock of the session."""
    await connection.execute("select pg_advisory_unlock($1, 0)", what.number)
