"""Partitions of the journal: made ahead, and dropped when their rows are old and every consumer has read them.

A consumer that has not read an entry for long is marked (`anew`): it derives its work from the tables, and then reads
the journal from its end. Positions on another bus (partitions above 0) do not count here: its relay's does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import structlog

from storage_plugins.postgres.database import Connection, Database
from storage_plugins.postgres.journal import make_partitions

LOCK_WAIT = 2000
"""Milliseconds for which readers and the sequencer wait at most while a partition is taken away."""

_PARTITIONS = """
    select c.relname, c.relname like 'journal_act_%',
           substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \\(''(.*)''\\)')::date
    from pg_partition_tree('journal') t join pg_class c on c.oid = t.relid
    where t.isleaf order by 3, 1
"""
_MARK_LAGGING = """
    update journal_position p set anew = true
    where not p.anew and p.partition = 0 and (
        select j.at from journal j where j.month >= p.month and j.seq > p.position order by j.seq limit 1
    ) < clock_timestamp() - $1::interval
    returning p.consumer
"""
_UNREAD = """
    select exists (
        select from journal_position p
        where not p.anew and p.partition = 0 and p.position < (select max(j.seq) from {partition} j)
    )
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Partition:
    """A table with the acts or the echoes of a month; the first one holds those of all earlier months, too."""

    table: str
    acts: bool
    until: date
    """The first month behind it."""


async def partitions(database: Database) -> list[Partition]:
    """All partitions, oldest first."""
    return [Partition(*row) for row in await database.fetch(_PARTITIONS)]


async def keep_partitions(database: Database, now: datetime, echo_age: timedelta, longest_lag: timedelta) -> int:
    """Make partitions ahead, and drop those whose echoes are older than `echo_age`. Returns how many were dropped.

    A consumer with an unread entry older than `longest_lag` is marked to start again from the tables.
    """
    await make_partitions(database, now)
    for row in await database.fetch(_MARK_LAGGING, longest_lag):
        log.warning("consumer_lags_too_far", consumer=row[0])
    dropped = 0
    for each in await partitions(database):
        if each.acts or each.until > (now - echo_age).date() or await unread(database, each):
            continue
        await drop(database, each)
        log.info("journal_partition_dropped", table=each.table)
        dropped += 1
    return dropped


async def unread(database: Database, partition: Partition) -> bool:
    """Whether a consumer has not read all of a partition."""
    return bool(await database.fetchval(_UNREAD.format(partition=partition.table)))


async def drop(database: Database, partition: Partition) -> None:
    """Take a partition away. Raises `DatabaseError` if others, as a dump, use the journal for longer than some
    seconds."""
    async with database.transaction() as connection:
        await drop_in(connection, partition)


async def drop_in(connection: Connection, partition: Partition) -> None:
    """As `drop`, in the caller's transaction."""
    parent = "journal_act" if partition.acts else "journal_echo"
    await connection.execute(f"set local lock_timeout = {LOCK_WAIT}")
    await connection.execute(f"alter table {parent} detach partition {partition.table}")
    await connection.execute(f"drop table {partition.table}")
