"""The table of a zone gives the same times as the zone."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.clock import Clock, clock, zone_named
from tests.unit.calendar.texts import BERLIN

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "", "nowhere")
CLOCKS = {name: clock(zone_named(name)) for name in ZONES}


def placed(table: Clock, local: datetime) -> datetime:
    at = max(bisect_right(table.starts, local.replace(tzinfo=UTC)) - 1, 0)
    return local.replace(tzinfo=UTC) - timedelta(seconds=table.offsets[at])


@given(st.sampled_from(ZONES), st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)))
def test_every_local_time_is_where_the_zone_puts_it(name: str, local: datetime) -> None:
    local = local.replace(microsecond=0)
    assert placed(CLOCKS[name], local) == zone_named(name).to_utc(local)


@pytest.mark.parametrize("local", [datetime(2030, 3, 31, 2, 30), datetime(2030, 10, 27, 2, 30)])
def test_times_of_a_change_too(local: datetime) -> None:
    assert placed(CLOCKS["Europe/Berlin"], local) == zone_named("Europe/Berlin").to_utc(local)


def test_a_zone_may_be_a_vtimezone_and_is_utc_where_it_is_none() -> None:
    assert len(clock(zone_named(f"BEGIN:VCALENDAR\n{BERLIN}\nEND:VCALENDAR\n")).offsets) > 100
    assert clock(zone_named("BEGIN:VTIMEZONE\r\nEND:VTIMEZONE\r\n")).offsets == (0,)
