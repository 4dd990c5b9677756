"""expand, limit-recurrence-set and limit-freebusy-set (RFC 4791 §9.6.5 to §9.6.7), with the examples of §7.8."""

from __future__ import annotations

from datetime import datetime

import pytest

from server.calendar.component import parse_calendar
from server.calendar.expand import expand, limit_freebusy_set, limit_recurrence_set
from server.calendar.iana import iana_zone
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.errors import TooManyInstances
from tests.unit.calendar.time.texts import calendar_text, component, event, utc

ZONE = (
    "BEGIN:VTIMEZONE",
    "LAST-MODIFIED:20040110T032845Z",
    "TZID:US/Eastern",
    "BEGIN:DAYLIGHT",
    "DTSTART:20000404T020000",
    "RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=4",
    "TZNAME:EDT",
    "TZOFFSETFROM:-0500",
    "TZOFFSETTO:-0400",
    "END:DAYLIGHT",
    "BEGIN:STANDARD",
    "DTSTART:20001026T020000",
    "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10",
    "TZNAME:EST",
    "TZOFFSETFROM:-0400",
    "TZOFFSETTO:-0500",
    "END:STANDARD",
    "END:VTIMEZONE",
)
MASTER = (
    "BEGIN:VEVENT",
    "DTSTAMP:20060206T001121Z",
    "DTSTART;TZID=US/Eastern:20060102T120000",
    "DURATION:PT1H",
    "RRULE:FREQ=DAILY;COUNT=5",
    "SUMMARY:Event #2",
    "UID:00959BC664CA650E933C892C@example.com",
    "END:VEVENT",
)


def override(day: str, summary: str) -> tuple[str, ...]:
    return (
        "BEGIN:VEVENT",
        "DTSTAMP:20060206T001121Z",
        f"DTSTART;TZID=US/Eastern:{day}T140000",
        "DURATION:PT1H",
        f"RECURRENCE-ID;TZID=US/Eastern:{day}T120000",
        f"SUMMARY:{summary}",
        "UID:00959BC664CA650E933C892C@example.com",
        "END:VEVENT",
    )


def expanded(*parts: tuple[str, ...], start: str, end: str, zone: Zone = UTC_ZONE) -> list[str]:
    """The lines of the answer between those of VCALENDAR."""
    text = calendar_text(*(line for part in parts for line in part))
    answer = expand(text, parse_calendar(text), utc(start), utc(end), zone)
    parse_calendar(answer)
    lines = answer.split("\r\n")
    assert lines[:3] == ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Example//EN"]
    assert lines[-2:] == ["END:VCALENDAR", ""]
    return lines[3:-2]


def test_rfc4791_expanded_retrieval() -> None:
    """§7.8.3; the RFC's answer lacks the Z of UTC times, which §9.6.5 demands (known erratum)."""
    parts = (ZONE, MASTER, override("20060104", "Event #2 bis"), override("20060106", "Event #2 bis bis"))
    assert expanded(*parts, start="20060103", end="20060105") == [
        "BEGIN:VEVENT",
        "DTSTAMP:20060206T001121Z",
        "DTSTART:20060103T170000Z",
        "DURATION:PT1H",
        "RECURRENCE-ID:20060103T170000Z",
        "SUMMARY:Event #2",
        "UID:00959BC664CA650E933C892C@example.com",
        "END:VEVENT",
        "BEGIN:VEVENT",
        "DTSTAMP:20060206T001121Z",
        "DTSTART:20060104T190000Z",
        "DURATION:PT1H",
        "RECURRENCE-ID:20060104T170000Z",
        "SUMMARY:Event #2 bis",
        "UID:00959BC664CA650E933C892C@example.com",
        "END:VEVENT",
    ]


def test_a_single_event_has_no_recurrence_id() -> None:
    """§7.8.3, the second object."""
    lines = event("DTSTART;TZID=US/Eastern:20060104T100000", "DURATION:PT1H", "ORGANIZER:mailto:cyrus@example.com")
    assert expanded(ZONE, lines, start="20060103", end="20060105") == [
        "BEGIN:VEVENT",
        "UID:one",
        "DTSTAMP:20200101T000000Z",
        "DTSTART:20060104T150000Z",
        "DURATION:PT1H",
        "ORGANIZER:mailto:cyrus@example.com",
        "END:VEVENT",
    ]
    assert expanded(ZONE, lines, start="20060105", end="20060106") == []


def test_rfc4791_limited_retrieval() -> None:
    """§7.8.2: the override of January 6 goes, everything else stays as it is."""
    kept = (ZONE, MASTER, override("20060104", "Event #2 bis"))
    text = calendar_text(*(line for part in (*kept, override("20060106", "Event #2 bis bis")) for line in part))
    answer = limit_recurrence_set(text, parse_calendar(text), utc("20060103"), utc("20060105"), UTC_ZONE)
    assert answer == calendar_text(*(line for part in kept for line in part))


