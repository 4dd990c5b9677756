from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.calendar_object import (
    MAX_DATES,
    MAX_SUMMARY_LENGTH,
    CalendarObject,
    read_calendar_object,
    read_timezone,
)
from server.calendar.component import MAX_DEPTH
from server.domain.errors import (
    DateTimeTooEarly,
    DateTimeTooLate,
    InvalidCalendarData,
    InvalidCalendarObject,
    InvalidData,
    ResourceTooLarge,
    TooManyAttendees,
    TooManyInstances,
    UnknownTimezone,
    UnsupportedComponent,
)
from server.domain.limits import Limits
from tests.unit.calendar.texts import BERLIN, calendar, component, event, todo

LIMITS = Limits()
NARROW = Limits(
    min_date_time=datetime(1980, 1, 1, tzinfo=UTC), max_date_time=datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
)


def read(text: str | bytes, limits: Limits = LIMITS) -> CalendarObject:
    body = text if isinstance(text, bytes) else text.encode()
    found = read_calendar_object(body, limits)
    assert found.text.encode() == body
    return found


def refused(kind: type[InvalidData], text: str | bytes, limits: Limits = LIMITS) -> int | None:
    with pytest.raises(InvalidData) as caught:
        read(text, limits)
    assert type(caught.value) is kind, caught.value
    return caught.value.line


OVERRIDE = event("RECURRENCE-ID:20260112T100000Z\nSUMMARY:moved", start="DTSTART:20260112T120000Z")
WINDOWS_ZONE = BERLIN.replace("Europe/Berlin", "W. Europe Standard Time")

