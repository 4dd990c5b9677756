"""When alarms ring (RFC 5545 §3.6.6, §3.8.6.3)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from server.calendar.component import Component
from server.calendar.component_times import as_utc
from server.calendar.values import property_duration, property_time
from server.calendar.zones import Zone
from server.domain.errors import InvalidCalendarData
from server.domain.occurrences import FLOATING_MARGIN, AlarmTrigger, Kind, later

MAX_REPEAT = 10**6

_LONGEST = 366 * 9999 * 86400
"""Seconds; no alarm rings on for longer."""

_SLACK = timedelta(days=2)
"""More than a change of a zone's offset moves a ring, and than two zones lie apart."""


class Span(NamedTuple):
    """The times of an occurrence, as stored."""

    start: datetime
    end: datetime
    kind: Kind
    zone: Zone | None
    """By whose calendar days count; None for floating times and dates."""


class Ring(NamedTuple):
    """A ring of an alarm."""

    at: datetime
    """In UTC; of a floating time without a place, as if in UTC."""
    occurrence: int | None
    """The index of the occurrence that it belongs to; None for an absolute trigger."""
    floating: bool


def alarm_triggers(components: Iterable[tuple[int, Component]]) -> tuple[AlarmTrigger, ...]:
    """The triggers of the alarms of components, which come with their index among the calendar's components.

    An alarm without a trigger that can be read never rings.
    """
    return tuple(
        trigger
        for index, component in components
        for number, alarm in enumerate(component.children("VALARM"))
        if (trigger := alarm_trigger(alarm, index, number)) is not None
    )


def alarm_trigger(alarm: Component, component: int, number: int) -> AlarmTrigger | None:
    """The trigger of one VALARM: of the component with an index, its `number`-th alarm."""
    trigger = alarm.first("TRIGGER")
    if trigger is None:
        return None
    repeat, interval = _repetition(alarm)
    try:
        if trigger.value.strip()[:1].isdigit():
            time = property_time(trigger)
            at = as_utc(time.local, None)
            return AlarmTrigger(component, number, at, 0, 0, False, repeat, interval)
        offset = property_duration(trigger)
    except InvalidCalendarData:
        return None
    from_end = (trigger.parameter("RELATED") or "").strip().upper() == "END"
    return AlarmTrigger(component, number, None, offset.days, offset.seconds, from_end, repeat, interval)


def _repetition(alarm: Component) -> tuple[int, int]:
    """REPEAT and DURATION in seconds; both or none."""
    repeat, duration = alarm.first("REPEAT"), alarm.first("DURATION")
    if repeat is None or duration is None:
        return 0, 0
    text = repeat.value.strip()
    try:
        interval = property_duration(duration).timedelta // timedelta(seconds=1)
    except InvalidCalendarData:
        return 0, 0
    if not (text.isascii() and text.isdigit()) or interval <= 0:
        return 0, 0
    return min(int(text[:9]), MAX_REPEAT, _LONGEST // interval), interval


def first_ring(trigger: AlarmTrigger, start: datetime, end: datetime, zone: Zone | None) -> datetime:
    """When an alarm rings first for an occurrence: days count by the calendar of the occurrence's zone.

    :param start: with `end` in UTC; floating times and dates as if in UTC, and so is the result.
    :param zone: by whose calendar days count; None for floating times and dates that have no place yet.
    """
    if trigger.at is not None:
        return trigger.at
    base = end if trigger.from_end else start
    if trigger.days and zone is not None:
        local = later(zone.to_local(base), timedelta(days=trigger.days))
        return later(zone.to_utc(local), timedelta(seconds=trigger.seconds))
    return later(base, timedelta(days=trigger.days, seconds=trigger.seconds))


def rings_within(trigger: AlarmTrigger, first: datetime, start: datetime | None, end: datetime | None) -> bool:
    """Whether an alarm that rings first at a time rings in a window, repetitions included (RFC 4791 §9.9)."""
    if end is not None and first >= end:
        return False
    if start is None or first >= start:
        return True
    if not trigger.repeat:
        return False
    number = -(-(start - first) // timedelta(seconds=trigger.interval))
    ring = later(first, timedelta(seconds=number * trigger.interval))
    return number <= trigger.repeat and (end is None or ring < end)


def next_ring(trigger: AlarmTrigger, spans: Iterable[Span], since: datetime, place: Zone | None = None) -> Ring | None:
    """The first ring of an alarm that is not before a time, repetitions included; None: there is none.

    :param spans: the occurrences of its component in order of start, from the first on whose rings are not all before
        that time.
    :param place: the zone that gives floating times and dates their place. Without it they ring as if in UTC, and the
        ring is the first one that may not be before that time in any zone.
    """
    if trigger.at is not None:
        at = _ring_since(trigger, trigger.at, since)
        return None if at is None else Ring(at, None, floating=False)
    found: Ring | None = None
    lead, reach = trigger.earliest - _SLACK, trigger.latest + _SLACK
    for index, (start, end, kind, zone) in enumerate(spans):
        floating, earliest = kind is not Kind.TIMED, since
        if floating and place is None:
            earliest = later(since, -FLOATING_MARGIN)
        elif floating and place is not None:
            start, end, zone = place.to_utc(start.replace(tzinfo=None)), place.to_utc(end.replace(tzinfo=None)), place
        if found is not None and later(start, lead) > found.at:
            break
        if end < earliest and later(end, reach) < earliest:
            continue
        at = _ring_since(trigger, first_ring(trigger, start, end, zone), earliest)
        if at is not None and (found is None or at < found.at):
            found = Ring(at, index, floating)
    return found


def _ring_since(trigger: AlarmTrigger, first: datetime, since: datetime) -> datetime | None:
    """The first ring that is not before a time, of those that begin with `first`."""
    if first >= since:
        return first
    if not trigger.repeat:
        return None
    number = -(-(since - first) // timedelta(seconds=trigger.interval))
    return later(first, timedelta(seconds=number * trigger.interval)) if number <= trigger.repeat else None
