"""Alarms of all homes by the time at which they ring next, with the occurrences that they may ring for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from server.calendar.alarms import Ring, Span, next_ring
from server.calendar.calendar_object import read_timezone
from server.calendar.component import parse_calendar
from server.calendar.component_times import given, moment
from server.calendar.values import property_time
from server.calendar.vtimezone import CalendarZones, zone_of_component
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.errors import InvalidData
from server.domain.occurrences import FLOATING_MARGIN, AlarmTrigger, DueAlarm, Kind, later
from server.storage.reminders import AlarmPlace
from storage_plugins.postgres.changes.occurrence_rows import KINDS
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.reads.occurrences import aware

_REACH = "(abs(a.days::bigint) * 86400 + abs(a.seconds) + a.repeat::bigint * a.interval_seconds)"
_MOST = 86_400_000_000
"""Seconds of offsets that are computed with in the statement."""
_LAST_RING = (
    "case when a.from_end then c.end_at else c.start_at end "
    "+ make_interval(days => a.days, secs => a.seconds + a.repeat * a.interval_seconds)"
)
_PLACE = "a.next_at, a.home_id, a.object_id, a.viewer_id, a.component, a.alarm"
PAGE = f"""
    select a.home_id, a.object_id, a.viewer_id, a.component, a.alarm, nullif(a.next_at, '-infinity') as next_at,
           a.xmin::text as version, a.collection_id, a.at, a.days, a.seconds, a.from_end, a.repeat, a.interval_seconds,
           o.id is not null and c.deleted_at is null as live, o.component as type, o.tzids, c.timezone,
           n.starts, n.ends, n.kinds, n.recurrence_ids
    from (
        select a.*, a.xmin from alarm a
        where a.floating = $1 and a.next_at < $2
          and ({_PLACE}) > (
              coalesce($4::timestamptz, '-infinity'), $5::bigint, $6::bigint, $7::bigint, $8::integer, $9::integer
          )
        order by {_PLACE} limit $10
    ) as a
    left join object o on o.home_id = a.home_id and o.id = a.object_id and o.deleted_revision is null
    left join collection c on c.home_id = o.home_id and c.id = o.collection_id
    left join lateral (
        select array_agg(k.start_at order by k.start_at, k.ordinal) as starts,
               array_agg(k.end_at order by k.start_at, k.ordinal) as ends,
               array_agg(k.kind order by k.start_at, k.ordinal) as kinds,
               array_agg(k.recurrence_id order by k.start_at, k.ordinal) as recurrence_ids
        from (
            select c.start_at, c.end_at, c.kind, c.recurrence_id, c.ordinal from occurrence c
            where a.at is null and c.home_id = a.home_id and c.object_id = a.object_id and c.component = a.component
              and case when {_REACH} > {_MOST} then true else {_LAST_RING} >= $3::timestamptz - interval '4 days' end
            order by case when a.from_end then c.end_at else c.start_at end
            limit case when a.repeat > 0 or {_REACH} > {_MOST} then 1000 else 10 end
        ) as k
    ) as n on true
    order by {_PLACE}