ACCEPTED = {
    "plain": calendar(event("DTEND:20260105T110000Z\nSUMMARY:a")),
    "bare LF": calendar(event()).replace("\r\n", "\n"),
    "CR CR LF": calendar(event()).replace("\r\n", "\r\r\n"),
    "byte order mark": "\ufeff" + calendar(event()),
    "blank lines and spaces at the end": calendar(event()) + "\r\n\r\n  \r\n \t",
    "no line end at the end": calendar(event()).rstrip("\r\n"),
    "lower case": calendar(event("summary:a")).lower(),
    "long lines": calendar(event("DESCRIPTION:" + "é" * 5000)),
    "no PRODID, VERSION, DTSTAMP": calendar("BEGIN:VEVENT\nUID:1\nDTSTART:20260101\nEND:VEVENT", head=""),
    "VERSION:1.0 with quoted-printable": calendar(
        event("DESCRIPTION;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:=C3=A9=\nmore"), head="VERSION:1.0"
    ),
    "unknown properties": calendar(event("X-FOO;X-BAR:baz\nFOO:bar\nX-URI;VALUE=URI:http://example.com/a;b")),
    "unknown component inside": calendar(event("BEGIN:X-FOO\nX-A:b\nEND:X-FOO")),
    "unknown component beside": calendar(event(), "BEGIN:X-FOO\nX-A:b\nEND:X-FOO"),
    "parameter without a name": calendar(event("PHOTO;BASE64:abcd")),
    "PARTICIPANT, VLOCATION, VRESOURCE": calendar(
        event(
            "BEGIN:PARTICIPANT\nUID:2\nPARTICIPANT-TYPE:ACTIVE\nBEGIN:VLOCATION\nUID:3\nEND:VLOCATION\nEND:PARTICIPANT"
        )
    ),
    "LINK without LINKREL": calendar(
        event("LINK;VALUE=URI:https://example.com/1\nREFID:a\nCONCEPT:https://example.com")
    ),
    "RELATED-TO with GAP": calendar(todo("RELATED-TO;RELTYPE=FINISHTOSTART;GAP=PT1H:2")),
    "unknown STATUS": calendar(todo("STATUS;REASON={com.example}late;GROUP=G1:DELIVERY-SCHEDULED")),
    "REQUEST-STATUS without text": calendar(event("REQUEST-STATUS:2.0")),
    "backslash before a quote": calendar(event('DESCRIPTION:Bad \\"escaping\\" here.')),
    "escapes in a parameter": calendar(
        event('X-PLACE;VALUE=URI;X-ABUID=ab\\://Work;X-TITLE="10\\n XX S. Dr.\\nSuite":"geo:11.111111,\n -11.111111"')
    ),
    "duration with an empty time": calendar(event("DURATION:P1DT")),
    "weeks and days": calendar(event("DURATION:P1W2D")),
    "IANA name without VTIMEZONE": calendar(event(start="DTSTART;TZID=Europe/Berlin:20260105T100000")),
    "own zone with VTIMEZONE": calendar(
        WINDOWS_ZONE, event(start="DTSTART;TZID=W. Europe Standard Time:20260105T100000")
    ),
    "unquoted colon in TZID": calendar(
        BERLIN.replace("Europe/Berlin", "(UTC+01:00) Berlin"),
        event(start="DTSTART;TZID=(UTC+01:00) Berlin:20260105T100000"),
    ),
    "zone of a UTC time is idle": calendar(event(start="DTSTART;TZID=Nowhere:20260105T100000Z")),
    "zone of a date is idle": calendar(event(start="DTSTART;TZID=Nowhere;VALUE=DATE:20260105")),
    "two zones, one unused": calendar(WINDOWS_ZONE, BERLIN, event()),
    "date without VALUE=DATE": calendar(event(start="DTSTART:20260105")),
    "midnight under VALUE=DATE": calendar(event(start="DTSTART;VALUE=DATE:20260105T000000")),
    "a duration of nothing beside the end": calendar(event("DTEND:20260105T110000Z\nDURATION:PT0S")),
    "a duration that agrees with the end": calendar(event("DTEND:20260105T110000Z\nDURATION:PT1H")),
    "zone known under another name": calendar(
        event(start="DTSTART;TZID=/citadel.org/20070227_1/Europe/Berlin:20260105T100000"),
        event("RECURRENCE-ID:20260106T100000Z", start="DTSTART;TZID=Eastern Standard Time:20260105T100000"),
    ),
    "quotes and case of a zone's name": calendar(
        WINDOWS_ZONE.replace("W. Europe Standard Time", "My Zone"),
        event(start="DTSTART;TZID='my zone':20260105T100000"),
    ),
    "no length": calendar(event("DTEND:20260105T100000Z")),
    "end before start by another clock": calendar(
        event("DTEND;TZID=America/Los_Angeles:20260105T090000", start="DTSTART;TZID=Europe/Berlin:20260105T170000")
    ),
    "task with nothing": calendar(todo("SUMMARY:a")),
    "task with a rule and no date": calendar(todo("RRULE:FREQ=WEEKLY;COUNT=4")),
    "task with a rule and DUE": calendar(todo("DUE;VALUE=DATE:20260105\nRRULE:FREQ=WEEKLY")),
    "task with DUE of another type": calendar(todo("DTSTART:20260105T100000Z\nDUE;VALUE=DATE:20260106")),
    "override outside the series": calendar(event("RRULE:FREQ=DAILY;COUNT=2"), OVERRIDE),
    "override with a rule": calendar(
        event("RRULE:FREQ=DAILY"),
        event("RECURRENCE-ID:20260106T100000Z\nRRULE:FREQ=DAILY", start="DTSTART:20260106T130000Z"),
    ),
    "override without a master": calendar(OVERRIDE),
    "two overrides without a master": calendar(OVERRIDE, OVERRIDE.replace("20260112T10", "20260113T10")),
    "RDATE and EXDATE of either type": calendar(
        event("RDATE:20260107,20260108T100000Z\nRDATE;VALUE=PERIOD:20260109T100000Z/PT1H\nEXDATE;VALUE=DATE:20260107")
    ),
    "the same property twice": calendar(event("SUMMARY:a\nSUMMARY:b\nDTSTART:20260105T100000Z")),
    "alarms": calendar(
        event(
            "BEGIN:VALARM\nACTION:NONE\nTRIGGER;VALUE=DATE-TIME:19760401T005545Z\nEND:VALARM\n"
            "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER;RELATED=END:-P1DT\nREPEAT:2\nDURATION:PT5M\nUID:4\nEND:VALARM"
        )
    ),
    "VJOURNAL": calendar(component("VJOURNAL", "DTSTART:20260101\nDESCRIPTION:a\nDESCRIPTION:b")),
    "VFREEBUSY": calendar(
        component("VFREEBUSY", "DTSTART:20260101T000000Z\nDTEND:20260102T000000Z\nFREEBUSY:20260101T100000Z/PT1H")
    ),
    "VAVAILABILITY": calendar(
        component(
            "VAVAILABILITY",
            "BUSYTYPE:BUSY\nBEGIN:AVAILABLE\nUID:5\nDTSTART:20260101T090000Z\nDURATION:PT8H\nEND:AVAILABLE",
        )
    ),
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted_as_sent(text):
    found = read(text)
    assert found.component in {"VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VAVAILABILITY"}


INVALID_DATA = {
    "another component outside": (calendar(event()).replace("VCALENDAR", "XCALENDAR"), 1),
    "no calendar": ("<?xml version='1.0'?>\n<a/>", 1),
    "empty": ("", 1),
    "cut off": (calendar(event())[:-20], 8),
    "two calendars": (calendar(event()) * 2, 10),
    "control character": (calendar(event("DESCRIPTION:->\x07<-")), 8),
    "rule": (calendar(event("RRULE:FREQ=MONTHLY;BYDAY=+1,3MO")), 8),
    "CALSCALE": (calendar(event(), head="CALSCALE:JULIAN"), 2),
    "observance outside of a zone": (calendar("BEGIN:STANDARD\nEND:STANDARD", event()), 4),
    "no UID": (calendar(event(uid=None)), 4),
    "empty UID": (calendar(event(uid=" ")), 4),
    "endless UID": (calendar(event(uid="é" * LIMITS.max_uid_length)), 5),
    "no start": (calendar(event(start="")), 4),
    "two starts": (calendar(event("DTSTART:20260106T100000Z")), 8),
    "end and duration": (calendar(event("DTEND:20260105T110000Z\nDURATION:PT2H")), 8),
    "due and duration": (calendar(todo("DTSTART:20260105\nDUE:20260106\nDURATION:P2D")), 7),
    "start of zeros": (calendar(event(start="DTSTART:00000000T000000Z")), 4),
    "availability that ends before its start": (
        calendar(component("VAVAILABILITY", "DTSTART:20260105T100000Z\nDTEND:20260105T090000Z")),
        7,
    ),
    "no date": (calendar(event("EXDATE:20260230T100000Z")), 8),
    "no duration": (calendar(event("DURATION:1H")), 8),
    "instance of no time": (calendar(event("RECURRENCE-ID:")), 8),
    "available without a start": (calendar(component("VAVAILABILITY", "BEGIN:AVAILABLE\nUID:2\nEND:AVAILABLE")), 6),
    "a line without a colon": (calendar(event("nonsense")), 8),
}


@pytest.mark.parametrize(("text", "line"), INVALID_DATA.values(), ids=INVALID_DATA.keys())
def test_invalid_data_is_refused_with_the_line(text, line):
    assert refused(InvalidCalendarData, text) == line


INVALID_OBJECT = {
    "two types": (calendar(event(), todo("SUMMARY:a")), 9),
    "METHOD": (calendar(event(), head="VERSION:2.0\nMETHOD:PUBLISH"), 3),
    "two UIDs": (calendar(event("RRULE:FREQ=DAILY"), OVERRIDE.replace("UID:1", "UID:2")), 11),
    "two masters": (calendar(event(), event()), 9),
    "two overrides of one instance": (calendar(event("RRULE:FREQ=DAILY"), OVERRIDE, OVERRIDE), 21),
    "nothing": (calendar(), 1),
    "zones only": (calendar(BERLIN), 1),
}


@pytest.mark.parametrize(("text", "line"), INVALID_OBJECT.values(), ids=INVALID_OBJECT.keys())
def test_what_is_no_calendar_object_is_refused_with_the_line(text, line):
    assert refused(InvalidCalendarObject, text) == line


def test_not_utf_8():
    assert refused(InvalidCalendarData, calendar(event("SUMMARY:\xd4\xd5")).encode("latin-1")) == 8


def test_unknown_zone_comes_before_uids():
    text = calendar(event(start="DTSTART;TZID=Bogus:20260105T100000", uid=None))
    with pytest.raises(UnknownTimezone) as caught:
        read(text)
    assert (caught.value.tzid, caught.value.line) == ("Bogus", 6)
    assert isinstance(caught.value, InvalidCalendarObject)


def test_components_of_no_calendar():
    assert refused(UnsupportedComponent, calendar(component("VPOLL", "SUMMARY:a"))) == 4


def test_more_dates_than_can_be_looked_at_are_not_read():
    dates = ",".join(["not a date"] * 1000)
    lines = "\n".join([f"EXDATE:{dates}"] * (MAX_DATES // 1000))
    refused(InvalidCalendarData, calendar(event(f"RRULE:FREQ=DAILY\n{lines}")))
    refused(TooManyInstances, calendar(event(f"RRULE:FREQ=DAILY\n{lines}\nRDATE:not a date")))


def test_limits():
    many = event("\n".join(f"ATTENDEE:mailto:{number}@example.com" for number in range(4)))
    assert read(calendar(many), Limits(max_attendees=4))
    assert refused(TooManyAttendees, calendar(many), Limits(max_attendees=3)) == 11
    override = OVERRIDE.replace("SUMMARY:moved", "\n".join(["ATTENDEE:mailto:a@example.com"] * 3))
    assert read(calendar(event("ATTENDEE:mailto:a@example.com"), override), Limits(max_attendees=3))
    size = len(calendar(event()))
    assert read(calendar(event()), Limits(max_resource_size=size))
    refused(ResourceTooLarge, calendar(event()), Limits(max_resource_size=size - 1))
    alarms = event("BEGIN:VALARM\nTRIGGER:-PT5M\nEND:VALARM\n" * 4 + "X-A:b")
    assert read(calendar(alarms), Limits(max_components=6))
    refused(InvalidCalendarData, calendar(alarms), Limits(max_components=5))


@pytest.mark.parametrize(
    "value", ["20260105T100000", ";TZID=Europe/Berlin:20260105T100000", ";VALUE=DATE:20260105", "x"]
)
def test_an_alarm_is_dismissed_at_a_time_in_utc(value):
    """RFC 9074 §6.1."""
    alarm = "BEGIN:VALARM\nTRIGGER:-PT5M\nACKNOWLEDGED{}\nEND:VALARM"
    assert refused(InvalidCalendarData, calendar(event(alarm.format(value if value[0] == ";" else f":{value}")))) == 10
    for good in (":20260105T100000Z", ":", ":00000000T000000Z"):
        assert read(calendar(event(alarm.format(good))))


@pytest.mark.parametrize(
    "lines",
    [
        "DTEND:21000101T000000Z",
        "RECURRENCE-ID:21000101T000000Z",
        "RDATE:20260106,21000101",
        "EXDATE:21000101T000000Z",
        "RDATE;VALUE=PERIOD:20260106T000000Z/21000101T000000Z",
    ],
)
def test_times_outside_of_the_limits(lines):
    limits = Limits(
        min_date_time=datetime(1980, 1, 1, tzinfo=UTC), max_date_time=datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
    )
    start = "DTSTART:20260105" if lines == "DTEND:21000101" else "DTSTART:20260105T100000Z"
    assert refused(DateTimeTooLate, calendar(event(lines, start=start)), limits) == 8
    assert read(calendar(event(lines.replace("21000101", "20991231"))), limits)


def test_times_before_the_limits():
    assert refused(DateTimeTooEarly, calendar(event(start="DTSTART:19791231T235959Z")), NARROW) == 7
    assert refused(DateTimeTooEarly, calendar(todo("DUE;VALUE=DATE:19791231")), NARROW) == 6
    stamps = "CREATED:00051222T205954Z\nLAST-MODIFIED:19700101T000000Z\nCOMPLETED:99990101T000000Z"
    alarm = "BEGIN:VALARM\nTRIGGER;VALUE=DATE-TIME:19760401T005545Z\nEND:VALARM"
    assert read(calendar(BERLIN, event(f"{stamps}\nRRULE:FREQ=DAILY;UNTIL=99991231T000000Z\n{alarm}")), NARROW)


def test_fields():
    text = calendar(
        BERLIN,
        OVERRIDE.replace("DTSTAMP", "X-OTHER"),
        event(
            "DTEND;TZID=Europe/Berlin:20260105T110000\nRRULE:FREQ=WEEKLY\nEXDATE;TZID=Europe/London:20260119T100000\n"
            'ORGANIZER;CN="Doe, Jane": mailto:jane@example.com\n'
            "ATTENDEE:mailto:a@example.com\nATTENDEE:mailto:b@example.com\n"
            "SUMMARY:One\\, two\nDESCRIPTION:a\\nb\nLOCATION:Room 3\nCATEGORIES:Work,A\\,B\nCATEGORIES:Work,,Home\n"
            "STATUS:confirmed\nTRANSP:TRANSPARENT\nCLASS:PRIVATE\nPRIORITY:5\n"
            "BEGIN:VALARM\nTRIGGER:-PT5M\nEND:VALARM",
            start="DTSTART;TZID=Europe/Berlin:20260105T100000",
        ),
    )
    found = read(text)
    assert (found.component, found.uid, found.organizer) == ("VEVENT", "1@example.com", "mailto:jane@example.com")
    assert found.tzids == ("Europe/Berlin", "Europe/London")
    assert found.master is found.tree.components[2]
    assert found.overrides == (found.tree.components[1],)
    assert found.summary() == {
        "summary": "One, two",
        "location": "Room 3",
        "organizer": "mailto:jane@example.com",
        "categories": "Work, A,B, Home",
        "status": "CONFIRMED",
        "transparency": "TRANSPARENT",
        "classification": "PRIVATE",
        "priority": "5",
    }


def test_fields_of_what_says_little():
    found = read(calendar(todo("CATEGORIES:\nSUMMARY:")))
    assert (found.master is None, found.organizer, found.tzids, found.summary()) == (False, None, (), {})
    assert read(calendar(OVERRIDE)).master is None
    assert read(calendar(OVERRIDE)).summary() == {"summary": "moved"}


def test_the_summary_is_bounded():
    found = read(calendar(event("SUMMARY:" + "é" * 5000 + "\nSUMMARY:second")))
    assert found.summary() == {"summary": "é" * MAX_SUMMARY_LENGTH}


BASE = event(
    "DTEND;TZID=Europe/Berlin:20260105T110000\nRRULE:FREQ=WEEKLY\nSUMMARY:a\nBEGIN:VALARM\nTRIGGER:-PT5M\nEND:VALARM",
    start="DTSTART;TZID=Europe/Berlin:20260105T100000",
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SUMMARY:a", "SUMMARY:b\nDESCRIPTION:c\nX-A:d"),
        ("DTSTAMP:20260101T000000Z", "DTSTAMP:20260202T000000Z\nLAST-MODIFIED:20260202T000000Z\nSEQUENCE:4"),
        ("TRIGGER:-PT5M", "TRIGGER:-PT5M\nDESCRIPTION:b\nX-MOZ-LASTACK:20260101T000000Z"),
        ("SUMMARY:a", "ATTENDEE;PARTSTAT=ACCEPTED:mailto:a@example.com"),
    ],
)
def test_time_key_stays_when_nothing_about_time_changes(old, new):
    changed = calendar(BERLIN, BASE.replace(old, new))
    assert changed != calendar(BERLIN, BASE)
    assert read(changed).time_key == read(calendar(BERLIN, BASE)).time_key


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("20260105T100000", "20260105T103000"),
        ("20260105T110000", "20260105T113000"),
        ("TZID=Europe/Berlin:20260105T100000", "TZID=US/Eastern:20260105T100000"),
        ("FREQ=WEEKLY", "FREQ=DAILY"),
        ("RRULE:FREQ=WEEKLY\r\n", ""),
        ("SUMMARY:a", "EXDATE:20260112T090000Z"),
        ("SUMMARY:a", "RDATE:20260112T090000Z"),
        ("SUMMARY:a", "STATUS:CANCELLED"),
        ("SUMMARY:a", "TRANSP:TRANSPARENT"),
        ("-PT5M", "-PT10M"),
        ("BEGIN:VALARM\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\n", ""),
        ("BYMONTH=10;BYDAY=-1SU", "BYMONTH=11;BYDAY=1SU"),
    ],
)
def test_time_key_moves_with_everything_about_time(old, new):
    text = calendar(BERLIN, BASE)
    assert old in text
    assert read(text.replace(old, new, 1)).time_key != read(text).time_key


