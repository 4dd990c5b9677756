"""Passing changes of shared collections on to the homes that show them, in batches (table `fan_out`).

Each function is one short transaction. Several processes may call them at once. A call may be interrupted at any point.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.changes import Cause
from server.domain.messages import Message
from storage_plugins.postgres.changes.writing import by, call, recorded
from storage_plugins.postgres.database import Connection, Database

HOMES = 200
"""Homes that one transaction locks at most."""

_BIND = call("koyomi_bind_shared_2", 6)
_NEXT = """
    select home_id, collection_id from fan_out
    where task in ('bind', 'check') and worked_at <= clock_timestamp() order by worked_at limit 1
"""
_POSTPONE = """
    update fan_out set worked_at = clock_timestamp() + interval '1 minute'
    where home_id = $1 and collection_id = $2 and task in ('bind', 'check')
"""


async def plan(connection: Connection, messages: Sequence[Message]) -> None:
    """Store the work that follows from messages, in the caller's transaction."""
    columns = zip(*((e.kind, e.home_id, e.collection_id, e.subject_id) for e in messages), strict=True)
    await connection.execute("select koyomi_plan_fan_out_2($1, $2, $3, $4)", *map(list, columns))


async def plan_anew(connection: Connection) -> None:
    """Store the work for all shared collections, in the caller's transaction."""
    await connection.execute("select koyomi_plan_fan_out_anew_1()")


async def touch(database: Database) -> list[int] | None:
    """Touch the next bindings of changed collections. Returns their homes; None if there are none."""
    found: list[int] | None = await database.fetchval("select koyomi_touch_bindings_2($1)", HOMES)
    return found


async def next_to_bind(database: Database) -> tuple[int, int] | None:
    """The home and id of the collection whose bindings have waited longest; None if none wait."""
    row = await database.fetchrow(_NEXT)
    return None if row is None else (row[0], row[1])


async def postpone(database: Database, home_id: int, collection_id: int) -> None:
    """Let the bindings of a collection wait for a minute after a failed batch, so that they do not delay others."""
    await database.fetch(_POSTPONE, home_id, collection_id)


async def bind(database: Database, home_id: int, collection_id: int, cause: Cause) -> tuple[list[int], bool]:
    """Make the next bindings of a collection agree with its shares.

    Returns the homes that changed, and whether more bindings of the collection wait.
    """
    sql, arguments = recorded(_BIND, (home_id, collection_id, HOMES, *by(cause)), cause)
    row = await database.fetchrow(sql, *arguments)
    assert row is not None
    return list(row[0]), row[1]
