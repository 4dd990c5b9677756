"""Time ranges: each row of the tables of RFC 4791 §9.9 (and RFC 7953 §7.2.2) with each boundary, read literally."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest

from server.calendar.component import Component
from server.calendar.filters import TimeRange
from server.calendar.iana import iana_zone
from server.calendar.materialise import materialise
from server.calendar.timerange import TimeRangeMatcher
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.occurrences import resolve
from tests.unit.calendar.time.test_zones import reference
from tests.unit.calendar.time.texts import NOW, calendar, component, event, utc

SECOND = timedelta(seconds=1)
Condition = Callable[[datetime, datetime], bool]

NEW_YORK = iana_zone("America/New_York")
assert NEW_YORK is not None
PLACE = reference("America/New_York")
"""Where floating times and dates are in these tests."""


def windows(*times: datetime) -> Iterator[tuple[datetime | None, datetime | None]]:
    """Windows with each boundary before, at and after each time, also open ones."""
    edges = sorted({time + step * SECOND for time in times for step in (-7200, -1, 0, 1, 7200)})
    for start, end in product([None, *edges], [*edges, None]):
        if (start is None and end is None) or (start is not None and end is not None and start >= end):
            continue
        yield start, end


def holds(condition: Condition, start: datetime | None, end: datetime | None) -> bool:
    """RFC 4791 §9.9: absent ends of a range are infinite."""
    return condition(start or datetime(1, 1, 2, tzinfo=UTC), end or datetime(9999, 12, 30, tzinfo=UTC))


def check(tree: Component, condition: Condition, *times: datetime, zone: Zone = NEW_YORK) -> None:
    """The matcher and the rows against a condition, in windows around some times."""
    rows = [resolve(row, zone) for row in materialise(tree, NOW).occurrences]
    tested = tree.components[0]
    for start, end in windows(*times):
        expected = holds(condition, start, end)
        found = TimeRangeMatcher(tree, zone)((tree, tested), None, TimeRange(start, end))
        assert found == expected, (start, end)
        assert any(row.overlaps(start, end) for row in rows) == expected, (start, end)


FORMS = ["date", "floating", "zoned", "utc"]


def value(name: str, form: str, local: datetime) -> tuple[str, datetime]:
    """A property in one of the forms, and the time it means."""
    if form == "date":
        day = local.replace(hour=0, minute=0)
        return f"{name};VALUE=DATE:{day:%Y%m%d}", day.replace(tzinfo=PLACE).astimezone(UTC)
    if form == "floating":
        return f"{name}:{local:%Y%m%dT%H%M%S}", local.replace(tzinfo=PLACE).astimezone(UTC)
    if form == "zoned":
        zone: ZoneInfo = reference("Europe/Berlin")
        return f"{name};TZID=Europe/Berlin:{local:%Y%m%dT%H%M%S}", local.replace(tzinfo=zone).astimezone(UTC)
    return f"{name}:{local:%Y%m%dT%H%M%S}Z", local.replace(tzinfo=UTC)


LOCAL = datetime(2026, 3, 7, 9, 30)
LATER = datetime(2026, 3, 9, 11, 0)
"""New York's clocks are put forward between the two."""