def test_deep_nesting_is_refused():
    inner = "BEGIN:X-A\n" * 10_000 + "END:X-A\n" * 10_000 + "X-B:c"
    assert refused(InvalidCalendarData, calendar(event(inner))) == 8 + MAX_DEPTH - 2


PIECES = [
    "BEGIN:VCALENDAR", "END:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "BEGIN:VTODO", "END:VTODO", "BEGIN:VALARM",
    "END:VALARM", "BEGIN:VTIMEZONE", "END:VTIMEZONE", "TZID:A/B", "UID:1", "DTSTART:20260101",
    "DTSTART;TZID=A/B:20260101T10", "DTEND:20260101T100000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY", "RRULE:",
    "RECURRENCE-ID:20260101", "TRIGGER:",
    "RDATE:1,2/3", "CATEGORIES:\\", "ATTENDEE;:", "SEQUENCE:²", "METHOD:X", ";", '"', ":", "", " ",
    "\x00", "\ufeff", "\u2028",
]  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=25), st.sampled_from(["\n", "\r\n", "\r"]))
def test_hostile_texts_are_read_or_refused(pieces, line_end):
    text = line_end.join(["BEGIN:VCALENDAR", "BEGIN:VEVENT", *pieces, "END:VEVENT", "END:VCALENDAR"])
    try:
        read(text)
    except InvalidData as error:
        assert error.line is not None


@settings(max_examples=200)
@given(st.sampled_from(sorted(ACCEPTED)), st.data())
def test_mutilated_texts_are_read_or_refused(name, data):
    body = ACCEPTED[name].encode()
    start = data.draw(st.integers(0, len(body)))
    length = data.draw(st.integers(0, 40))
    middle = data.draw(st.binary(max_size=5))
    try:
        read(body[:start] + middle + body[start + length :])
    except InvalidData as error:
        assert error.line is not None


def test_calendar_timezone():
    tzid, zone = read_timezone("\n  " + calendar(BERLIN).replace("\r\n", "\n"))
    assert (tzid, zone.name) == ("Europe/Berlin", "VTIMEZONE")
    for text in [
        "",
        calendar(),
        calendar(BERLIN, BERLIN),
        calendar(BERLIN, event()),
        calendar("BEGIN:VTIMEZONE\nTZID:A\nEND:VTIMEZONE"),
        BERLIN,
        "Europe/Berlin",
        calendar(BERLIN.replace("TZID:Europe/Berlin\n", "")),
        calendar(BERLIN.replace("Berlin", "\ud800")),
    ]:
        with pytest.raises(InvalidCalendarData):
            read_timezone(text)
