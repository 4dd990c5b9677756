"""Free-busy: RFC 4791 §7.10 and RFC 7953, with their examples."""

from __future__ import annotations

from contextvars import copy_context
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.calendar.component import Component
from server.calendar.freebusy import (
    BusyPeriod,
    busy_of_object,
    clip,
    freebusy_calendar,
    freebusy_lines,
    merge,
    unavailable,
)
from server.calendar.iana import iana_zone
from server.calendar.work import OBJECT_WORK, REQUEST_WORK, Work, share
from server.calendar.zones import UTC_ZONE
from server.domain.errors import TooManyInstances
from server.domain.occurrences import Busy
from tests.unit.calendar.time.texts import NOW, calendar, component, event, utc

EPOCH = utc("20260101")


def at(hour: int) -> datetime:
    return EPOCH + timedelta(hours=hour)


periods = st.builds(
    lambda start, length, busy: BusyPeriod(at(start), at(start + length), busy),
    st.integers(0, 60),
    st.integers(0, 12),
    st.sampled_from(Busy),
)


@settings(max_examples=200)
@given(st.lists(periods, max_size=12), st.integers(0, 40), st.integers(1, 30))
def test_periods_that_are_merged_are_only_clipped(found: list[BusyPeriod], first: int, length: int) -> None:
    start, end = at(first), at(first + length)
    merged = [(period.busy, period.start, period.end) for period in merge(found, at(0), at(100))]
    assert clip(merged, start, end) == merge(found, start, end)


@given(st.datetimes(timezones=st.just(EPOCH.tzinfo)), st.datetimes(timezones=st.just(EPOCH.tzinfo)))
def test_times_are_written_with_all_digits(start: datetime, end: datetime) -> None:
    line = freebusy_lines([BusyPeriod(start, end, Busy.BUSY)])
    written = [f"{each.isoformat()[:19].replace('-', '').replace(':', '')}Z" for each in (start, end)]
    assert line == f"FREEBUSY:{'/'.join(written)}\r\n"


@settings(max_examples=200)
@given(st.lists(periods, max_size=12), st.integers(0, 40), st.integers(1, 30))
def test_merge_hour_by_hour(found: list[BusyPeriod], first: int, length: int) -> None:
    start, end = at(first), at(first + length)
    merged = merge(found, start, end)
    for busy in Busy:
        of_type = [period for period in merged if period.busy is busy]
        assert all(one.end < two.start for one, two in zip(of_type, of_type[1:], strict=False))
        for hour in range(first, first + length):
            expected = busy is not Busy.FREE and any(
                period.busy is busy and period.start <= at(hour) < period.end for period in found
            )
            assert any(period.start <= at(hour) < period.end for period in of_type) == expected
    assert all(start <= period.start < period.end <= end for period in merged)


def test_rfc4791_example() -> None:
    """RFC 4791 §7.10.1 with the data of Appendix B."""
    zone = (
        "BEGIN:VTIMEZONE",
        "TZID:US/Eastern",
        "BEGIN:STANDARD",
        "DTSTART:20001026T020000",
        "TZOFFSETFROM:-0400",
        "TZOFFSETTO:-0500",
        "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10",
        "END:STANDARD",
        "END:VTIMEZONE",
    )
    objects = [
        calendar(zone, event("DTSTART;TZID=US/Eastern:20060102T100000", "DURATION:PT1H")),
        calendar(
            zone,
            event("DTSTART;TZID=US/Eastern:20060102T120000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=5"),
            event(
                "DTSTART;TZID=US/Eastern:20060104T140000",
                "DURATION:PT1H",
                "RECURRENCE-ID;TZID=US/Eastern:20060104T120000",
            ),
        ),
        calendar(zone, event("DTSTART;TZID=US/Eastern:20060104T100000", "DURATION:PT1H", "STATUS:TENTATIVE")),
        calendar(component("VTODO", "DUE;VALUE=DATE:20060104")),
        calendar(
            component(
                "VFREEBUSY",
                "DTSTART:20060101T100000Z",
                "DTEND:20060108T100000Z",
                "FREEBUSY:20060101T100000Z/20060101T120000Z",
                "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20060102T100000Z/20060102T120000Z",
            )
        ),
    ]
    # the window of the RFC's text, 14:00 to 22:00 on January 4; its request ends a day later
    start, end = utc("20060104T1400"), utc("20060104T2200")
    found = [period for tree in objects for period in busy_of_object(tree, start, end, UTC_ZONE)]
    text = freebusy_calendar(merge(found, start, end), start, end, utc("20050125T0900"), "-//Example//EN")
    assert text.split("\r\n") == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Example//EN",
        "BEGIN:VFREEBUSY",
        "DTSTAMP:20050125T090000Z",
        "DTSTART:20060104T140000Z",
        "DTEND:20060104T220000Z",
        "FREEBUSY:20060104T190000Z/20060104T200000Z",
        "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20060104T150000Z/20060104T160000Z",
        "END:VFREEBUSY",
        "END:VCALENDAR",
        "",
    ]


