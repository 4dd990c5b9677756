"""The statement that reads the busy times of many calendars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from server.domain.occurrences import Busy, Kind
from server.storage.reads import BusyTimes
from storage_plugins.postgres.changes import views
from storage_plugins.postgres.changes.occurrence_rows import BUSY, KINDS
from storage_plugins.postgres.reads.occurrences import PARTIAL, VIEW_BUSY, aware, stored, unexpanded

_AVAILABILITY = -2
"""In place of the kind: the object is a VAVAILABILITY, whose busy times do not follow from its occurrences."""
_OF_EACH = ("a.home_id", "a.id")
_IN_VIEW = f"occurrence c join object o on o.home_id = c.home_id and o.id = c.object_id{views.joined('a.viewer')}"


def _merged(kind: int, condition: str, start: str, end: str, *, viewed: bool) -> str:
    busy = f"coalesce(({VIEW_BUSY})[c.component + 1], c.busy)" if viewed else "c.busy"
    rows = stored(
        f"{busy} as busy, c.start_at, c.end_at",
        start,
        end,
        # In the view of another person, the travel of the owner does not count.
        f"and {condition} and {busy} <> 0 and c.start_at < c.end_at{' and c.component >= 0' if viewed else ''}",
        source=_IN_VIEW if viewed else "occurrence c",
        of=_OF_EACH,
    )
    return (
        f"select a.n, {kind}::smallint as kind, m.busy, lower(m.period), upper(m.period), 0::bigint "  # noqa: S608
        "from asked a cross join lateral ("
        f"select t.busy, unnest(range_agg(tstzrange(t.start_at, t.end_at))) as period from ({rows}) as t "
        f"group by t.busy) as m where a.viewer is {'not ' if viewed else ''}null"
    )


def _objects(rows: str) -> str:
    # Without `offset 0` the planner may scan the objects of all homes.
    return f"select a.n, o.kind, 0, null, null, o.id from asked a cross join lateral ({rows} offset 0) as o"  # noqa: S608


_ASKED = "unnest($1::bigint[], $2::bigint[], $3::bigint[]) with ordinality as a (home_id, id, viewer, n)"


def _statement(*, in_views: Sequence[bool]) -> str:
    return f"with asked as (select * from {_ASKED}) " + " union all ".join(  # noqa: S608
        (
            *(
                _merged(*occurrences, viewed=viewed)
                for viewed in in_views
                for occurrences in ((0, "c.kind = 0", "$4", "$5"), (1, "c.kind <> 0", "$6", "$7"))
            ),
            _objects(unexpanded(f"{PARTIAL} as kind, o.id", "$6", "$7", of=_OF_EACH)),
            _objects(
                f"select {_AVAILABILITY} as kind, o.id from object o where o.home_id = a.home_id "  # noqa: S608
                "and o.collection_id = a.id and o.component = 'VAVAILABILITY' and o.deleted_revision is null"
            ),
        )
    )


BUSY_TIMES = _statement(in_views=(False, True))
"""Arguments: homes, collections, and the viewer of each (null: the owner); start and end of the window, and of the
window for floating times.

The database merges timed occurrences, and floating ones by their local times, so that the number of rows grows with the
result and not with the calendars.
"""
OWN_BUSY_TIMES = _statement(in_views=(False,))
"""The same, for calendars that are all read as their owners see them."""


def busy_times(rows: Sequence[Any], calendars: int) -> list[BusyTimes]:
    """What `BUSY_TIMES` returned, for each of so many calendars."""
    merged: list[list[tuple[Busy, datetime, datetime]]] = [[] for _ in range(calendars)]
    floating: list[list[tuple[Busy, datetime, datetime]]] = [[] for _ in range(calendars)]
    not_expanded: list[list[int]] = [[] for _ in range(calendars)]
    availability: list[list[int]] = [[] for _ in range(calendars)]
    for number, kind, busy, start, end, object_id in rows:
        if kind == PARTIAL:
            not_expanded[number - 1].append(object_id)
        elif kind == _AVAILABILITY:
            availability[number - 1].append(object_id)
        else:
            found = merged if KINDS[kind] is Kind.TIMED else floating
            found[number - 1].append((BUSY[busy], aware(start), aware(end)))
    return [BusyTimes(*each) for each in zip(merged, floating, not_expanded, availability, strict=True)]
