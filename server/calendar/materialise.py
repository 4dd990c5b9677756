"""From the component tree of a calendar object to its rows in time.

Single objects and series of up to `WHOLE` instances are materialised whole. Of endless and longer series the instances
from a year back to two years ahead are, of denser series those from a month back to three months ahead, and of still
denser ones none. What lies outside is computed when it is asked for, by arithmetic and not by walking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from server.calendar import stored_recurrence
from server.calendar.alarms import Span, alarm_triggers, next_ring
from server.calendar.calendar_object import CALENDAR_COMPONENTS
from server.calendar.component import Component
from server.calendar.component_times import Length, given, moment
from server.calendar.iana import NameKind, name_kind
from server.calendar.recurrence_set import Instance, RecurrenceSet, recurrence_set
from server.calendar.values import CalendarTime, Period, property_duration, property_time, property_times
from server.calendar.vtimezone import CalendarZones
from server.calendar.work import Work
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.errors import InvalidData, TooManyInstances
from server.domain.occurrences import (
    EARLIEST,
    LATEST,
    TRAVEL,
    AlarmTrigger,
    Busy,
    Kind,
    Materialised,
    NextRing,
    Occurrence,
    later,
    resolve,
)

WHOLE = 1000
"""A series of up to this many instances is materialised whole."""

MAX_ROWS = 5000
"""No object has more rows: of a denser series a shorter stretch is materialised, or nothing."""
_WORK = 50_000
"""Steps for looking whether a series is short, and again for each stretch of a long one."""

SECOND = timedelta(seconds=1)
_STRETCHES = (
    (timedelta(days=366), timedelta(days=731)),
    (timedelta(days=31), timedelta(days=92)),
)
"""How far back and ahead a series is materialised, the longest first.

