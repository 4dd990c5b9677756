"""Expansion from stored occurrences gives, letter by letter, what expansion from the text gives, or leaves it to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.component import parse_calendar
from server.calendar.component_times import as_utc
from server.calendar.expand import expand, written_time
from server.calendar.expand_stored import expand_stored
from server.calendar.filters import TimeRange
from server.calendar.materialise import materialise
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.occurrences import Kind, Timing
from server.services.time.time_ranges import timings_by_object
from server.storage.reads import Timings
from tests.unit.calendar.time.test_consistency import NOW, PLACES, is_expanded, objects, some
from tests.unit.calendar.time.texts import calendar_text, event

ALARM = ("BEGIN:VALARM", "ACTION:AUDIO", "TRIGGER:-PT15M", "REPEAT:2", "DURATION:PT5M", "END:VALARM")
WEEK = (datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC))


def stored(text: str, start: datetime, end: datetime, zone: Zone = UTC_ZONE, now: datetime = NOW) -> list[Timing]:
    """When the object occurs in a window, as it comes from the database."""
    rows = [row for row in materialise(parse_calendar(text), now).occurrences if row.matches]
    timed = [
        (1, Timing(row.start, row.recurrence_id, row.end, row.kind, row.component))
        for row in reversed(rows)
        if row.kind is Kind.TIMED and row.overlaps(start, end)
    ]
    floating = [(1, row) for row in reversed(rows) if row.kind is not Kind.TIMED]
    return timings_by_object(Timings(timed, floating, ()), TimeRange(start, end), zone).get(1, [])


@some
@given(
    objects(),
    st.sampled_from(PLACES),
    st.integers(-60, 500),
    st.integers(1, 60),
    st.sampled_from(
        (
            "",
            "DESCRIPTION:RRULE:\n",
            "X-ZONED;TZID=Europe/Berlin:20260101T000000\n",
            "\n".join((*ALARM, "")),
            "\n".join((*ALARM, "X-Seen:x", *ALARM, "")),
            "Exdate:20260101T000000Z\n",
        )
    ),
    st.sampled_from(("\r\n", "\n")),
)
def test_the_same_text_or_none(
    item: tuple[str, datetime], zone: Zone, skip: int, days: int, more: str, line_end: str
) -> None:
    text, start = item
    text = text.replace("\r\n", "\n").replace("END:VEVENT", more + "END:VEVENT").replace("\n", line_end)
    begin = as_utc(start, None).replace(hour=6) + timedelta(days=skip)
    end = begin + timedelta(days=days)
    if not is_expanded(materialise(parse_calendar(text), NOW), begin, end):
        return
    found = expand_stored(text, stored(text, begin, end, zone))
    assert found is None or found == expand(text, parse_calendar(text), begin, end, zone)


COMMON = {
    "single": event("DTSTART;TZID=Europe/Berlin:20261124T090000", "DTEND;TZID=Europe/Berlin:20261124T100000"),
    "daily, with an alarm": event("DTSTART:20200101T080000Z", "DURATION:PT45M", "RRULE:FREQ=DAILY", *ALARM),
    "all-day": event("DTSTART;VALUE=DATE:20261124", "DTEND;VALUE=DATE:20261126", "TRANSP:TRANSPARENT"),
    "floating": event("DTSTART:20261124T090000", "RRULE:FREQ=WEEKLY;COUNT=3"),
    "folded rule": event("DTSTART:20261124T090000Z", "RRULE:FREQ=DAILY;BYDAY=MO,TU,\r\n WE,TH", "SUMMARY:Long\r\n er"),
    "an extension in small letters": event("DTSTART:20261124T090000Z", "X-Seen:x", "X-SEEN-by:y", "SUMMARY:x"),
    "an alarm before the times": event(*ALARM, "DTSTART:20261124T090000Z", "RRULE:FREQ=DAILY", *ALARM, "SUMMARY:x"),
    "an empty component": event(
        "DTSTART:20261124T090000Z", "RRULE:FREQ=DAILY", "BEGIN:X-A", "END:X-A", "DURATION:PT1H"
    ),
    "override": (
        *event("DTSTART:20261101T090000Z", "DTEND:20261101T100000Z", "RRULE:FREQ=DAILY", "EXDATE:20261125T090000Z"),
        *event("DTSTART:20261126T120000Z", "DTEND:20261126T130000Z", "RECURRENCE-ID:20261126T090000Z"),
    ),
}


@given(st.datetimes(), st.sampled_from(Kind))
def test_times_are_written_as_their_format_says(time: datetime, kind: Kind) -> None:
    written = time.isoformat(timespec="seconds").replace("-", "").replace(":", "")
    expected = {Kind.DATE: written[:8], Kind.FLOATING: written, Kind.TIMED: written + "Z"}
    assert written_time(time, kind) == expected[kind]


@pytest.mark.parametrize("lines", COMMON.values(), ids=COMMON)
def test_common_events_take_the_short_way(lines: tuple[str, ...]) -> None:
    text = calendar_text(*lines)
    assert expand_stored(text, stored(text, *WEEK, now=WEEK[0])) == expand(text, parse_calendar(text), *WEEK, UTC_ZONE)


UNCOMMON = {
    "a property behind the events": (*event("DTSTART:20261124T090000Z"), "X-WR-CALNAME:x"),
    "an event in a component": event(
        "DTSTART:20261124T090000Z", "BEGIN:X-A", *event("DTSTART:20261125T090000Z"), "END:X-A"
    ),
    "another zoned time": event("DTSTART:20261124T090000Z", "X-SEEN;TZID=Europe/Berlin:20261124T090000"),
    "lower case": event("dtstart:20261124T090000Z"),
    "a rule in mixed case": event("DTSTART:20261124T090000Z", "Rrule:FREQ=DAILY"),
    "a folded start": event("DTSTART:2026112\r\n 4T090000Z"),
    "a folded name": event("DTSTART:20261124T090000Z", "RDA\r\n TE:20261125T090000Z"),
    "periods": event("DTSTART:20261124T090000Z", "RDATE;VALUE=PERIOD:20261125T090000Z/PT2H"),
    "periods in lower case": event("DTSTART:20261124T090000Z", "RDATE;value=period:20261125T090000Z/PT2H"),
    "a component whose name ends in a space": event("DTSTART:20261124T090000Z", "BEGIN:X-A ", "END:X-A"),
    "a component in one of its name": event("DTSTART:20261124T090000Z", "BEGIN:X-A", "BEGIN:X-A", "END:X-A", "END:X-A"),
    "an end of another type": event("DTSTART:20261124T090000Z", "DTEND;VALUE=DATE:20261125"),
    "an end before the start": event("DTSTART:20261124T090000Z", "DTEND:20261124T080000Z"),
    "an end that does not exist": event("DTSTART:20261124T090000Z", "DTEND:00000000T000000"),
    "an end of a date": event("DTSTART;VALUE=DATE:20261124", "DTEND;VALUE=DATE:20261124"),
    "a time under VALUE=DATE": event("DTSTART;VALUE=DATE:20261124T090000", "DTEND;VALUE=DATE:20261124T100000"),
    "a time under value=date": event("DTSTART;value=date:20261124T090000", "DTEND;value=date:20261124T100000"),
    "an end before the start by another clock": event(
        "DTSTART;TZID=America/New_York:20261124T090000", "DTEND;TZID=Europe/Berlin:20261124T100000"
    ),
    "a blank line": event("DTSTART:20261124T090000Z", "", "SUMMARY:x"),
}


@pytest.mark.parametrize("lines", UNCOMMON.values(), ids=UNCOMMON)
def test_uncommon_events_are_left_to_expand(lines: tuple[str, ...]) -> None:
    text = calendar_text(*lines)
    assert expand_stored(text, stored(text, *WEEK, now=WEEK[0])) is None
