"""The stored form of a recurrence gives the instances that the iCalendar text gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.component import Component
from server.calendar.recurrence_set import Instance, RecurrenceSet, recurrence_set
from server.calendar.stored_recurrence import dump, load
from server.calendar.vtimezone import CalendarZones
from server.calendar.work import Work
from server.domain.occurrences import Busy
from tests.unit.calendar.time.texts import calendar, component, event

FAR = datetime(2056, 3, 1, tzinfo=UTC)


def read(tree: Component, declined: frozenset[int] = frozenset()) -> RecurrenceSet:
    components = [pair for pair in enumerate(tree.components) if pair[1].name != "VTIMEZONE"]
    return recurrence_set(components, CalendarZones(tree), Work(), declined)


def seen(instance: Instance) -> tuple[object, ...]:
    """An instance without its component."""
    times = instance.times
    about = (times.component.name, times.index, times.starts, times.length, times.form, times.busy)
    zone = None if instance.start.zone is None else instance.start.zone.key
    return (*about, instance.start.local, instance.start.kind, zone, *instance[2:])


def compare(recurrences: RecurrenceSet) -> list[tuple[object, ...]]:
    text = dump(recurrences)
    again = load(text, Work())
    assert again is not None
    assert dump(again) == text
    assert (again.endless, again.recurs, again.floating_margin) == (
        recurrences.endless,
        recurrences.recurs,
        recurrences.floating_margin,
    )
    found: list[tuple[object, ...]] = []
    for start in (datetime(2026, 1, 1, tzinfo=UTC), FAR):
        window = start, start + timedelta(days=40)
        instances = [seen(instance) for instance in recurrences.instances(*window)]
        assert [seen(instance) for instance in again.instances(*window)] == instances
        assert again.occurs(*window) == bool(instances)
        assert list(again.busy_times(*window)) == list(recurrences.busy_times(*window))
        found += instances
    return found


MOON = tuple(
    """BEGIN:VTIMEZONE
TZID:Moon
BEGIN:STANDARD
DTSTART:20200101T000000
TZOFFSETFROM:+0017
TZOFFSETTO:+0017
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:20200401T000000
RRULE:FREQ=YEARLY;BYMONTH=4;BYDAY=2TU
TZOFFSETFROM:+0017
TZOFFSETTO:+0119
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:20200901T000000
RRULE:FREQ=YEARLY;BYMONTH=9;BYDAY=2TU
TZOFFSETFROM:+0119
TZOFFSETTO:+0017
END:STANDARD
END:VTIMEZONE""".splitlines()
)


@pytest.mark.parametrize(
    "parts",
    [
        (event("DTSTART:20260105T090000Z", "DURATION:PT10M", "RRULE:FREQ=WEEKLY"),),
        (event("DTSTART;TZID=Europe/Berlin:20260105T090000", "DURATION:P1DT2H", "RRULE:FREQ=WEEKLY;BYDAY=MO,WE"),),
        (event("DTSTART;VALUE=DATE:20260105", "RRULE:FREQ=MONTHLY;BYDAY=-1FR;WKST=SU;INTERVAL=2"),),
        (event("DTSTART:20260105T090000", "DTEND:20260105T100000", "RRULE:FREQ=DAILY;BYHOUR=9,17;BYMINUTE=0,30"),),
        (
            event(
                "DTSTART;TZID=America/New_York:20260105T090000",
                "RRULE:FREQ=DAILY",
                "EXDATE;TZID=Europe/Berlin:20260106T150000",
                "EXDATE;VALUE=DATE:20260107,20560305",
                "RDATE:20260109T120000Z",
                "RDATE;VALUE=PERIOD:20560310T100000Z/PT5H,20560311T100000Z/20560311T120000Z",
                "EXRULE:FREQ=WEEKLY;BYDAY=MO,TU;UNTIL=20560320T000000Z",
            ),
            event("RECURRENCE-ID:20260108T140000Z", "DTSTART:20260108T200000Z", "STATUS:TENTATIVE"),
            event("RECURRENCE-ID;RANGE=THISANDFUTURE:20300108T140000Z", "DTSTART:20300109T000000Z", "DURATION:PT4H"),
            event("RECURRENCE-ID:20560308T140000Z", "TRANSP:TRANSPARENT"),
        ),
        (MOON, event("DTSTART;TZID=Moon:20260105T090000", "RRULE:FREQ=DAILY")),
    ],
)
def test_a_series_is_the_same_from_its_stored_form(parts: tuple[tuple[str, ...], ...]) -> None:
    recurrences = read(calendar(*parts))
    assert len(compare(recurrences)) > 2


def test_tasks_and_journals_too() -> None:
    for name in ("VTODO", "VJOURNAL"):
        assert compare(read(calendar(component(name, "DTSTART:20260105T090000Z", "RRULE:FREQ=WEEKLY"))))
    assert compare(read(calendar(component("VTODO", "DUE:20260105T090000Z", "RRULE:FREQ=WEEKLY;COUNT=5000"))))


def test_what_the_owner_declined_stays_free() -> None:
    text = calendar(
        event("DTSTART:20260105T090000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY"),
        event("RECURRENCE-ID:20560305T090000Z", "DTSTART:20560305T120000Z", "DURATION:PT1H"),
    )
    again = load(dump(read(text, frozenset((0,)))), Work())
    assert again is not None
    busy = list(again.busy_times(FAR, FAR + timedelta(days=30)))
    start = datetime(2056, 3, 5, 12, tzinfo=UTC)
    assert busy == [(start, start + timedelta(hours=1), Busy.BUSY)]


def test_a_zone_that_the_zone_data_do_not_have_is_no_recurrence() -> None:
    text = dump(read(calendar(event("DTSTART;TZID=Europe/Berlin:20260105T090000", "RRULE:FREQ=DAILY"))))
    assert load(text.replace("Europe/Berlin", "Europe/Nowhere"), Work()) is None


@given(
    freq=st.sampled_from(("DAILY", "WEEKLY", "MONTHLY", "YEARLY")),
    interval=st.integers(1, 5),
    by=st.sampled_from(("", ";BYDAY=MO,-1FR,2SU", ";BYMONTHDAY=-1,5", ";BYMONTH=3,9;BYDAY=TU;BYSETPOS=1,-1")),
    end=st.sampled_from(("", ";COUNT=3000", ";UNTIL=20600101T000000Z", ";UNTIL=20600101")),
    zone=st.sampled_from(("", ";TZID=Europe/Berlin", ";TZID=Moon", ";TZID=W. Europe Standard Time")),
    length=st.sampled_from(("DURATION:PT90M", "DURATION:P1D", "DTEND%s:20260105T110000")),
    start=st.sampled_from(("T090000", "T023000", "T000000")),
)
def test_any_rule(freq: str, interval: int, by: str, end: str, zone: str, length: str, start: str) -> None:
    if freq in ("WEEKLY", "DAILY"):
        by = by.replace("-1FR,2SU", "FR")
    rule = f"RRULE:FREQ={freq};INTERVAL={interval}{by}{end}"
    lines = f"DTSTART{zone}:20260105{start}", length % zone if "%" in length else length, rule
    compare(read(calendar(MOON, event(*lines))))
