"""Statements that read occurrences by time.

Each length class is a separate range of the index, so that one long event does not widen the range for all. The results
also name the objects whose occurrences in the window are not all stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from server.calendar import derivation
from server.domain.occurrences import EARLIEST, FLOATING_MARGIN, Busy, Kind, Occurrence, Timing
from server.storage.reads import MAX_TIMINGS, Overlapping, StoredRecurrence, Timings
from storage_plugins.postgres.changes import views
from storage_plugins.postgres.changes.occurrence_rows import BUSY, KINDS

_LONGEST_RECURRENCE = 100_000
"""Bytes of a recurrence that is read with others. For objects with longer ones, the texts are read."""
PARTIAL = -1
"""In place of the kind: the object's occurrences in the window are not all stored."""


_CLASSES = ((0, "24 hours"), (1, "744 hours"), (2, None))
"""The length classes with the longest range of each."""


OF_ONE = ("$1", "$2")
"""The home and the collection of which occurrences are read: the first arguments of the statement."""


def stored(
    columns: str,
    start: str,
    end: str,
    condition: str = "",
    *,
    source: str = "occurrence c",
    of: tuple[str, str] = OF_ONE,
) -> str:
    """Occurrences whose range touches a window: a range of the index for each length class."""
    home, collection = of
    return " union all ".join(
        f"select {columns} from {source} where c.home_id = {home} and c.collection_id = {collection} "  # noqa: S608
        f"and c.length_class = {number} and c.range_start < {end} "
        + (f"and c.range_start >= {start}::timestamptz - interval '{longest}' " if longest else "")
        + f"and c.range_end > {start} {condition}"
        for number, longest in _CLASSES
    )


def unexpanded(columns: str, start: str, end: str, *, of: tuple[str, str] = OF_ONE) -> str:
    """Objects whose stored occurrences do not cover a window that they may reach into."""
    home, collection = of
    return (
        f"select {columns} from object o "  # noqa: S608
        f"where o.home_id = {home} and o.collection_id = {collection} and o.deleted_revision is null "
        "and (o.expanded_from is not null or o.expanded_until is not null) "
        f"and (o.expanded_from > {start} or o.expanded_until < {end}) "
        f"and (o.span_start is null or o.span_start < {end}) "
        f"and (o.endless or o.span_end is null or o.span_end > {start})"
    )


_MATCHING = (
    "and c.kind = 0 and c.matches and coalesce(c.matches_from < $4, true) and coalesce(c.matches_until > $3, true)"
)
"""The timed occurrences that overlap the window (RFC 4791 §9.9), as a condition."""
_TIMING = "c.object_id, c.kind, c.start_at, c.recurrence_id, c.end_at, c.component"

TIMINGS = (
    " union all ".join(
        (
            stored(f"{_TIMING}, null::timestamptz, null::timestamptz", "$3", "$4", _MATCHING),
            stored(f"{_TIMING}, c.matches_from, c.matches_until", "$5", "$6", "and c.kind <> 0 and c.matches"),
            unexpanded(f"o.id, {PARTIAL}, null, '', null, 0, null, null", "$5", "$6"),
        )
    )
    + f" limit {MAX_TIMINGS + 1}"
)
"""Arguments: home, collection, start and end of the window, and of the window for floating times."""

# A constant: asyncpg sends the first second of the year 1 as minus infinity, from which nothing can be subtracted.
_MARGIN = f"interval '{FLOATING_MARGIN // timedelta(hours=1)} hours'"
_IN_EVERY_ZONE = (
    f"coalesce(c.matches_from < $4::timestamptz - {_MARGIN}, true) "
    f"and coalesce(c.matches_until > $3::timestamptz + {_MARGIN}, true)"
)
"""The floating times and dates that overlap the window in every zone, as a condition."""

