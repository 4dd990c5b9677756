"""The next ring of an alarm is the first of all its rings that is not before a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.calendar.alarms import Span, first_ring, next_ring
from server.calendar.iana import iana_zone
from server.calendar.zones import UTC_ZONE
from server.domain.occurrences import FLOATING_MARGIN, AlarmTrigger, Kind

BERLIN = iana_zone("Europe/Berlin")
ZONES = tuple(iana_zone(name) for name in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin")) + (UTC_ZONE,)
times = st.integers(0, 60 * 24).map(lambda hours: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hours))
lengths = st.integers(0, 100).map(lambda hours: timedelta(hours=hours))
triggers = st.builds(
    lambda days, hours, from_end, repeat, interval: AlarmTrigger(
        0, 0, None, days, hours * 3600, from_end, repeat, interval if repeat else 0
    ),
    st.integers(-9, 9), st.integers(-50, 50), st.booleans(), st.integers(0, 4), st.integers(1, 10**6),
)  # fmt: skip


def spans_of(occurrences, kind, zone):
    return [Span(start, start + length, kind, zone) for start, length in sorted(occurrences)]


def all_rings(trigger, spans, place=None):
    """All rings with the index of their occurrence."""
    for index, (start, end, kind, zone) in enumerate(spans):
        if kind is not Kind.TIMED and place is not None:
            start, end, zone = place.to_utc(start.replace(tzinfo=None)), place.to_utc(end.replace(tzinfo=None)), place
        first = first_ring(trigger, start, end, zone)
        for number in range(trigger.repeat + 1):
            yield first + timedelta(seconds=number * trigger.interval), index


@given(st.lists(st.tuples(times, lengths), max_size=8), triggers, times, st.sampled_from((BERLIN, UTC_ZONE)))
def test_of_timed_occurrences(occurrences, trigger, since, zone):
    spans = spans_of(occurrences, Kind.TIMED, zone)
    expected = min((at for at, _ in all_rings(trigger, spans) if at >= since), default=None)
    found = next_ring(trigger, spans, since)
    assert (None if found is None else found.at) == expected
    if found is not None:
        assert (found.at, found.occurrence) in set(all_rings(trigger, spans))
        assert not found.floating


@given(st.lists(st.tuples(times, lengths), max_size=8), triggers, times, st.sampled_from(ZONES))
def test_of_floating_occurrences(occurrences, trigger, since, place):
    spans = spans_of(occurrences, Kind.FLOATING, None)
    expected = min((at for at, _ in all_rings(trigger, spans, place) if at >= since), default=None)
    found = next_ring(trigger, spans, since, place)
    assert (None if found is None else found.at) == expected
    # without a place: no ring in any zone comes before it
    anywhere = next_ring(trigger, spans, since)
    if expected is not None:
        assert anywhere is not None
        assert anywhere.floating
        assert anywhere.at <= expected + FLOATING_MARGIN


@given(times, times, st.integers(0, 4), st.integers(1, 10**6))
def test_of_an_absolute_trigger(at, since, repeat, interval):
    trigger = AlarmTrigger(0, 0, at, 0, 0, False, repeat, interval if repeat else 0)
    rings = [at + timedelta(seconds=number * trigger.interval) for number in range(repeat + 1)]
    found = next_ring(trigger, (), since)
    assert (None if found is None else found.at) == min((each for each in rings if each >= since), default=None)