def test_without_anything_there_is_no_freebusy_property() -> None:
    text = freebusy_calendar([], at(0), at(1), NOW, "x", "UID:one\r\n")
    assert "FREEBUSY:" not in text
    assert "BEGIN:VFREEBUSY\r\nUID:one\r\n" in text


def test_what_is_busy() -> None:
    def busy(*lines: str) -> list[Busy]:
        tree = calendar(event("DTSTART:20260101T000000Z", "DURATION:PT1H", *lines))
        return [period.busy for period in busy_of_object(tree, at(0), at(24), UTC_ZONE)]

    assert busy() == [Busy.BUSY]
    assert busy("STATUS:TENTATIVE") == [Busy.TENTATIVE]
    assert busy("STATUS:CANCELLED") == []
    assert busy("TRANSP:TRANSPARENT") == []
    assert busy("STATUS:X-ANY") == [Busy.BUSY]


def test_cancelled_instances_and_transparent_overrides_are_free() -> None:
    tree = calendar(
        event("DTSTART:20260101T000000Z", "DURATION:PT1H", "RRULE:FREQ=HOURLY;INTERVAL=2"),
        event("RECURRENCE-ID:20260101T020000Z", "DTSTART:20260101T020000Z", "DURATION:PT1H", "STATUS:CANCELLED"),
        event("RECURRENCE-ID:20260101T040000Z", "DTSTART:20260101T040000Z", "DURATION:PT1H", "TRANSP:TRANSPARENT"),
    )
    found = busy_of_object(tree, at(0), at(8), UTC_ZONE)
    assert sorted(period.start.hour for period in found) == [0, 6]


def test_all_day_events_are_busy_in_the_zone_given() -> None:
    tokyo = iana_zone("Asia/Tokyo")
    assert tokyo is not None
    tree = calendar(event("DTSTART;VALUE=DATE:20260102"))
    (period,) = busy_of_object(tree, at(0), at(24), tokyo)
    assert (period.start, period.end) == (at(15), at(39))


def test_events_without_length_are_never_busy() -> None:
    assert busy_of_object(calendar(event("DTSTART:20260101T090000Z")), at(0), at(24), UTC_ZONE) == []


# -- availability (RFC 7953) -------------------------------------------------------------------------------------------

MONTREAL = "TZID=America/Montreal"


def availability(*lines: str, available: tuple[tuple[str, ...], ...] = ()) -> tuple[str, ...]:
    inner = [line for part in available for line in component("AVAILABLE", *part)]
    return component("VAVAILABILITY", *lines, *inner)


def table(trees: list[Component], day: str) -> str:
    """A row of the tables in RFC 7953 §5.1: slots of two hours from midnight in Montreal on."""
    montreal = iana_zone("America/Montreal")
    assert montreal is not None
    midnight = montreal.to_utc(datetime.strptime(day, "%Y%m%d"))
    end = midnight + timedelta(days=1)
    found = unavailable(trees, midnight, end, montreal)
    for tree in trees:
        found += busy_of_object(tree, midnight, end, montreal)
    letters = {Busy.BUSY: "B", Busy.UNAVAILABLE: "U", Busy.TENTATIVE: "T"}
    row = ""
    for slot in range(12):
        time = midnight + timedelta(hours=2 * slot)
        kinds = {letters[period.busy] for period in found if period.start <= time < period.end}
        row += "B" if "B" in kinds else "".join(kinds) or "F"
    return row


BASE = availability(
    f"DTSTART;{MONTREAL}:20111002T000000",
    available=(
        (
            f"DTSTART;{MONTREAL}:20111002T080000",
            f"DTEND;{MONTREAL}:20111002T180000",
            "RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
        ),
    ),
)
DENVER = availability(
    "DTSTART;TZID=America/Denver:20111023T000000",
    "DTEND;TZID=America/Denver:20111030T000000",
    "PRIORITY:1",
    available=(
        (
            "DTSTART;TZID=America/Denver:20111023T080000",
            "DTEND;TZID=America/Denver:20111023T180000",
            "RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
        ),
    ),
)


