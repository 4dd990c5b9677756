"""Answers that the server gives for an attendee (`server.booking`): what is asked, and the copy with the answers.

    asked(copy, messages, user, directory, zone, now, until) -> Asked
    with_given_answers(copy, asked, answers, ...) -> the copy, and the REPLY

The commoner answer stands in the series, the others in overrides; one REPLY tells of all. What is over is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from server.calendar.component_times import Moment, component_times
from server.calendar.zones import Zone
from server.domain.errors import InvalidData, TooManyInstances
from server.domain.occurrences import Kind
from server.itip.attendee import reply_object
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.instances import derived, with_exdates
from server.itip.lines import Line
from server.itip.messages import Message, Method
from server.itip.participants import (
    ACCEPTED,
    NEEDS_ACTION,
    PARTSTAT_DTSTAMP,
    attendee_line,
    map_attendee,
    organizer,
    partstat,
    with_schedule_statuses,
)
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

MAX_INSTANCES = 5_000
"""Instances of a series that are looked at."""


@dataclass(frozen=True, slots=True)
class Times:
    """One instance that is asked for, in UTC."""

    instance: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """What messages ask an attendee, as far as it is not over."""

    single: tuple[Times, ...]
    """Of components that describe one instance."""
    series: tuple[Times, ...]
    """Instances of the series that have no component."""
    transparency: Mapping[str, tuple[Line, ...]]
    """TRANSP of the organizer's components, by instance."""

    @property
    def all(self) -> tuple[Times, ...]:
        """All instances."""
        return (*self.single, *self.series)


def asks(messages: Iterable[Message], user: CalendarUser, directory: Directory) -> bool:
    """Whether messages ask an attendee for an answer: a REQUEST that no refresh is, with NEEDS-ACTION."""
    return any(
        _is_open(component, user, directory)
        for message in messages
        if message.method is Method.REQUEST and not message.quiet
        for component in message.object.components
    )


def asked(
    copy: SchedulingObject,
    messages: Sequence[Message],
    user: CalendarUser,
    directory: Directory,
    zone: Zone,
    now: datetime,
    until: datetime,
) -> Asked:
    """The instances that messages ask an attendee about, and that the copy has open.

    :param copy: with the messages.
    :param zone: of floating times and dates.
    :param until: behind it instances of a series are not looked at.
    """
    transparency: dict[str, tuple[Line, ...]] = {}
    instances: set[str] = set()
    for message in messages:
        if message.method is not Method.REQUEST or message.quiet:
            continue
        for component in message.object.components:
            transparency[component.instance] = tuple(component.all("TRANSP"))
            if _is_open(component, user, directory):
                instances.add(component.instance)
    single: list[Times] = []
    series: list[Times] = []
    for component in copy.components:
        if component.instance not in instances or not _is_open(component, user, directory):
            continue
        if component.instance == MASTER and copy.series is not None and copy.series.recurs:
            series += _of_series(copy, zone, now, until)
        else:
            single += _of_component(copy, component, zone)
    return Asked(tuple(each for each in single if each.end > now), tuple(series), transparency)


def _is_open(component: SchedulingComponent, user: CalendarUser, directory: Directory) -> bool:
    line = attendee_line(component, user, directory)
    cancelled = component.token("STATUS") == "CANCELLED"
    return component.name == "VEVENT" and not cancelled and line is not None and partstat(line) == NEEDS_ACTION


def _of_component(copy: SchedulingObject, component: SchedulingComponent, zone: Zone) -> list[Times]:
    try:
        times = component_times(component.component, 0, copy.zones)
    except InvalidData:
        return []
    start = times.anchor
    if start is None:
        return []
    return [_placed(component.instance, start, start.utc, times.end_of(start, start.utc), zone)]


def _of_series(copy: SchedulingObject, zone: Zone, now: datetime, until: datetime) -> list[Times]:
    found: list[Times] = []
    assert copy.series is not None
    try:
        for each in copy.series.instances(now, until):
            times = _placed(each.recurrence_id, each.start, each.start_utc, each.end_utc, zone)
            if each.recurrence_id not in copy.by_instance and times.end > now:
                found.append(times)
            if len(found) >= MAX_INSTANCES:
                break
    except (InvalidData, TooManyInstances):
        return []
    return found


def _placed(instance: str, moment: Moment, start: datetime, end: datetime, zone: Zone) -> Times:
    if moment.kind is not Kind.TIMED:
        start, end = (zone.to_utc(each.replace(tzinfo=None)) for each in (start, end))
    return Times(instance, start, end)


def with_given_answers(
    copy: SchedulingObject,
    asked: Asked,
    answers: Mapping[str, str],
    of_series: str,
    user: CalendarUser,
    directory: Directory,
    dtstamp: str,
) -> tuple[SchedulingObject, Message | None]:
    """The copy with answers, and the REPLY; None where all is left open.

    :param answers: PARTSTAT by instance; all that were asked.
    :param of_series: PARTSTAT of the series, where it was asked.
    """
    told: list[SchedulingComponent] = []
    components = dict(copy.by_instance)

    def answer(component: SchedulingComponent, given: str) -> None:
        made = _answered(component, given, asked, user, directory)
        components[made.instance] = made
        told.append(made)

    master = copy.master
    if asked.series and master is not None:
        if of_series != NEEDS_ACTION:
            answer(master, of_series)
        for each in asked.series:
            if answers[each.instance] != of_series:
                override = derived(copy, each.instance)
                if override is not None:
                    answer(override, answers[each.instance])
    for each in asked.single:
        if answers[each.instance] != NEEDS_ACTION or told:
            answer(components[each.instance], answers[each.instance])
    to = organizer(copy, directory)
    if to is None or not told:
        return copy, None
    new = copy.with_components(components.values())
    new = with_schedule_statuses(new, {to.key: "1.2"}, directory)
    stated = [new.by_instance[component.instance] for component in told]
    reply = reply_object(new, stated, user, to, directory, dtstamp)
    return new, Message(Method.REPLY, user, to, reply)


def _answered(
    component: SchedulingComponent, given: str, asked: Asked, user: CalendarUser, directory: Directory
) -> SchedulingComponent:
    rsvp = "TRUE" if given == NEEDS_ACTION else None
    component = map_attendee(
        component,
        user,
        directory,
        lambda line: line.with_parameters({"PARTSTAT": given, "RSVP": rsvp, PARTSTAT_DTSTAMP: None}),
    )
    if given != ACCEPTED:
        return component.with_value("TRANSP", "TRANSPARENT")
    lines = asked.transparency.get(component.instance, asked.transparency.get(MASTER, ()))
    return component.with_lines("TRANSP", lines)


def without_cancelled(copy: SchedulingObject) -> SchedulingObject | None:
    """The copy of a room without what is cancelled: its series excludes cancelled instances. None: all is cancelled."""
    gone = [each.instance for each in copy.components if each.token("STATUS") == "CANCELLED"]
    if not gone:
        return copy
    if MASTER in gone or len(gone) == len(copy.components):
        return None
    left = copy.without_instances(*gone)
    if copy.master is None:
        return left
    new = [each for each in gone if each not in copy.exdates]
    return left.with_component(with_exdates(copy, copy.master, new)) if new else left
