"""Which bookings that nobody checked in are released."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.booking.no_shows import is_released, leaves_series
from server.booking.policy import Policy

NINE = datetime(2026, 4, 1, 9, tzinfo=UTC)
RELEASES = Policy(check_in="panel", release_no_shows=True)
MINUTES = st.integers(0, 1000)


def minutes(number: int) -> timedelta:
    return timedelta(minutes=number)


@pytest.mark.parametrize(
    ("length", "notice", "waits", "released"),
    [
        (60, 120, 15, True),
        (60, 120, 14, False),
        (60, 120, 60, False),
        (15, 120, 15, False),
        (16, 120, 15, True),
        (60, 119, 15, False),
        (480, 120, 15, False),
        (479, 120, 15, True),
    ],
)
def test_the_defaults_spare_long_meetings_and_short_notice(
    length: int, notice: int, waits: int, released: bool
) -> None:
    times = NINE, NINE + minutes(length), NINE - minutes(notice)
    assert is_released(RELEASES, *times, minutes(15), NINE + minutes(waits)) is released
    assert not is_released(Policy(), *times, minutes(15), NINE + minutes(waits))


@given(MINUTES, MINUTES, MINUTES, st.none() | MINUTES, st.none() | MINUTES)
def test_a_stricter_policy_releases_no_less(
    length: int, notice: int, waits: int, longest: int | None, least: int | None
) -> None:
    policy = Policy(
        check_in="panel", release_no_shows=True, no_show_spares_from_minutes=longest, no_show_notice_minutes=least
    )
    strict = Policy(
        check_in="panel", release_no_shows=True, no_show_spares_from_minutes=None, no_show_notice_minutes=None
    )
    times = NINE, NINE + minutes(length), NINE - minutes(notice), minutes(15), NINE + minutes(waits)
    spared = (longest is not None and length >= longest) or (least is not None and notice < least)
    assert is_released(strict, *times) == (15 <= waits < length)
    assert is_released(policy, *times) == (15 <= waits < length and not spared)


def test_a_series_is_left_after_the_number_of_the_policy() -> None:
    assert [leaves_series(RELEASES, misses) for misses in (2, 3, 4)] == [False, True, True]
    assert not leaves_series(Policy(no_shows_in_series=None), 1000)
