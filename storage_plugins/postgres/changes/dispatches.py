"""Storing scheduling messages that jobs deliver, and what has become of them, in the transaction of a change set."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.changes import SetDispatch
from server.domain.errors import WriteConflict
from storage_plugins.postgres.database import Connection

_ADD = """
    insert into scheduling_dispatch (home_id, uid, meeting, state, waiting, failing)
    select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::jsonb[], $5::boolean[], $6::boolean[])
"""
_LOCK = """
    select from scheduling_dispatch d
    join unnest($1::bigint[], $2::bigint[], $3::bigint[]) as g (home_id, id, version)
        on g.home_id = d.home_id and g.id = d.id and g.version = d.version
    order by d.home_id, d.id for no key update of d
"""
_SETTLE = """
    update scheduling_dispatch d
    set state = g.state, waiting = g.waiting, failing = g.failing, version = d.version + 1, modified_at = now()
    from unnest($1::bigint[], $2::bigint[], $3::jsonb[], $4::boolean[], $5::boolean[])
         as g (home_id, id, state, waiting, failing)
    where d.home_id = g.home_id and d.id = g.id
"""


async def store(connection: Connection, dispatches: Sequence[SetDispatch]) -> None:
    """Store dispatches. The caller holds the homes of new ones. Raises `WriteConflict` where one has changed."""
    new = [each for each in dispatches if each.id is None]
    known = sorted((each for each in dispatches if each.id is not None), key=lambda each: (each.home_id, each.id))
    if new:
        rows = ((each.home_id, each.uid, each.meeting, each.state, each.waiting, each.failing) for each in new)
        await connection.execute(_ADD, *map(list, zip(*rows, strict=True)))
    if known:
        places = [each.home_id for each in known], [each.id for each in known]
        locked = await connection.fetch(_LOCK, *places, [each.version for each in known])
        if len(locked) < len(known):
            raise WriteConflict
        flags = [each.waiting for each in known], [each.failing for each in known]
        await connection.execute(_SETTLE, *places, [each.state for each in known], *flags)
