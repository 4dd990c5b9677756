"""VFREEBUSY requests and replies (RFC 5546 §3.3)."""

from __future__ import annotations

from datetime import UTC, datetime

import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.component import parse_calendar
from server.calendar.freebusy import BusyPeriod
from server.domain.errors import InvalidCalendarData, InvalidSchedulingMessage
from server.domain.occurrences import Busy
from server.itip.free_busy import FreeBusyRequest, read_request, reply

LINES = (
    "UID:4FD3AD926350",
    "DTSTAMP:20090602T190420Z",
    "DTSTART:20090602T000000Z",
    "DTEND:20090604T000000Z",
    'ORGANIZER;CN="Cyrus Daboo":mailto:cyrus@example.com',
    'ATTENDEE;CN="Wilfredo Sanchez Vega":mailto:wilfredo@example.com',
    "ATTENDEE;CN=Bernard:mailto:bernard@example.net",
)
NOW = datetime(2009, 6, 2, 19, 4, 20, tzinfo=UTC)


def message(*lines: str, method: str = "METHOD:REQUEST", component: str = "VFREEBUSY") -> str:
    head = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Example//EN", *([method] if method else ()))
    return "\r\n".join((*head, f"BEGIN:{component}", *lines, f"END:{component}", "END:VCALENDAR", ""))


def without(name: str) -> tuple[str, ...]:
    return tuple(line for line in LINES if not line.startswith(name))


def request(*more: str) -> FreeBusyRequest:
    return read_request(message(*LINES, *more), 10)


def test_rfc6638_appendix_b5_request() -> None:
    read = request()
    assert (read.uid, read.start, read.end) == (
        "4FD3AD926350",
        datetime(2009, 6, 2, tzinfo=UTC),
        datetime(2009, 6, 4, tzinfo=UTC),
    )
    assert read.organizer.value == "mailto:cyrus@example.com"
    assert [line.value for line in read.attendees] == ["mailto:wilfredo@example.com", "mailto:bernard@example.net"]
    assert (read.masked_uid, read.extended) == (None, False)


def test_extensions() -> None:
    read = request("X-CALENDARSERVER-MASK-UID:one\\,two", "X-CALENDARSERVER-EXTENDED-FREEBUSY:T")
    assert (read.masked_uid, read.extended) == ("one,two", True)


def test_each_attendee_counts_once() -> None:
    read = request("ATTENDEE:MAILTO:Bernard@Example.net")
    assert [line.value for line in read.attendees] == ["mailto:wilfredo@example.com", "mailto:bernard@example.net"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (message(*LINES, method=""), "METHOD"),
        (message(*LINES, method="METHOD:REPLY"), "METHOD"),
        (message(*LINES, method="METHOD:REQUEST\r\nMETHOD:REQUEST"), "METHOD"),
        (message(*LINES, component="VEVENT"), "VFREEBUSY"),
        (message(*LINES).replace("END:VCALENDAR", "BEGIN:VFREEBUSY\r\nEND:VFREEBUSY\r\nEND:VCALENDAR"), "VFREEBUSY"),
        (message(*LINES, "BEGIN:VALARM", "END:VALARM"), "VALARM"),
        (message(*LINES).replace("END:VCALENDAR", "BEGIN:VEVENT\r\nEND:VEVENT\r\nEND:VCALENDAR"), "VEVENT"),
        *((message(*without(name)), name) for name in ("UID", "DTSTAMP", "DTSTART", "DTEND", "ORGANIZER", "ATTENDEE")),
        *((message(*LINES, line), line.split(":")[0]) for line in LINES[:5] if not line.startswith("ORGANIZER")),
        (message(*LINES, "ORGANIZER:mailto:other@example.com"), "ORGANIZER"),
        (message(*LINES, "FREEBUSY:20090602T000000Z/PT1H"), "FREEBUSY"),
        (message(*without("DTEND"), "DURATION:PT1H"), "DTEND"),
        (message(*LINES, "REQUEST-STATUS:2.0;Success"), "REQUEST-STATUS"),
        (message(*LINES, "URL:https://example.com"), "URL"),
        (message(*LINES, "CONTACT:one", "CONTACT:two"), "CONTACT"),
        (message(*LINES, "X-CALENDARSERVER-MASK-UID:1", "X-CALENDARSERVER-MASK-UID:2"), "MASK-UID"),
        (message(*without("DTSTART"), "DTSTART:20090602T000000"), "DTSTART"),
        (message(*without("DTSTART"), "DTSTART;VALUE=DATE:20090602"), "DTSTART"),
        (message(*without("DTSTART"), "DTSTART:soon"), "DTSTART"),
        (message(*without("DTEND"), "DTEND:20090602T000000Z"), "DTEND"),
        (message(*LINES, *(f"ATTENDEE:mailto:{n}@example.com" for n in range(9))), "at most 10"),
    ],
)
def test_rfc5546_3_3_2_constraints(text: str, why: str) -> None:
    with pytest.raises(InvalidSchedulingMessage, match=why):
        read_request(text, 10)


def test_what_is_no_calendar() -> None:
    with pytest.raises(InvalidCalendarData):
        read_request("BEGIN:VCARD\r\nEND:VCARD\r\n", 10)


def test_the_reply_names_the_attendee_as_asked() -> None:
    read = request()
    busy = [BusyPeriod(datetime(2009, 6, 2, 11, tzinfo=UTC), datetime(2009, 6, 2, 12, tzinfo=UTC), Busy.BUSY)]
    text = reply(read, read.attendees[0], busy, NOW, "-//Koyomi//EN")
    calendar = icalendar.Calendar.from_ical(text)
    (component,) = calendar.walk("VFREEBUSY")
    assert calendar["METHOD"] == "REPLY"
    assert component["UID"] == "4FD3AD926350"
    assert component["ATTENDEE"].params["CN"] == "Wilfredo Sanchez Vega"
    assert (component["ORGANIZER"], component["ATTENDEE"]) == (
        "mailto:cyrus@example.com",
        "mailto:wilfredo@example.com",
    )
    assert (component["DTSTART"].dt, component["DTEND"].dt, component["DTSTAMP"].dt) == (read.start, read.end, NOW)
    assert "FREEBUSY:20090602T110000Z/20090602T120000Z" in text


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40), st.text(max_size=20))
def test_names_and_uids_of_any_characters_come_back(name: str, uid: str) -> None:
    quoted = name.replace('"', "'")
    escaped = uid.encode("unicode_escape").decode("ascii").replace("\\", "")
    lines = (f"UID:{escaped or 'x'}", *without("UID")[:-1], f'ATTENDEE;CN="{quoted}":mailto:bernard@example.net')
    read = read_request(message(*lines), 10)
    (component,) = parse_calendar(reply(read, read.attendees[-1], [], NOW, "x")).components
    attendee = component.first("ATTENDEE")
    assert attendee is not None
    assert attendee.params == read.attendees[-1].params
    assert component.text("UID") == read.uid


@given(st.binary(max_size=300) | st.sampled_from(LINES).map(str.encode))
def test_any_text_is_read_or_refused(noise: bytes) -> None:
    text = message(*LINES, noise.decode("utf-8", "replace"))
    try:
        read_request(text, 10)
    except (InvalidCalendarData, InvalidSchedulingMessage):
        return