@pytest.mark.parametrize("form", FORMS)
def test_event_with_dtend(form: str) -> None:
    (start_line, dtstart), (end_line, dtend) = value("DTSTART", form, LOCAL), value("DTEND", form, LATER)
    check(
        calendar(event(start_line, end_line)),
        lambda start, end: start < dtend and end > dtstart,
        dtstart,
        dtend,
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("days", [0, 2])
def test_event_with_duration(form: str, days: int) -> None:
    start_line, dtstart = value("DTSTART", form, LOCAL)
    _, dtend = value("DTEND", form, LOCAL + timedelta(days=days))

    def condition(start: datetime, end: datetime) -> bool:
        if days:
            return start < dtend and end > dtstart
        return start <= dtstart and end > dtstart

    check(calendar(event(start_line, f"DURATION:P{days}D")), condition, dtstart, dtend)


@pytest.mark.parametrize("form", FORMS)
def test_event_with_neither(form: str) -> None:
    start_line, dtstart = value("DTSTART", form, LOCAL)
    _, next_day = value("DTSTART", form, LOCAL + timedelta(days=1))

    def condition(start: datetime, end: datetime) -> bool:
        if form == "date":
            return start < next_day and end > dtstart
        return start <= dtstart and end > dtstart

    check(calendar(event(start_line)), condition, dtstart, next_day)


COMPLETED, CREATED = utc("20260305T1000"), utc("20260301T1000")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("has_start", "has_duration", "has_due", "has_completed", "has_created"),
    [row for row in product([True, False], repeat=5) if not (row[1] and (row[2] or not row[0]))],
)
@pytest.mark.parametrize("length", [timedelta(0), timedelta(days=2)])
def test_task(
    form: str,
    has_start: bool,
    has_duration: bool,
    has_due: bool,
    has_completed: bool,
    has_created: bool,
    length: timedelta,
) -> None:
    start_line, dtstart = value("DTSTART", form, LOCAL)
    due_line, due = value("DUE", form, LOCAL + length)
    lines = [start_line] * has_start + [due_line] * has_due + [f"DURATION:P{length.days}D"] * has_duration
    lines += ["COMPLETED:20260305T100000Z"] * has_completed + ["CREATED:20260301T100000Z"] * has_created

    def condition(start: datetime, end: datetime) -> bool:
        match has_start, has_duration, has_due, has_completed, has_created:
            case True, True, False, _, _:
                return start <= due and (end > dtstart or end >= due)
            case True, False, True, _, _:
                return (start < due or start <= dtstart) and (end > dtstart or end >= due)
            case True, False, False, _, _:
                return start <= dtstart and end > dtstart
            case False, False, True, _, _:
                return start < due and end >= due
            case False, False, False, True, True:
                return (start <= CREATED or start <= COMPLETED) and (end >= CREATED or end >= COMPLETED)
            case False, False, False, True, False:
                return start <= COMPLETED and end >= COMPLETED
            case False, False, False, False, True:
                return end > CREATED
        return True

    check(calendar(component("VTODO", *lines)), condition, dtstart, due, COMPLETED, CREATED)


@pytest.mark.parametrize("form", FORMS)
def test_journal(form: str) -> None:
    start_line, dtstart = value("DTSTART", form, LOCAL)
    _, next_day = value("DTSTART", form, LOCAL + timedelta(days=1))

    def condition(start: datetime, end: datetime) -> bool:
        if form == "date":
            return start < next_day and end > dtstart
        return start <= dtstart and end > dtstart

    check(calendar(component("VJOURNAL", start_line)), condition, dtstart, next_day)
    check(calendar(component("VJOURNAL")), lambda start, end: False, dtstart)


def test_freebusy() -> None:
    start, end = utc("20260301"), utc("20260310")
    first = (utc("20260302T0900"), utc("20260302T1000"))
    second = (utc("20260304T0900"), utc("20260304T1200"))
    extent = ("DTSTART:20260301T000000Z", "DTEND:20260310T000000Z")
    periods = ("FREEBUSY;FBTYPE=FREE:20260302T090000Z/PT1H", "FREEBUSY:20260304T090000Z/20260304T120000Z")
    times = (start, end, *first, *second)

    def by_extent(begin: datetime, finish: datetime) -> bool:
        return begin <= end and finish > start

    def by_periods(begin: datetime, finish: datetime) -> bool:
        return any(begin < last and finish > from_ for from_, last in (first, second))

    check(calendar(component("VFREEBUSY", *extent)), by_extent, *times)
    check(calendar(component("VFREEBUSY", *extent, *periods)), by_extent, *times)
    check(calendar(component("VFREEBUSY", *periods)), by_periods, *times)
    check(calendar(component("VFREEBUSY", extent[0], "DURATION:P9D", *periods)), by_periods, *times)
    check(calendar(component("VFREEBUSY", extent[0], "DURATION:P9D")), lambda *_: False, *times)


def test_availability() -> None:
    dtstart, dtend = utc("20260301"), utc("20260310")
    start, end, duration = "DTSTART:20260301T000000Z", "DTEND:20260310T000000Z", "DURATION:P9D"
    cases: list[tuple[tuple[str, ...], Condition]] = [
        ((start, end), lambda begin, finish: begin < dtend and finish > dtstart),
        ((start, duration), lambda begin, finish: begin < dtend and finish > dtstart),
        ((start,), lambda _, finish: finish > dtstart),
        ((end,), lambda begin, _: begin < dtend),
        ((), lambda *_: True),
    ]
    for lines, condition in cases:
        check(calendar(component("VAVAILABILITY", *lines)), condition, dtstart, dtend)


# -- recurrence, components of an object, alarms, properties ---------------------------------------------------------


