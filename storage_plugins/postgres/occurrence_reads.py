"""Statements that read occurrences by time.

Each length class is an index range of its own, so that one long event does not widen everyone's window; with them come
the objects of which the window is not all stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from server.calendar.occurrences import EARLIEST, LATEST, Occurrence
from server.storage import MemberColumn
from storage_plugins.postgres.members import member_columns
from storage_plugins.postgres.occurrence_rows import BUSY, KINDS

_COLUMNS = (
    "c.object_id, c.start_at, c.end_at, c.matches_from, c.matches_until, c.local_start, c.tzid, c.kind, c.busy, "
    "c.recurrence_id, c.component, c.matches"
)
_PARTIAL = -1
"""In the place of the kind: the object's occurrences in the window are not all stored."""


def _class(number: int, longest: str | None) -> str:
    bound = f"and c.range_start >= $3::timestamptz - interval '{longest}' " if longest else ""
    return (
        f"select {_COLUMNS} from occurrence c where c.home_id = $1 and c.collection_id = $2 "  # noqa: S608
        f"and c.length_class = {number} and c.range_start < $4 {bound}and c.range_end > $3"
    )


IN_WINDOW = (
    f"{_class(0, '24 hours')} union all {_class(1, '744 hours')} union all {_class(2, None)} union all "  # noqa: S608
    f"select o.id, null, null, null, null, null, null, {_PARTIAL}, 0, '', 0, true from object o "
    "where o.home_id = $1 and o.collection_id = $2 and o.deleted_revision is null "
    "and (o.expanded_from is not null or o.expanded_until is not null) "
    "and (o.expanded_from > $3 or o.expanded_until < $4) "
    "and (o.span_start is null or o.span_start < $4) and (o.endless or o.span_end is null or o.span_end > $3)"
)
"""Arguments: home, collection, start and end of the window."""


@cache
def _by_id(names: tuple[MemberColumn, ...]) -> str:
    return (
        f"select {member_columns(names)} from object o where o.home_id = $1 and o.id = any($3::bigint[]) "  # noqa: S608
        "and o.collection_id = $2 and o.deleted_revision is null order by o.name"
    )


def by_id(columns: Sequence[MemberColumn]) -> str:
    """Arguments: home, collection, ids of objects."""
    return _by_id(tuple(columns))


def window(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """A window's bounds as arguments; None is unbounded."""
    return start or EARLIEST, end or LATEST


def occurrences(rows: Sequence[Any]) -> tuple[list[tuple[int, Occurrence]], list[int]]:
    """Occurrences with the ids of their objects, and the ids of objects that have to be expanded for the window."""
    found: list[tuple[int, Occurrence]] = []
    partial: list[int] = []
    for object_id, start, end, since, until, local, tzid, kind, busy, recurrence, component, matches in rows:
        if kind == _PARTIAL:
            partial.append(object_id)
        else:
            occurrence = Occurrence(
                start, end, since, until, local, tzid, KINDS[kind], BUSY[busy], recurrence, component, matches
            )
            found.append((object_id, occurrence))
    return found, partial
