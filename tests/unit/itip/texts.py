"""Scheduling objects and calendar users for tests."""

from __future__ import annotations

from server.itip.calendar_users import CalendarUser, Directory, here
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.calendar.texts import calendar, component

UID = "meeting@example.com"


def person(number: int, *more: str, cn: str | None = None, cutype: str = "INDIVIDUAL") -> CalendarUser:
    """A person here, with the mail address `userN@example.com`."""
    mail = f"mailto:user{number:02}@example.com"
    uid = f"id{number:02}"
    forms = (f"urn:x-uid:{uid}", f"/principals/__uids__/{uid}/", f"/principals/users/user{number:02}/")
    return here(number, (mail, *more, *forms), cn or f"User {number:02}", cutype)


ORGANIZER = person(1)
DIRECTORY = Directory([ORGANIZER, *(person(number) for number in range(2, 10))])


def organizer(number: int = 1, parameters: str = "") -> str:
    """An ORGANIZER line."""
    return f'ORGANIZER;CN="User {number:02}"{parameters}:mailto:user{number:02}@example.com'


def attendee(number: int, partstat: str = "", parameters: str = "") -> str:
    """An ATTENDEE line."""
    answer = f";PARTSTAT={partstat}" if partstat else ""
    return f'ATTENDEE;CN="User {number:02}"{answer}{parameters}:mailto:user{number:02}@example.com'


def event(*lines: str, start: str = "DTSTART:20270104T100000Z", end: str = "DTEND:20270104T110000Z") -> str:
    """A VEVENT of one meeting."""
    stamp = "DTSTAMP:20261201T000000Z"
    return component("VEVENT", "\n".join(line for line in (stamp, start, end, *lines) if line), UID)


def read(*parts: str) -> SchedulingObject:
    """A scheduling object with these components."""
    return read_object(calendar(*parts))
