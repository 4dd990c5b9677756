"""ORGANIZER and ATTENDEE lines, and their parameters (RFC 5545 §3.2, §3.8.4.1, §3.8.4.3; RFC 6638 §7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from server.calendar.attendance import address_key
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.lines import Line
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

PRIVATE_COMMENT = "X-CALENDARSERVER-PRIVATE-COMMENT"
"""What an attendee tells the organizer alone, in the attendee's copy (caldav-privatecomments)."""
ATTENDEE_COMMENT = "X-CALENDARSERVER-ATTENDEE-COMMENT"
"""The same in the organizer's object."""
NEEDS_ACTION = "NEEDS-ACTION"
ACCEPTED = "ACCEPTED"
DECLINED = "DECLINED"
TENTATIVE = "TENTATIVE"
DELEGATED = "DELEGATED"

SERVER = "SERVER"
CLIENT = "CLIENT"
NONE = "NONE"

PRIVATE_PARAMETERS = ("SCHEDULE-STATUS", "SCHEDULE-AGENT", "SCHEDULE-FORCE-SEND", "X-CALENDARSERVER-DTSTAMP")
"""Parameters that stand in the copy of their owner alone, never in messages (RFC 6638 §7)."""

PARTSTAT_DTSTAMP = "X-CALENDARSERVER-DTSTAMP"
"""On a person's own ATTENDEE in their own copy: when they answered last, in UTC."""


def token(line: Line, parameter: str, default: str = "") -> str:
    """The value of a parameter that is a token, in upper case; the default without it."""
    value = line.parameter(parameter)
    return value.strip().upper() or default if value else default


def partstat(attendee: Line) -> str:
    """PARTSTAT; `NEEDS-ACTION` without it (RFC 5545 §3.2.12)."""
    return token(attendee, "PARTSTAT", NEEDS_ACTION)


def schedule_agent(line: Line) -> str:
    """SCHEDULE-AGENT: `SERVER`, `CLIENT` or `NONE`. `SERVER` without it; unknown values mean `NONE` (RFC 6638 §7.1)."""
    agent = token(line, "SCHEDULE-AGENT", SERVER)
    return agent if agent in (SERVER, CLIENT) else NONE


def force_send(line: Line) -> str:
    """SCHEDULE-FORCE-SEND: `REQUEST` or `REPLY`; empty without it (RFC 6638 §7.2)."""
    return token(line, "SCHEDULE-FORCE-SEND")


def role(attendee: Line) -> str:
    """ROLE; `REQ-PARTICIPANT` without it."""
    return token(attendee, "ROLE", "REQ-PARTICIPANT")


def organizer(value: SchedulingObject, directory: Directory) -> CalendarUser | None:
    """The organizer of an object: the ORGANIZER of the first component that has one."""
    for component in value.components:
        line = component.first("ORGANIZER")
        if line is not None:
            return directory.user(line.value)
    return None


def organized_by(line: Line, component: SchedulingComponent) -> SchedulingComponent:
    """A component with this ORGANIZER; itself where it has one of the same address."""
    own = component.first("ORGANIZER")
    is_same = own is not None and address_key(own.value) == address_key(line.value)
    return component if is_same else component.with_lines("ORGANIZER", [line])


def is_organizer(value: SchedulingObject, user: CalendarUser, directory: Directory) -> bool:
    """Whether a calendar user is the organizer of an object."""
    own = organizer(value, directory)
    return own is not None and own.key == user.key


def same_organizer(first: SchedulingObject, second: SchedulingObject, directory: Directory) -> bool:
    """Whether two objects have the same organizer."""
    return organizer(first, directory) == organizer(second, directory)


def attendee_lines(component: SchedulingComponent, user: CalendarUser, directory: Directory) -> list[Line]:
    """The ATTENDEE lines of a calendar user in a component."""
    return [line for line in component.all("ATTENDEE") if directory.key(line.value) == user.key]


def attendee_line(component: SchedulingComponent, user: CalendarUser, directory: Directory) -> Line | None:
    """The first ATTENDEE line of a calendar user in a component; None where they are not invited."""
    return attendees(component, directory).get(user.key)


def attendees(component: SchedulingComponent, directory: Directory) -> Mapping[str, Line]:
    """The first ATTENDEE line of each calendar user, by their key.

    The component remembers it: each recipient of a message is looked for among all attendees.
    """
    known = component.attendees
    if known is not None and known[0] is directory:
        return known[1]
    found: dict[str, Line] = {}
    for line in component.all("ATTENDEE"):
        found.setdefault(directory.key(line.value), line)
    component.attendees = directory, found
    return found


def all_attendees(value: SchedulingObject, directory: Directory) -> dict[str, CalendarUser]:
    """The calendar users whom any component of an object invites, by their key, in the order of the text."""
    found: dict[str, CalendarUser] = {}
    for component in value.components:
        for line in component.all("ATTENDEE"):
            user = directory.user(line.value)
            found.setdefault(user.key, user)
    return found


def map_attendees(component: SchedulingComponent, change: Callable[[Line], Line | None]) -> SchedulingComponent:
    """The component with each ATTENDEE line as a function gives it; None removes it."""
    return component.map_lines(lambda line: change(line) if line.name == "ATTENDEE" else line)


def map_attendee(
    component: SchedulingComponent, user: CalendarUser, directory: Directory, change: Callable[[Line], Line | None]
) -> SchedulingComponent:
    """The component with the ATTENDEE lines of one calendar user as a function gives them; None removes them."""
    if user.key not in attendees(component, directory):
        return component
    return map_attendees(component, lambda line: change(line) if directory.key(line.value) == user.key else line)


def with_schedule_statuses(
    value: SchedulingObject, statuses: Mapping[str, str], directory: Directory
) -> SchedulingObject:
    """The object with SCHEDULE-STATUS on all lines of attendees, or of the organizer (RFC 6638 §7.3).

    :param statuses: by the key of the calendar user: `1.2`, `3.7`, ...; several are separated by commas,
        which makes a quoted string of them.
    """
    if not statuses:
        return value
    organizers = {directory.key(line.value) for each in value.components for line in each.all("ORGANIZER")}

    def stated(line: Line) -> Line:
        if line.name not in ("ATTENDEE", "ORGANIZER"):
            return line
        key = directory.key(line.value)
        # An organizer who attends, too, is told as the organizer only.
        wanted = None if line.name == "ATTENDEE" and key in organizers else statuses.get(key)
        return line if wanted is None else line.with_parameter("SCHEDULE-STATUS", wanted)

    return value.map_components(lambda component: component.map_lines(stated))
