"""All spellings of one RECURRENCE-ID are one instance, wherever instances are compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.calendar_object import read_calendar_object
from server.calendar.filters import TimeRange
from server.calendar.iana import iana_zone
from server.calendar.materialise import materialise
from server.calendar.personal import compose, same_order, same_shared, split
from server.calendar.recurrence_ids import recurrence_ids
from server.calendar.timerange import TimeRangeMatcher
from server.calendar.zones import UTC_ZONE
from server.domain.errors import InvalidCalendarObject
from server.domain.limits import Limits
from tests.unit.calendar.texts import BERLIN, calendar, event

OWN = BERLIN.replace("Europe/Berlin", "Customized Time Zone")
ALARM = "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT7M\nEND:VALARM"
LATER = "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-P1D\nEND:VALARM"

SERIES = {
    "zoned": "DTSTART;TZID=Europe/Berlin:20240101T110000",
    "floating": "DTSTART:20240101T110000",
    "utc": "DTSTART:20240101T100000Z",
    "dates": "DTSTART;VALUE=DATE:20240101",
}
SPELLINGS = {
    "zoned": [
        "RECURRENCE-ID;TZID=Europe/Berlin:20240109T110000",
        "RECURRENCE-ID;TZID=America/New_York:20240109T050000",
        "RECURRENCE-ID;TZID=W. Europe Standard Time:20240109T110000",
        "RECURRENCE-ID;TZID=Customized Time Zone:20240109T110000",
        "RECURRENCE-ID:20240109T100000Z",
        "RECURRENCE-ID:20240109T110000",
        "RECURRENCE-ID;VALUE=DATE:20240109",
        "RECURRENCE-ID:\n 2024-01-09T10:00:00z",
    ],
    "floating": ["RECURRENCE-ID:20240109T110000", "RECURRENCE-ID;TZID=Europe/Berlin:20240109T110000"],
    "utc": ["RECURRENCE-ID:20240109T100000Z", "RECURRENCE-ID;TZID=Europe/Berlin:20240109T110000"],
    "dates": [
        "RECURRENCE-ID;VALUE=DATE:20240109",
        "RECURRENCE-ID:20240109",
        "RECURRENCE-ID:20240109T000000",
        "RECURRENCE-ID:20240109T000000Z",
        "RECURRENCE-ID:20240108T230000Z",
        "RECURRENCE-ID;TZID=America/New_York:20240109T000000",
    ],
}
PAIRS = [(kind, first, second) for kind, found in SPELLINGS.items() for first in found for second in found]


def series(kind: str, *parts: str) -> str:
    """A daily series that brings a zone, with more components."""
    return calendar(OWN, event(f"RRULE:FREQ=DAILY\nSUMMARY:Daily\n{LATER}", start=SERIES[kind]), *parts)


def override(recurrence_id: str, *lines: str) -> str:
    return event("\n".join((recurrence_id, *lines)), start="DTSTART:20240109T150000Z")


@pytest.mark.parametrize(("kind", "first", "second"), PAIRS)
def test_two_overrides_of_one_instance_are_refused(kind: str, first: str, second: str) -> None:
    with pytest.raises(InvalidCalendarObject) as caught:
        read_calendar_object(series(kind, override(first), override(second)).encode(), Limits())
    assert caught.value.line is not None
    other = override(second.replace("0109", "0110").replace("01-09", "01-10").replace("0108", "0110"))
    read_calendar_object(series(kind, override(first), other).encode(), Limits())


@pytest.mark.parametrize(("kind", "first", "second"), PAIRS)
def test_personal_parts_follow_the_instance(kind: str, first: str, second: str) -> None:
    """The owner's alarm in an exception stays when a sharee writes its RECURRENCE-ID in another way."""
    owners, sharees = series(kind, override(first, ALARM)), series(kind, override(second, "SUMMARY:Moved"))
    assert compose(split(sharees).shared, split(owners).personal) == series(
        kind, override(second, ALARM, "SUMMARY:Moved")
    )
    assert compose(split(owners).shared, split(owners).personal) == owners
    assert same_shared(owners, series(kind, override(second)))
    assert same_order(owners, sharees)


