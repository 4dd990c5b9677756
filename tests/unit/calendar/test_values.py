from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.contentline import content_lines
from server.calendar.values import (
    CalendarTime,
    Duration,
    Period,
    parse_calendar_time,
    parse_date,
    parse_duration,
    parse_period,
    parse_utc_offset,
    property_duration,
    property_time,
    property_times,
)
from server.domain.errors import InvalidCalendarData

PARSERS = [
    parse_calendar_time,
    parse_date,
    parse_duration,
    parse_period,
    parse_utc_offset,
]


def only(text):
    (line,) = content_lines(text)
    return line


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("19970714", CalendarTime(date(1997, 7, 14))),
        ("19980118T230000", CalendarTime(datetime(1998, 1, 18, 23))),
        ("19980119T070000Z", CalendarTime(datetime(1998, 1, 19, 7), utc=True)),
        ("19970630T235960Z", CalendarTime(datetime(1997, 6, 30, 23, 59, 59), utc=True)),
        ("20260101T240000", CalendarTime(datetime(2026, 1, 2))),
        ("20260101t1030", CalendarTime(datetime(2026, 1, 1, 10, 30))),
        ("2026-01-01T10:30:05z", CalendarTime(datetime(2026, 1, 1, 10, 30, 5), utc=True)),
        ("2026-01-01", CalendarTime(date(2026, 1, 1))),
        ("20260101Z", CalendarTime(date(2026, 1, 1))),
        (" 20260101 ", CalendarTime(date(2026, 1, 1))),
        ("00010101", CalendarTime(date(1, 1, 1))),
        ("99991231T235959Z", CalendarTime(datetime(9999, 12, 31, 23, 59, 59), utc=True)),
    ],
)
def test_dates_and_times(value, expected):
    assert parse_calendar_time(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2026",
        "20260230",
        "20261301",
        "00000101",
        "20260101T",
        "20260101T250000",
        "20260101T106000",
        "20260101T100061",
        "20260101T100000+0100",
        "20260101T10",
        "99991231T240000",
        "   51222T205954Z",
        "2026-0101",
        "٢٠٢٦٠١٠١",
        "20260101T240001",
        "1" * 5000,
    ],
)
def test_no_dates_or_times(value):
    with pytest.raises(InvalidCalendarData):
        parse_calendar_time(value)


def test_zones_belong_to_local_times_only():
    zoned = property_time(only("DTSTART;TZID=Europe/Berlin:20260101T100000"))
    assert (zoned.tzid, zoned.is_floating, zoned.is_date) == ("Europe/Berlin", False, False)
    assert property_time(only("DTSTART;TZID=Europe/Berlin:20260101T100000Z")).tzid is None
    assert property_time(only("DTSTART;TZID=Europe/Berlin:20260101")).tzid is None
    assert property_time(only("DTSTART:20260101T100000")).is_floating
    assert not property_time(only("DTSTART:20260101T100000Z")).is_floating
    assert property_time(only("DTSTART;VALUE=DATE:20260101T000000")) == CalendarTime(date(2026, 1, 1))
    assert property_time(only("DTSTART:20260101")).local == datetime(2026, 1, 1)
    assert property_time(only("DTSTART;VALUE=DATE:20260101T103000Z")) == CalendarTime(date(2026, 1, 1))
    with pytest.raises(InvalidCalendarData) as caught:
        property_time(only("\n\nDTSTART;VALUE=DATE:soon"))
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("P15DT5H0M20S", Duration(15, 18020)),
        ("P7W", Duration(49, 0)),
        ("-PT15M", Duration(0, -900)),
        ("+P1D", Duration(1, 0)),
        ("P1DT", Duration(1, 0)),
        ("PT36H", Duration(0, 129600)),
        ("P1W2D", Duration(9, 0)),
        ("PT0S", Duration(0, 0)),
        ("-p1dt1h", Duration(-1, -3600)),
        ("PT1H30S", Duration(0, 3630)),
        (" PT1H ", Duration(0, 3600)),
        ("P", Duration()),
        ("PT", Duration()),
    ],
)
def test_durations_keep_nominal_and_exact_apart(value, expected):
    assert parse_duration(value) == expected
    assert parse_duration(value).is_negative == (value[0] == "-")


@pytest.mark.parametrize(
    "value", ["", "T", "1H", "P1H", "PT1D", "P-1D", "P1.5D", "PT1S1H", "P9999999W", "P9" + "9" * 30 + "D"]
)
def test_no_durations(value):
    with pytest.raises(InvalidCalendarData):
        parse_duration(value)


@given(st.integers(0, 3_000_000), st.integers(0, 86400 * 300), st.booleans())
def test_durations_round_trip(days, seconds, negative):
    written = f"{'-' if negative else ''}P{days}DT{seconds // 3600}H{seconds // 60 % 60}M{seconds % 60}S"
    sign = -1 if negative else 1
    assert parse_duration(written) == Duration(sign * days, sign * seconds)
    assert parse_duration(written).timedelta == sign * timedelta(days, seconds)


def test_periods():
    start = CalendarTime(datetime(2026, 1, 1, 10), utc=True)
    assert parse_period("20260101T100000Z/PT1H") == Period(start, Duration(0, 3600))
    assert parse_period("20260101T100000Z/20260101T110000Z").end == CalendarTime(datetime(2026, 1, 1, 11), utc=True)
    for value in [
        "20260101T100000Z",
        "20260101/P1D",
        "20260101T100000Z/20260102",
        "/",
        "a/b",
    ]:
        with pytest.raises(InvalidCalendarData):
            parse_period(value)


def test_lists_take_every_type_and_empty_parts():
    found = property_times(
        only("RDATE;TZID=Europe/Berlin:20260101T100000,20260102,,00000000T000000,20260103T100000/PT1H,")
    )
    assert [type(item) for item in found] == [CalendarTime, CalendarTime, Period]
    assert found[0] == CalendarTime(datetime(2026, 1, 1, 10), tzid="Europe/Berlin")
    assert found[2].start.tzid == "Europe/Berlin"
    with pytest.raises(InvalidCalendarData) as caught:
        property_times(only("\nEXDATE:20260101T100000,soon"))
    assert caught.value.line == 2


def test_offsets():
    assert parse_utc_offset("-0500") == timedelta(hours=-5)
    assert parse_utc_offset("+013015") == timedelta(hours=1, minutes=30, seconds=15)
    assert parse_utc_offset("-0000") == timedelta(0)
    assert parse_utc_offset("+01:00") == timedelta(hours=1)
    for parse, value in [
        (parse_utc_offset, "0100"),
        (parse_utc_offset, "+2500"),
    ]:
        with pytest.raises(InvalidCalendarData):
            parse(value)


@settings(max_examples=200)
@given(st.text(st.sampled_from("0123456789TZPWDHMS+-/:, é٢"), max_size=24) | st.text(max_size=10))
def test_any_value_is_parsed_or_refused(value):
    for parse in PARSERS:
        try:
            parse(value)
        except InvalidCalendarData as error:
            assert error.line is None
    text = "X:" + value.replace("\r", "").replace("\n", "")
    for parse in (property_time, property_times, property_duration):
        try:
            parse(only(text))
        except InvalidCalendarData as error:
            assert error.line == 1
