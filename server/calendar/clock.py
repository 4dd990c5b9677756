"""A zone as a table of offsets, by which a database places floating times and dates.

clock(zone_named(text)) -> Clock(starts, offsets)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from server.calendar.calendar_object import read_timezone
from server.calendar.iana import named_zone
from server.calendar.vtimezone import zone_of_component
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.errors import InvalidData

FIRST, LAST = datetime(1970, 1, 1), datetime(2100, 1, 1)
"""The local times for which a table is made; the offsets at its ends hold beyond."""
_STEP = timedelta(days=5)
"""Offsets change at most once within it."""
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Clock:
    """The offsets of a zone, in the order of time."""

    starts: tuple[datetime, ...]
    """Local times, as if they were in UTC, from which the offsets hold."""
    offsets: tuple[int, ...]
    """Seconds that local time is ahead of UTC."""


def zone_named(text: str) -> Zone:
    """A zone by its name in the zone data, or by a VTIMEZONE; UTC where it is none."""
    try:
        found = zone_of_component(read_timezone(text)[1]) if "\n" in text else named_zone(text)
    except InvalidData:
        found = None
    return found or UTC_ZONE


def clock(zone: Zone) -> Clock:
    """The table of a zone. A local time that comes twice, or not at all, has the offset of before the change
    (RFC 5545 §3.3.5)."""
    at = FIRST
    starts, offsets = [FIRST], [_offset(zone, FIRST)]
    while at < LAST:
        after = at + _STEP
        if _offset(zone, after) != offsets[-1]:
            low, high = at, after
            while high - low > _SECOND:
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                if _offset(zone, middle) == offsets[-1]:
                    low = middle
                else:
                    high = middle
            starts.append(high)
            offsets.append(_offset(zone, after))
        at = after
    return Clock(tuple(each.replace(tzinfo=UTC) for each in starts), tuple(offsets))


def _offset(zone: Zone, local: datetime) -> int:
    return round((local - zone.to_utc(local).replace(tzinfo=None)).total_seconds())
