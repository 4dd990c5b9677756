"""Dates before 1900, down to the first day that there is, in every component."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.calendar_object import read_calendar_object
from server.calendar.expand import expand
from server.calendar.iana import iana_zone
from server.calendar.materialise import materialise
from server.calendar.rrule import RecurrenceRule
from server.calendar.zones import UTC_ZONE
from server.domain.errors import TooManyInstances
from server.domain.limits import Limits
from server.domain.occurrences import EARLIEST, later, resolve
from tests.unit.calendar.texts import calendar, component, event, todo
from tests.unit.calendar.time.strategies import rules
from tests.unit.calendar.time.test_second_opinions import written
from tests.unit.calendar.time.texts import NOW

ZONES = (None, "UTC", "Pacific/Kiritimati", "America/Adak", "Europe/Berlin")

TIMES = [
    event(start="DTSTART;VALUE=DATE:16040507"),
    event("DTEND:00010101T010000Z", start="DTSTART:00010101T000000Z"),
    event("RRULE:FREQ=YEARLY;UNTIL=17000101", start="DTSTART;VALUE=DATE:16040507"),
    event("RDATE:16040507T100000Z,00010101T100000Z\nEXDATE:16050507T100000Z"),
    event("RECURRENCE-ID;VALUE=DATE:16040507", start="DTSTART;VALUE=DATE:16040508"),
    event("BEGIN:VALARM\nTRIGGER;VALUE=DATE-TIME:16040507T100000Z\nEND:VALARM"),
    event("BEGIN:VALARM\nTRIGGER:-P700000D\nEND:VALARM"),
    todo("DTSTART:16040507T100000Z\nDUE:16040508T100000Z\nCOMPLETED:16040507T100000Z"),
    todo("CREATED:16040507T100000Z"),
    component("VJOURNAL", "DTSTART;VALUE=DATE:16040507"),
    component("VFREEBUSY", "DTSTART:16040507T000000Z\nDTEND:16040508T000000Z\nFREEBUSY:16040507T000000Z/PT1H"),
    component("VAVAILABILITY", "BEGIN:AVAILABLE\nUID:2\nDTSTART:16040507T000000Z\nDURATION:PT1H\nEND:AVAILABLE"),
]


@pytest.mark.parametrize("part", TIMES)
def test_every_component_takes_them(part: str) -> None:
    tree = read_calendar_object(calendar(part).encode(), Limits()).tree
    assert materialise(tree, NOW).occurrences


@settings(max_examples=200, deadline=None)
@given(rules(), st.timedeltas(timedelta(0), timedelta(days=2000)), st.sampled_from(ZONES), st.sampled_from(ZONES))
def test_no_rule_and_no_zone_leads_out_of_time(
    rule: RecurrenceRule, after: timedelta, name: str | None, place: str | None
) -> None:
    """From the first days of the year 1 on, what is computed lies between the ends of time."""
    start = f"{(datetime(1, 1, 1) + after).replace(microsecond=0).isoformat():.19}".replace("-", "").replace(":", "")
    zone = "" if name is None else f";TZID={name}"
    text = calendar(event(f"DURATION:PT1H\nRRULE:{written(rule)}", start=f"DTSTART{zone}:{start}"))
    tree = read_calendar_object(text.encode(), Limits()).tree
    there = UTC_ZONE if place is None else iana_zone(place)
    assert there is not None
    for row in materialise(tree, EARLIEST).occurrences[:50]:
        assert EARLIEST <= resolve(row, there).start <= resolve(row, there).end
    window = EARLIEST, later(EARLIEST, timedelta(hours=30))
    with contextlib.suppress(TooManyInstances):
        assert expand(text, tree, *window, there).count("BEGIN:VEVENT") <= 10_000
    assert materialise(tree, datetime(2026, 1, 1, tzinfo=UTC)).span_start is not None
