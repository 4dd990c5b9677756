"""Answers that the server gives for an attendee (`server.booking`): what is asked, and the copy with the answers.

    asked(copy, messages, user, directory, zone, now, until) -> Asked
    with_given_answers(copy, asked, answers, ...) -> the copy, and the REPLY

The commoner answer stands in the series, the others in overrides; one REPLY tells of all. What is over is not asked.
What a person has answered in the recipient's calendar, such as a delegate of a room, stays for the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from server.calendar.component_times import Moment, component_times
from server.calendar.contentline import escape_text
from server.calendar.recurrence_set import Instance
from server.calendar.zones import Zone
from server.domain.errors import InvalidData, TooManyInstances
from server.domain.occurrences import Kind
from server.itip.attendee import reply_object
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.instances import derived, recurs
from server.itip.lines import Line
from server.itip.messages import Message, Method
from server.itip.participants import (
    ACCEPTED,
    DECLINED,
    NEEDS_ACTION,
    PARTSTAT_DTSTAMP,
    TENTATIVE,
    attendee_line,
    attendees,
    map_attendee,
    organizer,
    partstat,
    token,
    with_schedule_statuses,
)
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

MAX_INSTANCES = 5_000
"""Instances of a series that are looked at."""
_END_OF_TIME = datetime(9990, 1, 1, tzinfo=UTC)
_NO_COMMENTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Times:
    """One instance that is asked for, in UTC."""

    instance: str
    start: datetime
    end: datetime
    people: int = 0
    """How many people are invited and have not declined, the organizer included."""
    given: str | None = None
    """PARTSTAT that a person has given for this time."""
    stamp: str | None = None
    """When that was."""


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


def waits(copy: SchedulingObject, user: CalendarUser, directory: Directory) -> bool:
    """Whether an attendee's copy has what nobody has answered: also what is tentative until somebody approves it."""
    for component in copy.components:
        line = attendee_line(component, user, directory)
        if line is None or component.token("STATUS") == "CANCELLED":
            continue
        given = partstat(line)
        if given == NEEDS_ACTION or (given == TENTATIVE and not line.parameter(PARTSTAT_DTSTAMP)):
            return True
    return False


