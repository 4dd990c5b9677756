"""Dividing a series (caldav-recursplit): both parts together are the series."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.errors import InvalidSplitPoint, SplitRefused
from server.itip.instances import master_instance
from server.itip.participants import partstat
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject, read_object
from server.itip.splitting import Parts, Split, divided, split_point
from tests.unit.calendar.texts import BERLIN, calendar
from tests.unit.itip.texts import attendee, event, organizer, read

RELATED = "RELATED-TO;RELTYPE=X-CALENDARSERVER-RECURRENCE-SET:8DE45ECB"


def split(value: SchedulingObject, rid: str, sequence: int | None = None) -> Parts:
    return divided(value, Split(split_point(value, rid), "other@example.com", "8DE45ECB", sequence))


def lines(value: SchedulingObject | None, *names: str) -> list[str]:
    assert value is not None
    return [line.written.strip() for each in value.components for line in each.lines if line.name in names]


def test_the_example_of_the_document() -> None:
    value = read(event("RRULE:FREQ=DAILY;COUNT=20", start="DTSTART:20140101T120000Z", end="DURATION:PT1H"))
    parts = split(value, "20140110T120000Z")
    assert lines(parts.later, "DTSTART", "RRULE") == ["DTSTART:20140110T120000Z", "RRULE:FREQ=DAILY;COUNT=11"]
    assert lines(parts.earlier, "DTSTART", "RRULE") == [
        "DTSTART:20140101T120000Z",
        "RRULE:FREQ=DAILY;UNTIL=20140110T115959Z",
    ]
    assert parts.later is not None
    assert parts.earlier is not None
    assert (parts.later.uid, parts.earlier.uid) == (value.uid, "other@example.com")
    for part in parts.later, parts.earlier:
        assert RELATED in part.text.replace("\r\n ", "")
        assert "SEQUENCE" not in part.text


def test_a_scheduled_series_with_overrides_and_exdates() -> None:
    people = (organizer(), attendee(1, "ACCEPTED"), attendee(2, "ACCEPTED", ";SCHEDULE-STATUS=2.0"))
    alarm = "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT5M\nEND:VALARM"
    start, end = "DTSTART;TZID=Europe/Berlin:20270104T100000", "DTEND;TZID=Europe/Berlin:20270104T110000"
    gone = "EXDATE;TZID=Europe/Berlin:20270105T100000,20270112T100000"
    master = event(*people, "RRULE:FREQ=DAILY;COUNT=20", gone, alarm, start=start, end=end)
    overrides = [
        event(
            f"RECURRENCE-ID;TZID=Europe/Berlin:202701{day:02}T100000",
            *people,
            start=f"DTSTART;TZID=Europe/Berlin:202701{day:02}T120000",
            end="DURATION:PT1H",
        )
        for day in (6, 14)
    ]
    parts = split(read_object(calendar(BERLIN, master, *overrides)), "20270110T000000Z", sequence=1)
    assert lines(parts.later, "DTSTART", "DTEND", "RRULE", "EXDATE", "RECURRENCE-ID", "SEQUENCE") == [
        "DTSTART;TZID=Europe/Berlin:20270110T100000",
        "DTEND;TZID=Europe/Berlin:20270110T110000",
        "RRULE:FREQ=DAILY;COUNT=14",
        "EXDATE;TZID=Europe/Berlin:20270112T100000",
        "SEQUENCE:1",
        "DTSTART;TZID=Europe/Berlin:20270114T120000",
        "RECURRENCE-ID;TZID=Europe/Berlin:20270114T100000",
        "SEQUENCE:1",
    ]
    assert lines(parts.earlier, "RRULE", "EXDATE", "RECURRENCE-ID") == [
        "RRULE:FREQ=DAILY;UNTIL=20270110T085959Z",
        "EXDATE;TZID=Europe/Berlin:20270105T100000",
        "RECURRENCE-ID;TZID=Europe/Berlin:20270106T100000",
    ]
    for part in parts.later, parts.earlier:
        assert part is not None
        assert {partstat(line) for each in part.components for line in each.all("ATTENDEE")} == {"ACCEPTED"}
        assert part.text.count("SCHEDULE-STATUS=2.0") == 2
        assert part.text.count("BEGIN:VALARM") == 1
        assert [zone.name for zone in part.timezones] == ["VTIMEZONE"]


def test_a_series_of_dates() -> None:
    value = read(event("RRULE:FREQ=WEEKLY", start="DTSTART;VALUE=DATE:20270104", end="DTEND;VALUE=DATE:20270106"))
    parts = split(value, "20270112")
    assert lines(parts.later, "DTSTART", "DTEND", "RRULE") == [
        "DTSTART;VALUE=DATE:20270118",
        "DTEND;VALUE=DATE:20270120",
        "RRULE:FREQ=WEEKLY",
    ]
    assert lines(parts.earlier, "RRULE") == ["RRULE:FREQ=WEEKLY;UNTIL=20270117"]


def test_a_series_by_dates_and_a_rule_that_ends_before() -> None:
    value = read(event("RRULE:FREQ=DAILY;COUNT=2", "RDATE:20270201T100000Z,20270301T100000Z", "RDATE:20270401T100000Z"))
    parts = split(value, "20270210T000000Z")
    assert lines(parts.later, "DTSTART", "RRULE", "RDATE") == [
        "DTSTART:20270301T100000Z",
        "RDATE:20270301T100000Z",
        "RDATE:20270401T100000Z",
    ]
    assert lines(parts.earlier, "RRULE", "RDATE") == ["RRULE:FREQ=DAILY;COUNT=2", "RDATE:20270201T100000Z"]


def test_a_relation_that_is_there_stays() -> None:
    value = read(event("RRULE:FREQ=DAILY", RELATED.replace("8DE45ECB", "old")))
    parts = split(value, "20270110T000000Z")
    assert parts.later is not None
    assert parts.later.text.count("RELATED-TO") == 1
    assert ":old" in parts.later.text


def test_a_copy_of_single_instances_is_sorted() -> None:
    def single(day: int) -> str:
        return event(f"RECURRENCE-ID:202701{day:02}T100000Z", organizer(), attendee(2))

    both = divided(read(single(5), single(9)), Split("20270107T100000Z", "u", "r", 1))
    assert both.earlier is not None
    assert both.later is not None
    assert list(both.earlier.by_instance) == ["20270105T100000Z"]
    assert list(both.later.by_instance) == ["20270109T100000Z"]
    assert divided(read(single(5)), Split("20270107T100000Z", "u", "r", 1)).later is None
    assert divided(read(single(9)), Split("20270107T100000Z", "u", "r", 1)).earlier is None


@pytest.mark.parametrize("rid", ["", "x", "20270110", "20270110T000000", "20271301T000000Z"])
def test_a_time_in_another_form(rid: str) -> None:
    with pytest.raises(InvalidSplitPoint):
        split_point(read(event("RRULE:FREQ=DAILY")), rid)


@pytest.mark.parametrize(
    ("lines", "rid"),
    [
        ("SUMMARY:A", "20270110T000000Z"),
        ("RRULE:FREQ=DAILY;COUNT=3", "20270104T100000Z"),
        ("RRULE:FREQ=DAILY;COUNT=3", "20260104T100000Z"),
        ("RRULE:FREQ=DAILY;COUNT=3", "20270107T000000Z"),
    ],
)
def test_no_side_without_instances(lines: str, rid: str) -> None:
    with pytest.raises(SplitRefused):
        split_point(read(event(lines)), rid)


def test_a_range_is_not_divided() -> None:
    ranged = event("RECURRENCE-ID;RANGE=THISANDFUTURE:20270105T100000Z")
    with pytest.raises(SplitRefused):
        split_point(read(event("RRULE:FREQ=DAILY"), ranged), "20270110T000000Z")


@settings(deadline=None)
@given(
    st.sampled_from(("FREQ=DAILY;COUNT=9", "FREQ=DAILY;INTERVAL=2", "FREQ=WEEKLY;BYDAY=MO,TH;COUNT=7", "")),
    st.sets(st.integers(1, 25), max_size=4),
    st.sets(st.integers(0, 25), max_size=4),
    st.integers(1, 20),
    st.sampled_from((0, 10, 14)),
)
def test_both_parts_are_the_series(rule: str, dates: set[int], gone: set[int], day: int, hour: int) -> None:
    def at(number: int) -> str:
        return f"202701{4 + number:02}T100000Z"

    more = [f"RRULE:{rule}"] if rule else []
    more += [f"RDATE:{','.join(map(at, sorted(dates)))}"] if dates else []
    more += [f"EXDATE:{at(each)}" for each in sorted(gone)]
    value = read(event(*more))
    try:
        point = split_point(value, f"202701{4 + day:02}T{hour:02}0000Z")
    except SplitRefused:
        return
    parts = divided(value, Split(point, "u", "r", None))

    def instances(part: SchedulingObject | None) -> set[str]:
        if part is None or part.series is None:
            return set()
        first = part.series.first()
        assert first is not None
        if not part.series.recurs:
            return {part.components[0].value("DTSTART") or ""}
        found = part.series.instances(first - timedelta(days=1), first + timedelta(days=60))
        return {each.recurrence_id for each in islice(found, 100) if each.recurrence_id < at(26)}

    assert instances(parts.earlier) | instances(parts.later) == instances(value)
    assert all(each < point for each in instances(parts.earlier))
    assert all(each >= point for each in instances(parts.later))
    assert master_instance(value, MASTER) is None