def test_limited_by_original_times_too() -> None:
    moved_away = (*override("20060104", "x")[:2], "DTSTART:20070101T000000Z", *override("20060104", "x")[3:])
    moved_here = (*override("20060106", "x")[:2], "DTSTART:20060104T010000Z", *override("20060106", "x")[3:])
    text = calendar_text(*(line for part in (ZONE, MASTER, moved_away, moved_here) for line in part))
    assert limit_recurrence_set(text, parse_calendar(text), utc("20060104"), utc("20060105"), UTC_ZONE) == text


def test_limited_keeps_ranges_that_describe_or_replace_instances() -> None:
    master = event("DTSTART:20060102T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY")
    later = event("RECURRENCE-ID;RANGE=THISANDFUTURE:20060109T090000Z", "DTSTART:20060110T090000Z", "DURATION:PT1H")
    text = calendar_text(*master, *later)
    tree = parse_calendar(text)
    for day, kept in (("20060102", False), ("20060124", True), ("20060123", True), ("20060125", False)):
        end = datetime.fromisoformat(f"{utc(day).date()}T23:00:00+00:00")
        answer = limit_recurrence_set(text, tree, utc(day), end, UTC_ZONE)
        assert answer == (text if kept else calendar_text(*master)), day


def test_rfc4791_freebusy_retrieval() -> None:
    """§7.8.4."""
    before = ("UID:76ef34-54a3d2@example.com", "DTSTART:20060101T100000Z", "DTEND:20060108T100000Z")
    tentative = "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20060102T100000Z/20060102T120000Z"
    text = calendar_text(
        "BEGIN:VFREEBUSY", *before, "FREEBUSY:20060101T100000Z/20060101T120000Z", tentative, "END:VFREEBUSY"
    )
    answer = limit_freebusy_set(text, parse_calendar(text), utc("20060102"), utc("20060103"))
    assert answer == calendar_text("BEGIN:VFREEBUSY", *before, tentative, "END:VFREEBUSY")


def test_freebusy_periods_in_one_property() -> None:
    values = "20060101T100000Z/PT1H,20060102T100000Z/PT1H,20060103T100000Z/20060103T110000Z"
    text = calendar_text("BEGIN:VFREEBUSY", f"FREEBUSY;FBTYPE=BUSY:{values}", "END:VFREEBUSY")
    answer = limit_freebusy_set(text, parse_calendar(text), utc("20060102T1030"), utc("20060103T1000"))
    assert answer == calendar_text("BEGIN:VFREEBUSY", "FREEBUSY;FBTYPE=BUSY:20060102T100000Z/PT1H", "END:VFREEBUSY")