The rows of a series that is too dense for the last would have to be computed again every few days."""
_ROW_WORK = 3
"""Steps of making a row of an instance and placing it, besides those of finding the instance."""
_RECURRING = frozenset(("VEVENT", "VTODO", "VJOURNAL"))
_OF_SERIES = frozenset(("RRULE", "EXRULE", "RDATE", "EXDATE", "FREEBUSY", "RECURRENCE-ID"))


def materialise(calendar: Component, now: datetime, declined: frozenset[int] = frozenset()) -> Materialised:
    """The occurrences, span and alarms of a calendar object.

    :param calendar: its VCALENDAR, whose components are of one type and have one UID.
    :param now: aware; only the part of a long series that is materialised depends on it.
    :param declined: the indexes of the events that the calendar's owner has declined: they are free.
    :raises InvalidCalendarData: for values of time that are none; `UnknownTimezone` is one of these errors.
    :raises TooManyInstances: for more dates than can be looked at.
    """
    components = [
        (index, component) for index, component in enumerate(calendar.components) if component.name != "VTIMEZONE"
    ]
    zones = CalendarZones(calendar)
    name = next((component.name for _, component in components if component.name in CALENDAR_COMPONENTS), "")
    components = [pair for pair in components if pair[1].name == name]
    if any(is_event_without_start(component) for _, component in components):
        rows = [_plain_row(EARLIEST, EARLIEST, None, None, Busy.FREE, index) for index, _ in components]
        return _whole(name, rows, components, zones, now, timeless=True)
    if name in _RECURRING:
        return _materialise_recurring(name, components, zones, now, declined)
    rows = []
    for index, component in components:
        if name == "VFREEBUSY":
            rows += freebusy_rows(component, index, zones)
        elif name == "VAVAILABILITY":
            rows.append(availability_row(component, index, zones))
    return _whole(name, rows, components, zones, now)


def stored_until(recurrences: RecurrenceSet, now: datetime) -> datetime | None:
    """Until when the instances of a series are stored; None if all are, and `now` if none is, or none will be when the
    series has begun, since they are too many.

    :param now: when it is stored; aware.
    """
    try:
        recurrences.work.refill(_WORK)
        if not recurrences.endless and len(list(islice(recurrences.instances(EARLIEST, LATEST), WHOLE + 1))) <= WHOLE:
            return None
        begins = recurrences.first() or now
    except TooManyInstances:
        return now
    _, end, _ = _around(recurrences, now)
    later_begin, later_end, _ = _around(recurrences, max(now, later(begins, _STRETCHES[-1][0])))
    return end if later_begin < later_end else now


def is_event_without_start(component: Component) -> bool:
    """Whether a component is an event of a scheduling message that says no start: it matches any window (RFC 6638
    §2.3)."""
    return component.name == "VEVENT" and component.first("DTSTART") is None


def is_single(calendar: Component) -> bool:
    """Whether `materialise` takes no longer than for one event: no component has a rule, or dates of a series.

    The rules of a zone count only where the zone follows them, not the zone data of its name.
    """
    for child in calendar.components:
        if child.name == "VTIMEZONE" and name_kind(child.text("TZID") or "") is NameKind.PLACE:
            continue
        for component in child.walk():
            for prop in component.properties:
                if prop.name in _OF_SERIES:
                    return False
    return True


def _materialise_recurring(
    name: str,
    components: list[tuple[int, Component]],
    zones: CalendarZones,
    now: datetime,
    declined: frozenset[int],
) -> Materialised:
    recurrences = recurrence_set(components, zones, Work(), declined)
    if not recurrences.recurs:
        single = recurrences.single()
        if single is not None:
            return _whole(name, rows_of(single), components, zones, now)
        rows = [timeless_task_row(component, index) for index, component in components if name == "VTODO"]
        return _whole(name, rows, components, zones, now, timeless=True)
    work = recurrences.work
    try:
        endless, span_end = recurrences.endless, None
        if not endless:
            work.refill(_WORK)
            span_end = recurrences.last()
            found = list(islice(recurrences.instances(EARLIEST, LATEST), WHOLE + 1))
            if len(found) <= WHOLE:
                return _whole(name, [row for each in found for row in rows_of(each)], components, zones, now)
    except TooManyInstances:
        endless, span_end = True, None
    begin, end, rows = _around(recurrences, now)
    work.refill(_WORK)
    try:
        span_start = recurrences.first()
    except TooManyInstances:
        span_start = None
    alarms = alarm_triggers(components)
    return Materialised(
        component=name,
        occurrences=tuple(rows),
        span_start=span_start,
        span_end=span_end,
        endless=endless,
        expanded_from=begin,
        expanded_until=end,
        alarms=alarms,
        next_rings=_next_rings(alarms, rows, zones, now),
        zones=_zone_keys(zones, rows),
        recurrence=stored_recurrence.dump(recurrences),
    )


def _around(recurrences: RecurrenceSet, now: datetime) -> tuple[datetime, datetime, list[Occurrence]]:
    """The longest stretch around now that has no more than `MAX_ROWS` rows; an empty one of a denser series."""
    now = now.replace(microsecond=0)
    for back, ahead in _STRETCHES:
        begin, end = later(now, -back), later(now, ahead)
        recurrences.work.refill(_WORK)
        try:
            found = list(islice(recurrences.instances(begin, end), MAX_ROWS + 1))
        except TooManyInstances:
            continue
        if len(found) <= MAX_ROWS:
            rows = [row for instance in found for row in rows_of(instance)]
            return begin, end, sorted(rows, key=lambda row: row.start)
    return now, now, []


def _whole(
    name: str,
    rows: list[Occurrence],
    components: Iterable[tuple[int, Component]],
    zones: CalendarZones,
    now: datetime,
    *,
    timeless: bool = False,
) -> Materialised:
    """An object of which all instances are known. What is `timeless` has nothing that an offset could count from."""
    rows.sort(key=lambda row: row.start)
    alarms = alarm_triggers(components)
    starts = [row.matches_from for row in rows if row.matches]
    ends = [row.matches_until for row in rows if row.matches]
    return Materialised(
        component=name,
        occurrences=tuple(rows),
        span_start=None if None in starts else min((time for time in starts if time), default=EARLIEST),
        span_end=None if None in ends else max((time for time in ends if time), default=EARLIEST),
        endless=False,
        expanded_from=None,
        expanded_until=None,
        alarms=alarms,
        next_rings=_next_rings(alarms, [] if timeless else rows, zones, now),
        zones=_zone_keys(zones, rows),
    )


def _next_rings(
    alarms: Sequence[AlarmTrigger], rows: Sequence[Occurrence], zones: CalendarZones, now: datetime
) -> tuple[NextRing, ...]:
    """When each alarm rings next; `rows` in order of start."""
    if not alarms:
        return ()
    by_key = {zone.key: zone for zone in zones.used}
    found = []
    for alarm in alarms:
        spans = [
            Span(row.start, row.end, row.kind, None if row.tzid is None else by_key.get(row.tzid))
            for row in rows
            if row.component == alarm.component
        ]
        ring = next_ring(alarm, spans, now)
        found.append(NextRing(None, floating=False) if ring is None else NextRing(ring.at, ring.floating))
    return tuple(found)


def _zone_keys(zones: CalendarZones, rows: Iterable[Occurrence]) -> tuple[str, ...]:
    keys = zones.keys | {row.tzid for row in rows if row.tzid is not None}
    return tuple(sorted(keys - {UTC_ZONE.key}))


def rows_of(instance: Instance) -> list[Occurrence]:
    """The row of an instance, and one for the travel before it and after it, which counts for free-busy only.

    These belong to no component: views and alarms do not see them.
    """
    row = row_of(instance)
    begin, finish = instance.busy
    if row.busy is Busy.FREE or row.start == row.end or (begin == row.start and finish == row.end):
        return [row]
    travel = [
        replace(row, start=start, end=end, matches_from=start, matches_until=end, component=TRAVEL, matches=False)
        for start, end in ((begin, row.start), (row.end, finish))
        if start < end
    ]
    return [row, *travel]


def row_of(instance: Instance) -> Occurrence:
    """The row of an instance."""
    start = instance.start
    return Occurrence(
        start=instance.start_utc,
        end=max(instance.end_utc, instance.start_utc),
        matches_from=instance.matches_from,
        matches_until=instance.matches_until,
        tzid=None if start.zone is None else start.zone.key,
        kind=start.kind,
        busy=instance.times.busy,
        recurrence_id=instance.recurrence_id,
        component=instance.times.index,
    )


def rows_within(
    recurrences: RecurrenceSet, start: datetime, end: datetime, zone: Zone, of: Component | None = None
) -> Iterator[tuple[Occurrence, Instance]]:
    """The instances that overlap a window (RFC 4791 §9.9), with their rows where a zone places floating ones.

    :param of: only those that this component describes.
    :raises TooManyInstances: when the work is used up.
    """
    margin = recurrences.floating_margin
    for instance in recurrences.instances(later(start, -margin), later(end, margin), of):
        recurrences.work.spend(_ROW_WORK)
        row = resolve(row_of(instance), zone)
        if row.overlaps(start, end):
            yield row, instance


def timeless_task_row(component: Component, index: int) -> Occurrence:
    """The row of a VTODO without DTSTART and DUE: by COMPLETED and CREATED (RFC 4791 §9.9)."""
    completed, created = _stamp(component, "COMPLETED"), _stamp(component, "CREATED")
    matches_from: datetime | None = None
    matches_until: datetime | None = None
    if completed is not None:
        earliest = completed if created is None else min(completed, created)
        latest = completed if created is None else max(completed, created)
        matches_from, matches_until = later(earliest, -SECOND), later(latest, SECOND)
    elif created is not None:
        matches_from = created
    start = completed or created or EARLIEST
    return _plain_row(start, start, matches_from, matches_until, Busy.FREE, index)


def freebusy_rows(component: Component, index: int, zones: CalendarZones) -> list[Occurrence]:
    """The rows of a VFREEBUSY (RFC 4791 §9.9): its own extent if it has one, and those of its periods."""
    start, end = _time(component, "DTSTART", zones), _time(component, "DTEND", zones)
    rows = []
    has_extent = False
    if start is not None and end is not None and start <= end:
        has_extent = True
        rows.append(_plain_row(start, end, start, later(end, SECOND), Busy.FREE, index))
    for busy, begin, finish in freebusy_periods(component, zones):
        rows.append(_plain_row(begin, finish, begin, finish, busy, index, matches=not has_extent))
    return rows


def freebusy_periods(component: Component, zones: CalendarZones) -> list[tuple[Busy, datetime, datetime]]:
    """The FREEBUSY periods of a VFREEBUSY: type, start and end in UTC."""
    found = []
    for prop in component.all("FREEBUSY"):
        busy = busy_type(prop.parameter("FBTYPE"), Busy.BUSY)
        for period in property_times(prop):
            if isinstance(period, Period):
                start = moment(period.start, zones).utc
                end = moment(period.end, zones).utc if isinstance(period.end, CalendarTime) else None
                if end is None and not isinstance(period.end, CalendarTime):
                    end = later(start, period.end.timedelta)
                if end is not None and end > start:
                    found.append((busy, start, end))
    return found


def busy_type(text: str | None, default: Busy) -> Busy:
    """A value of FBTYPE or BUSYTYPE; unknown ones count as BUSY (RFC 5545 §3.2.9)."""
    if text is None:
        return default
    value = text.strip().upper()
    return next((busy for busy in Busy if busy == value), Busy.BUSY)


def availability_row(component: Component, index: int, zones: CalendarZones) -> Occurrence:
    """The row of a VAVAILABILITY (RFC 7953 §7.2.2): its extent. What it makes busy is not in rows."""
    start, end = availability_extent(component, zones)
    return _plain_row(start or EARLIEST, end or LATEST, start, end, Busy.FREE, index)


def availability_extent(component: Component, zones: CalendarZones) -> tuple[datetime | None, datetime | None]:
    """Start and end of a VAVAILABILITY; None is unbounded (RFC 7953 §3.1)."""
    start, end = _time(component, "DTSTART", zones), _time(component, "DTEND", zones)
    duration, prop = given(component, "DURATION"), given(component, "DTSTART")
    if end is None and start is not None and prop is not None and duration is not None:
        begin = moment(property_time(prop), zones)
        end = Length(nominal=property_duration(duration)).end(begin, start)
    return start, end


def _plain_row(
    start: datetime,
    end: datetime,
    matches_from: datetime | None,
    matches_until: datetime | None,
    busy: Busy,
    index: int,
    *,
    matches: bool = True,
) -> Occurrence:
    """A row in UTC that does not recur."""
    return Occurrence(
        start=start,
        end=end,
        matches_from=matches_from,
        matches_until=matches_until,
        tzid=UTC_ZONE.key,
        kind=Kind.TIMED,
        busy=busy,
        recurrence_id="",
        component=index,
        matches=matches,
    )


def _time(component: Component, name: str, zones: CalendarZones) -> datetime | None:
    prop = given(component, name)
    return None if prop is None else moment(property_time(prop), zones).utc


def _stamp(component: Component, name: str) -> datetime | None:
    """COMPLETED or CREATED, which are in UTC; None also for a value that is no time or has an unknown zone."""
    prop = component.first(name)
    if prop is None:
        return None
    try:
        return moment(property_time(prop), CalendarZones(component)).utc
    except InvalidData:
        return None
