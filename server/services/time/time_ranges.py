"""The objects of a calendar that overlap a window: from the stored occurrences, and from texts for windows beyond
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from server.calendar.calendar_object import read_timezone
from server.calendar.component import parse_calendar
from server.calendar.filters import TimeRange
from server.calendar.timerange import TimeRangeMatcher
from server.calendar.vtimezone import zone_of_component
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.errors import InvalidData, TooManyInstances
from server.domain.objects import Collection
from server.domain.occurrences import EARLIEST, FLOATING_MARGIN, LATEST, Kind, Timing, later, resolve
from server.domain.rows import Row
from server.process.computing import computed
from server.services.lookup import Found
from server.services.permissions import readable
from server.services.text_pages import TEXTS, members_by_id
from server.services.time import distant
from server.storage import Storage
from server.storage.reads import Timings

_MANY = 2_000
"""Number of occurrences from which they are sorted in a thread."""
_KEPT_LENGTH = 10_000
"""Characters of a text up to which its zone is cached; the whole history of any zone is shorter."""
_KEPT = 256
"""Zones in the cache."""
_zones: dict[str, Zone] = {}


async def zone_of_text(text: str) -> Zone:
    """The zone of a CALDAV:calendar-timezone or CALDAV:timezone, cached; it is parsed in a thread.

    Raises `InvalidCalendarData`, `TooManyInstances`.
    """
    zone = _zones.get(text)
    if zone is None:
        zone = await computed(_zone_of_text, text)
        if len(text) <= _KEPT_LENGTH:
            while len(_zones) >= _KEPT:
                del _zones[next(iter(_zones))]
            _zones[text] = zone
    return zone


def _zone_of_text(text: str) -> Zone:
    return zone_of_component(read_timezone(text)[1])


async def zone_of_calendar(collection: Collection) -> Zone:
    """The zone for floating times and dates of a calendar, if the request names none (RFC 4791 §5.2.2)."""
    return UTC_ZONE if collection.timezone is None else await zone_or_utc(collection.timezone)


async def zone_or_utc(text: str) -> Zone:
    """The zone of a CALDAV:calendar-timezone; UTC where it is none."""
    try:
        return await zone_of_text(text)
    except InvalidData:
        return UTC_ZONE


def widened(time_range: TimeRange) -> TimeRange:
    """The window in which floating times and dates of any zone are found."""
    return TimeRange(
        None if time_range.start is None else later(time_range.start, -FLOATING_MARGIN),
        None if time_range.end is None else later(time_range.end, FLOATING_MARGIN),
    )


async def objects_in(
    storage: Storage,
    found: Found,
    time_range: TimeRange,
    zone: Zone,
    stored: StoredOccurrences | None = None,
    *,
    components: Sequence[str] | None = None,
) -> frozenset[int]:
    """Ids of the objects of the found calendar with an occurrence that overlaps a window (RFC 4791 §9.9).

    `stored` are occurrences that were read before for the same zone; they are used if the window is the same. Objects
    whose occurrences are not all stored are read only if they have one of the types in `components`; None: all types.
    An object whose rule takes too much work in the window counts as overlapping. Raises `AccessDenied`.
    """
    collection = readable(found)
    if stored is not None and stored.time_range == time_range:
        ids, unexpanded = set(stored.by_object), sorted(stored.unexpanded)
    else:
        wide = widened(time_range)
        overlapping = await storage.overlapping(collection, _bounds(time_range), _bounds(wide))
        ids = set(overlapping.objects)
        for object_id, occurrence in overlapping.floating:
            if object_id not in ids and resolve(occurrence, zone).overlaps(time_range.start, time_range.end):
                ids.add(object_id)
        unexpanded = list(overlapping.unexpanded)
    left = [object_id for object_id in unexpanded if object_id not in ids]
    if left:
        far = await distant.overlapping(storage, found, left, _window(time_range, zone), components)
        ids.update(object_id for object_id, overlaps in far.items() if overlaps)
        left = [object_id for object_id in left if object_id not in far]
    async for texts in members_by_id(storage, found, left, ("id", "text"), TEXTS, components=components):
        ids.update(await computed(_overlapping, texts, time_range, zone))
    return frozenset(ids)


async def ringing_in(storage: Storage, found: Found, time_range: TimeRange) -> frozenset[int]:
    """Ids of the objects of the found calendar that may have an alarm in a window, in any zone. Raises
    `AccessDenied`."""
    return frozenset(await storage.ringing(readable(found), _bounds(time_range)))


@dataclass(frozen=True, slots=True)
class StoredOccurrences:
    """The stored occurrences of a calendar that overlap a window."""

    time_range: TimeRange
    by_object: Mapping[int, Sequence[Timing]]
    """As `timings_by_object` returns them."""
    unexpanded: frozenset[int]
    """Objects whose occurrences in the window are not all stored."""
    revision: int
    """Objects with a later revision may have changed since."""

    def of(self, object_id: int, revision: int) -> Sequence[Timing] | None:
        """All occurrences of an object in the window; None if they are not known for its revision."""
        if revision > self.revision or object_id in self.unexpanded:
            return None
        return self.by_object.get(object_id, ())


async def stored_in(storage: Storage, found: Found, time_range: TimeRange, zone: Zone) -> StoredOccurrences | None:
    """The stored occurrences of the found calendar that overlap a window.

    None if there are more than `MAX_TIMINGS`. Raises `AccessDenied`.
    """
    collection = readable(found)
    rows = await storage.timings(collection, _bounds(time_range), _bounds(widened(time_range)))
    if rows is None:
        return None
    many = len(rows.timed) + len(rows.floating) > _MANY
    sorted_timings = (
        await computed(timings_by_object, rows, time_range, zone) if many else timings_by_object(rows, time_range, zone)
    )
    by_object: dict[int, Sequence[Timing]] = {**sorted_timings}
    unexpanded = frozenset(rows.unexpanded)
    if unexpanded:
        far = await distant.timings(storage, found, sorted(unexpanded), _window(time_range, zone))
        unexpanded -= far.keys()
        for object_id, found_timings in far.items():
            # The stored occurrences may be only some of those in the window.
            by_object.pop(object_id, None)
            if found_timings:
                by_object[object_id] = found_timings
    return StoredOccurrences(time_range, by_object, unexpanded, collection.revision)


def timings_by_object(found: Timings, time_range: TimeRange, zone: Zone) -> dict[int, list[Timing]]:
    """The instances that overlap a window, by object, in order of start in the zone and recurrence id.

    Floating times and dates are returned as they are stored, not converted to the zone.
    """
    by_object: dict[int, list[Timing]] = {}
    for object_id, timing in found.timed:
        if object_id in by_object:
            by_object[object_id].append(timing)
        else:
            by_object[object_id] = [timing]
    mixed: set[int] = set()
    for object_id, item in found.floating:
        if resolve(item, zone).overlaps(time_range.start, time_range.end):
            timing = Timing(item.start, item.recurrence_id, item.end, item.kind, item.component)
            by_object.setdefault(object_id, []).append(timing)
            mixed.add(object_id)

    def place(timing: Timing) -> tuple[datetime, str]:
        timed = timing.kind is Kind.TIMED
        return timing.start if timed else zone.to_utc(timing.start.replace(tzinfo=None)), timing.recurrence_id

    for object_id, timings in by_object.items():
        if len(timings) > 1:
            timings.sort(key=place if object_id in mixed else None)
    return by_object


def _window(time_range: TimeRange, zone: Zone) -> distant.Window:
    return distant.Window(*_bounds(time_range), zone)


def _bounds(time_range: TimeRange) -> tuple[datetime, datetime]:
    return time_range.start or EARLIEST, time_range.end or LATEST


def _overlapping(rows: Sequence[Row], time_range: TimeRange, zone: Zone) -> list[int]:
    return [row[0] for row in rows if text_overlaps(row[1], time_range, zone)]


def text_overlaps(text: str, time_range: TimeRange, zone: Zone) -> bool:
    """Whether any component of an object overlaps a window, by its text. True if the computation takes too much
    work."""
    calendar = parse_calendar(text)
    matcher = TimeRangeMatcher(calendar, zone)
    try:
        return matcher.any_component(time_range)
    except TooManyInstances:
        return True
