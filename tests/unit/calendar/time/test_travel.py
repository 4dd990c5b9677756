"""Travel before and after events counts as busy, and nothing else does of it (X-APPLE-TRAVEL-DURATION)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from server.calendar.calendar_object import time_key
from server.calendar.component import Component, parse_calendar
from server.calendar.freebusy import busy_of_object, busy_of_recurrence, merge
from server.calendar.materialise import materialise
from server.calendar.recurrence_set import recurrence_set
from server.calendar.stored_recurrence import dump, load
from server.calendar.vtimezone import CalendarZones
from server.calendar.work import Work
from server.calendar.zones import UTC_ZONE
from server.domain.occurrences import TRAVEL, Busy
from tests.unit.calendar.texts import calendar, component

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BEFORE, AFTER = "X-APPLE-TRAVEL-DURATION;VALUE=DURATION:PT45M", "X-APPLE-TRAVEL-RETURN-DURATION:PT20M"


def read(*lines: str, start: str = "DTSTART:20260105T100000Z", more: str = "") -> Component:
    written = component("VEVENT", "\n".join((start, "DURATION:PT1H", *lines)))
    return parse_calendar(calendar(written, *([more] if more else [])))


def busy(found: Component, day: int = 5, hours: tuple[int, int] = (0, 24)) -> list[str]:
    """The merged busy times of a window on a day in January 2026."""
    midnight = datetime(2026, 1, day, tzinfo=UTC)
    start, end = (midnight + timedelta(hours=hour) for hour in hours)
    periods = merge(busy_of_object(found, start, end, UTC_ZONE), start, end)
    return [f"{each.start:%H%M}-{each.end:%H%M}" for each in periods]


def stored(found: Component, day: int = 5) -> list[str]:
    """The busy rows of a day."""
    midnight = datetime(2026, 1, day, tzinfo=UTC)
    rows = [each for each in materialise(found, NOW).occurrences if each.busy is not Busy.FREE]
    return [
        f"{each.start:%H%M}-{each.end:%H%M}{'' if each.matches else ' travel'}"
        for each in rows
        if each.start < midnight + DAY and each.end > midnight
    ]


@pytest.mark.parametrize(
    ("lines", "rows", "expected"),
    [
        ((), ["1000-1100"], ["1000-1100"]),
        ((BEFORE,), ["0915-1000 travel", "1000-1100"], ["0915-1100"]),
        ((AFTER,), ["1000-1100", "1100-1120 travel"], ["1000-1120"]),
        ((BEFORE, AFTER), ["0915-1000 travel", "1000-1100", "1100-1120 travel"], ["0915-1120"]),
        ((BEFORE, "TRANSP:TRANSPARENT"), [], []),
        ((BEFORE, "STATUS:CANCELLED"), [], []),
        (("X-APPLE-TRAVEL-DURATION:-PT1H", "X-APPLE-TRAVEL-RETURN-DURATION:soon"), ["1000-1100"], ["1000-1100"]),
    ],
)
def test_of_an_event(lines: tuple[str, ...], rows: list[str], expected: list[str]) -> None:
    found = read(*lines)
    assert stored(found) == rows
    assert busy(found) == expected
    made = materialise(found, NOW)
    assert (made.span_start, made.span_end) == tuple(datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (10, 11))
    assert {each.component for each in made.occurrences} <= {0, TRAVEL}


def test_a_window_of_the_travel_alone() -> None:
    found = read(BEFORE, AFTER)
    assert busy(found, hours=(9, 10)) == ["0915-1000"]
    assert busy(found, hours=(11, 12)) == ["1100-1120"]


def test_travel_of_more_than_a_day_counts_as_a_day() -> None:
    found = read("X-APPLE-TRAVEL-DURATION:P3W")
    assert busy(found, 4) == ["1000-0000"]
    assert busy(found, 3) == []


def test_floating_times_travel_and_dates_do_not() -> None:
    assert busy(read(BEFORE, start="DTSTART:20260105T100000")) == ["0915-1100"]
    whole = parse_calendar(calendar(component("VEVENT", f"DTSTART;VALUE=DATE:20260105\n{BEFORE}")))
    assert (busy(whole, 4), busy(whole)) == ([], ["0000-0000"])
    assert materialise(whole, NOW).occurrences[0].component == 0
    assert len(materialise(whole, NOW).occurrences) == 1


OVERRIDE = component("VEVENT", f"RECURRENCE-ID:20260106T100000Z\nDTSTART:20260106T140000Z\nDURATION:PT1H\n{AFTER}")


@pytest.mark.parametrize("rule", ["RRULE:FREQ=DAILY;COUNT=5", "RRULE:FREQ=DAILY"])
def test_of_a_series_each_instance_travels_as_its_component_says(rule: str) -> None:
    found = read(BEFORE, rule, more=OVERRIDE)
    for day, expected in ((5, ["0915-1100"]), (6, ["1400-1520"]), (7, ["0915-1100"])):
        assert busy(found, day) == expected
    assert stored(found, 6) == ["1400-1500", "1500-1520 travel"]
    assert busy(read(BEFORE, rule)) == ["0915-1100"]


def test_a_stored_recurrence_knows_the_travel() -> None:
    found = read(BEFORE, "RRULE:FREQ=DAILY", more=OVERRIDE)
    parts = recurrence_set(list(enumerate(found.components)), CalendarZones(found), Work())
    text = dump(parts)
    for recurrences, travels in ((load(text, Work()), True), (load(text, Work(), [Busy.BUSY] * 2), False)):
        assert recurrences is not None
        for day, expected in (
            (5, "0915-1100" if travels else "1000-1100"),
            (6, "1400-1520" if travels else "1400-1500"),
        ):
            start = datetime(2026, 1, day, tzinfo=UTC)
            (period,) = busy_of_recurrence(recurrences, start, start + DAY, UTC_ZONE)
            assert f"{period.start:%H%M}-{period.end:%H%M}" == expected
    plain = dump(recurrence_set([(0, read("RRULE:FREQ=DAILY").components[0])], CalendarZones(found), Work()))
    assert (plain[:2], text[:2]) == ("[1", "[2"), "servers that do not know the form read the text"


def test_a_change_of_it_derives_anew() -> None:
    keys = {time_key("", read(*lines)) for lines in ((), (BEFORE,), (BEFORE.replace("45", "50"),), (AFTER,))}
    assert len(keys) == 4
