"""The ways to one answer agree: rows, the matcher, expand and free-busy, for objects with overrides and ranges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.calendar.component import parse_calendar
from server.calendar.component_times import as_utc
from server.calendar.expand import expand
from server.calendar.filters import TimeRange
from server.calendar.freebusy import BusyPeriod, busy_of_object, merge
from server.calendar.iana import iana_zone
from server.calendar.materialise import materialise
from server.calendar.timerange import TimeRangeMatcher
from server.calendar.zones import Zone
from server.domain.occurrences import FLOATING_MARGIN, Materialised, resolve
from tests.unit.calendar.time.test_second_opinions import events

NOW = datetime(2012, 6, 15, 12, tzinfo=UTC)
PLACES = [zone for name in ("UTC", "Asia/Tokyo", "America/St_Johns") if (zone := iana_zone(name)) is not None]
some = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def objects(draw: st.DrawFn) -> tuple[str, datetime]:
    """As `events`, with a range, other types of components, and what makes free or tentative."""
    text, start = draw(events())
    if draw(st.booleans()) and "RECURRENCE-ID;" in text:
        text = text.replace("RECURRENCE-ID;", "RECURRENCE-ID;RANGE=THISANDFUTURE;", 1)
    if draw(st.booleans()):
        text = text.replace("SUMMARY:moved", draw(st.sampled_from(("STATUS:TENTATIVE", "TRANSP:TRANSPARENT"))))
    if draw(st.integers(0, 3)) == 0:
        text = text.replace("VEVENT", "VTODO").replace("DTEND", "DUE")
    return text, start


def is_expanded(found: Materialised, start: datetime, end: datetime) -> bool:
    return (found.expanded_from is None or found.expanded_from <= start) and (
        found.expanded_until is None or end <= found.expanded_until
    )


@some
@given(objects(), st.sampled_from(PLACES), st.integers(-60, 500), st.integers(1, 60), st.booleans())
def test_all_agree(event: tuple[str, datetime], zone: Zone, skip: int, days: int, near_now: bool) -> None:
    text, start = event
    calendar = parse_calendar(text)
    begin = (NOW if near_now else as_utc(start, None)).replace(hour=6) + timedelta(days=skip)
    end = begin + timedelta(days=days)
    found = materialise(calendar, NOW)
    matcher = TimeRangeMatcher(calendar, zone)
    matched = [matcher((calendar, part), None, TimeRange(begin, end)) for part in calendar.components]

    answer = parse_calendar(expand(text, calendar, begin, end, zone))
    assert any(matched) == bool(answer.components)
    ids = [part.first("RECURRENCE-ID") for part in answer.components]
    values = [prop.value for prop in ids if prop is not None]
    assert len(set(values)) == len(answer.components)

    if found.span_start is not None and end <= found.span_start - FLOATING_MARGIN:
        assert not any(matched)
    if found.span_end is not None and begin >= found.span_end + FLOATING_MARGIN:
        assert not any(matched)

    if not is_expanded(found, begin - FLOATING_MARGIN, end + FLOATING_MARGIN):
        return
    rows = [row for row in (resolve(row, zone) for row in found.occurrences) if row.overlaps(begin, end)]
    assert sorted(row.recurrence_id for row in rows) == sorted(values)
    assert {row.component for row in rows} == {index for index, matches in enumerate(matched) if matches}
    assert len({row.recurrence_id for row in found.occurrences}) == len(found.occurrences)
    if calendar.components[0].name == "VEVENT":
        by_rows = merge((BusyPeriod(row.start, row.end, row.busy) for row in rows), begin, end)
        assert merge(busy_of_object(calendar, begin, end, zone), begin, end) == by_rows


@some
@given(objects(), st.integers(-3000, 3000))
def test_what_is_materialised_does_not_depend_on_when(event: tuple[str, datetime], days: int) -> None:
    """Two horizons have the same rows where they overlap."""
    calendar = parse_calendar(event[0])
    one, other = materialise(calendar, NOW), materialise(calendar, NOW + timedelta(days=days))
    assert (one.span_start, one.span_end, one.endless) == (other.span_start, other.span_end, other.endless)
    assert one.whole == other.whole
    if one.whole:
        assert one == other
        return
    assert one.expanded_from is not None
    assert one.expanded_until is not None
    assert other.expanded_from is not None
    assert other.expanded_until is not None
    begin, end = max(one.expanded_from, other.expanded_from), min(one.expanded_until, other.expanded_until)
    if begin < end:
        common = [[row for row in found.occurrences if row.overlaps(begin, end)] for found in (one, other)]
        assert common[0] == common[1]
