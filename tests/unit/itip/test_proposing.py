"""Proposals of another time (RFC 5546 §3.2.7)."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from server.domain.errors import AttendeeChangeRefused
from server.itip.messages import Message, Method
from server.itip.proposing import propose
from server.itip.receiving import receive
from server.itip.reception import Outcome
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject, read_object
from tests.unit.calendar.texts import BERLIN, calendar
from tests.unit.itip.plans import NOW
from tests.unit.itip.texts import DIRECTORY, attendee, event, organizer, person, read

PEOPLE = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "TENTATIVE"), attendee(3))
NOON, LATER = datetime(2027, 1, 4, 12, tzinfo=UTC), datetime(2027, 1, 4, 13, 30, tzinfo=UTC)


def proposal(copy: SchedulingObject, instance: str = MASTER, number: int = 2) -> Message:
    return propose(copy, person(number), DIRECTORY, "20261201T120000Z", NOON, LATER, instance, "Lunch, first")


def test_a_proposal_describes_the_whole_meeting_at_the_other_time() -> None:
    copy = read(event(*PEOPLE, "SUMMARY:A", "SEQUENCE:3", "BEGIN:VALARM\nACTION:AUDIO\nTRIGGER:PT0S\nEND:VALARM"))
    message = proposal(copy)
    assert (message.method, message.sender, message.recipient) == (Method.COUNTER, person(2), person(1))
    component = message.object.components[0]
    assert message.object.method == "COUNTER"
    assert (component.value("DTSTART"), component.value("DTEND")) == ("20270104T120000Z", "20270104T133000Z")
    assert (component.sequence, component.value("SUMMARY")) == (3, "A")
    assert component.value("COMMENT") == "Lunch\\, first"
    assert len(component.all("ATTENDEE")) == 3
    assert component.subcomponents == []
    received = receive(message, read(event(*PEOPLE)), DIRECTORY, NOW)
    assert (received.outcome, received.item, received.object) == (Outcome.APPLIED, True, None)


def test_a_proposal_for_an_instance_has_the_form_of_the_series() -> None:
    start, end = "DTSTART;TZID=Europe/Berlin:20270104T100000", "DURATION:PT1H"
    copy = read_object(calendar(BERLIN, event(*PEOPLE, "RRULE:FREQ=DAILY", start=start, end=end)))
    component = proposal(copy, "20270105T090000Z").object.components[0]
    written = [line.written.strip() for line in component.lines]
    for line in (
        "RECURRENCE-ID;TZID=Europe/Berlin:20270105T100000",
        "DTSTART;TZID=Europe/Berlin:20270104T130000",
        "DTEND;TZID=Europe/Berlin:20270104T143000",
    ):
        assert line in written
    assert component.first("DURATION") is component.first("RRULE") is None


def test_a_proposal_for_whole_days() -> None:
    copy = read(event(*PEOPLE, start="DTSTART;VALUE=DATE:20270104", end=""))
    days = date(2027, 2, 1), date(2027, 2, 3)
    message = propose(copy, person(2), DIRECTORY, "20261201T120000Z", *days)
    text = message.text
    assert "DTSTART;VALUE=DATE:20270201\r\n" in text
    assert "DTEND;VALUE=DATE:20270203\r\n" in text
    assert "COMMENT" not in text


@pytest.mark.parametrize(
    ("lines", "instance", "number"),
    [
        (("STATUS:CANCELLED",), MASTER, 2),
        ((), "20270105T100000Z", 2),
        (("RRULE:FREQ=DAILY", "EXDATE:20270105T100000Z"), "20270105T100000Z", 2),
        ((), MASTER, 4),
        ((), MASTER, 1),
    ],
)
def test_who_and_what_has_no_proposal(lines: tuple[str, ...], instance: str, number: int) -> None:
    with pytest.raises(AttendeeChangeRefused):
        proposal(read(event(*PEOPLE, *lines)), instance, number)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (LATER, NOON),
        (NOON, NOON),
        (date(2027, 1, 4), date(2027, 1, 5)),
        (datetime(2027, 1, 4, 12), datetime(2027, 1, 4, 13)),
        (NOON, datetime(2027, 1, 4, 13)),
    ],
)
def test_times_that_are_none(start: date, end: date) -> None:
    with pytest.raises(AttendeeChangeRefused):
        propose(read(event(*PEOPLE)), person(2), DIRECTORY, "20261201T120000Z", start, end)
