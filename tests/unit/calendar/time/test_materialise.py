"""Rows of calendar objects in time: recurrence sets, kinds, spans, alarms, and bounds on work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from server.calendar.iana import iana_zone
from server.calendar.materialise import MAX_ROWS, WHOLE, is_single, materialise
from server.domain.errors import InvalidCalendarData, UnknownTimezone
from server.domain.occurrences import EARLIEST, Busy, Kind, Materialised, resolve
from tests.unit.calendar.time.texts import NOW, calendar, component, event, utc

BERLIN = "TZID=Europe/Berlin"


def of(*parts: tuple[str, ...], now: datetime = NOW) -> Materialised:
    return materialise(calendar(*parts), now)


def starts(found: Materialised) -> list[str]:
    return [f"{row.start:%Y%m%dT%H%M}" for row in found.occurrences]


# -- single objects and kinds ----------------------------------------------------------------------------------------


def test_a_zoned_event() -> None:
    found = of(event(f"DTSTART;{BERLIN}:20260701T090000", f"DTEND;{BERLIN}:20260701T103000"))
    (row,) = found.occurrences
    assert (row.start, row.end) == (utc("20260701T0700"), utc("20260701T0830"))
    assert (row.tzid, row.kind) == ("Europe/Berlin", Kind.TIMED)
    assert (row.recurrence_id, row.component, row.busy) == ("", 0, Busy.BUSY)
    assert (found.span_start, found.span_end) == (row.start, row.end)
    assert found.whole
    assert not found.endless
    assert found.zones == ("Europe/Berlin",)


def test_start_and_end_in_different_zones() -> None:
    found = of(event(f"DTSTART;{BERLIN}:20260701T090000", "DTEND;TZID=America/New_York:20260701T090000"))
    assert found.occurrences[0].end == utc("20260701T1300")
    assert found.zones == ("America/New_York", "Europe/Berlin")


def test_floating_and_dates_have_no_zone() -> None:
    floating = of(event("DTSTART:20260701T090000", "DURATION:PT1H")).occurrences[0]
    assert (floating.kind, floating.tzid, floating.start) == (Kind.FLOATING, None, utc("20260701T0900"))
    day = of(event("DTSTART;VALUE=DATE:20260701")).occurrences[0]
    assert (day.kind, day.tzid) == (Kind.DATE, None)
    assert (day.start, day.end) == (utc("20260701"), utc("20260702"))
    tokyo = iana_zone("Asia/Tokyo")
    assert tokyo is not None
    placed = resolve(day, tokyo)
    assert (placed.start, placed.end) == (utc("20260630T1500"), utc("20260701T1500"))
    assert placed.overlaps(utc("20260630T1459"), utc("20260630T1501"))
    assert not placed.overlaps(utc("20260701T1500"), utc("20260702"))


@pytest.mark.parametrize("end", ["DTEND;VALUE=DATE:20260701", "DTEND;VALUE=DATE:20260630"])
def test_an_all_day_event_without_length_lasts_a_day(end: str) -> None:
    row = of(event("DTSTART;VALUE=DATE:20260701", end)).occurrences[0]
    assert (row.start, row.end) == (utc("20260701"), utc("20260702"))


def test_no_length_matches_at_its_start_only() -> None:
    row = of(event("DTSTART:20260701T090000Z")).occurrences[0]
    assert row.start == row.end
    assert row.overlaps(utc("20260701T0900"), utc("20260701T0901"))
    assert not row.overlaps(utc("20260701T0859"), utc("20260701T0900"))
    assert not row.overlaps(utc("20260701T0901"), utc("20260702"))


@pytest.mark.parametrize(
    ("lines", "busy"),
    [
        ((), Busy.BUSY),
        (("TRANSP:OPAQUE", "STATUS:CONFIRMED"), Busy.BUSY),
        (("STATUS:TENTATIVE",), Busy.TENTATIVE),
        (("STATUS:CANCELLED",), Busy.FREE),
        (("STATUS:X-SOMETHING",), Busy.BUSY),
        (("TRANSP:TRANSPARENT",), Busy.FREE),
        (("STATUS:TENTATIVE", "TRANSP:transparent"), Busy.FREE),
    ],
)
def test_busy(lines: tuple[str, ...], busy: Busy) -> None:
    assert of(event("DTSTART:20260701T090000Z", *lines)).occurrences[0].busy is busy


def test_unknown_zone_and_bad_values() -> None:
    with pytest.raises(UnknownTimezone):
        of(event("DTSTART;TZID=Nowhere:20260701T090000"))
    with pytest.raises(InvalidCalendarData):
        of(event("DTSTART:20260701T090000Z", "RRULE:FREQ=NEVER"))


# -- recurrence sets -------------------------------------------------------------------------------------------------


def test_nominal_and_exact_lengths_across_a_change_of_offset() -> None:
    """RFC 5545 §3.8.5.3: DTEND is exact, DURATION nominal: days by the calendar, then hours exactly."""
    rule = "RRULE:FREQ=DAILY;COUNT=3"
    exact = of(event(f"DTSTART;{BERLIN}:20260327T120000", f"DTEND;{BERLIN}:20260328T120000", rule))
    assert [row.end - row.start for row in exact.occurrences] == [timedelta(hours=24)] * 3
    nominal = of(event(f"DTSTART;{BERLIN}:20260327T120000", "DURATION:P1D", rule))
    assert [row.end - row.start for row in nominal.occurrences] == [timedelta(hours=hours) for hours in (24, 23, 24)]
    mixed = of(event(f"DTSTART;{BERLIN}:20260327T120000", "DURATION:P1DT12H", rule))
    assert [row.end - row.start for row in mixed.occurrences] == [timedelta(hours=hours) for hours in (36, 35, 36)]
    hours = of(event(f"DTSTART;{BERLIN}:20260327T120000", "DURATION:PT24H", rule))
    assert [row.end - row.start for row in hours.occurrences] == [timedelta(hours=24)] * 3


def test_times_that_do_not_exist_are_read_with_the_offset_before_the_gap_and_count() -> None:
    """RFC 5545 §3.3.10, last paragraph: as an explicit time (§3.3.5)."""
    found = of(event(f"DTSTART;{BERLIN}:20260327T023000", "RRULE:FREQ=DAILY;COUNT=4"))
    assert starts(found) == ["20260327T0130", "20260328T0130", "20260329T0130", "20260330T0030"]
    assert found.occurrences[2].recurrence_id == "20260329T013000Z"


def test_instances_that_coincide_behind_a_gap_are_one() -> None:
    """02:00 and 03:00 are the same time on that day; each counts, as one of the local times that the rule gives."""
    found = of(event(f"DTSTART;{BERLIN}:20260329T003000", "RRULE:FREQ=HOURLY;COUNT=5"))
    assert starts(found) == ["20260328T2330", "20260329T0030", "20260329T0130", "20260329T0230"]
    half = of(event(f"DTSTART;{BERLIN}:20260329T013000", "RRULE:FREQ=HOURLY;BYMINUTE=30,45;UNTIL=20260329T014000Z"))
    assert starts(half) == ["20260329T0030", "20260329T0045", "20260329T0130"]


@pytest.mark.parametrize("line", ["EXDATE;TZID=Europe/Berlin:20260329T023000", "EXDATE:20260329T013000Z"])
def test_what_does_not_exist_can_be_excluded_and_overridden(line: str) -> None:
    series = event(f"DTSTART;{BERLIN}:20260328T023000", "RRULE:FREQ=DAILY;COUNT=3", line)
    assert starts(of(series)) == ["20260328T0130", "20260330T0030"]
    series = event(f"DTSTART;{BERLIN}:20260328T023000", "RRULE:FREQ=DAILY;COUNT=3")
    moved = event(line.replace("EXDATE", "RECURRENCE-ID"), "DTSTART:20260329T120000Z")
    assert starts(of(series, moved)) == ["20260328T0130", "20260329T1200", "20260330T0030"]


@pytest.mark.parametrize(
    ("rule", "excluded"),
    [
        ("RRULE:FREQ=HOURLY;INTERVAL=2;COUNT=3", "EXRULE:FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=29;BYHOUR=3;BYMINUTE=30"),
        ("RRULE:FREQ=HOURLY;COUNT=4", "EXRULE:FREQ=DAILY;BYHOUR=2;BYMINUTE=30"),
    ],
)
def test_an_excluding_rule_on_either_side_of_a_gap(rule: str, excluded: str) -> None:
    found = of(event(f"DTSTART;{BERLIN}:20260329T003000", rule, excluded))
    assert "20260329T0130" not in starts(found)
    assert len(found.occurrences) == 2


def test_until_of_exchange_at_local_midnight_includes_its_day() -> None:
    """A series of dates until midnight of its last day by the clock of a zone east or west of Greenwich."""
    for until, number in (
        ("20260118T230000Z", 3),  # midnight of the 19th in Berlin
        ("20260118T153000Z", 3),  # in New Delhi it is 21:00 of the 18th: no midnight, but the rule falls on the 19th
        ("20260119T050000Z", 3),  # midnight of the 19th in New York
        ("20260118T235959Z", 2),  # the end of the 18th
        ("20260118", 2),
        ("20260112T230000Z", 2),  # the rule falls on the 12th and not on the 13th
    ):
        found = of(event("DTSTART;VALUE=DATE:20260105", f"RRULE:FREQ=WEEKLY;UNTIL={until}"))
        assert len(found.occurrences) == number, until


def test_until_at_midnight_of_a_zone_that_the_object_brings() -> None:
    """Of a daily series, the zone tells which day is meant."""
    zone = (
        "BEGIN:VTIMEZONE",
        "TZID:W. Europe Standard Time",
        "BEGIN:STANDARD",
        "DTSTART:16010101T000000",
        "TZOFFSETFROM:+0100",
        "TZOFFSETTO:+0100",
        "END:STANDARD",
        "END:VTIMEZONE",
    )
    series = event("DTSTART;VALUE=DATE:20260105", "RRULE:FREQ=DAILY;UNTIL=20260107T230000Z")
    assert len(of(zone, series).occurrences) == 4
    assert len(of(series).occurrences) == 3


def test_a_start_that_does_not_exist_is_read_with_the_offset_before_the_gap() -> None:
    found = of(event(f"DTSTART;{BERLIN}:20260329T023000", "RRULE:FREQ=DAILY;COUNT=2"))
    assert starts(found) == ["20260329T0130", "20260330T0030"]
    assert found.occurrences[0].recurrence_id == "20260329T013000Z"


def test_times_that_exist_twice_are_the_first() -> None:
    found = of(event(f"DTSTART;{BERLIN}:20261024T023000", "RRULE:FREQ=DAILY;COUNT=3"))
    assert starts(found) == ["20261024T0030", "20261025T0030", "20261026T0130"]


def test_until_in_utc_a_date_or_local() -> None:
    start = f"DTSTART;{BERLIN}:20260701T090000"
    for until, number in (
        ("20260703T070000Z", 3),
        ("20260703T065959Z", 2),
        ("20260703", 3),
        ("20260703T090000", 3),
        ("20260703T085959", 2),
        ("20260101", 1),
    ):
        assert len(of(event(start, f"RRULE:FREQ=DAILY;UNTIL={until}")).occurrences) == number, until
    for until, number in (("20260703", 3), ("20260703T000000Z", 3), ("20260702T235959Z", 2)):
        assert len(of(event("DTSTART;VALUE=DATE:20260701", f"RRULE:FREQ=DAILY;UNTIL={until}")).occurrences) == number


def test_until_within_the_hour_that_comes_twice() -> None:
    """UNTIL is in the second pass of the hour; an instance later by the clock is in the first, and so before it."""
    rule = "RRULE:FREQ=MINUTELY;INTERVAL=15;UNTIL=20261025T011000Z"
    found = of(event(f"DTSTART;{BERLIN}:20261025T020000", rule))
    assert starts(found) == ["20261025T0000", "20261025T0015", "20261025T0030", "20261025T0045"]


def test_rdates_of_every_kind() -> None:
    found = of(
        event(
            f"DTSTART;{BERLIN}:20260701T090000",
            "DURATION:PT1H",
            f"RDATE;{BERLIN}:20260703T100000,20260701T090000",
            "RDATE:20260705T120000Z",
            "RDATE;VALUE=DATE:20260707",
            "RDATE;VALUE=PERIOD:20260709T080000Z/PT3H,20260710T080000Z/20260710T083000Z",
            "RDATE;TZID=Asia/Tokyo:20260711T090000",
        )
    )
    assert [(f"{row.start:%d %H:%M}", (row.end - row.start).seconds // 60) for row in found.occurrences] == [
        ("01 07:00", 60),
        ("03 08:00", 60),
        ("05 12:00", 60),
        ("07 07:00", 60),
        ("09 08:00", 180),
        ("10 08:00", 30),
        ("11 00:00", 60),
    ]
    assert found.occurrences[6].tzid == "Asia/Tokyo"
    days = of(event("DTSTART;VALUE=DATE:20260701", "RDATE:20260703T100000Z", "RDATE;VALUE=DATE:20260705"))
    assert [row.recurrence_id for row in days.occurrences] == ["20260701", "20260703", "20260705"]


@pytest.mark.parametrize(
    "exdate",
    [
        f"EXDATE;{BERLIN}:20260702T090000",
        "EXDATE:20260702T070000Z",
        "EXDATE;TZID=America/New_York:20260702T030000",
        "EXDATE;VALUE=DATE:20260702",
        "EXDATE:20260702T090000",
        f"EXDATE;{BERLIN}:20270101T000000,20260702T090000",
    ],
)
def test_exdates_of_every_kind(exdate: str) -> None:
    found = of(event(f"DTSTART;{BERLIN}:20260701T090000", "RRULE:FREQ=DAILY;COUNT=3", exdate))
    assert starts(found) == ["20260701T0700", "20260703T0700"]


def test_an_excluded_start_still_counts() -> None:
    lines = ("DTSTART:20260701T090000Z", "RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20260701T090000Z")
    assert starts(of(event(*lines))) == ["20260702T0900", "20260703T0900"]


def test_exrule_of_old_clients() -> None:
    """RFC 2445 §4.8.5.2; RFC 5545 deprecates it."""
    lines = ("DTSTART:20260701T090000Z", "RRULE:FREQ=DAILY;COUNT=8", "EXRULE:FREQ=WEEKLY;BYDAY=SA,SU")
    assert [start[6:8] for start in starts(of(event(*lines)))] == ["01", "02", "03", "06", "07", "08"]
    counted = ("DTSTART:20260701T090000Z", "RRULE:FREQ=DAILY;COUNT=5", "EXRULE:FREQ=DAILY;INTERVAL=2;COUNT=2")
    assert [start[6:8] for start in starts(of(event(*counted)))] == ["02", "04", "05"]


def test_exdate_takes_precedence_over_rdate() -> None:
    lines = ("DTSTART:20260701T090000Z", "RDATE:20260705T090000Z", "EXDATE:20260705T090000Z")
    assert starts(of(event(*lines))) == ["20260701T0900"]


@pytest.mark.parametrize(
    "recurrence_id",
    [
        f"RECURRENCE-ID;{BERLIN}:20260702T090000",
        "RECURRENCE-ID:20260702T070000Z",
        "RECURRENCE-ID;TZID=Asia/Tokyo:20260702T160000",
        "RECURRENCE-ID;VALUE=DATE:20260702",
        "RECURRENCE-ID:20260702T090000",
    ],
)
def test_overrides_by_ids_of_every_kind(recurrence_id: str) -> None:
    found = of(
        event(f"DTSTART;{BERLIN}:20260701T090000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=3"),
        event(recurrence_id, f"DTSTART;{BERLIN}:20250101T120000", "DURATION:PT2H", "STATUS:CANCELLED"),
    )
    assert starts(found) == ["20250101T1100", "20260701T0700", "20260703T0700"]
    moved = found.occurrences[0]
    assert (moved.recurrence_id, moved.component, moved.busy) == ("20260702T070000Z", 1, Busy.FREE)
    assert found.span_start == utc("20250101T1100")


def test_overrides_outside_the_series_and_of_excluded_instances() -> None:
    found = of(
        event("DTSTART:20260701T090000Z", "RRULE:FREQ=DAILY;COUNT=2", "EXDATE:20260702T090000Z"),
        event("RECURRENCE-ID:20260702T090000Z", "DTSTART:20260702T100000Z"),
        event("RECURRENCE-ID:20300101T090000Z", "DTSTART:20300101T100000Z", "DURATION:P1D"),
    )
    assert starts(found) == ["20260701T0900", "20260702T1000", "20300101T1000"]
    assert found.span_end == utc("20300102T1000")


def test_overrides_without_a_master() -> None:
    found = of(
        event(f"RECURRENCE-ID;{BERLIN}:20260702T090000", f"DTSTART;{BERLIN}:20260702T100000"),
        event(f"RECURRENCE-ID;{BERLIN}:20260709T090000", f"DTSTART;{BERLIN}:20260709T100000"),
    )
    assert [row.recurrence_id for row in found.occurrences] == ["20260702T070000Z", "20260709T070000Z"]
    assert found.whole


def test_this_and_future_moves_and_stretches_the_rest() -> None:
    found = of(
        event(f"DTSTART;{BERLIN}:20260320T090000", "DURATION:PT1H", "RRULE:FREQ=WEEKLY;COUNT=5"),
        event(
            f"RECURRENCE-ID;RANGE=THISANDFUTURE;{BERLIN}:20260327T090000",
            f"DTSTART;{BERLIN}:20260328T110000",
            f"DTEND;{BERLIN}:20260328T130000",
        ),
        event(f"RECURRENCE-ID;{BERLIN}:20260403T090000", f"DTSTART;{BERLIN}:20260403T090000"),
        event(
            f"RECURRENCE-ID;RANGE=THISANDFUTURE;{BERLIN}:20260417T090000",
            f"DTSTART;{BERLIN}:20260417T080000",
            "DURATION:PT15M",
        ),
    )
    rows = [(f"{row.start.astimezone(ZoneInfo('Europe/Berlin')):%m%d %H}", row.component) for row in found.occurrences]
    assert rows == [("0320 09", 0), ("0328 11", 1), ("0403 09", 2), ("0411 11", 1), ("0417 08", 3)]
    assert [row.end - row.start for row in found.occurrences][1:4:2] == [timedelta(hours=2)] * 2


def test_this_and_future_of_an_endless_series_reaches_into_windows_far_away() -> None:
    found = of(
        event("DTSTART:20260101T090000Z", "DURATION:PT1H", "RRULE:FREQ=MONTHLY"),
        event("RECURRENCE-ID;RANGE=THISANDFUTURE:20260201T090000Z", "DTSTART:20260320T090000Z", "DURATION:PT1H"),
    )
    assert found.endless
    assert {row.component for row in found.occurrences if row.start > utc("20260301")} == {1}
    assert f"{found.occurrences[-1].start.day}" in ("17", "18", "19", "20")


def test_recurring_tasks_and_journals() -> None:
    due = of(component("VTODO", f"DUE;{BERLIN}:20260701T090000", "RRULE:FREQ=WEEKLY;COUNT=2"))
    assert starts(due) == ["20260701T0700", "20260708T0700"]
    both = of(component("VTODO", "DTSTART:20260701T090000Z", "DUE:20260702T090000Z", "RRULE:FREQ=WEEKLY;COUNT=2"))
    assert [row.end - row.start for row in both.occurrences] == [timedelta(days=1)] * 2
    journal = of(component("VJOURNAL", "DTSTART;VALUE=DATE:20260701", "RRULE:FREQ=DAILY;COUNT=2"))
    assert [row.recurrence_id for row in journal.occurrences] == ["20260701", "20260702"]
    done = of(
        component("VTODO", "DTSTART:20260701T090000Z", "DUE:20260701T100000Z", "RRULE:FREQ=DAILY;COUNT=2"),
        component("VTODO", "RECURRENCE-ID:20260702T090000Z", "STATUS:COMPLETED"),
    )
    assert [(row.recurrence_id, row.component) for row in done.occurrences] == [
        ("20260701T090000Z", 0),
        ("20260702T090000Z", 1),
    ]
    assert done.occurrences[1].end == utc("20260702T1000")


def test_no_rows_without_times() -> None:
    assert of(component("VJOURNAL")).occurrences == ()
    (row,) = of(component("VTODO")).occurrences
    assert (row.matches_from, row.matches_until) == (None, None)


# -- what is materialised --------------------------------------------------------------------------------------------


def test_series_up_to_a_thousand_are_whole_at_any_time() -> None:
    found = of(event("DTSTART:19800101T090000Z", f"RRULE:FREQ=DAILY;COUNT={WHOLE}"))
    assert len(found.occurrences) == WHOLE
    assert found.whole
    longer = of(event("DTSTART:19800101T090000Z", f"RRULE:FREQ=DAILY;COUNT={WHOLE + 1}"))
    assert not longer.whole
    assert not longer.endless
    assert longer.occurrences == ()
    assert longer.span_end == utc("19800101T0900") + timedelta(days=WHOLE, seconds=1)


def test_endless_series_from_a_year_back_to_two_years_ahead() -> None:
    found = of(event(f"DTSTART;{BERLIN}:19970101T090000", "DURATION:PT1H", "RRULE:FREQ=DAILY"))
    assert found.endless
    assert found.span_end is None
    assert found.expanded_from is not None
    assert found.expanded_until is not None
    assert found.expanded_from <= NOW - timedelta(days=365)
    assert found.expanded_until >= NOW + timedelta(days=730)
    begin, end = found.expanded_from, found.expanded_until
    assert [row.start for row in found.occurrences] == sorted(row.start for row in found.occurrences)
    assert all(row.overlaps(begin, end) for row in found.occurrences)
    assert len(found.occurrences) == (end - begin).days
    later = of(event("DTSTART:20990101T090000Z", "RRULE:FREQ=DAILY"))
    assert later.occurrences == ()


@pytest.mark.parametrize("rule", ["FREQ=HOURLY", "FREQ=MINUTELY;INTERVAL=40"])
def test_denser_series_have_a_shorter_stretch_around_now(rule: str) -> None:
    found = of(event("DTSTART:20000101T000000Z", f"RRULE:{rule}"))
    assert found.expanded_from == NOW - timedelta(days=31)
    assert found.expanded_until == NOW + timedelta(days=92)
    assert 1000 < len(found.occurrences) <= MAX_ROWS


@pytest.mark.parametrize("rule", ["FREQ=MINUTELY;INTERVAL=10", "FREQ=MINUTELY", "FREQ=SECONDLY"])
@pytest.mark.parametrize("more", [(), ("EXRULE:FREQ=HOURLY",), ("EXRULE:FREQ=SECONDLY",)])
def test_nothing_is_stored_of_still_denser_series(rule: str, more: tuple[str, ...]) -> None:
    found = of(event("DTSTART:19700101T000000Z", f"RRULE:{rule}", *more))
    assert found.occurrences == ()
    assert found.endless
    assert not found.whole
    assert found.expanded_from == found.expanded_until


def test_no_object_has_more_rows_than_the_limit() -> None:
    """Dates and overrides count like the instances of rules."""
    times = [datetime(2026, 7, 1) + timedelta(minutes=n) for n in range(MAX_ROWS + 2)]
    dates = ",".join(f"{time:%Y%m%dT%H%M%SZ}" for time in times)
    assert len(of(event("DTSTART:20260701T000000Z", f"RDATE:{dates}")).occurrences) <= MAX_ROWS
    overrides = [event(f"RECURRENCE-ID:{time:%Y%m%dT%H%M%SZ}", f"DTSTART:{time:%Y%m%dT%H%M%SZ}") for time in times]
    found = of(event("DTSTART:20260701T000000Z", "RRULE:FREQ=MINUTELY"), *overrides)
    assert len(found.occurrences) <= MAX_ROWS
    assert not found.whole


EVERY = {
    "BYMONTH": range(1, 13),
    "BYWEEKNO": range(1, 54),
    "BYYEARDAY": range(1, 367),
    "BYMONTHDAY": range(1, 32),
    "BYHOUR": range(24),
    "BYMINUTE": range(60),
    "BYSECOND": range(60),
    "BYSETPOS": range(1, 367),
}
ALL_PARTS = ";".join(f"{name}={','.join(map(str, numbers))}" for name, numbers in EVERY.items())


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY;COUNT=1000000000",
        "FREQ=SECONDLY;INTERVAL=7;BYSECOND=1,2,3;COUNT=1000000000",
        "FREQ=MINUTELY;COUNT=1000000000",
        "FREQ=HOURLY;COUNT=1000000000",
        "FREQ=DAILY;COUNT=1000000000",
        "FREQ=YEARLY;COUNT=1000000000",
        "FREQ=SECONDLY;UNTIL=99991231T000000Z",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MINUTELY;INTERVAL=1441;BYHOUR=5;BYMONTHDAY=29;BYMONTH=2",
        "FREQ=SECONDLY;INTERVAL=86399;BYSECOND=7;COUNT=1000",
        "FREQ=SECONDLY;BYSETPOS=2",
        "FREQ=SECONDLY;INTERVAL=1000000000",
        "FREQ=YEARLY;INTERVAL=1000000000",
        *(f"FREQ={freq};{ALL_PARTS}" for freq in ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "SECONDLY")),
    ],
)
def test_hostile_rules_cost_bounded_work(rule: str) -> None:
    """They are accepted, with what can be known at once; nothing here comes near to a timed assertion."""
    found = of(event(f"DTSTART;{BERLIN}:20200101T000000", f"RRULE:{rule}"))
    assert len(found.occurrences) <= MAX_ROWS
    assert found.span_start == utc("20191231T2300")


def test_a_window_decades_away_costs_what_a_near_one_costs() -> None:
    """Counted in steps of work, not in time."""
    from server.calendar.recurrence import Series
    from server.calendar.rrule import parse_rule
    from server.calendar.work import Work

    for text in ("FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TU", "FREQ=MONTHLY;BYDAY=2TU", "FREQ=MINUTELY;INTERVAL=90"):
        spent = []
        for year in (2027, 2527, 9000):
            work = Work(10**6)
            series = Series(parse_rule(text), datetime(2026, 1, 1, 9), iana_zone("Europe/Berlin"), work)
            list(series.between(datetime(year, 6, 1), datetime(year, 7, 1)))
            spent.append(10**6 - work.left)
        assert max(spent) <= min(spent) * 2 + 10, text


def test_many_rdates_and_exdates() -> None:
    start = datetime(2000, 1, 1, 9)
    many = ",".join(f"{start + timedelta(hours=7 * number):%Y%m%dT%H%M%SZ}" for number in range(20_000))
    dates = of(event("DTSTART:20000101T090000Z", f"RDATE:{many}"))
    assert dates.span_end == (start + timedelta(hours=7 * 19_999, seconds=1)).replace(tzinfo=UTC)
    excluded = of(event("DTSTART:20000101T090000Z", "RRULE:FREQ=HOURLY;INTERVAL=7;COUNT=20000", f"EXDATE:{many}"))
    assert excluded.occurrences == ()


def test_overlapping_rdate_periods_do_not_widen_the_work() -> None:
    start = datetime(2026, 1, 1)
    periods = ",".join(f"{start + timedelta(minutes=n):%Y%m%dT%H%M%SZ}/P3650D" for n in range(3000))
    found = of(event("DTSTART:20260101T000000Z", f"RDATE;VALUE=PERIOD:{periods}"))
    assert len(found.occurrences) == 3000
    assert found.span_end == (start + timedelta(minutes=2999, days=3650)).replace(tzinfo=UTC)


def test_dates_at_the_ends_of_time() -> None:
    found = of(event("DTSTART;TZID=America/New_York:99991230T230000", "DURATION:P30D", "RRULE:FREQ=DAILY"))
    assert found.span_start == utc("20260101").replace(year=9999, month=12, day=31, hour=4)
    old = of(event(f"DTSTART;{BERLIN}:19000101T000000", "RRULE:FREQ=YEARLY"))
    assert f"{old.span_start}" == "1899-12-31 23:00:00+00:00"
    assert len(old.occurrences) in (3, 4)


# -- free-busy, availability, alarms ---------------------------------------------------------------------------------


def test_freebusy_rows() -> None:
    lines = (
        "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20260701T090000Z/PT1H,20260702T090000Z/20260702T093000Z",
        "FREEBUSY;FBTYPE=X-A:20260703T090000Z/PT1H",
    )
    found = of(component("VFREEBUSY", *lines))
    assert [(row.busy, row.matches) for row in found.occurrences] == [
        (Busy.TENTATIVE, True),
        (Busy.TENTATIVE, True),
        (Busy.BUSY, True),
    ]
    whole = of(component("VFREEBUSY", "DTSTART:20260601T000000Z", "DTEND:20260801T000000Z", *lines))
    assert [row.matches for row in whole.occurrences] == [True, False, False, False]
    assert whole.occurrences[0].busy is Busy.FREE
    assert whole.occurrences[0].overlaps(utc("20260801"), utc("20260802"))  # start <= DTEND
    assert (whole.span_start, whole.span_end) == (utc("20260601"), utc("20260801") + timedelta(seconds=1))


def test_availability_rows() -> None:
    found = of(component("VAVAILABILITY", f"DTSTART;{BERLIN}:20260328T000000", "DURATION:P2D"))
    assert [(row.start, row.end) for row in found.occurrences] == [(utc("20260327T2300"), utc("20260329T2200"))]
    unbounded = of(component("VAVAILABILITY"))
    assert (unbounded.span_start, unbounded.span_end) == (None, None)
    assert not unbounded.endless


def test_alarms() -> None:
    alarm = ("BEGIN:VALARM", "ACTION:DISPLAY")
    found = of(
        event(
            "DTSTART:20260701T090000Z",
            *alarm,
            "TRIGGER:-PT15M",
            "REPEAT:3",
            "DURATION:PT5M",
            "END:VALARM",
            *alarm,
            "TRIGGER;RELATED=END:P1DT1H",
            "END:VALARM",
            *alarm,
            "TRIGGER;VALUE=DATE-TIME:20260630T120000Z",
            "END:VALARM",
            *alarm,
            "END:VALARM",
        )
    )
    first, second, third = found.alarms
    assert (first.alarm, first.seconds, first.repeat, first.interval) == (0, -900, 3, 300)
    assert (first.earliest, first.latest) == (timedelta(minutes=-15), timedelta(0))
    assert (second.days, second.seconds, second.from_end) == (1, 3600, True)
    assert third.at == utc("20260630T1200")


def test_an_empty_calendar_has_no_rows() -> None:
    found = of()
    assert (found.component, found.occurrences, found.span_start) == ("", (), EARLIEST)


# -- what is computed on the event loop ------------------------------------------------------------------------------


def rules(tzid: str) -> tuple[str, ...]:
    """A VTIMEZONE with a rule."""
    offsets = "TZOFFSETFROM:+0100", "TZOFFSETTO:+0200"
    rule = "DTSTART:19700329T020000", "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU"
    return ("BEGIN:VTIMEZONE", f"TZID:{tzid}", "BEGIN:DAYLIGHT", *offsets, *rule, "END:DAYLIGHT", "END:VTIMEZONE")


def in_zone(tzid: str, *lines: str) -> tuple[tuple[str, ...], ...]:
    """An event with the rules of its zone."""
    return rules(tzid), event(f"DTSTART;TZID={tzid}:20260301T090000", *lines)


@pytest.mark.parametrize(
    ("parts", "single"),
    [
        (in_zone("Europe/Berlin"), True),
        (in_zone("/mozilla.org/1/Europe/Berlin"), True),
        (in_zone("Head office"), False),
        (in_zone("W. Europe Standard Time"), False),
        (in_zone("CET"), False),
        (in_zone("Europe/Berlin", "RRULE:FREQ=DAILY;COUNT=2"), False),
        (in_zone("Europe/Berlin", "RDATE:20260302T090000Z"), False),
        (in_zone("Europe/Berlin", "EXDATE:20260301T080000Z"), False),
    ],
)
def test_rules_of_a_zone_count_only_where_the_zone_follows_them(
    parts: tuple[tuple[str, ...], ...], single: bool
) -> None:
    assert is_single(calendar(*parts)) is single