def in_range(tree: Component, start: datetime | None, end: datetime | None, *path: int, zone: Zone = UTC_ZONE) -> bool:
    """Of the component that indices lead to."""
    components = [tree]
    for index in path:
        components.append(components[-1].components[index])
    return TimeRangeMatcher(tree, zone)(tuple(components), None, TimeRange(start, end))


def property_in_range(tree: Component, name: str, start: datetime | None, end: datetime | None, index: int = 0) -> bool:
    tested = tree.components[index]
    prop = tested.first(name)
    assert prop is not None
    return TimeRangeMatcher(tree, UTC_ZONE)((tree, tested), prop, TimeRange(start, end))


SERIES = (
    event("DTSTART:20260105T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY"),
    event("RECURRENCE-ID:20260112T090000Z", "DTSTART:20260501T120000Z", "DURATION:PT1H"),
    event("RECURRENCE-ID;RANGE=THISANDFUTURE:20260202T090000Z", "DTSTART:20260202T150000Z", "DURATION:PT1H"),
)


def test_each_component_has_its_own_instances() -> None:
    tree = calendar(*SERIES)
    first_week = (utc("20260105"), utc("20260106"))
    assert [in_range(tree, *first_week, index) for index in range(3)] == [True, False, False]
    original_day_of_moved = (utc("20260112"), utc("20260113"))
    assert not any(in_range(tree, *original_day_of_moved, index) for index in range(3))
    moved_to = (utc("20260501T1200"), utc("20260501T1230"))
    assert [in_range(tree, *moved_to, index) for index in range(3)] == [False, True, False]
    later = (utc("20260209T0900"), utc("20260209T1501"))
    assert [in_range(tree, *later, index) for index in range(3)] == [False, False, True]
    assert not in_range(tree, utc("20260209T0900"), utc("20260209T1500"), 2)
    decades = (utc("20760504T1500"), utc("20760504T1501"))
    assert [in_range(tree, *decades, index) for index in range(3)] == [False, False, True]


def test_open_ranges_end() -> None:
    """No component is searched for ever for what others describe."""
    tree = calendar(*SERIES)
    assert [in_range(tree, utc("20300101"), None, index) for index in range(3)] == [False, False, True]
    assert [in_range(tree, None, utc("20260105"), index) for index in range(3)] == [False, False, False]
    finite = calendar(event("DTSTART:20200101T090000Z", "RRULE:FREQ=DAILY;COUNT=3"))
    assert not in_range(finite, utc("20200104"), None, 0)
    assert in_range(finite, utc("20200103"), None, 0)


def test_floating_times_and_dates_by_the_zone_of_the_request() -> None:
    tokyo, berlin = iana_zone("Asia/Tokyo"), iana_zone("Europe/Berlin")
    assert tokyo is not None
    assert berlin is not None
    tree = calendar(event("DTSTART;VALUE=DATE:20260701", "RRULE:FREQ=YEARLY"))
    day = (utc("20260630T1500"), utc("20260630T1501"))
    assert in_range(tree, *day, 0, zone=tokyo)
    assert not in_range(tree, *day, 0, zone=berlin)
    floating = calendar(event("DTSTART:20260701T090000", "DURATION:PT1H"))
    assert in_range(floating, utc("20260701T0000"), utc("20260701T0001"), 0, zone=tokyo)
    assert in_range(floating, utc("20260701T0759"), utc("20260701T0800"), 0, zone=berlin)
    assert not in_range(floating, utc("20260701T0800"), utc("20260701T0801"), 0, zone=berlin)


def alarm(*lines: str) -> tuple[str, ...]:
    return ("BEGIN:VALARM", "ACTION:DISPLAY", *lines, "END:VALARM")


@pytest.mark.parametrize(
    ("lines", "rings"),
    [
        (("TRIGGER:-PT15M",), "20260701T0645"),
        (("TRIGGER;RELATED=START:PT0S",), "20260701T0700"),
        (("TRIGGER;RELATED=END:PT5M",), "20260701T0805"),
        (("TRIGGER:-P1D",), "20260630T0700"),
        (("TRIGGER:-P1W",), "20260624T0700"),
        (("TRIGGER;VALUE=DATE-TIME:20260601T000000Z",), "20260601T0000"),
        (("TRIGGER:-PT15M", "REPEAT:2", "DURATION:PT10M"), "20260701T0645 20260701T0655 20260701T0705"),
        (("TRIGGER:-PT15M", "REPEAT:2"), "20260701T0645"),
        (("TRIGGER:-PT15M", "REPEAT:x", "DURATION:PT10M"), "20260701T0645"),
        ((), ""),
        (("TRIGGER:nonsense",), ""),
    ],
)
def test_alarms(lines: tuple[str, ...], rings: str) -> None:
    """start <= trigger-time AND end > trigger-time, for any of the triggers."""
    tree = calendar(event("DTSTART;TZID=Europe/Berlin:20260701T090000", "DURATION:PT1H", *alarm(*lines)))
    times = [utc(text) for text in rings.split()]
    for start, end in windows(utc("20260701T0645"), *times):
        expected = any((start is None or start <= time) and (end is None or end > time) for time in times)
        assert in_range(tree, start, end, 0, 0) == expected, (start, end)