def test_rfc7953_simple_example() -> None:
    """§5.1.1. It calls November 6 a Monday, which was the 7th: data and request are a day later here."""
    meeting = event(f"DTSTART;{MONTREAL}:20111107T120000", "DURATION:PT2H")
    assert table([calendar(meeting, BASE)], "20111107") == "UUUUFFBFFUUU"
    assert table([calendar(meeting, BASE)], "20111106") == "UUUUUUUUUUUU"


def test_rfc7953_further_example() -> None:
    """§5.1.2. The meeting of Appendix B is on the day that the text asks about here."""
    lunch = event("DTSTART;TZID=America/Denver:20111024T120000", "DURATION:PT2H")
    assert table([calendar(lunch, BASE, DENVER)], "20111024") == "UUUUUFFBFFUU"
    assert table([calendar(BASE), calendar(DENVER), calendar(lunch)], "20111024") == "UUUUUFFBFFUU"
    assert table([calendar(BASE, DENVER)], "20111031") == "UUUUFFFFFUUU"


def test_rfc7953_availability_without_bounds() -> None:
    """§3.1, the first example."""
    tree = calendar(
        availability(
            available=(
                (
                    f"DTSTART;{MONTREAL}:20111002T090000",
                    f"DTEND;{MONTREAL}:20111002T170000",
                    "RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
                ),
            )
        )
    )
    start, end = utc("20401001T0000"), utc("20401002T0000")  # a Monday; Montreal is 4 hours behind
    assert unavailable([tree], start, end, UTC_ZONE) == [
        BusyPeriod(start, utc("20401001T1300"), Busy.UNAVAILABLE),
        BusyPeriod(utc("20401001T2100"), end, Busy.UNAVAILABLE),
    ]


def test_rfc7953_two_offices() -> None:
    """§3.1, the second example: bounded, Friday mornings apart."""
    tree = calendar(
        availability(
            f"DTSTART;{MONTREAL}:20111002T000000",
            f"DTEND;{MONTREAL}:20111202T000000",
            available=(
                (
                    f"DTSTART;{MONTREAL}:20111002T090000",
                    f"DTEND;{MONTREAL}:20111002T170000",
                    "RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH",
                ),
                (f"DTSTART;{MONTREAL}:20111007T090000", f"DTEND;{MONTREAL}:20111007T120000", "RRULE:FREQ=WEEKLY"),
            ),
        )
    )
    text = calendar_with_own_uids(tree)
    friday = unavailable([text], utc("20111014T0400"), utc("20111015T0400"), UTC_ZONE)
    assert [(period.start, period.end) for period in friday] == [
        (utc("20111014T0400"), utc("20111014T1300")),
        (utc("20111014T1600"), utc("20111015T0400")),
    ]
    assert unavailable([text], utc("20111203"), utc("20111204"), UTC_ZONE) == []


def calendar_with_own_uids(tree: Component) -> Component:
    """AVAILABLE components are different ones by their UID."""
    for number, child in enumerate(tree.components[0].components):
        uid = child.first("UID")
        assert uid is not None
        uid.value = f"available-{number}"
    return tree


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("BUSY", "BUSY-UNAVAILABLE", Busy.BUSY),
        ("BUSY-TENTATIVE", "BUSY-UNAVAILABLE", Busy.UNAVAILABLE),
        ("BUSY-TENTATIVE", "BUSY", Busy.BUSY),
        ("X-WHATEVER", "BUSY-TENTATIVE", Busy.BUSY),
    ],
)
def test_of_one_priority_the_strongest_type_holds(one: str, other: str, expected: Busy) -> None:
    trees = [calendar(availability(f"BUSYTYPE:{busy}")) for busy in (one, other)]
    for order in (trees, trees[::-1]):
        assert unavailable(order, at(0), at(5), UTC_ZONE) == [BusyPeriod(at(0), at(5), expected)]


