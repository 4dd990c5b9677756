"""What differs between two states of a calendar component, by meaning: spelling, order and zone names do not count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from server.calendar.component_times import ComponentTimes, Moment, component_times
from server.calendar.recurrence_ids import instance_id
from server.calendar.recurrence_set import RecurrenceSet, recurrence_set
from server.calendar.work import Work
from server.calendar.zones import Zone
from server.domain.errors import InvalidData, TooManyInstances
from server.domain.occurrences import LATEST, later
from server.itip.audience import is_shared
from server.itip.calendar_users import Directory
from server.itip.instances import excluded, recurs
from server.itip.lines import Line
from server.itip.participants import SERVER, partstat, role, schedule_agent, token
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

TIMES = frozenset(("DTSTART", "DTEND", "DUE", "DURATION", "RECURRENCE-ID"))
RECURRENCE = frozenset(("RRULE", "EXRULE", "RDATE", "EXDATE"))
BOOKKEEPING = frozenset(("DTSTAMP", "LAST-MODIFIED", "CREATED", "SEQUENCE"))
"""What apps and servers set with every write."""

_DEFAULTS = frozenset((("CLASS", "PUBLIC"), ("PRIORITY", "0")))
_NOT_SHOWN = TIMES | RECURRENCE | BOOKKEEPING | frozenset(("ATTENDEE", "ORGANIZER", "UID", "TRANSP", "STATUS"))
_COMPARED_INSTANCES = 3_000
"""Instances of two series that are compared one by one."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two states of one component."""

    times: bool
    """Start or end."""
    recurrence: bool
    """RRULE, EXRULE or RDATE."""
    excluded: frozenset[str]
    """Instances that the new state excludes and the old one does not."""
    included: frozenset[str]
    """Instances that the old state excludes and the new one does not."""
    content: bool
    """What else attendees see."""
    people: bool
    """Who is invited, in which role, and whether by the server."""
    participation: bool
    """PARTSTAT and delegation alone."""

    @property
    def is_significant(self) -> bool:
        """Whether attendees are told, apart from instances that are cancelled."""
        return self.times or self.recurrence or bool(self.included) or self.content or self.people


NO_DIFFERENCE = Difference(False, False, frozenset(), frozenset(), False, False, False)


def difference(
    old_object: SchedulingObject,
    old: SchedulingComponent,
    new_object: SchedulingObject,
    new: SchedulingComponent,
    directory: Directory,
) -> Difference:
    """What differs between two states of a component, for those who attend it."""
    if old.is_written_as(new):
        return NO_DIFFERENCE
    series = recurs(old) or recurs(new)
    before = set(excluded(old_object)) if series and old.instance == MASTER else set()
    after = set(excluded(new_object)) if series and new.instance == MASTER else set()
    people = participation = False
    if [line.content for line in old.all("ATTENDEE")] != [line.content for line in new.all("ATTENDEE")]:
        before_people, after_people = _attendance(old, directory), _attendance(new, directory)
        people, participation = (one != other for one, other in zip(before_people, after_people, strict=True))
    return Difference(
        times=not same_times(old_object, old, new_object, new),
        recurrence=series and not same_rules(old_object, old, new_object, new),
        excluded=frozenset(after - before),
        included=frozenset(before - after),
        content=shown(old) != shown(new),
        people=people,
        participation=participation,
    )


def same_times(
    old_object: SchedulingObject, old: SchedulingComponent, new_object: SchedulingObject, new: SchedulingComponent
) -> bool:
    """Whether a component starts and ends at the same time in both states.

    The zone of a series counts, since its other instances follow it; names of one zone are the same.
    """
    names = TIMES - {"RECURRENCE-ID"}
    if [line.content for line in old.lines if line.name in names] == [
        line.content for line in new.lines if line.name in names
    ] and old_object.timezones == new_object.timezones:
        return True
    before, after = _times(old_object, old), _times(new_object, new)
    if before is None or after is None:
        return before is after and _spelled(old, names) == _spelled(new, names)
    one, other = before.anchor, after.anchor
    if one is None or other is None:
        return one is other
    if (one.kind, one.utc, before.starts) != (other.kind, other.utc, after.starts):
        return False
    if before.end_of(one, one.utc) != after.end_of(other, other.utc):
        return False
    return not (recurs(old) or recurs(new)) or _same_clock(one, other)


def _times(value: SchedulingObject, component: SchedulingComponent) -> ComponentTimes | None:
    try:
        return component_times(component.component, 0, value.zones)
    except InvalidData:
        return None


def _spelled(component: SchedulingComponent, names: frozenset[str]) -> list[tuple[str, str, str]]:
    return sorted(line.content for line in component.lines if line.name in names)


def _same_clock(one: Moment, other: Moment) -> bool:
    """Whether the zones of two starts have the same offsets in the three years after."""
    here, there = one.zone, other.zone
    if here is there or here is None or there is None or here.key == there.key:
        return (here is None) is (there is None)
    return all(_offset(here, one, days) == _offset(there, one, days) for days in range(0, 1096, 12))


