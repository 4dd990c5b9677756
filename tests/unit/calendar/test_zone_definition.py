"""VTIMEZONEs that are written from the zone data."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from io import StringIO

import pytest
from dateutil import tz
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.component import parse_components
from server.calendar.iana import iana_zone, zone_names
from server.calendar.vtimezone import observances, zone_of_rules
from server.calendar.zone_definition import definition

NAMES = sorted(zone_names().values())


@pytest.mark.parametrize("initial", sorted({name[0] for name in NAMES}))
def test_every_zone_changes_when_the_data_says(initial):
    start, end = datetime(1970, 1, 1), datetime(2100, 1, 1)
    for name in (name for name in NAMES if name[0] == initial):
        zone = iana_zone(name)
        written = definition(zone, name)
        assert all(len(line.encode()) <= 75 for line in written.split("\r\n"))
        found = zone_of_rules(observances(parse_components(written)[0]))
        assert found.transitions(start, end) == zone.transitions(start, end), name
        assert found.offset_at(start.replace(tzinfo=UTC)) == zone.offset_at(start.replace(tzinfo=UTC)), name


@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "America/Santiago", "Africa/Casablanca", "America/Nuuk"]),
    st.datetimes(datetime(1990, 1, 1), datetime(2036, 1, 1)).map(lambda time: time.replace(microsecond=0, tzinfo=UTC)),
)
def test_another_reader_agrees(name, utc):
    """python-dateutil's, with the whole history; it takes no X- property there."""
    zone = iana_zone(name)
    text = definition(zone, "Here", None).replace(f"X-LIC-LOCATION:{name}\r\n", "")
    local = zone.to_local(utc)
    if zone.to_utc(local) == utc:  # not the second of two equal local times
        assert local.replace(tzinfo=read_by_dateutil(text)).utcoffset() == zone.offset_at(utc)


@cache
def read_by_dateutil(text):
    return tz.tzical(StringIO(text)).get("Here")


def test_rules_go_on():
    zone = iana_zone("Europe/Berlin")
    found = zone_of_rules(observances(parse_components(definition(zone, "x"))[0]))
    time = datetime(2345, 7, 1, tzinfo=UTC)
    assert found.offset_at(time) == zone.offset_at(time)
    assert len(definition(zone, "x")) < 800
