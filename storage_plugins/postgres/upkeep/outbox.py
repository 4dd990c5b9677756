"""Pruning the outbox.

Each durable consumer has a row in `consumer_position`. Rows that it has not read are kept, up to a limit. A consumer
that is further behind is marked (`anew`): it derives its work from the tables, and then reads the outbox from its end.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from storage_plugins.postgres.database import Database
from storage_plugins.postgres.upkeep.pruning import repeat

_MARK_LAGGING = """
    update consumer_position p set anew = true
    where not p.anew and (
        select o.at from outbox o where (o.xid, o.id) > (p.xid, p.id) order by o.xid, o.id limit 1
    ) < clock_timestamp() - $1::interval
    returning p.name
"""
_PRUNE = """
    delete from outbox where (home_id, id) in (
        select o.home_id, o.id from outbox o
        where o.xid < pg_snapshot_xmin(pg_current_snapshot()) and o.at < clock_timestamp() - $1::interval
          and not exists (
              select from consumer_position p where not p.anew and (p.xid, p.id) < (o.xid, o.id)
          )
        order by o.xid, o.id limit $2
    )
"""

log = structlog.get_logger()


async def prune_outbox(database: Database, age: timedelta, longest_lag: timedelta, *, batch: int = 1000) -> int:
    """Delete rows that are older than `age` and that all consumers have read. Returns their number.

    A consumer with an unread row older than `longest_lag` is marked to start again from the tables; its unread rows are
    deleted, too.
    """
    for row in await database.fetch(_MARK_LAGGING, longest_lag):
        log.warning("consumer_starts_anew", consumer=row[0])
    return await repeat(database, _PRUNE, age, batch)