@pytest.mark.parametrize(("kind", "first", "second"), PAIRS)
def test_personal_parts_that_keep_a_spelling_still_apply(kind: str, first: str, second: str) -> None:
    """Until their owner writes again, parts from before identifiers hold RECURRENCE-ID as it was sent."""
    stored = calendar(event(), override(first, "X-KOYOMI-AFTER:1 DTSTART", ALARM), head="")
    stored = stored.replace("\r\nDTSTART", "\r\nX-A")
    shared = split(series(kind, override(second))).shared
    assert compose(shared, stored).count("TRIGGER:-PT7M") == 1


@pytest.mark.parametrize(("kind", "first", "second"), PAIRS)
def test_exdate_and_rdate_in_any_spelling(kind: str, first: str, second: str) -> None:
    """EXDATE removes the instance, RDATE adds nothing to it, an override replaces it."""
    excluded, added = (line.replace("RECURRENCE-ID", name) for line, name in ((first, "EXDATE"), (second, "RDATE")))
    rule = "RRULE:FREQ=DAILY;UNTIL=20240112T235959"
    plain = calendar(OWN, event(rule, start=SERIES[kind]))
    rows = materialise(
        read_calendar_object(plain.encode(), Limits()).tree, datetime(2024, 1, 1, tzinfo=UTC)
    ).occurrences

    def starts(lines: str, *parts: str) -> list[datetime]:
        tree = read_calendar_object(
            calendar(OWN, event(f"{rule}\n{lines}", start=SERIES[kind]), *parts).encode(), Limits()
        ).tree
        return [row.start for row in materialise(tree, datetime(2024, 1, 1, tzinfo=UTC)).occurrences]

    all_starts = [row.start for row in rows]
    gone = [start for start in all_starts if start.day != 9]
    assert len(all_starts) == 12
    assert starts(added) == all_starts
    assert starts(excluded) == starts(f"{excluded}\n{added}") == gone
    assert starts("X-A:b", override(first)) == sorted([*gone, datetime(2024, 1, 9, 15, tzinfo=UTC)])


@pytest.mark.parametrize(("kind", "spelling"), [(kind, found) for kind in SPELLINGS for found in SPELLINGS[kind]])
def test_a_time_range_on_recurrence_id(kind: str, spelling: str) -> None:
    tree = read_calendar_object(series(kind, override(spelling)).encode(), Limits()).tree
    path = (tree, tree.components[2])
    test = TimeRangeMatcher(tree, UTC_ZONE)
    row = {"zoned": 10, "floating": 11, "utc": 10, "dates": 0}[kind]
    at = datetime(2024, 1, 9, row, tzinfo=UTC)
    prop = path[-1].first("RECURRENCE-ID")
    assert test(path, prop, TimeRange(at, at + timedelta(seconds=1)))
    assert not test(path, prop, TimeRange(at + timedelta(seconds=1), None))


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")


@given(
    st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1)).map(lambda time: time.replace(microsecond=0)),
    st.sampled_from(ZONES),
    st.sampled_from(ZONES),
)
def test_one_instant_in_two_zones_is_one_instance(instant: datetime, series_zone: str, other_zone: str) -> None:
    utc = instant.replace(tzinfo=UTC)

    def written(name: str, zone_name: str) -> str:
        zone = iana_zone(zone_name)
        assert zone is not None
        local = zone.to_local(utc)
        if zone.to_utc(local) != utc:  # the second of two equal local times cannot be written
            return f"{name}:{instant:%Y%m%dT%H%M%S}Z"
        return f"{name};TZID={zone_name}:{local:%Y%m%dT%H%M%S}"

    text = calendar(
        event("RRULE:FREQ=DAILY", start=written("DTSTART", series_zone)),
        event(written("RECURRENCE-ID", other_zone), start="DTSTART:20240101T000000Z"),
    )
    tree = read_calendar_object(text.encode(), Limits()).tree
    assert recurrence_ids(tree) == ["", f"{instant:%Y%m%dT%H%M%S}Z"]
