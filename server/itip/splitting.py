"""Dividing a series in two: what was before an instance becomes an object of its own (caldav-recursplit).

The object that is divided keeps its UID and what is from the instance on; a new object has what was before it, under a
UID of its own. The server divides the organizer's object, and the copy of each attendee here at the same instance
(`server.itip.split_copies`), so that everybody keeps alarms, answers and other parts of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.calendar.contentline import escape_text
from server.calendar.expand import written_time
from server.calendar.recurrence_ids import instance_id
from server.calendar.recurrence_set import recurrence_set
from server.calendar.rrule import parse_rule
from server.calendar.values import listed_values, parse_calendar_time
from server.calendar.work import Work
from server.domain.errors import InvalidData, InvalidSplitPoint, SplitRefused
from server.domain.occurrences import LATEST, Kind, later
from server.itip.instances import derived, is_range, recurs, start_of
from server.itip.lines import Line, made
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

RELATION = "X-CALENDARSERVER-RECURRENCE-SET"
"""RELTYPE of the RELATED-TO that both parts have."""

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_TIMES = ("DTSTART", "DTEND", "DUE")
_ALL = ("RRULE", "RDATE", "EXDATE", "EXRULE")


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
    if any(map(is_range, value.overrides)):
        raise SplitRefused("A series with RANGE=THISANDFUTURE cannot be divided.")
    try:
        time = parse_calendar_time(rid)
    except InvalidData:
        raise InvalidSplitPoint from None
    if (time.is_date, time.utc) != (anchor.kind is Kind.DATE, anchor.kind is Kind.TIMED):
        raise InvalidSplitPoint
    start = start_of(written_time(time.local, anchor.kind))
    assert start is not None
    found = next((each for each in _instances(value, later(start, -_DAY), _ALL) if each[0] >= start), None)
    first = next(_instances(value, None, _ALL), None)
    if found is None or first is None or found[0] <= first[0] or start < first[0]:
        raise SplitRefused("The series has no instances on one side of this time.")
    return found[1]


def divided(value: SchedulingObject, split: Split) -> Parts:
    """The parts of a series, or of an attendee's copy of it, divided at an instance.

    :raises InvalidData: for rules and times that cannot be read.
    """
    at, point = split.at, start_of(split.at)
    if point is None:
        raise SplitRefused
    earlier = _earlier(value, at, point)
    kept: list[SchedulingComponent] = []
    for component in value.components:
        if component.instance != MASTER:
            if component.instance >= at:
                kept.append(component)
            continue
        after = _later_master(value, component, at, point)
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
    if master is None or value.anchor is None or not recurs(master) or any(map(is_range, value.overrides)):
        return None
    found = next((each for each in _instances(value, later(time, -_DAY), _ALL) if each[0] >= time), None)
    if found is None:
        return value
    earlier = _earlier(value, found[1], found[0])
    return value.with_components(earlier) if any(each.instance == MASTER for each in earlier) else None


def _earlier(value: SchedulingObject, at: str, point: datetime) -> list[SchedulingComponent]:
    """The components of what is before an instance."""
    found: list[SchedulingComponent] = []
    for component in value.components:
        if component.instance == MASTER:
            before = _earlier_master(value, component, at, point)
            if before is not None:
                found.append(before)
        elif component.instance < at:
            found.append(component)
    return found


def _instances(
    value: SchedulingObject, start: datetime | None, names: tuple[str, ...]
) -> Iterator[tuple[datetime, str]]:
    """The instances that some properties of the master give from a time on, in order."""
    master, anchor = value.master, value.anchor
    assert master is not None
    assert anchor is not None
    gone = tuple(set(_ALL) - set(names))
    found = recurrence_set([(0, master.without(*gone).component)], value.zones, Work())
    if not found.recurs:
        yield anchor.utc, instance_id(anchor.utc, anchor)
        return
    begin = later(anchor.utc, -_DAY) if start is None else start
    for instance in found.instances(begin, LATEST):
        yield instance.start_utc, instance.recurrence_id


def _earlier_master(
    value: SchedulingObject, master: SchedulingComponent, at: str, point: datetime
) -> SchedulingComponent | None:
    """The series up to the instance; None where it has none before it."""
    anchor = value.anchor
    if anchor is None or anchor.utc >= point:
        return None
    is_date = anchor.kind is Kind.DATE
    until = written_time(later(point, -_DAY if is_date else -_SECOND), anchor.kind)

    def bounded(line: Line) -> Line | None:
        if line.name != "RRULE":
            return _filtered(value, line, lambda instance: instance < at)
        parts = [part for part in line.value.strip().split(";") if part and not _is_part(part, "UNTIL", "COUNT")]
        if next(_instances(value, None, ("RRULE",)))[0] >= point:
            return None
        return line.with_value(";".join([*parts, f"UNTIL={until}"])) if _reaches(value, point) else line

    series = master.map_lines(bounded)
    only = instance_id(anchor.utc, anchor)
    return None if not recurs(series) and only in value.exdates else series


def _later_master(
    value: SchedulingObject, master: SchedulingComponent, at: str, point: datetime
) -> SchedulingComponent | None:
    """The series from the instance on; None where it has none."""
    by_rule = _first(value, point, ("RRULE",)) if master.first("RRULE") is not None else None
    start = by_rule or _first(value, point, ("RDATE",))
    if start is None:
        return None
    model = derived(value.with_components([master]), start)
    if model is None:
        return None
    times = {name: model.first(name) for name in _TIMES}

    def moved(line: Line) -> Line | None:
        if line.name in times:
            return times[line.name] or line
        if line.name != "RRULE":
            return _filtered(value, line, lambda instance: instance >= at)
        if by_rule is None:
            return None
        count = parse_rule(line.value).count
        if count is None:
            return line
        before = sum(1 for _ in _until(_instances(value, None, ("RRULE",)), point))
        parts = [
            f"COUNT={count - before}" if _is_part(part, "COUNT") else part for part in line.value.strip().split(";")
        ]
        return line.with_value(";".join(parts))

    series = master.map_lines(moved)
    return None if not recurs(series) and start in value.exdates else series


def _first(value: SchedulingObject, point: datetime, names: tuple[str, ...]) -> str | None:
    """The first instance that some properties give from a time on."""
    return next((each for start, each in _instances(value, later(point, -_DAY), names) if start >= point), None)


def _reaches(value: SchedulingObject, point: datetime) -> bool:
    return _first(value, point, ("RRULE",)) is not None


def _until(instances: Iterator[tuple[datetime, str]], point: datetime) -> Iterator[str]:
    for start, instance in instances:
        if start >= point:
            return
        yield instance


def _filtered(value: SchedulingObject, line: Line, keep: Callable[[str], bool]) -> Line | None:
    """An EXDATE or RDATE with some of its values; None without any. Other lines, and unreadable ones, stay."""
    if line.name not in ("EXDATE", "RDATE"):
        return line
    written, instances = listed_values(line.value), value.instances_of(line)
    if len(written) != len(instances):
        return line
    kept = [part for part, instance in zip(written, instances, strict=True) if keep(instance)]
    if len(kept) == len(written):
        return line
    return line.with_value(",".join(kept)) if kept else None


def _is_part(part: str, *names: str) -> bool:
    return part.partition("=")[0].strip().upper() in names


def _related(component: SchedulingComponent, related: str) -> SchedulingComponent:
    lines = component.all("RELATED-TO")
    if any((line.parameter("RELTYPE") or "").upper() == RELATION for line in lines):
        return component
    return component.with_lines("RELATED-TO", [*lines, made("RELATED-TO", related, {"RELTYPE": [RELATION]})])
