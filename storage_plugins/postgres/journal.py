"""The journal in PostgreSQL (`server.storage.journal`)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import asyncpg

from server.domain.errors import WriteConflict
from server.domain.messages import Message
from server.storage.journal import Effect, Entry, Position, Sequenced
from storage_plugins.postgres import advisory_locks
from storage_plugins.postgres.advisory_locks import Lock
from storage_plugins.postgres.database import Connection, Database, connect
from storage_plugins.postgres.sqlstates import domain_error

ECHO_KINDS = ("binding-touched",)
"""Kinds of rows that follow from an act."""
ECHO_ORIGINS = ("refresh",)
"""Origins of changes that follow from an act."""
ROWS = 20_000
"""Rows that one run of the sequencer moves."""
SETTLING = 2.0
"""Seconds until an id that was drawn surely belongs to a transaction with an id of its own."""
SWEEP = 60.0
"""Seconds after which a run looks at all rows of the outbox again."""
MOST_DEAD = 100
"""Messages that a consumer has not taken in at most; the next failure stops it."""
AHEAD = 3
"""Months, after the present one, whose partitions are made ahead."""

_STATEMENT_TIMEOUT = 30.0
_RUN = "select * from koyomi_sequence_1($1, $2, $3, $4, $5, $6)"
_ENTRIES = """
    select seq, act, month, at, kind, home_id, revision, collection_id, object_id, subject_id, principal_id, acting_for,
           origin, request_id, change, trace, details
    from journal where month >= '{month}' and seq > $1 order by seq limit $2
"""
_POSITION = """
    select generation, position, month, anew, reread_to from journal_position where consumer = $1 and partition = $2
"""
_BEGIN = "insert into journal_position (consumer, partition) values ($1, $2) on conflict do nothing"
_TAKE_OVER = """
    update journal_position set generation = generation + 1
    where consumer = $1 and partition = $2 and generation = $3 returning generation
"""
_MOVE = """
    update journal_position set position = $5, month = $6, anew = false, moved_at = clock_timestamp(),
        reread_to = case when reread_to > $5 then reread_to end
    where consumer = $1 and partition = $2 and generation = $3 and position = $4 and anew = $7
"""
_KEEP_PARTITIONS = """
    with dropped as (delete from journal_position where consumer = $1 and partition <> all($2::integer[]))
    insert into journal_position (consumer, partition, anew)
    select $1, unnest($2::integer[]), true on conflict do nothing
"""
_START_ANEW_BEHIND = "update journal_position set anew = true where partition > 0 and not anew"
_BURY = """
    insert into dead_message (consumer, seq, month, home_id, kind, error)
    select $1, $2, $3, $4, $5, $6 where (select count(*) from dead_message where consumer = $1) < $7
"""
_END = "select seq, month from journal {where} order by seq desc limit 1"


class PostgresJournal:
    """See `server.storage.journal.Journal`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self, consumer: str, partition: int = 0) -> Position:
        """See `Journal`."""
        while True:
            row = await self._database.fetchrow(_POSITION, consumer, partition)
            if row is not None:
                return Position(consumer, partition, *row)
            await self._database.fetch(_BEGIN, consumer, partition)

    async def keep_partitions(self, consumer: str, partitions: Sequence[int]) -> None:
        """See `Journal`."""
        await self._database.fetch(_KEEP_PARTITIONS, consumer, list(partitions))

    async def start_anew_behind(self, transaction: Connection) -> None:
        """See `Journal`."""
        await transaction.execute(_START_ANEW_BEHIND)

    async def bury(self, transaction: Connection, consumer: str, message: Message, error: str) -> bool:
        """See `Journal`."""
        said = message.seq, message.month, message.home_id, message.kind, error
        return bool(await transaction.execute(_BURY, consumer, *said, MOST_DEAD) == "INSERT 0 1")

    async def take_over(self, position: Position) -> Position:
        """See `Journal`."""
        key = position.consumer, position.partition, position.generation
        if await self._database.fetchval(_TAKE_OVER, *key) is None:
            raise WriteConflict
        return await self.position(position.consumer, position.partition)

    async def entries(self, after: Position, limit: int) -> Sequence[Entry]:
        """See `Journal`."""
        # With a literal the partitions of other months are not opened.
        sql = _ENTRIES.format(month=_literal(after.month))
        return [Entry(*row) for row in await self._database.fetch(sql, after.seq, limit)]

    async def end(self) -> tuple[int, date]:
        """See `Journal`."""
        month = first_of_month(datetime.now(UTC))
        for where in (f"where month >= '{_literal(month)}'", ""):
            row = await self._database.fetchrow(_END.format(where=where))
            if row is not None:
                return max(row[0], 0), row[1]
        return 0, date.min

    async def move(self, position: Position, seq: int, month: date, effect: Effect) -> Position:
        """See `Journal`."""
        key = position.consumer, position.partition, position.generation, position.seq
        async with self._database.transaction() as connection:
            # First, so that of two owners one waits here and does nothing.
            if await connection.execute(_MOVE, *key, seq, month, position.anew) == "UPDATE 0":
                raise WriteConflict
            await effect(connection)
        again = position.reread_to if (position.reread_to or 0) > seq else None
        return replace(position, seq=seq, month=month, anew=False, reread_to=again)


