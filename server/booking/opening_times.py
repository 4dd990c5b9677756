"""When rooms are closed, by their opening times: VAVAILABILITY (RFC 7953), as the attribute of a room has it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from server.booking.free_time import Period, merged
from server.calendar.component import Component, parse_calendar
from server.calendar.freebusy import unavailable
from server.calendar.zones import Zone

_DAY = timedelta(days=1)


@lru_cache(maxsize=1024)
def closed_times(opening_times: str, zone: Zone, start: datetime, end: datetime) -> Sequence[Period]:
    """When a room is closed in a window, merged and ascending; it may reach out of the window by a day.

    :param opening_times: a calendar with VAVAILABILITY components; empty: always open.
    :param zone: of times without a zone.
    :raises InvalidCalendarData: for what is no calendar.
    :raises TooManyInstances: when it takes too much work.
    """
    if not opening_times or start >= end:
        return ()
    # Whole days, so that requests share what was computed, as rooms do within one.
    first = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    last = end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    return _closed(opening_times, zone, first, last)


def open_times(closed: Sequence[Period], start: datetime, end: datetime) -> list[Period]:
    """The times of a window that lie in none of the merged periods."""
    found = []
    for begins, ends in closed:
        if start < min(begins, end):
            found.append((start, min(begins, end)))
        start = max(start, ends)
    return [*found, (start, end)] if start < end else found


@lru_cache(maxsize=1024)
def _closed(opening_times: str, zone: Zone, start: datetime, end: datetime) -> tuple[Period, ...]:
    found = unavailable([_calendar(opening_times)], start, end, zone)
    return tuple(merged((period.start, period.end) for period in found))


@lru_cache(maxsize=256)
def _calendar(text: str) -> Component:
    return parse_calendar(text)
