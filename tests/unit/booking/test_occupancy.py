"""When a room is full, against a count of each minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.booking.occupancy import full_times, joined

DAY = datetime(2030, 1, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    return DAY + timedelta(minutes=minute)


def minutes(periods: list[tuple[datetime, datetime]]) -> list[tuple[int, int]]:
    return [(round((a - DAY).total_seconds() / 60), round((b - DAY).total_seconds() / 60)) for a, b in periods]


PERIODS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=12)


@given(PERIODS, st.integers(1, 4))
def test_a_minute_is_full_where_that_many_overlap(pairs: list[tuple[int, int]], at_once: int) -> None:
    found = minutes(full_times([(at(a), at(b)) for a, b in pairs], at_once))
    full = {n for n in range(31) if sum(a <= n < b for a, b in pairs) >= at_once}
    assert {n for a, b in found for n in range(a, b)} == full
    assert all(one[1] < other[0] for one, other in zip(found, found[1:], strict=False)), "disjoint, and not touching"


@given(PERIODS)
def test_joined_periods_cover_the_same_minutes(pairs: list[tuple[int, int]]) -> None:
    found = minutes(joined([(at(a), at(b)) for a, b in pairs]))
    assert {n for a, b in found for n in range(a, b)} == {n for a, b in pairs for n in range(a, b)}
    assert all(a < b for a, b in found)
