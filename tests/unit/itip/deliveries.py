"""Messages for tests, and what they do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from server.itip.calendar_users import CalendarUser
from server.itip.messages import Message, Method
from server.itip.receiving import receive
from server.itip.reception import Memory, Received, Rows
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.calendar.texts import calendar
from tests.unit.itip.texts import DIRECTORY, ORGANIZER, attendee, event, organizer, person

NOW = datetime(2026, 12, 2, tzinfo=UTC)
ME = person(2)
"""The attendee of most tests: `user02@example.com`."""
PEOPLE = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "NEEDS-ACTION", ";RSVP=TRUE"), attendee(3))
ACCEPTED = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "ACCEPTED"), attendee(3))
DECLINED = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "DECLINED"), attendee(3))
DAILY = "RRULE:FREQ=DAILY;COUNT=5"
SECOND = "20270105T100000Z"
"""The second instance of the daily meeting."""
LATER = "20261201T120000Z"
"""A DTSTAMP after that of `meeting`."""


def meeting(
    *lines: str, people: tuple[str, ...] = PEOPLE, sequence: int = 0, stamp: str = "20261201T000000Z", hour: int = 10
) -> str:
    """A VEVENT of 4 January 2027."""
    written = event(
        *people,
        *lines,
        f"SEQUENCE:{sequence}" if sequence else "",
        start=f"DTSTART:20270104T{hour:02}0000Z",
        end=f"DTEND:20270104T{hour + 1:02}0000Z",
    )
    return written.replace("DTSTAMP:20261201T000000Z", f"DTSTAMP:{stamp}")


def instance(
    *lines: str, people: tuple[str, ...] = PEOPLE, sequence: int = 1, stamp: str = LATER, hour: int = 10
) -> str:
    """A VEVENT of the second instance of the daily meeting."""
    return (
        meeting(f"RECURRENCE-ID:{SECOND}", *lines, people=people, sequence=sequence, stamp=stamp, hour=hour)
        .replace("DTSTART:20270104", "DTSTART:20270105")
        .replace("DTEND:20270104", "DTEND:20270105")
    )


def stored(*parts: str) -> SchedulingObject:
    """An object with these components."""
    return read_object(calendar(*parts))


def message(
    method: str,
    *parts: str,
    sender: CalendarUser = ORGANIZER,
    recipient: CalendarUser = ME,
    quiet: bool = False,
) -> Message:
    """A message with these components."""
    return Message(Method(method), sender, recipient, stored(*parts).with_method(method), quiet)


def received(
    sent: Message,
    value: SchedulingObject | None = None,
    *,
    memory: Memory | None = None,
    resets: Mapping[str, int] | None = None,
    rows: Rows | None = None,
) -> Received:
    """What a message does."""
    return receive(sent, value, DIRECTORY, NOW, memory=memory, resets=resets, rows=rows or Rows())


def lines_of(value: SchedulingObject | None, at: str = "") -> list[str]:
    """The lines of one component, unfolded."""
    assert value is not None
    assert at in value.by_instance, value.text
    return [
        f"{line.name}{';' * bool(line.parameter_text)}{line.parameter_text}:{line.value}"
        for line in value.by_instance[at].lines
    ]


def answer_of(value: SchedulingObject | None, number: int = 2, at: str = "") -> str | None:
    """The PARTSTAT of an attendee as written."""
    assert value is not None
    for line in value.by_instance[at].all("ATTENDEE"):
        if line.value == f"mailto:user{number:02}@example.com":
            return line.parameter("PARTSTAT")
    return "not invited"
