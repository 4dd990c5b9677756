"""Dividing a series in two: what was before an instance becomes an object of its own (caldav-recursplit).

The object that is divided keeps its UID and what is from the instance on; a new object has what was before it, under a
UID of its own. The server divides the organizer's object, and the copy of each attendee here at the same instance
(`server.itip.split_copies`), so that everybody keeps alarms, answers and other parts of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from server.calendar.contentline import escape_text
from server.calendar.expand import written_time
from server.calendar.values import parse_calendar_time
from server.domain.errors import InvalidData, InvalidSplitPoint, SplitRefused
from server.domain.occurrences import Kind, later
from server.itip.instances import recurs, start_of
from server.itip.lines import made
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject
from server.itip.series_parts import SERIES, instances_from, series_before, series_from

RELATION = "X-CALENDARSERVER-RECURRENCE-SET"
"""RELTYPE of the RELATED-TO that both parts have."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a divided object; None where it has nothing on that side."""

    later: SchedulingObject | None
    """From the instance on, under the old UID."""
    earlier: SchedulingObject | None
    """Before the instance, under the new UID."""


@dataclass(frozen=True, slots=True)
class Split:
    """How a series is divided, and each copy of it alike."""

    at: str
    """The instance, as `split_point` gives it for the organizer's object."""
    uid: str
    """The UID of the earlier part, not escaped."""
    related: str
    """The UID that RELATED-TO names, where an object has none of this kind yet."""
    sequence: int | None
    """SEQUENCE of both parts; None leaves it as it is."""


def split_point(value: SchedulingObject, rid: str) -> str:
    """The instance at which a series is divided: the next on or after a time.

    :param rid: a DATE, a floating time, or else a time in UTC, as DTSTART of the series is.
    :raises InvalidSplitPoint: for a time in another form.
    :raises SplitRefused: for what does not recur, a time outside of the series, nothing before it, and a series with
        RANGE=THISANDFUTURE, whose overrides describe instances on both sides.
    """
    master, anchor = value.master, value.anchor
    if master is None or anchor is None or not recurs(master):
        raise SplitRefused("Only a series can be divided.")
    if value.ranges:
        raise SplitRefused("A series with RANGE=THISANDFUTURE cannot be divided.")
    try:
        time = parse_calendar_time(rid)
    except InvalidData:
        raise InvalidSplitPoint from None
    if (time.is_date, time.utc) != (anchor.kind is Kind.DATE, anchor.kind is Kind.TIMED):
        raise InvalidSplitPoint
    start = start_of(written_time(time.local, anchor.kind))
    assert start is not None
    found = next((each for each in instances_from(value, later(start, -_DAY), SERIES) if each[0] >= start), None)
    first = next(instances_from(value, None, SERIES), None)
    if found is None or first is None or found[0] <= first[0] or start < first[0]:
        raise SplitRefused("The series has no instances on one side of this time.")
    return found[1]


def divided(value: SchedulingObject, split: Split) -> Parts:
    """The parts of a series, or of an attendee's copy of it, divided at an instance.

    :raises InvalidData: for rules and times that cannot be read.
    """
    at = split.at
    if start_of(at) is None:
        raise SplitRefused
    earlier = _earlier(value, at)
    kept: list[SchedulingComponent] = []
    for component in value.components:
        if component.instance != MASTER:
            if component.instance >= at:
                kept.append(component)
            continue
        after = series_from(value, at)
        if after is not None:
            kept.append(after)

    def marked(component: SchedulingComponent) -> SchedulingComponent:
        component = _related(component, split.related)
        return component if split.sequence is None else component.with_value("SEQUENCE", str(split.sequence))

    def renamed(component: SchedulingComponent) -> SchedulingComponent:
        return marked(component).with_lines("UID", [made("UID", escape_text(split.uid))])

    return Parts(
        value.with_components(map(marked, kept)) if kept else None,
        value.with_components(map(renamed, earlier)) if earlier else None,
    )


def ended_before(value: SchedulingObject, time: datetime) -> SchedulingObject | None:
    """A series without the instances that begin at a time or later; None where it has no others, and for what does not
    recur or has RANGE=THISANDFUTURE.

    :param time: in UTC; floating times and dates count as if they were in UTC, too.
    :raises InvalidData: for rules and times that cannot be read.
    """
    master = value.master
    if master is None or value.anchor is None or not recurs(master) or value.ranges:
        return None
    found = next((each for each in instances_from(value, later(time, -_DAY), SERIES) if each[0] >= time), None)
    if found is None:
        return value
    earlier = _earlier(value, found[1])
    return value.with_components(earlier) if any(each.instance == MASTER for each in earlier) else None


def _earlier(value: SchedulingObject, at: str) -> list[SchedulingComponent]:
    """The components of what is before an instance."""
    found: list[SchedulingComponent] = []
    for component in value.components:
        if component.instance == MASTER:
            before = series_before(value, at)
            if before is not None:
                found.append(before)
        elif component.instance < at:
            found.append(component)
    return found


def _related(component: SchedulingComponent, related: str) -> SchedulingComponent:
    lines = component.all("RELATED-TO")
    if any((line.parameter("RELTYPE") or "").upper() == RELATION for line in lines):
        return component
    return component.with_lines("RELATED-TO", [*lines, made("RELATED-TO", related, {"RELTYPE": [RELATION]})])