def test_all_references_to_zones_go_and_other_lines_stay() -> None:
    lines = event(
        "SUMMARY:long" + "g" * 70,
        " folded",
        'DTSTART;X-A="b;c";TZID=Europe/Berlin:20260701T090000',
        "DTEND;TZID=Europe/Berlin:20260701T100000",
        "RRULE:FREQ=DAILY",
        "EXDATE;TZID=Europe/Berlin:20260703T090000",
        "RDATE;TZID=Europe/Berlin:20260704T190000",
        "X-SEEN;X-B=1;TZID=Europe/Berlin:20260701T080000,20260702T080000",
        "X-NOTE;TZID=Europe/Berlin:not a time",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        "TRIGGER:-PT5M",
        "X-MOZ-LASTACK;TZID=Europe/Berlin:20260701T080000",
        "END:VALARM",
    )
    found = expanded(lines, start="20260703", end="20260705")
    assert [line for line in found if line.startswith(("DTSTART", "DTEND", "RECURRENCE-ID"))] == [
        "DTSTART:20260704T070000Z",
        "DTEND:20260704T080000Z",
        "RECURRENCE-ID:20260704T070000Z",
        "DTSTART:20260704T170000Z",
        "DTEND:20260704T180000Z",
        "RECURRENCE-ID:20260704T170000Z",
    ]
    one = found[: len(found) // 2]
    assert "SUMMARY:long" + "g" * 70 in one
    assert " folded" in one
    assert "X-SEEN;X-B=1:20260701T060000Z,20260702T060000Z" in one
    assert "X-NOTE:not a time" in one
    assert "X-MOZ-LASTACK:20260701T060000Z" in one
    assert "TRIGGER:-PT5M" in one
    assert not any(name in "".join(found) for name in ("TZID", "RRULE", "EXDATE", "RDATE", "VTIMEZONE"))


def test_floating_times_and_dates_stay_what_they_are() -> None:
    days = event("DTSTART;VALUE=DATE:20260701", "DTEND;VALUE=DATE:20260703", "RRULE:FREQ=WEEKLY")
    assert expanded(days, start="20260708", end="20260709")[3:6] == [
        "DTSTART;VALUE=DATE:20260708",
        "DTEND;VALUE=DATE:20260710",
        "RECURRENCE-ID;VALUE=DATE:20260708",
    ]
    floating = event("DTSTART:20260701T090000", "RRULE:FREQ=DAILY")
    tokyo = iana_zone("Asia/Tokyo")
    assert tokyo is not None
    found = expanded(floating, start="20260703T0000", end="20260703T0001", zone=tokyo)
    assert found[3:5] == ["DTSTART:20260703T090000", "RECURRENCE-ID:20260703T090000"]


def test_lengths_that_differ_by_instance() -> None:
    nominal = event("DTSTART;TZID=Europe/Berlin:20260327T120000", "DURATION:P1D", "RRULE:FREQ=DAILY;COUNT=3")
    found = expanded(nominal, start="20260301", end="20260401")
    assert [line for line in found if line.startswith("DURATION")] == ["DURATION:P1D", "DURATION:PT23H", "DURATION:P1D"]
    period = event("DTSTART:20260701T090000Z", "RDATE;VALUE=PERIOD:20260702T090000Z/PT90M")
    found = expanded(period, start="20260701", end="20260703")
    assert [line for line in found if line.startswith("DTEND")] == ["DTEND:20260702T103000Z"]
    with_duration = event("DTSTART:20260701T090000Z", "DURATION:PT1H", "RDATE;VALUE=PERIOD:20260702T090000Z/PT90M")
    found = expanded(with_duration, start="20260701", end="20260703")
    assert [line for line in found if line.startswith("DURATION")] == ["DURATION:PT1H", "DURATION:PT1H30M"]


def test_this_and_future() -> None:
    master = event("DTSTART:20260701T090000Z", "DTEND:20260701T100000Z", "RRULE:FREQ=DAILY", "SUMMARY:old")
    later = event(
        "RECURRENCE-ID;RANGE=THISANDFUTURE:20260703T090000Z",
        "DTSTART:20260703T120000Z",
        "DTEND:20260703T140000Z",
        "SUMMARY:new",
    )
    found = expanded(master, later, start="20260710", end="20260711")
    assert found[3:7] == [
        "DTSTART:20260710T120000Z",
        "DTEND:20260710T140000Z",
        "RECURRENCE-ID:20260710T090000Z",
        "SUMMARY:new",
    ]


def test_tasks() -> None:
    due = component("VTODO", "DUE:20260701T090000Z", "RRULE:FREQ=DAILY")
    assert expanded(due, start="20260703", end="20260704")[3:5] == [
        "DUE:20260703T090000Z",
        "RECURRENCE-ID:20260703T090000Z",
    ]
    both = component("VTODO", "DTSTART:20260701T090000Z", "DUE:20260701T110000Z", "RRULE:FREQ=DAILY")
    assert expanded(both, start="20260703", end="20260704")[3:5] == [
        "DTSTART:20260703T090000Z",
        "DUE:20260703T110000Z",
    ]
    assert len(expanded(component("VTODO", "SUMMARY:some day"), start="20260703", end="20260704")) == 5
    assert expanded(component("VTODO", "COMPLETED:20200101T000000Z"), start="20260703", end="20260704") == []


@pytest.mark.parametrize(
    ("start", "due", "expected"),
    [
        ("DTSTART:20260701T090000Z", "DUE;VALUE=DATE:20260702", "DUE;VALUE=DATE:20260704"),
        ("DTSTART;VALUE=DATE:20260701", "DUE;TZID=Europe/Berlin:20260702T170000", "DUE:20260704T150000Z"),
        ("DTSTART;VALUE=DATE:20260701", "DUE:20260702T170000", "DUE:20260704T170000"),
        ("DTSTART:20260701T090000", "DUE:20260701T100000Z", "DUE:20260703T100000Z"),
        ("DTSTART:20260701T090000Z", "DUE:20260630T090000Z", "DUE:20260702T090000Z"),
        ("DTSTART;TZID=Europe/Berlin:20260701T003000", "DUE;VALUE=DATE:20260701", "DUE;VALUE=DATE:20260704"),
    ],
)
def test_due_keeps_its_type_and_its_distance_from_the_start(start: str, due: str, expected: str) -> None:
    """RFC 4791 §9.6.5: times become UTC, nothing else changes."""
    task = component("VTODO", start, due, "RRULE:FREQ=DAILY")
    lines = expanded(task, start="20260703", end="20260704")
    assert expected in lines
    assert not any("TZID" in line for line in lines)


@pytest.mark.parametrize(
    ("due", "expected"),
    [("DUE;VALUE=DATE:20260702", "DUE;VALUE=DATE:20260702"), ("DUE:20260630T090000Z", "DUE:20260630T090000Z")],
)
def test_due_of_a_single_task_stays(due: str, expected: str) -> None:
    task = component("VTODO", "DTSTART:20260701T090000Z", due)
    assert expected in expanded(task, start="20260601", end="20260801")


def test_too_many() -> None:
    with pytest.raises(TooManyInstances):
        expanded(event("DTSTART:20260701T090000Z", "RRULE:FREQ=SECONDLY"), start="20260703", end="20260704")


def test_decades_away() -> None:
    found = expanded(event("DTSTART:20260701T090000Z", "RRULE:FREQ=WEEKLY"), start="20760701", end="20760708")
    assert [line for line in found if line.startswith("DTSTART")] == ["DTSTART:20760701T090000Z"]
