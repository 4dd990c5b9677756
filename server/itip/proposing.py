"""An attendee's proposal of another time: COUNTER (RFC 5546 §3.2.7). It changes nothing until the organizer moves the
meeting."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from server.calendar.component_times import Moment, as_local
from server.calendar.contentline import escape_text
from server.calendar.expand import written_time
from server.calendar.zones import UTC_ZONE
from server.domain.errors import AttendeeChangeRefused
from server.domain.occurrences import Kind
from server.itip.audience import message_object, told
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.instances import derived, master_instance
from server.itip.lines import Line, made, spelled
from server.itip.messages import Message, Method
from server.itip.participants import attendee_line, organizer
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


def propose(
    copy: SchedulingObject,
    attendee: CalendarUser,
    directory: Directory,
    dtstamp: str,
    start: datetime | date,
    end: datetime | date,
    instance: str = MASTER,
    comment: str = "",
) -> Message:
    """The COUNTER with which an attendee proposes another time for a meeting, or for an instance of it.

    :param copy: the attendee's copy.
    :param dtstamp: the time now, as a UTC value.
    :param start: aware for an event at a time, naive for one in floating time, a date for one of whole days; as `end`,
        which is exclusive.
    :raises AttendeeChangeRefused: for a time of another kind, an end that is not after the start, an instance that the
        meeting does not have, a cancelled one, and somebody who is not invited.
    """
    to = organizer(copy, directory)
    component = copy.by_instance.get(instance)
    if component is None and instance != MASTER and master_instance(copy, instance) is not None:
        component = derived(copy, instance)
    if to is None or component is None or component.token("STATUS") == "CANCELLED":
        raise AttendeeChangeRefused("There is no such meeting.")
    if attendee_line(component, attendee, directory) is None or attendee.key == to.key:
        raise AttendeeChangeRefused("Only attendees propose another time.")
    moved = _moved(copy, component, start, end)
    if comment:
        moved = moved.with_lines("COMMENT", [made("COMMENT", escape_text(comment))])
    proposal = message_object(copy, [told(moved, dtstamp)], Method.COUNTER)
    return Message(Method.COUNTER, attendee, to, proposal)


def _moved(
    copy: SchedulingObject, component: SchedulingComponent, start: datetime | date, end: datetime | date
) -> SchedulingComponent:
    """The component at other times, in the form of its DTSTART; its end is DTEND, or DUE of a task."""
    first = component.first("DTSTART") or component.first("DUE")
    moment = None if first is None else copy.moment_of(first)
    if first is None or moment is None:
        raise AttendeeChangeRefused("The meeting has no time.")
    begin, finish = (_written(moment, time) for time in (start, end))
    # Both are of one kind now, so that they compare.
    if not start < end:
        raise AttendeeChangeRefused("The end of a proposal is after its start.")
    end_name = "DUE" if component.name == "VTODO" else "DTEND"
    lines: dict[str, Sequence[Line]] = {
        "DTSTART": [spelled("DTSTART", first.parameter_text, begin)],
        end_name: [spelled(end_name, first.parameter_text, finish)],
    }
    component = component.without("DURATION")
    for name, wanted in lines.items():
        component = component.with_lines(name, wanted)
    return component


def _written(moment: Moment, time: datetime | date) -> str:
    """A time as a value of the kind and zone of a moment."""
    is_date = not isinstance(time, datetime)
    aware = isinstance(time, datetime) and time.tzinfo is not None
    if (is_date, aware) != (moment.kind is Kind.DATE, moment.kind is Kind.TIMED):
        raise AttendeeChangeRefused("The proposed time is of another kind than the meeting's.")
    if not isinstance(time, datetime):
        return written_time(datetime(time.year, time.month, time.day), Kind.DATE)
    local = as_local(time, moment.zone) if aware else time
    return f"{written_time(local, Kind.FLOATING)}{'Z' if moment.zone is UTC_ZONE else ''}"
