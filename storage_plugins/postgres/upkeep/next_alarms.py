"""Computing the next ring of alarms: of those that have rung, and of those whose write did not compute it.

Nothing that clients synchronise changes, so this takes no revision. An alarm that a writer has replaced meanwhile is
not changed: its row has another version.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from server.calendar.alarms import Ring
from server.domain.occurrences import FLOATING_MARGIN
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.reads.due_alarms import FIRST, page, read_texts, ring_of

KEPT = timedelta(hours=1)
"""How long a ring stays before the next one takes its place: for as long reads find it."""
_BATCH = 500
_MOVE = """
    with wanted as materialized (
        select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::text[],
                             $7::timestamptz[], $8::boolean[])
            as w (home_id, object_id, viewer_id, component, alarm, version, next_at, floating)
    ), locked as materialized (
        select a.home_id, a.object_id, a.viewer_id, a.component, a.alarm, w.next_at, w.floating
        from wanted w
        join alarm a on a.home_id = w.home_id and a.object_id = w.object_id and a.viewer_id = w.viewer_id
            and a.component = w.component and a.alarm = w.alarm and a.xmin::text = w.version
        -- Writers replace alarms while they hold other rows.
        for update of a skip locked
    ), moved as (
        update alarm a set next_at = l.next_at, floating = l.floating
        from locked l
        where a.home_id = l.home_id and a.object_id = l.object_id and a.viewer_id = l.viewer_id
          and a.component = l.component and a.alarm = l.alarm
        returning 1
    )
    select count(*) from moved
"""


async def move_alarms_on(database: Database, now: datetime, *, seconds: float | None = None) -> int:
    """Compute the next ring of alarms that rang more than `KEPT` ago, and of new ones in personal copies. Returns their
    number.

    Stops after `seconds`. Can be interrupted at any point and called again.
    """
    moved, end = 0, None if seconds is None else time.monotonic() + seconds
    since, place = now - KEPT, FIRST
    while end is None or time.monotonic() < end:
        rows, following = await page(database, since, since, since - FLOATING_MARGIN, place, _BATCH)
        texts = await read_texts(database, rows)
        rings = await asyncio.to_thread(_rings, rows, since, texts)
        moved += int(await database.fetchval(_MOVE, *_columns(rows, rings))) if rows else 0
        if following is None:
            break
        place = following
    return moved


def _rings(rows: Sequence[Any], since: datetime, texts: Mapping[tuple[int, int], str]) -> list[Ring | None]:
    return [ring_of(row, since, texts) for row in rows]


def _columns(rows: Sequence[Any], rings: Sequence[Ring | None]) -> tuple[list[Any], ...]:
    """The arguments of `_MOVE`."""
    keys = ("home_id", "object_id", "viewer_id", "component", "alarm", "version")
    return (
        *([row[key] for row in rows] for key in keys),
        [None if ring is None else ring.at for ring in rings],
        [ring is not None and ring.floating for ring in rings],
    )