def _offset(zone: Zone, start: Moment, days: int) -> timedelta:
    return zone.offset_at(later(start.utc, timedelta(days=days)))


def same_rules(
    old_object: SchedulingObject, old: SchedulingComponent, new_object: SchedulingObject, new: SchedulingComponent
) -> bool:
    """Whether RRULE, EXRULE and RDATE of a component say the same in both states."""
    if _rules(old) != _rules(new):
        return False
    return _dates(old_object, old) == _dates(new_object, new)


def _rules(component: SchedulingComponent) -> list[tuple[str, frozenset[tuple[str, frozenset[str]]]]]:
    found = []
    for line in component.lines:
        if line.name in ("RRULE", "EXRULE") and line.value.strip():
            parts: dict[str, frozenset[str]] = {}
            for part in line.value.strip().strip(";").upper().split(";"):
                name, _, values = part.partition("=")
                parts[name.strip()] = frozenset(value.strip() for value in values.split(","))
            if parts.get("INTERVAL") == frozenset(("1",)):
                del parts["INTERVAL"]
            if parts.get("WKST") == frozenset(("MO",)):
                del parts["WKST"]
            found.append((line.name, frozenset(parts.items())))
    return sorted(found, key=lambda rule: (rule[0], sorted((name, sorted(values)) for name, values in rule[1])))


def _dates(value: SchedulingObject, component: SchedulingComponent) -> set[str]:
    """RDATEs by the instance that each means; a period also by its length."""
    found: set[str] = set()
    for line in component.all("RDATE"):
        periods = "PERIOD" in line.parameter_text.upper() or "/" in line.value
        found.update(line.value.strip().upper().split(",") if periods else value.instances_of(line))
    return found


def shown(component: SchedulingComponent) -> tuple[Any, ...]:
    """What attendees see of a component besides times and people, so that it can be compared."""
    lines = []
    for line in component.lines:
        value = line.value.strip()
        if line.name in _NOT_SHOWN or not value or not is_shared(line.name):
            continue
        if (line.name, value.upper()) not in _DEFAULTS:
            lines.append((line.name, _parameters(line), value))
    status = component.token("STATUS")
    inner = sorted(each.written.strip() for each in component.subcomponents if each.name != "VALARM")
    return tuple(sorted(lines)), "" if status == "CANCELLED" else status, tuple(inner)


def _parameters(line: Line) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not line.parameter_text:
        return ()
    return tuple(sorted((name, tuple(values)) for name, values in line.params.items()))


def _attendance(component: SchedulingComponent, directory: Directory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Who is invited and how, and how each takes part, by key."""
    people: dict[str, Any] = {}
    participation: dict[str, Any] = {}
    for line in component.all("ATTENDEE"):
        key = directory.key(line.value)
        if key not in people:
            people[key] = (role(line), token(line, "CUTYPE", "INDIVIDUAL"), schedule_agent(line) == SERVER)
            delegation = tuple(line.params.get(name, ()) for name in ("DELEGATED-TO", "DELEGATED-FROM"))
            participation[key] = (partstat(line), delegation)
    return people, participation


def adds_instances(old: SchedulingObject, new: SchedulingObject) -> bool:
    """Whether the series of the new state has instances that the old one does not have (RFC 6638 §3.2.8).

    Overrides do not count. What is too much to compare counts as added.
    """
    if old.master is None or new.master is None:
        return new.master is not None
    try:
        before, after = _set(old), _set(new)
        if not after.recurs:
            return False
        known = _starts(before)
        latest = next(known, None)
        seen: set[str] = set()
        for count, (start, instance) in enumerate(_starts(after)):
            while latest is not None and latest[0] <= start:
                seen.add(latest[1])
                latest = next(known, None)
            if instance not in seen:
                return True
            if count >= _COMPARED_INSTANCES:
                return False
    except TooManyInstances:
        return True
    except InvalidData:
        return not same_rules(old, old.master, new, new.master)
    return False


def only_instance(value: SchedulingObject) -> str | None:
    """The identifier that the instance of a meeting would have in a series; None for a series, and for broken times."""
    if value.master is None:
        return None
    try:
        found = _set(value)
        single = None if found.recurs else found.single()
    except (InvalidData, TooManyInstances):
        return None
    return None if single is None else instance_id(single.start_utc, single.start)


def _set(value: SchedulingObject) -> RecurrenceSet:
    assert value.master is not None
    return recurrence_set([(0, value.master.component)], value.zones, Work())


def _starts(found: RecurrenceSet) -> Iterator[tuple[datetime, str]]:
    """The instances of a series by start, in order."""
    first = found.first()
    if first is None:
        return
    if not found.recurs:
        single = found.single()
        if single is not None:
            yield single.start_utc, instance_id(single.start_utc, single.start)
        return
    for instance in found.instances(later(first, -_DAY), LATEST):
        yield instance.start_utc, instance.recurrence_id
