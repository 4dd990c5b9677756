"""Closed times of rooms, against the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from server.booking.free_time import merged
from server.booking.opening_times import closed_times, open_times
from server.calendar.iana import named_zone
from server.calendar.zones import UTC_ZONE

BERLIN = "Europe/Berlin"
WEEKDAYS = "\r\n".join(
    (
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Test//EN",
        "BEGIN:VAVAILABILITY",
        "UID:a",
        "DTSTAMP:20270101T000000Z",
        "BEGIN:AVAILABLE",
        "UID:b",
        "DTSTAMP:20270101T000000Z",
        "DTSTART:20270104T080000",
        "DTEND:20270104T180000",
        "RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
        "END:AVAILABLE",
        "END:VAVAILABILITY",
        "END:VCALENDAR",
        "",
    )
)
QUARTER = timedelta(minutes=15)


@given(st.integers(7, 300), st.integers(0, 95), st.integers(1, 300))
def test_a_room_is_closed_outside_of_its_hours_by_its_own_clock(day: int, first: int, length: int) -> None:
    zone = named_zone(BERLIN)
    assert zone is not None
    start = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(days=day) + first * QUARTER
    end = start + length * QUARTER
    closed = closed_times(WEEKDAYS, zone, start, end)
    opened = open_times(closed, start, end)
    for number in range(length):
        at = start + number * QUARTER
        local = at.astimezone(ZoneInfo(BERLIN))
        expected = local.weekday() < 5 and 8 <= local.hour < 18
        assert any(begins <= at < ends for begins, ends in closed) != expected
        assert any(begins <= at < ends for begins, ends in opened) == expected


def test_a_room_without_opening_times_is_always_open() -> None:
    start = datetime(2027, 1, 4, tzinfo=UTC)
    assert not closed_times("", UTC_ZONE, start, start + timedelta(days=9))
    assert open_times((), start, start + timedelta(days=9)) == [(start, start + timedelta(days=9))]


MINUTES = st.integers(0, 60)


@given(st.lists(st.tuples(MINUTES, MINUTES), max_size=5), MINUTES, MINUTES)
def test_what_is_not_closed_is_open(pairs: list[tuple[int, int]], first: int, last: int) -> None:
    origin = datetime(2027, 1, 4, tzinfo=UTC)

    def at(minute: int) -> datetime:
        return origin + timedelta(minutes=minute)

    opened = open_times(merged((at(start), at(end)) for start, end in pairs), at(first), at(last))
    for minute in range(61):
        expected = first <= minute < last and not any(start <= minute < end for start, end in pairs)
        assert any(begins <= at(minute) < ends for begins, ends in opened) == expected
    assert opened == merged(opened)