OVERLAPPING = " union all ".join(
    (
        "select distinct t.object_id, 0::smallint as kind, null::timestamptz, null::timestamptz, null::timestamptz, "  # noqa: S608
        "null::timestamptz from ("
        + stored("c.object_id", "$3", "$4", _MATCHING)
        + " union all "
        + stored("c.object_id", "$3", "$4", f"and c.kind <> 0 and c.matches and {_IN_EVERY_ZONE}")
        + ") as t",
        stored(
            "c.object_id, c.kind, c.start_at, c.end_at, c.matches_from, c.matches_until",
            "$5",
            "$6",
            f"and c.kind <> 0 and c.matches and not ({_IN_EVERY_ZONE})",
        ),
        unexpanded(f"o.id, {PARTIAL}, null, null, null, null", "$5", "$6"),
    )
)
"""Arguments: as of `TIMINGS`. Returns objects, and those occurrences that overlap the window in some zones only."""


VIEW_BUSY = "case when v.object_id is null then o.neutral_busy else v.busy end"
"""The busy types of the components of the object `o` in the view `v`, by their index; null: those of the owner."""


@cache
def recurrences(*, viewed: bool) -> str:
    """The stored recurrences of objects.

    Arguments: home, collection, ids of objects, component types or null; the viewer if `viewed`. Code before
    `FIRST_WITH_RECURRENCE` did not write the recurrence.
    """
    return (
        f"select o.id, o.recurrence, {VIEW_BUSY if viewed else 'null'} "  # noqa: S608
        f"from object o{views.joined('$5') if viewed else ''} "
        "where o.home_id = $1 and o.id = any($3::bigint[]) and o.collection_id = $2 and o.deleted_revision is null "
        f"and octet_length(o.recurrence) <= {_LONGEST_RECURRENCE} and o.derived >= {derivation.FIRST_WITH_RECURRENCE} "
        "and ($4::text[] is null or o.component = any($4))"
    )


def stored_recurrences(rows: Sequence[Any]) -> list[StoredRecurrence]:
    """The recurrences from the rows of `recurrences`."""
    return [
        StoredRecurrence(object_id, recurrence, None if busy is None else tuple(BUSY[number] for number in busy))
        for object_id, recurrence, busy in rows
    ]


def aware(time: datetime) -> datetime:
    """A time as it was stored: asyncpg gives the first second of the year 1 as minus infinity, without a time zone."""
    return EARLIEST if time.tzinfo is None else time


def _floating(
    columns: tuple[datetime, datetime, datetime | None, datetime | None],
    kind: int,
    recurrence_id: str = "",
    component: int = 0,
) -> Occurrence:
    """A floating occurrence from its start, end, matches_from and matches_until."""
    start, end, since, until = (None if time is None else aware(time) for time in columns)
    assert start is not None
    assert end is not None
    return Occurrence(start, end, since, until, None, KINDS[kind], Busy.FREE, recurrence_id, component)


def overlapping(rows: Sequence[Any]) -> Overlapping:
    """The result from the rows of `OVERLAPPING`."""
    objects: list[int] = []
    floating: list[tuple[int, Occurrence]] = []
    unexpanded: list[int] = []
    for object_id, kind, start, end, since, until in rows:
        if kind == 0:
            objects.append(object_id)
        elif kind == PARTIAL:
            unexpanded.append(object_id)
        else:
            floating.append((object_id, _floating((start, end, since, until), kind)))
    return Overlapping(objects, floating, unexpanded)


def timings(rows: Sequence[Any]) -> Timings:
    """The result from the rows of `TIMINGS`."""
    timed: list[tuple[int, Timing]] = []
    floating: list[tuple[int, Occurrence]] = []
    unexpanded: list[int] = []
    for object_id, kind, start, recurrence_id, end, component, since, until in rows:
        if kind == 0:
            if start.tzinfo is None:
                start, end = EARLIEST, aware(end)
            timed.append((object_id, Timing(start, recurrence_id, end, Kind.TIMED, component)))
        elif kind == PARTIAL:
            unexpanded.append(object_id)
        else:
            floating.append((object_id, _floating((start, end, since, until), kind, recurrence_id, component)))
    return Timings(timed, floating, unexpanded)
