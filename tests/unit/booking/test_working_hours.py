"""Working hours, against the clock of each quarter of an hour."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from server.booking.working_hours import working_hours

ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")]
QUARTER = timedelta(minutes=15)


@given(
    st.sampled_from(ZONES),
    st.integers(0, 365),
    # Not between midnight and four, when clocks are changed.
    st.integers(16, 95),
    st.integers(16, 95),
    st.frozensets(st.integers(0, 6)),
)
def test_the_hours_are_those_of_the_clock(
    zone: ZoneInfo, day: int, opens: int, closes: int, days: frozenset[int]
) -> None:
    start = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(days=day)
    end = start + timedelta(days=4)
    found = working_hours(start, end, zone, time(opens // 4, opens % 4 * 15), time(closes // 4, closes % 4 * 15), days)
    at = start
    while at < end:
        local = at.astimezone(zone)
        quarter, weekday = local.hour * 4 + local.minute // 15, local.weekday()
        if opens < closes:
            expected = weekday in days and opens <= quarter < closes
        else:
            expected = (weekday in days and quarter >= opens) or ((weekday - 1) % 7 in days and quarter < closes)
        assert any(begins <= at < ends for begins, ends in found) == expected, local
        at += QUARTER


def test_midnight_is_the_end_of_a_day() -> None:
    start = datetime(2027, 1, 4, tzinfo=UTC)
    found = working_hours(start, start + timedelta(days=1), UTC, time(22), time(0))
    assert found == [(start + timedelta(hours=22), start + timedelta(days=1))]