def test_an_alarm_days_before_counts_them_by_the_calendar() -> None:
    tree = calendar(event("DTSTART;TZID=Europe/Berlin:20260329T120000", *alarm("TRIGGER:-P1D")))
    assert in_range(tree, utc("20260328T1100"), utc("20260328T1101"), 0, 0)
    exact = calendar(event("DTSTART;TZID=Europe/Berlin:20260329T120000", *alarm("TRIGGER:-PT24H")))
    assert in_range(exact, utc("20260328T1000"), utc("20260328T1001"), 0, 0)
    day = calendar(event("DTSTART;VALUE=DATE:20260330", *alarm("TRIGGER:-P1D")))
    assert in_range(day, utc("20260328T2300"), utc("20260328T2301"), 0, 0, zone=iana_zone("Europe/Berlin") or UTC_ZONE)


def test_alarms_of_instances_far_from_the_window_of_the_series() -> None:
    tree = calendar(event("DTSTART:20000101T090000Z", "RRULE:FREQ=YEARLY", *alarm("TRIGGER:-P30D")))
    assert in_range(tree, utc("20501202T0900"), utc("20501202T0901"), 0, 0)
    assert not in_range(tree, utc("20501203T0900"), utc("20501230T0901"), 0, 0)


def test_alarms_of_a_task_that_is_due() -> None:
    tree = calendar(component("VTODO", "DUE:20260701T090000Z", *alarm("TRIGGER;RELATED=END:-PT1H")))
    assert in_range(tree, utc("20260701T0800"), utc("20260701T0801"), 0, 0)
    timeless = calendar(component("VTODO", *alarm("TRIGGER:-PT1H")))
    assert not in_range(timeless, utc("20000101"), None, 0, 0)


def test_properties() -> None:
    tree = calendar(
        event(
            "DTSTART:20260701T090000Z",
            "DURATION:PT1H",
            "CREATED:20260101T000000Z",
            "RRULE:FREQ=DAILY",
            "EXDATE:20260702T090000Z",
        )
    )
    assert property_in_range(tree, "CREATED", utc("20260101"), utc("20260102"))
    assert not property_in_range(tree, "CREATED", utc("20251231"), utc("20260101"))
    assert property_in_range(tree, "DTSTART", utc("20270701T0900"), utc("20270701T0901"))
    assert not property_in_range(tree, "DTSTART", utc("20260702"), utc("20260703"))
    assert property_in_range(tree, "EXDATE", utc("20260702"), utc("20260703"))
    # the effective DTEND
    assert property_in_range(tree, "DURATION", utc("20260703T1000"), utc("20260703T1001"))
    assert not property_in_range(tree, "DURATION", utc("20260703T1001"), utc("20260704T1000"))
    ends = calendar(event("DTSTART:20260701T090000Z", "DTEND:20260701T100000Z"))
    assert property_in_range(ends, "DTEND", utc("20260701T1000"), utc("20260701T1001"))
    assert not property_in_range(ends, "DTEND", utc("20260701T0900"), utc("20260701T1000"))
    due = calendar(component("VTODO", "DUE:20260701T090000Z", "COMPLETED:20260801T090000Z"))
    assert property_in_range(due, "DUE", utc("20260701T0900"), None)
    assert property_in_range(due, "COMPLETED", utc("20260801"), utc("20260802"))


def test_nothing_is_defined_for_other_components() -> None:
    tree = calendar(("BEGIN:VTIMEZONE", "TZID:x", "BEGIN:STANDARD", "END:STANDARD", "END:VTIMEZONE"))
    assert not in_range(tree, utc("20200101"), None, 0)
    assert not in_range(tree, utc("20200101"), None, 0, 0)
    assert not in_range(tree, utc("20200101"), None)