def asked(
    copy: SchedulingObject,
    messages: Sequence[Message],
    user: CalendarUser,
    directory: Directory,
    zone: Zone,
    now: datetime,
    until: datetime,
    before: SchedulingObject | None = None,
) -> Asked:
    """The instances that messages ask an attendee about, and that the copy has open.

    :param copy: with the messages.
    :param zone: of floating times and dates.
    :param until: instances of a series that begin later are not asked about. If all do, the first one is.
    :param before: the copy without the messages.
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
        people = _people(component, directory)
        if _is_series(component):
            found = _of_series(copy, zone, now, until) or _first_behind(copy, zone, until)
            series += (replace(each, people=people) for each in found)
        else:
            single += (replace(each, people=people) for each in _of_component(copy, component, zone))
    given = {} if before is None else _given(before, user, directory, zone, now, until)
    single, series = ([_with_given(each, given) for each in of] for of in (single, series))
    return Asked(tuple(each for each in single if each.end > now), tuple(series), transparency)


def is_series(copy: SchedulingObject) -> bool:
    """Whether a copy has a series; a single event costs no look at instances."""
    return copy.master is not None and recurs(copy.master)


def goes_on(copy: SchedulingObject, until: datetime) -> bool:
    """Whether a series has instances behind a time."""
    if not is_series(copy):
        return False
    try:
        return next(_behind(copy, until), None) is not None
    except InvalidData:
        return False
    except TooManyInstances:
        return True


def series_end(copy: SchedulingObject, otherwise: datetime) -> datetime:
    """When a series ends; another time for one that is endless or too dense, and for what is no series."""
    series = copy.series if is_series(copy) else None
    if series is None:
        return otherwise
    try:
        last = None if series.endless else series.last()
    except (InvalidData, TooManyInstances):
        return otherwise
    return otherwise if last is None else min(max(last, otherwise), _END_OF_TIME)


def _behind(copy: SchedulingObject, until: datetime) -> Iterator[Instance]:
    """The instances of a series behind a time. Raises `InvalidData`, `TooManyInstances`."""
    if copy.series is None:
        return iter(())
    return (each for each in copy.series.instances(until, _END_OF_TIME) if each.start_utc > until)


def _first_behind(copy: SchedulingObject, zone: Zone, until: datetime) -> list[Times]:
    """The first instance of a series behind a time that has no component, if there is one."""
    try:
        each = next((each for each in _behind(copy, until) if each.recurrence_id not in copy.by_instance), None)
    except (InvalidData, TooManyInstances):
        return []
    return [] if each is None else [_placed(each.recurrence_id, each.start, each.start_utc, each.end_utc, zone)]


def _is_series(component: SchedulingComponent) -> bool:
    return component.instance == MASTER and recurs(component)


def _people(component: SchedulingComponent, directory: Directory) -> int:
    """How many people come to an instance, as far as is known."""
    found = set()
    for key, line in attendees(component, directory).items():
        cutype = directory.user(line.value).cutype or token(line, "CUTYPE", "INDIVIDUAL")
        if cutype not in ("ROOM", "RESOURCE", "GROUP") and partstat(line) != DECLINED:
            found.add(key)
    by = component.first("ORGANIZER")
    return len(found if by is None else found | {directory.key(by.value)})


def _given(
    before: SchedulingObject, user: CalendarUser, directory: Directory, zone: Zone, now: datetime, until: datetime
) -> dict[str, Times]:
    """What a person has answered about the instances of a copy."""
    found: dict[str, Times] = {}
    for component in before.components:
        line = attendee_line(component, user, directory)
        stamp = None if line is None else line.parameter(PARTSTAT_DTSTAMP)
        if line is None or not stamp or partstat(line) == NEEDS_ACTION:
            continue
        series = _is_series(component)
        times = _of_series(before, zone, now, until) if series else _of_component(before, component, zone)
        found |= {each.instance: replace(each, given=partstat(line), stamp=stamp) for each in times}
    return found


def _with_given(times: Times, given: Mapping[str, Times]) -> Times:
    """An instance with what a person has answered for its time."""
    before = given.get(times.instance)
    if before is None or (before.start, before.end) != (times.start, times.end):
        return times
    return replace(times, given=before.given, stamp=before.stamp)


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
    comments: Mapping[str, str] = _NO_COMMENTS,
) -> tuple[SchedulingObject, Message | None]:
    """The copy with answers, and the REPLY; None where all is left open.

    :param answers: PARTSTAT by instance; all that were asked.
    :param of_series: PARTSTAT of the series, where it was asked.
    :param comments: COMMENT of the REPLY, by instance; the copy does not have them. One that the copy has belongs to an
        earlier answer.
    """
    told: list[SchedulingComponent] = []
    components = dict(copy.by_instance)
    stamps = {(each.instance, each.given): each.stamp for each in asked.all if each.stamp}
    stamps |= {(MASTER, each.given): each.stamp for each in asked.series if each.stamp}

    def answer(component: SchedulingComponent, given: str) -> None:
        made = _answered(component, given, stamps.get((component.instance, given)), asked, user, directory)
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
    stated = [_with_comment(new.by_instance[component.instance], comments) for component in told]
    reply = reply_object(new, stated, user, to, directory, dtstamp)
    return new, Message(Method.REPLY, user, to, reply)


def _with_comment(component: SchedulingComponent, comments: Mapping[str, str]) -> SchedulingComponent:
    text = comments.get(component.instance)
    left = component.without("COMMENT")
    return left if text is None else left.with_value("COMMENT", escape_text(text))


def _answered(
    component: SchedulingComponent,
    given: str,
    stamp: str | None,
    asked: Asked,
    user: CalendarUser,
    directory: Directory,
) -> SchedulingComponent:
    own = {"PARTSTAT": given, "RSVP": "TRUE" if given == NEEDS_ACTION else None, PARTSTAT_DTSTAMP: stamp}
    component = map_attendee(component, user, directory, lambda line: line.with_parameters(own))
    if given not in (ACCEPTED, TENTATIVE):
        return component.with_value("TRANSP", "TRANSPARENT")
    if not user.may_organize:
        # Whoever else is free during the meeting, a room is not.
        return component.without("TRANSP")
    lines = asked.transparency.get(component.instance, asked.transparency.get(MASTER, ()))
    return component.with_lines("TRANSP", lines)
