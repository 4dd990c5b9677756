"""Windows that the stored occurrences do not cover, computed from the stored recurrences of the objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from server.calendar.expand import MAX_EXPANDED
from server.calendar.freebusy import BusyPeriod, busy_of_recurrence, merge
from server.calendar.materialise import row_of, rows_within
from server.calendar.recurrence_set import RecurrenceSet
from server.calendar.stored_recurrence import load
from server.calendar.work import Work
from server.calendar.zones import Zone
from server.domain.errors import TooManyInstances
from server.domain.objects import Collection
from server.domain.occurrences import Timing
from server.domain.privileges import Privilege
from server.process.computing import computed
from server.services.lookup import Found
from server.services.permissions import readable
from server.storage import Storage
from server.storage.reads import MAX_TIMINGS, StoredRecurrence

_PAGE = 100
"""Recurrences that one statement reads."""


@dataclass(frozen=True, slots=True)
class Window:
    """A period of time, and the zone in which floating times and dates are understood."""

    start: datetime
    end: datetime
    zone: Zone


async def overlapping(
    storage: Storage, found: Found, ids: Sequence[int], window: Window, components: Sequence[str] | None
) -> Mapping[int, bool]:
    """Whether objects overlap a window, by id.

    The result lacks objects of other types than `components`, and those without a stored recurrence. An object counts
    as overlapping if its rule takes too much work in the window. Raises `AccessDenied`.
    """
    overlaps: dict[int, bool] = {}
    async for page in _pages(storage, readable(found), ids, components):
        overlaps.update(await computed(_overlapping, page, window))
    return overlaps


async def timings(storage: Storage, found: Found, ids: Sequence[int], window: Window) -> Mapping[int, Sequence[Timing]]:
    """The instances of objects that overlap a window, by id, in order of start and recurrence id.

    The result lacks objects without a stored recurrence, those with too many instances, and those that come after
    `MAX_TIMINGS` instances of others. Raises `AccessDenied`.
    """
    instances: dict[int, Sequence[Timing]] = {}
    room = MAX_TIMINGS
    async for page in _pages(storage, readable(found), ids, None):
        timings = await computed(_timings, page, window, room)
        instances.update(timings)
        room -= sum(map(len, timings.values()))
        if room <= 0:
            break
    return instances


async def busy(
    storage: Storage, found: Found, ids: Sequence[int], window: Window
) -> tuple[list[BusyPeriod], frozenset[int]]:
    """The busy periods of objects in a window, and the ids of those objects that have a stored recurrence.

    Raises `TooManyInstances` if a rule takes too much work because the window is long, and `AccessDenied`.
    """
    periods: list[BusyPeriod] = []
    known: set[int] = set()
    calendar = readable(found, Privilege.READ_FREE_BUSY)
    async for page in _pages(storage, calendar, ids, None):
        busy_periods, read = await computed(_busy, page, window, calendar.view is None)
        periods += busy_periods
        known.update(read)
    return periods, frozenset(known)


async def _pages(
    storage: Storage, collection: Collection, ids: Sequence[int], components: Sequence[str] | None
) -> AsyncIterator[Sequence[StoredRecurrence]]:
    for at in range(0, len(ids), _PAGE):
        found = await storage.recurrences(collection, ids[at : at + _PAGE], components=components)
        if found:
            yield found


def _overlapping(page: Sequence[StoredRecurrence], window: Window) -> dict[int, bool]:
    found: dict[int, bool] = {}
    for item in page:
        try:
            recurrences = load(item.recurrence, Work())
            if recurrences is not None:
                found[item.object_id] = _overlaps(recurrences, window)
        except TooManyInstances:
            found[item.object_id] = True
    return found


def _overlaps(recurrences: RecurrenceSet, window: Window) -> bool:
    if recurrences.floating_margin:
        return next(rows_within(recurrences, window.start, window.end, window.zone), None) is not None
    return recurrences.occurs(window.start, window.end)


def _timings(page: Sequence[StoredRecurrence], window: Window, room: int) -> dict[int, Sequence[Timing]]:
    found: dict[int, Sequence[Timing]] = {}
    for item in page:
        if room <= 0:
            break
        try:
            recurrences = load(item.recurrence, Work())
            if recurrences is None:
                continue
            rows = list(islice(rows_within(recurrences, window.start, window.end, window.zone), MAX_EXPANDED + 1))
        except TooManyInstances:
            continue
        if len(rows) > MAX_EXPANDED:
            continue
        rows.sort(key=lambda pair: (pair[0].start, pair[0].recurrence_id))
        room -= len(rows)
        found[item.object_id] = [
            Timing(row.start, row.recurrence_id, row.end, row.kind, row.component)
            for row in (row_of(instance) for _, instance in rows)
        ]
    return found


def _busy(page: Sequence[StoredRecurrence], window: Window, by_owner: bool) -> tuple[list[BusyPeriod], list[int]]:
    periods: list[BusyPeriod] = []
    read: list[int] = []
    for item in page:
        recurrences = load(item.recurrence, Work(), item.busy if by_owner else item.busy or ())
        if recurrences is not None:
            read.append(item.object_id)
            periods += busy_of_recurrence(recurrences, window.start, window.end, window.zone)
    # merged in the thread: few periods remain, even of a rule for every second
    return merge(periods, window.start, window.end), read
