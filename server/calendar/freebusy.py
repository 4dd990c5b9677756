"""Free-busy: from occurrences and availability to a VFREEBUSY (RFC 4791 §7.10, RFC 7953 §4 and §5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from server.calendar.component import Component
from server.calendar.contentline import fold
from server.calendar.materialise import availability_extent, busy_type, freebusy_periods, rows_within
from server.calendar.recurrence_set import RecurrenceSet, recurrence_set
from server.calendar.vtimezone import CalendarZones
from server.calendar.work import Work
from server.calendar.zones import Zone
from server.domain.errors import TooManyInstances
from server.domain.occurrences import Busy, later

_STRENGTH = {Busy.BUSY: 3, Busy.UNAVAILABLE: 2, Busy.TENTATIVE: 1, Busy.FREE: 0}
"""RFC 7953 §4: which type holds where availabilities of one priority overlap."""


class BusyPeriod(NamedTuple):
    """A half-open stretch of time (UTC) with its type; never FREE in what functions give."""

    start: datetime
    end: datetime
    busy: Busy


def merge(periods: Iterable[BusyPeriod], start: datetime, end: datetime) -> list[BusyPeriod]:
    """The busy periods within a window, those of one type that overlap or touch put together; by type, then start.

    Periods of different types may overlap (RFC 4791 §7.10).
    """
    clipped = [
        (busy, begin if begin > start else start, finish if finish < end else end)
        for begin, finish, busy in periods
        if busy is not Busy.FREE and begin < end and finish > start and begin < finish
    ]
    clipped.sort()
    merged: list[BusyPeriod] = []
    for busy, begin, finish in clipped:
        if merged and merged[-1].busy is busy and begin <= merged[-1].end:
            if finish > merged[-1].end:
                merged[-1] = BusyPeriod(merged[-1].start, finish, busy)
        else:
            merged.append(BusyPeriod(begin, finish, busy))
    return merged


def clip(periods: Iterable[tuple[Busy, datetime, datetime]], start: datetime, end: datetime) -> list[BusyPeriod]:
    """As `merge`, for periods that are merged already: those of one type ascend, and neither overlap nor touch."""
    of_types: dict[Busy, list[BusyPeriod]] = {}
    for busy, begin, finish in periods:
        if begin < end and finish > start:
            if begin < start or finish > end:
                begin, finish = max(begin, start), min(finish, end)
            of_types.setdefault(busy, []).append(BusyPeriod(begin, finish, busy))
    return [period for busy in sorted(of_types) for period in of_types[busy]]


DENSE_WINDOW = timedelta(days=3660)
"""Where the work for a window up to this length is used up, the series is too dense and not the window too long."""


def busy_of_recurrence(recurrences: RecurrenceSet, start: datetime, end: datetime, zone: Zone) -> list[BusyPeriod]:
    """The busy periods of an event's instances in a window; not merged, not clipped.

    Of a series that is too dense for its share of work, all time behind the last instance that was computed is busy.

    :param zone: gives floating times and dates their place.
    :raises TooManyInstances: when it takes too much work because the window is long.
    """
    found: list[BusyPeriod] = []
    try:
        found.extend(_busy_instances(recurrences, start, end, zone))
    except TooManyInstances:
        if end - start > DENSE_WINDOW and not recurrences.is_dense:
            raise
        busy = Busy.FREE if recurrences.master is None else recurrences.master.busy
        # Overrides come before the ascending instances of the rule.
        since = found[-1].start if found and not recurrences.parts.overrides else start
        found.append(BusyPeriod(since, end, busy))
    return found


def _busy_instances(recurrences: RecurrenceSet, start: datetime, end: datetime, zone: Zone) -> Iterator[BusyPeriod]:
    if not recurrences.floating_margin:
        for times in recurrences.busy_times(start, end):
            yield BusyPeriod(*times)
        return
    before, after = recurrences.travel
    for row, instance in rows_within(recurrences, later(start, -after), later(end, before), zone):
        if row.busy is not Busy.FREE and row.start < row.end:
            yield BusyPeriod(*instance.times.busy_around(row.kind, row.start, row.end), row.busy)


def busy_of_object(
    calendar: Component,
    start: datetime,
    end: datetime,
    zone: Zone,
    work: Work | None = None,
    declined: frozenset[int] = frozenset(),
) -> list[BusyPeriod]:
    """The busy periods of a calendar object's events and VFREEBUSY in a window, from its text; not merged, not clipped.

    :param zone: gives floating times and dates their place.
    :param declined: the indexes of the events that the calendar's owner has declined.
    :raises TooManyInstances: when it takes too much work.
    """
    zones = CalendarZones(calendar)
    found: list[BusyPeriod] = []
    events = [pair for pair in enumerate(calendar.components) if pair[1].name == "VEVENT"]
    if events:
        found += busy_of_recurrence(recurrence_set(events, zones, work or Work(), declined), start, end, zone)
    for component in calendar.components:
        if component.name == "VFREEBUSY":
            for busy, begin, finish in freebusy_periods(component, zones):
                if busy is not Busy.FREE and begin < end and finish > start:
                    found.append(BusyPeriod(begin, finish, busy))
    return found


def unavailable(
    calendars: Iterable[Component], start: datetime, end: datetime, zone: Zone, work: Work | None = None
) -> list[BusyPeriod]:
    """The busy periods of VAVAILABILITY components in a window (RFC 7953 §4), ascending and without overlap.

    From the lowest to the highest priority, each sets its extent to busy and its AVAILABLE instances to free. Those of
    one priority count together: the strongest type holds where they overlap, and what is available in one is free.

    :param calendars: VCALENDARs that hold VAVAILABILITY; others count for nothing.
    :raises TooManyInstances: when it takes too much work.
    """
    work = work or Work()
    ranked = []
    for calendar in calendars:
        zones = CalendarZones(calendar)
        for component in calendar.components:
            if component.name != "VAVAILABILITY":
                continue
            first, last = availability_extent(component, zones)
            begin = start if first is None else max(first, start)
            finish = end if last is None else min(last, end)
            if begin < finish:
                ranked.append((_rank(component), component, zones, begin, finish))
    ranked.sort(key=lambda item: item[0])
    timeline = [BusyPeriod(start, end, Busy.FREE)]
    for _, group in groupby(ranked, key=lambda item: item[0]):
        members = list(group)
        busy = [
            BusyPeriod(begin, finish, busy_type(component.text("BUSYTYPE"), Busy.UNAVAILABLE))
            for _, component, _, begin, finish in members
        ]
        for period in sorted(busy, key=lambda period: _STRENGTH[period.busy]):
            work.spend(len(timeline))
            timeline = _painted(timeline, [period])
        for _, component, zones, begin, finish in members:
            work.spend(len(timeline))
            timeline = _painted(timeline, _available(component, zones, begin, finish, zone, work))
    return [period for period in timeline if period.busy is not Busy.FREE]


def _rank(component: Component) -> int:
    """The order of priorities: 0 and none come first, then 9 to 1 (RFC 7953 §4)."""
    text = (component.text("PRIORITY") or "").strip()
    return -int(text) if len(text) == 1 and text in "123456789" else -10


def _available(
    component: Component, zones: CalendarZones, start: datetime, end: datetime, zone: Zone, work: Work
) -> list[BusyPeriod]:
    """The AVAILABLE instances of a VAVAILABILITY within a window, as free periods, ascending and without overlap."""
    by_uid: dict[str, list[tuple[int, Component]]] = {}
    for index, child in enumerate(component.components):
        if child.name == "AVAILABLE":
            by_uid.setdefault(child.text("UID") or str(index), []).append((index, child))
    found = []
    for components in by_uid.values():
        recurrences = recurrence_set(components, zones, work)
        for row, _ in rows_within(recurrences, start, end, zone):
            if row.start < row.end:
                found.append((max(row.start, start), min(row.end, end)))
    free: list[BusyPeriod] = []
    for first, last in sorted(found):
        if free and first <= free[-1].end:
            free[-1] = BusyPeriod(free[-1].start, max(free[-1].end, last), Busy.FREE)
        else:
            free.append(BusyPeriod(first, last, Busy.FREE))
    return free


def _painted(timeline: Sequence[BusyPeriod], strokes: Sequence[BusyPeriod]) -> list[BusyPeriod]:
    """A gapless timeline with ascending periods laid over it; neighbours of one type are put together."""
    result: list[BusyPeriod] = []

    def add(start: datetime, end: datetime, busy: Busy) -> None:
        if start >= end:
            return
        if result and result[-1].busy is busy and result[-1].end == start:
            result[-1] = BusyPeriod(result[-1].start, end, busy)
        else:
            result.append(BusyPeriod(start, end, busy))

    position = 0
    for period in timeline:
        cursor = period.start
        while position < len(strokes) and strokes[position].start < period.end:
            stroke = strokes[position]
            add(cursor, max(stroke.start, cursor), period.busy)
            add(max(stroke.start, period.start), min(stroke.end, period.end), stroke.busy)
            cursor = max(cursor, min(stroke.end, period.end))
            if stroke.end > period.end:
                break
            position += 1
        add(cursor, period.end, period.busy)
    return result


def freebusy_lines(periods: Iterable[BusyPeriod]) -> str:
    """FREEBUSY properties of merged periods, one for each type (RFC 5545 §3.8.2.6)."""
    lines = []
    for busy, group in groupby(periods, key=lambda period: period.busy):
        values = ",".join(f"{_utc(period.start)}/{_utc(period.end)}" for period in group)
        parameter = "" if busy is Busy.BUSY else f";FBTYPE={busy.value}"
        lines.append(fold(f"FREEBUSY{parameter}:{values}"))
    return "".join(lines)


def freebusy_calendar(
    periods: Iterable[BusyPeriod],
    start: datetime,
    end: datetime,
    now: datetime,
    product_id: str,
    properties: str = "",
    method: str = "",
) -> str:
    """The answer to free-busy-query, or an iTIP message: a VCALENDAR with one VFREEBUSY (RFC 4791 §7.10).

    :param periods: as `merge` gives them.
    :param properties: content lines to stand in the VFREEBUSY besides, such as UID, ORGANIZER and ATTENDEE.
    :param method: METHOD of an iTIP message (RFC 5546 §3.3).
    """
    told = f"METHOD:{method}\r\n" if method else ""
    return (
        f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{fold(f'PRODID:{product_id}')}{told}BEGIN:VFREEBUSY\r\n{properties}"
        f"DTSTAMP:{_utc(now)}\r\nDTSTART:{_utc(start)}\r\nDTEND:{_utc(end)}\r\n{freebusy_lines(periods)}"
        "END:VFREEBUSY\r\nEND:VCALENDAR\r\n"
    )


def _utc(time: datetime) -> str:
    # Spelled by parts that many times share: an answer for many people has thousands of times.
    return _day(time.toordinal()) + _time_of_day(time.hour, time.minute, time.second)


@lru_cache(maxsize=1024)
def _day(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat().replace("-", "") + "T"


@lru_cache(maxsize=1024)
def _time_of_day(hour: int, minute: int, second: int) -> str:
    return f"{hour:02}{minute:02}{second:02}Z"