"""  # noqa: S608 - no value of anybody's
"""Arguments: whether they are floating ones, the time before which they ring next, the time since which; the place
behind which the page begins; its size. Ordered by place. Of an alarm the occurrences whose rings end later than some
days before that time, the first ones."""
_TEXT = "select o.text from object o where o.home_id = $1 and o.id = $2"


FIRST = AlarmPlace(False, None, 0, 0, -1, -1, -1)
"""A position before all alarms."""


async def page(
    database: Database, since: datetime, until: datetime, until_floating: datetime, after: AlarmPlace, limit: int
) -> tuple[list[Any], AlarmPlace | None]:
    """A page of alarms that ring next before a time, with their occurrences that may ring since `since`; floating ones
    come last, and ring before another time.

    Also returns the position after which the next page begins; None after the last page.
    """
    floating, *place = after
    rows = await database.fetch(PAGE, floating, until_floating if floating else until, since, *place, limit)
    if len(rows) == limit:
        last = rows[-1]
        keys = ("next_at", "home_id", "object_id", "viewer_id", "component", "alarm")
        return rows, AlarmPlace(floating, *(last[key] for key in keys))
    return rows, None if floating else FIRST._replace(floating=True)


async def read_texts(database: Database, rows: Sequence[Any]) -> dict[tuple[int, int], str]:
    """The texts that `ring_of` needs, by home and object."""
    found: dict[tuple[int, int], str] = {}
    for row in rows:
        key = row["home_id"], row["object_id"]
        if _needs_text(row) and key not in found:
            found[key] = await database.fetchval(_TEXT, *key) or ""
    return found


async def due_alarms(
    database: Database, since: datetime, until: datetime, after: AlarmPlace | None, limit: int
) -> tuple[list[DueAlarm], AlarmPlace | None]:
    """See `Reminders.due_alarms`."""
    rows, following = await page(database, since, until, later(until, FLOATING_MARGIN), after or FIRST, limit)
    texts = await read_texts(database, rows)
    return await asyncio.to_thread(_due, rows, since, until, texts), following


def _due(rows: Sequence[Any], since: datetime, until: datetime, texts: Mapping[tuple[int, int], str]) -> list[DueAlarm]:
    return [found for row in rows if row["live"] and (found := _due_alarm(row, since, until, texts)) is not None]


def _due_alarm(row: Any, since: datetime, until: datetime, texts: Mapping[tuple[int, int], str]) -> DueAlarm | None:
    """The first ring of an alarm in a window."""
    place = _zone(row["timezone"])
    ring = ring_of(row, since, texts, place)
    if ring is None or ring.at >= until:
        return None
    start, recurrence_id = None, ""
    if ring.occurrence is not None:
        start, recurrence_id = row["starts"][ring.occurrence], row["recurrence_ids"][ring.occurrence]
        if ring.floating:
            start = place.to_utc(start.replace(tzinfo=None))
    viewer = row["viewer_id"] or None
    owner = row["home_id"], row["collection_id"], row["object_id"]
    return DueAlarm(*owner, viewer, row["component"], row["alarm"], ring.at, start, recurrence_id)


def _needs_text(row: Any) -> bool:
    """Whether the object's text is needed: for the zone of an offset in days, or because a task may have no time."""
    return row["at"] is None and bool(row["starts"]) and (row["type"] == "VTODO" or bool(row["days"] and row["tzids"]))


def ring_of(row: Any, since: datetime, texts: Mapping[tuple[int, int], str], place: Zone | None = None) -> Ring | None:
    """The next ring of an alarm of a page, as `server.calendar.alarms.next_ring` says."""
    trigger = AlarmTrigger(
        row["component"],
        row["alarm"],
        row["at"],
        row["days"],
        row["seconds"],
        row["from_end"],
        row["repeat"],
        row["interval_seconds"],
    )
    zone: Zone | None = UTC_ZONE
    if _needs_text(row):
        try:
            zone = _zone_of_start(texts[row["home_id"], row["object_id"]], trigger.component)
        except (InvalidData, IndexError):
            return None
        if zone is None:
            return None
    spans = [
        Span(aware(start), aware(end), KINDS[kind], zone if KINDS[kind] is Kind.TIMED else None)
        for start, end, kind in zip(row["starts"] or (), row["ends"] or (), row["kinds"] or (), strict=True)
    ]
    return next_ring(trigger, spans, since, place)


def _zone_of_start(text: str, index: int) -> Zone | None:
    """The zone of the start of a component; UTC for floating times and dates; None if it has no time."""
    calendar = parse_calendar(text)
    component = calendar.components[index]
    prop = given(component, "DTSTART") or given(component, "DUE")
    if prop is None:
        return None
    return moment(property_time(prop), CalendarZones(calendar)).zone or UTC_ZONE


def _zone(timezone: str | None) -> Zone:
    """The zone for floating times and dates of a calendar."""
    return UTC_ZONE if timezone is None else _zone_of_text(timezone)


@lru_cache(256)
def _zone_of_text(text: str) -> Zone:
    try:
        return zone_of_component(read_timezone(text)[1])
    except InvalidData:
        return UTC_ZONE