def first_of_month(at: datetime | date) -> date:
    """The month as `journal.month` has it."""
    return date(at.year, at.month, 1)


def _literal(month: date) -> str:
    # PostgreSQL writes its earliest date, which asyncpg gives as date.min, in its own way.
    return "-infinity" if month == date.min else month.isoformat()


async def make_partitions(database: Database | Connection, now: datetime) -> None:
    """Make the partitions of this month and of those ahead, where they are missing."""
    month = now.year * 12 + now.month - 1
    for each in range(month, month + AHEAD + 1):
        await database.fetch("select koyomi_journal_partition_1($1)", date(each // 12, each % 12 + 1, 1))


@dataclass(frozen=True, slots=True)
class _Mark:
    """Ids up to this one had been drawn by transactions with ids below `x_max`."""

    drawn: int
    x_max: int
    at: float


class PostgresSequencer:
    """See `server.storage.journal.Sequencer`; with a connection of its own, whose session has the turn."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None
        self._turn = False
        # No row with an id up to this one can appear. While a snapshot is open, rows that were moved cannot be removed
        # from the index; the bound keeps each run from reading all of them again.
        self._low = 0
        self._mark: _Mark | None = None
        self._swept = 0.0
        self._last: tuple[int | None, date | None] = (None, None)
        """The number and the month of the last entry, after the last run."""

    async def run(self, *, forced: bool = False) -> Sequenced:
        """See `Sequencer`."""
        try:
            connection = await self._connected()
            if not self._turn:
                if forced:
                    await advisory_locks.end_idle_holders(connection, Lock.SEQUENCER_TURN)
                self._turn = await advisory_locks.try_session_lock(connection, Lock.SEQUENCER_TURN)
                if self._turn:
                    self._low, self._mark, self._last = 0, None, (None, None)
                    await make_partitions(connection, datetime.now(UTC))
            if not self._turn:
                return Sequenced(led=False)
            return await self._move(connection)
        except BaseException as error:
            await self.close()
            raise domain_error(error) from error

    async def _move(self, connection: Connection) -> Sequenced:
        now = time.monotonic()
        whole = now - self._swept >= SWEEP
        if whole:
            self._swept = now
        row = await connection.fetchrow(
            _RUN, 0 if whole else self._low, ROWS, ECHO_KINDS, ECHO_ORIGINS, *self._last, timeout=_STATEMENT_TIMEOUT
        )
        assert row is not None
        if not row["led"]:
            return Sequenced(led=True, more=True)
        self._last = row["last_seq"], row["last_month"]
        if not row["more"]:
            self._follow(row, now)
        return Sequenced(True, row["moved"], row["last_seq"], row["more"], row["longest"] or 0.0)

    def _follow(self, row: asyncpg.Record, now: float) -> None:
        """Raise the bound, after a run that moved all that it saw."""
        mark = self._mark
        if mark is not None and now - mark.at >= SETTLING and int(row["x_min"]) >= mark.x_max:
            self._low, mark = mark.drawn, None
        if mark is None and row["drawn"] is not None:
            mark = _Mark(row["drawn"], int(row["x_max"]), now)
        self._mark = mark

    async def _connected(self) -> Connection:
        if self._connection is not None and self._connection.is_closed():
            self._connection = None
        if self._connection is None:
            self._turn = False
            self._connection = await connect(
                self._dsn, application="koyomi sequencer", statement_timeout=_STATEMENT_TIMEOUT, connect_timeout=3.0
            )
        return self._connection

    async def close(self) -> None:
        """See `Sequencer`."""
        connection, self._connection, self._turn = self._connection, None, False
        if connection is not None:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.close(timeout=1.0)