def test_a_higher_priority_hides_what_a_lower_one_frees() -> None:
    free_all_day = ("DTSTART:20260101T000000Z", "DTEND:20260102T000000Z")
    low = calendar(availability(available=(free_all_day,)))
    high = calendar(availability("DTSTART:20260101T080000Z", "DURATION:PT4H", "PRIORITY:3", "BUSYTYPE:BUSY"))
    assert unavailable([high, low], at(0), at(24), UTC_ZONE) == [BusyPeriod(at(8), at(12), Busy.BUSY)]
    middle = calendar(availability("DTSTART:20260101T100000Z", "DURATION:PT4H", "PRIORITY:9"))
    assert unavailable([middle, high, low], at(0), at(24), UTC_ZONE) == [
        BusyPeriod(at(8), at(12), Busy.BUSY),
        BusyPeriod(at(12), at(14), Busy.UNAVAILABLE),
    ]


def test_available_outside_of_its_availability_frees_nothing() -> None:
    low = calendar(availability())
    high = calendar(
        availability(
            "DTSTART:20260101T080000Z",
            "DTEND:20260101T100000Z",
            "PRIORITY:1",
            available=(("DTSTART:20260101T060000Z", "DTEND:20260101T090000Z"),),
        )
    )
    assert [(period.start.hour, period.end.hour) for period in unavailable([low, high], at(0), at(12), UTC_ZONE)] == [
        (0, 8),
        (9, 12),
    ]


strokes = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 10), st.integers(0, 2), st.sampled_from(("BUSY", "BUSY-TENTATIVE"))),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(strokes, st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=4))
def test_availability_hour_by_hour(extents: list[tuple[int, int, int, str]], available: list[tuple[int, int]]) -> None:
    """Each AVAILABLE is in every VAVAILABILITY; the steps of §4 for single hours."""
    inner = tuple((f"DTSTART:{at(start):%Y%m%dT%H%M%SZ}", f"DURATION:PT{length}H") for start, length in available)
    trees = [
        calendar_with_own_uids(
            calendar(
                availability(
                    f"DTSTART:{at(start):%Y%m%dT%H%M%SZ}",
                    f"DURATION:PT{length}H",
                    f"PRIORITY:{priority}",
                    f"BUSYTYPE:{busy}",
                    available=inner,
                )
            )
        )
        for start, length, priority, busy in extents
    ]
    found = unavailable(trees, at(0), at(40), UTC_ZONE)
    for hour in range(40):
        state = "FREE"
        for rank in (0, 2, 1):
            here = [
                busy for start, length, priority, busy in extents if priority == rank and start <= hour < start + length
            ]
            if here:
                state = "BUSY" if "BUSY" in here else "BUSY-TENTATIVE"
                if any(start <= hour < start + length for start, length in available):
                    state = "FREE"
        ours = [period.busy.value for period in found if period.start <= at(hour) < period.end]
        assert ours == ([] if state == "FREE" else [state])


@pytest.mark.parametrize("more", [(), ("EXDATE:20260101T000005Z",)])
def test_a_series_too_dense_to_be_computed_is_busy_behind_what_was_computed(more: tuple[str, ...]) -> None:
    tree = calendar(event("DTSTART:20260101T000000Z", "DURATION:PT1S", "RRULE:FREQ=SECONDLY", *more))
    found = merge(busy_of_object(tree, at(0), at(24 * 30), UTC_ZONE, Work(5_000)), at(0), at(24 * 30))
    assert found[-1].end == at(24 * 30)
    assert found[0].start == at(0)
    exact = merge(busy_of_object(tree, at(0), at(1), UTC_ZONE), at(0), at(1))
    assert merge(found, at(0), at(1)) == exact


def test_a_window_too_long_for_a_series_is_refused() -> None:
    daily = calendar(event("DTSTART:20260101T000000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY"))
    with pytest.raises(TooManyInstances):
        busy_of_object(daily, utc("19000101"), utc("99000101"), UTC_ZONE)
    year = busy_of_object(daily, at(0), at(24 * 365), UTC_ZONE)
    assert len(year) == 365


def test_the_work_of_a_request_is_shared_and_each_series_has_the_least() -> None:
    dense = calendar(event("DTSTART:20260101T000000Z", "DURATION:PT1H", "RRULE:FREQ=SECONDLY"))
    daily = calendar(event("DTSTART:20260101T000000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY"))

    def request() -> int:
        share()
        for _ in range(2 * REQUEST_WORK // OBJECT_WORK):
            busy_of_object(dense, at(0), at(24 * 30), UTC_ZONE)
        return len(busy_of_object(daily, at(0), at(24 * 365), UTC_ZONE))

    assert copy_context().run(request) == 365
