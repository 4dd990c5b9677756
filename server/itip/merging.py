"""Parts of what a message does to a copy: whether it concerns the copy, comparing objects, EXDATE and RDATE,
VTIMEZONEs, ADD as overrides."""

from __future__ import annotations

from collections.abc import Iterable

from server.domain.errors import InvalidData
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.instances import excluded, master_instance, recurs
from server.itip.lines import Line, spelled
from server.itip.messages import Message
from server.itip.participants import SERVER, attendee_line, organized_by, organizer, schedule_agent
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


def has_same_organizer(copy: SchedulingObject, message: Message, directory: Directory) -> bool:
    """Whether the organizer of an object is that of a message to its owner, and somebody else than the owner."""
    own, others = organizer(copy, directory), organizer(message.object, directory)
    return own is not None and others is not None and own.key == others.key != message.recipient.key


def is_followed(copy: SchedulingObject, user: CalendarUser, directory: Directory) -> bool:
    """Whether a copy follows its organizer: the server schedules it, and its owner is invited in it."""
    lines = [line for component in copy.components for line in component.all("ORGANIZER")]
    if any(schedule_agent(line) != SERVER for line in lines):
        return False
    return any(attendee_line(component, user, directory) is not None for component in copy.components)


def gives_way(copy: SchedulingObject, user: CalendarUser, directory: Directory) -> bool:
    """Whether a copy of its owner is of a meeting that somebody else has cancelled altogether."""
    own = organizer(copy, directory)
    cancelled = all(component.token("STATUS") == "CANCELLED" for component in copy.components)
    return own is not None and own.key != user.key and cancelled


def same_object(one: SchedulingObject, other: SchedulingObject) -> bool:
    """Whether two objects say the same; DTSTAMP and the order of lines do not count."""
    # Attendees may be many: they are compared only where all else is the same.
    return _frame(one) == _frame(other) and _content(one) == _content(other)


def _frame(value: SchedulingObject) -> dict[str, list[tuple[str, str, str]]]:
    """The lines of each component that name no attendees."""
    return {
        component.instance: sorted(line.content for line in component.lines if line.name not in ("ATTENDEE", "DTSTAMP"))
        for component in value.components
    }


def _content(value: SchedulingObject) -> tuple[list[str], dict[str, tuple[list[tuple[str, str, str]], list[str]]]]:
    zones = sorted(each.written.strip() for each in value.timezones)
    return zones, {
        component.instance: (
            sorted(line.content for line in component.lines if line.name != "DTSTAMP"),
            sorted(each.written.strip() for each in component.subcomponents),
        )
        for component in value.components
    }


def without_exdates(
    value: SchedulingObject, master: SchedulingComponent, instances: Iterable[str]
) -> SchedulingComponent:
    """The master without some instances in its EXDATEs. A line with other values, too, keeps these.

    :param value: the object of the master.
    """
    gone = set(instances)
    lines: list[Line] = []
    for line in master.all("EXDATE"):
        named = value.instances_of(line)
        if not gone.intersection(named):
            lines.append(line)
            continue
        values = line.value.split(",")
        if len(values) == len(named):
            kept = [written for written, instance in zip(values, named, strict=True) if instance not in gone]
            if kept:
                lines.append(line.with_value(",".join(kept)))
    return master.with_lines("EXDATE", lines)


def has_instance(value: SchedulingObject, instance: str) -> bool:
    """Whether an object has an instance, without regard to EXDATE: that may be the organizer's, or the attendee's."""
    if instance in value.by_instance or instance in excluded(value):
        return True
    try:
        return master_instance(value, instance) is not None
    except InvalidData:
        return False


def without_ended_event(value: SchedulingObject) -> SchedulingObject:
    """A copy without its cancelled event that does not recur, where its owner is invited to instances of a series.

    The event became a series that does not invite them: the instances are none of the event that they know.
    """
    master = value.master
    if master is None or recurs(master) or master.token("STATUS") != "CANCELLED":
        return value
    if all(each.token("STATUS") == "CANCELLED" for each in value.overrides):
        return value
    return value.with_components(value.overrides)


def with_organizer_of(
    message: SchedulingObject, components: Iterable[SchedulingComponent]
) -> list[SchedulingComponent]:
    """The components of a copy with the ORGANIZER of a message: what stays as it was may have a former one of a meeting
    that was handed over, or a former address. A scheduling object has one in all components (RFC 6638 §3.1)."""
    line = next((found for each in message.components if (found := each.first("ORGANIZER")) is not None), None)
    return [*components] if line is None else [organized_by(line, each) for each in components]


def with_timezones_of(value: SchedulingObject, other: SchedulingObject) -> SchedulingObject:
    """The object with the VTIMEZONEs of another that its times name and it does not have."""
    named = {
        tzid.strip()
        for component in value.components
        for line in component.lines
        if "TZID" in line.parameter_text.upper() and (tzid := line.parameter("TZID")) is not None
    }
    missing = named - {_tzid(each.component.text("TZID")) for each in value.timezones}
    added = [each for each in other.timezones if _tzid(each.component.text("TZID")) in missing]
    if not added:
        return value
    items = list(value.items)
    place = next((index for index, item in enumerate(items) if isinstance(item, SchedulingComponent)), len(items))
    items[place:place] = added
    return value.with_items(items)


def _tzid(text: str | None) -> str:
    return (text or "").strip()


def with_dates(
    copy: SchedulingObject, master: SchedulingComponent, added: list[SchedulingComponent]
) -> SchedulingComponent:
    """The master with an RDATE for each added instance that the series does not have."""
    lines = master.all("RDATE")
    for component in added:
        line = component.first("RECURRENCE-ID")
        try:
            known = master_instance(copy, component.instance) is not None
        except InvalidData:
            known = False
        if line is not None and not known:
            lines.append(spelled("RDATE", line.parameter_text, line.value))
    return master.with_lines("RDATE", lines)


def as_override(message: SchedulingObject, copy: SchedulingObject | None) -> SchedulingObject:
    """An ADD as the REQUEST for the instances that it adds: each has the RECURRENCE-ID of its start."""
    components: list[SchedulingComponent] = []
    for component in message.components:
        start = component.first("DTSTART") or component.first("DUE")
        if component.instance != MASTER or start is None:
            components.append(component)
            continue
        recurrence_id = spelled("RECURRENCE-ID", start.parameter_text, start.value)
        owner = message if copy is None or copy.master is None else copy
        instance = owner.instance_of(recurrence_id)
        plain = component.without("RRULE", "RDATE", "EXDATE")
        components.append(plain.with_items([recurrence_id, *plain.items], instance))
    # `with_components` would put an override beside the master that it was made of.
    items = [item for item in message.items if not isinstance(item, SchedulingComponent)]
    return message.with_items([*items, *components])
