"""Counts of what people do (`server.storage.business`)."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.messages import Message
from server.domain.scheduling import SchedulingRole
from server.storage.business import PERIODS, BusinessFigures
from storage_plugins.postgres.database import Connection, Database

# An attendee's copy is no event of its own. A message in an inbox is an answer if its METHOD says so.
_COUNT = """
    with made as materialized (
        select c.kind, o.component, o.scheduling, o.text
        from unnest($1::bigint[], $2::bigint[]) as m (home_id, object_id)
        join object o on o.home_id = m.home_id and o.id = m.object_id
        join collection c on c.home_id = o.home_id and c.id = o.collection_id
    ), events as (
        select scheduling from made
        where kind = 'calendar' and component = 'VEVENT' and scheduling <> $3
    ), answers as (
        select from made where kind = 'inbox' and text ~* E'\\nMETHOD:REPLY\\r?\\n'
    ), counted (what, number) as (
        select 'events', count(*) from events
        union all select 'meetings', count(*) from events where scheduling = $4
        union all select 'answers', count(*) from answers
    )
    insert into business_count as b (what, number) select what, number from counted where number > 0
    on conflict (what) do update set number = b.number + excluded.number
"""
# A minute more or less says nothing: who does much is written once a minute.
_SEEN = """
    insert into active_person as a (principal_id, last_at)
    select p.id, s.at from unnest($1::bigint[], $2::timestamptz[]) as s (id, at)
    join principal p on p.id = s.id and p.kind = 'individual'
    on conflict (principal_id) do update set last_at = excluded.last_at
    where excluded.last_at > a.last_at + interval '1 minute'
"""
_COUNTS = "select what, number from business_count"
_ACTIVE = """
    select count(*) filter (where last_at > clock_timestamp() - p.period)
    from unnest($1::interval[]) with ordinality as p (period, place)
    left join active_person a on a.last_at > clock_timestamp() - p.period
    group by p.place order by p.place
"""


class PostgresBusiness:
    """See `server.storage.business.Business`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, transaction: Connection, messages: Sequence[Message]) -> None:
        """See `Business`."""
        made = [(each.home_id, each.object_id) for each in messages if each.act and each.kind == "created"]
        if made:
            homes, objects = zip(*made, strict=True)
            roles = SchedulingRole.ATTENDEE, SchedulingRole.ORGANIZER
            await transaction.execute(_COUNT, list(homes), list(objects), *map(int, roles))
        seen = {each.principal_id: each.at for each in messages if each.act and each.principal_id is not None}
        if seen:
            await transaction.execute(_SEEN, list(seen), list(seen.values()))

    async def figures(self) -> BusinessFigures:
        """See `Business`."""
        counts = {row[0]: row[1] for row in await self._database.fetch(_COUNTS)}
        active = await self._database.fetch(_ACTIVE, list(PERIODS.values()))
        return BusinessFigures(
            counts.get("events", 0),
            counts.get("meetings", 0),
            counts.get("answers", 0),
            {name: row[0] for name, row in zip(PERIODS, active, strict=True)},
        )
