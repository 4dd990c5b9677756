"""The statement that reads when people are busy: in all calendars of their homes that are not transparent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from typing import Any

from server.domain.objects import Target
from server.domain.occurrences import Busy
from server.storage.reads import BusyTimes
from server.storage.scheduling import BusyCalendar, PersonBusy
from storage_plugins.postgres.changes import views
from storage_plugins.postgres.changes.occurrence_rows import BUSY
from storage_plugins.postgres.reads.occurrences import PARTIAL, VIEW_BUSY, aware, stored, unexpanded

_TIMED, _FLOATING, _AVAILABILITY, _CALENDAR = 0, 1, -2, -3
"""What a row is: merged times of one type of a person, merged floating times of one type of a calendar, a VAVAILABILITY
object, or the calendar of rows of these last kinds."""
_OF_EACH = ("a.home_id", "a.id")
_TRANSPARENCY = "'{urn:ietf:params:xml:ns:caldav}schedule-calendar-transp'"
_ASKED = f"""
    select q.n, row_number() over (order by q.n, b.name) as k, b.collection_home_id as home_id, b.collection_id as id,
           case when b.rights <> 'owner' then q.principal_id end as viewer, b.name, c.timezone, p.uid, p.id as person
    from unnest($1::bigint[]) with ordinality as q (principal_id, n)
    join principal p on p.id = q.principal_id
    join home h on h.principal_id = p.id and h.kind = 'calendar'
    join binding b on b.home_id = h.id and b.deleted_revision is null
    join collection c on c.home_id = b.collection_home_id and c.id = b.collection_id and c.kind = 'calendar'
        and c.deleted_at is null
    left join collection_view w on w.home_id = c.home_id and w.collection_id = c.id and w.principal_id = p.id
    where coalesce(w.properties ->> {_TRANSPARENCY}, c.properties ->> {_TRANSPARENCY}, '') !~ '[<:]transparent[ />]'
"""  # noqa: S608 - no value of anybody's


_UNMASKED = "and (a.person, {}) not in (select * from unnest($6::bigint[], $7::bigint[]))"
"""A condition on the id of an object."""


def _occurrences(condition: str, start: str, end: str, *, viewed: bool) -> str:
    """What the occurrences of the calendar `a` make busy: in the person's view, where it is not their own, without the
    travel of its owner."""
    source, busy = "occurrence c", "c.busy"
    if viewed:
        source = f"occurrence c join object o on o.home_id = c.home_id and o.id = c.object_id{views.joined('a.viewer')}"
        busy = f"coalesce(({VIEW_BUSY})[c.component + 1], c.busy)"
    rows = stored(
        f"{busy} as busy, c.start_at, c.end_at",
        start,
        end,
        f"and {condition} and {busy} <> 0 and c.start_at < c.end_at{' and c.component >= 0' if viewed else ''}",
        source=source,
        of=_OF_EACH,
    )
    whose = f"a.viewer is {'not ' if viewed else ''}null"
    return (
        "select a.n, a.k, t.busy, t.start_at, t.end_at from asked a "  # noqa: S608
        f"cross join lateral ({rows}) as t where {whose}"
    )


def _merged(kind: int, group: str, condition: str, start: str, end: str) -> str:
    rows = " union all ".join(_occurrences(condition, start, end, viewed=viewed) for viewed in (False, True))
    return (
        f"select m.n, m.k, {kind}::smallint as kind, m.busy, r.starts, r.ends, 0::bigint as object_id "  # noqa: S608
        f"from (select t.n, {group} as k, t.busy, range_agg(tstzrange(t.start_at, t.end_at)) as periods "
        f"from ({rows}) as t group by t.n, 2, t.busy) as m cross join lateral ("
        "select array_agg(lower(p)) as starts, array_agg(upper(p)) as ends from unnest(m.periods) as p) as r"
    )


def _objects(rows: str) -> str:
    # Without `offset 0` the planner may walk the objects of all homes, where few are in the index.
    return (
        "select a.n, a.k, o.kind, 0, null::timestamptz[], null::timestamptz[], o.id "  # noqa: S608
        f"from asked a cross join lateral ({rows} offset 0) as o"
    )


def _statement(*, masked: bool) -> str:
    of_occurrence, of_object = (_UNMASKED.format(id_) if masked else "" for id_ in ("c.object_id", "o.id"))
    found = " union all ".join(
        (
            _merged(_TIMED, "0::bigint", f"c.kind = 0 {of_occurrence}", "$2", "$3"),
            _merged(_FLOATING, "t.k", f"c.kind <> 0 {of_occurrence}", "$4", "$5"),
            _objects(unexpanded(f"{PARTIAL} as kind, o.id", "$4", "$5", of=_OF_EACH) + of_object),
            _objects(
                f"select {_AVAILABILITY} as kind, o.id from object o where o.home_id = a.home_id "  # noqa: S608
                "and o.collection_id = a.id and o.component = 'VAVAILABILITY' and o.deleted_revision is null"
            ),
        )
    )
    return f"""
        with asked as materialized ({_ASKED}), found as materialized ({found})
        select f.n, f.k, f.kind, f.busy, f.starts, f.ends, f.object_id, null, null, null from found f
        union all
        select a.n, a.k, {_CALENDAR}, 0, null, null, 0, a.uid, a.name, a.timezone
        from asked a where a.k in (select f.k from found f where f.kind <> {_TIMED})
    """  # noqa: S608


BUSY_PEOPLE = _statement(masked=False)
"""Arguments: the ids of people; start and end of the window, and of the window in which floating times are found.

The database merges the timed occurrences of a person, so that the rows that it sends grow with the answer and not with
the calendars.
"""
BUSY_PEOPLE_MASKED = _statement(masked=True)
"""The same, with two more arguments: the ids of people, and for each the id of an object that does not count."""


@dataclass(slots=True)
class _Found:
    """What the rows of one calendar say."""

    floating: list[tuple[Busy, datetime, datetime]] = field(default_factory=list)
    unexpanded: list[int] = field(default_factory=list)
    availability: list[int] = field(default_factory=list)


def busy_people(rows: Sequence[Any], people: int) -> list[PersonBusy]:
    """What `BUSY_PEOPLE` returned, for each of so many people."""
    merged: list[list[tuple[Busy, datetime, datetime]]] = [[] for _ in range(people)]
    calendars: list[list[BusyCalendar]] = [[] for _ in range(people)]
    of_calendars: defaultdict[int, _Found] = defaultdict(_Found)
    for number, at, kind, busy, starts, ends, object_id, uid, name, timezone in rows:
        found = of_calendars[at]
        if kind == _TIMED:
            merged[number - 1] += _periods(busy, starts, ends)
        elif kind == PARTIAL:
            found.unexpanded.append(object_id)
        elif kind == _AVAILABILITY:
            found.availability.append(object_id)
        elif kind == _FLOATING:
            found.floating += _periods(busy, starts, ends)
        else:
            times = BusyTimes((), found.floating, found.unexpanded, found.availability)
            calendars[number - 1].append(BusyCalendar(Target(uid, "uid", "calendar", name), timezone, times))
    return [PersonBusy(*each) for each in zip(merged, calendars, strict=True)]


def _periods(busy: int, starts: Sequence[datetime], ends: Sequence[datetime]) -> list[tuple[Busy, datetime, datetime]]:
    """The periods of one type, of which the first may begin with time."""
    first = aware(starts[0])
    return list(zip(repeat(BUSY[busy]), (first, *starts[1:]), ends, strict=False))
