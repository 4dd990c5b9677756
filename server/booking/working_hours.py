"""Working hours: the same time of day on some days of the week, in a zone. Pure."""

from __future__ import annotations

from collections.abc import Set
from datetime import UTC, datetime, time, timedelta, tzinfo

from server.booking.free_time import Period, merged

MONDAY_TO_FRIDAY = frozenset(range(5))


def working_hours(
    start: datetime, end: datetime, zone: tzinfo, opens: time, closes: time, days: Set[int] = MONDAY_TO_FRIDAY
) -> list[Period]:
    """The working hours that overlap a window, ascending, in UTC; not clipped.

    :param opens: by the clock of the zone. A time that a change of the zone skips counts as later by the change.
    :param closes: 00:00 is midnight at the end of the day; before `opens`, on the next day.
    :param days: of the week on which they begin; 0 is Monday.
    """
    found = []
    # The day before reaches into the window if it ends after midnight.
    day = start.astimezone(zone).date() - timedelta(days=1)
    last = end.astimezone(zone).date()
    while day <= last:
        if day.weekday() in days:
            begins = datetime.combine(day, opens, zone).astimezone(UTC)
            until = day if closes > opens else day + timedelta(days=1)
            ends = datetime.combine(until, closes, zone).astimezone(UTC)
            if begins < end and ends > start:
                found.append((begins, ends))
        day += timedelta(days=1)
    return merged(found)
