"""Single instances of a scheduling object: which component describes one, and a component for one (RFC 5546 §3.2)."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta

from server.calendar.component_times import Moment, as_local
from server.calendar.expand import written_time
from server.calendar.recurrence_set import Instance
from server.calendar.work import LEAST_WORK
from server.calendar.zones import UTC_ZONE
from server.domain.errors import InvalidData
from server.domain.occurrences import LATEST, Kind, later
from server.itip.lines import Line, spelled
from server.itip.scheduling_component import MASTER, THIS_AND_FUTURE, SchedulingComponent, Subcomponent
from server.itip.scheduling_object import SchedulingObject

RECURRENCE = ("RRULE", "RDATE", "EXDATE", "EXRULE")
"""Properties of a series that no single instance has."""

_SECOND = timedelta(seconds=1)
_FORMS = {8: "%Y%m%d", 15: "%Y%m%dT%H%M%S", 16: "%Y%m%dT%H%M%SZ"}
"""How identifiers are written, by their length."""


def start_of(instance: str) -> datetime | None:
    """The original start that an identifier names, in UTC; floating times and dates as if in UTC.

    None for the master, and for a RECURRENCE-ID that could not be read.
    """
    form = _FORMS.get(len(instance))
    if form is None:
        return None
    try:
        return datetime.strptime(instance, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def excluded(value: SchedulingObject) -> dict[str, Line]:
    """The instances that the EXDATEs of the master exclude, by identifier, with the line of each."""
    return value.exdates


def recurs(component: SchedulingComponent) -> bool:
    """Whether a component is a series."""
    return any(line.name in ("RRULE", "RDATE") for line in component.lines)


def master_instance(value: SchedulingObject, instance: str) -> Instance | None:
    """The instance that the master has at an identifier; None where it has none, or EXDATE excludes it.

    :raises InvalidData: for rules and times that cannot be read.
    """
    start = start_of(instance)
    found = value.series
    if start is None or found is None or not found.recurs:
        return None
    found.work.refill(max(found.work.left, LEAST_WORK))
    for each in found.instances(start, later(start, _SECOND)):
        if each.recurrence_id == instance:
            return each
    return None


def describing(value: SchedulingObject, instance: str) -> SchedulingComponent | None:
    """The component that says how an instance is: its override, the last range (THISANDFUTURE) before it, the master.

    None where there is neither an override nor a master. Whether the master has the instance is not asked.
    """
    own = value.by_instance.get(instance)
    return own if own is not None else covering(value, instance)


def covering(value: SchedulingObject, instance: str) -> SchedulingComponent | None:
    """The component that describes an instance if it has no override of its own: the last range up to it, the master.

    A range covers its first instance, too.
    """
    number = 0 if instance == MASTER else bisect_right(value.ranges, instance, key=lambda each: each.instance)
    return value.ranges[number - 1] if number else value.master


def without_first(value: SchedulingObject, component: SchedulingComponent) -> SchedulingObject:
    """The object in which a range begins with its next instance that has no override, and its first instance does not
    belong to it: an override of that is to be put there, or it is left out.

    Without such an instance, as where a later range begins before, the object does not have the range any more.
    """
    left, start = value.without_instances(component.instance), start_of(component.instance)
    series = None if start is None else value.series
    if start is None or series is None or not series.recurs:
        return left
    series.work.refill(max(series.work.left, LEAST_WORK))
    for each in series.instances(start, LATEST):
        if each.recurrence_id <= component.instance:
            continue
        own = value.by_instance.get(each.recurrence_id)
        if own is None:
            moved = derived(value, each.recurrence_id)
            return left if moved is None else left.with_component(with_range(moved, THIS_AND_FUTURE))
        if own.is_range:
            break
    return left


def with_range(component: SchedulingComponent, value: str | None) -> SchedulingComponent:
    """An override with another RANGE; None: it describes its own instance only."""
    return component.map_lines(
        lambda line: line.with_parameter("RANGE", value) if line.name == "RECURRENCE-ID" else line
    )


def derived(value: SchedulingObject, instance: str) -> SchedulingComponent | None:
    """A component for one instance, as the component that describes it says; its override where it has one.

    RECURRENCE-ID, DTSTART and DTEND or DUE are in the form that DTSTART has there. None where no component describes
    it, or its times cannot be read. Whether the master has the instance is not asked.
    """
    source = describing(value, instance)
    if source is None or source.instance == instance:
        return source
    start_utc = start_of(instance)
    if start_utc is None:
        return None
    try:
        return _instance_component(value, source, instance, start_utc)
    except InvalidData:
        return None


def _instance_component(
    value: SchedulingObject, source: SchedulingComponent, instance: str, start_utc: datetime
) -> SchedulingComponent | None:
    anchor = value.anchor
    if anchor is None:
        return None
    original = Moment(as_local(start_utc, anchor.zone), anchor.kind, anchor.zone)
    base = anchor.local
    if source.instance != MASTER:
        range_start = start_of(source.instance)
        if range_start is None:
            return None
        base = as_local(range_start, anchor.zone)
    shift = original.local - base
    model = value.master or source
    first = model.first("DTSTART") or model.first("DUE")
    assert first is not None
    recurrence_id = spelled("RECURRENCE-ID", first.parameter_text, _written(original, original.local))
    items: list[Line | Subcomponent] = []
    placed = False
    for item in source.items:
        if not isinstance(item, Line):
            if not placed:
                items.append(recurrence_id)
                placed = True
            items.append(item)
        elif item.name in RECURRENCE or item.name == "RECURRENCE-ID":
            continue
        elif item.name in ("DTSTART", "DTEND", "DUE"):
            if not placed:
                items.append(recurrence_id)
                placed = True
            moved = value.moment_of(item)
            if moved is None:
                items.append(item)
                continue
            items.append(item.with_value(_written(moved, moved.local + shift)))
        else:
            items.append(item)
    return source.with_items(items if placed else [*items, recurrence_id], instance)


def _written(moment: Moment, local: datetime) -> str:
    """A local time of the kind and zone of a moment, as the value of a line."""
    value = written_time(local, Kind.DATE if moment.kind is Kind.DATE else Kind.FLOATING)
    return f"{value}Z" if moment.zone is UTC_ZONE else value


def with_exdates(value: SchedulingObject, component: SchedulingComponent, instances: list[str]) -> SchedulingComponent:
    """The master with these instances excluded too, each by an EXDATE in the form of DTSTART.

    :param value: the object of the master, which gives its times their zones.
    """
    first = component.first("DTSTART") or component.first("DUE")
    anchor = value.anchor
    if first is None or anchor is None:
        return component
    lines = component.all("EXDATE")
    for instance in instances:
        start = start_of(instance)
        if start is not None:
            moment = Moment(as_local(start, anchor.zone), anchor.kind, anchor.zone)
            lines.append(spelled("EXDATE", first.parameter_text, _written(moment, moment.local)))
    return component.with_lines("EXDATE", lines)
