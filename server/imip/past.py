"""Whether a meeting is over: nothing is mailed about it."""

from __future__ import annotations

from datetime import datetime, timedelta

from server.calendar.materialise import materialise
from server.domain.errors import InvalidData, TooManyInstances
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

_FLOATING = timedelta(hours=14)
"""Floating times are over in all zones so long after they are in UTC."""


def is_over(value: SchedulingObject, now: datetime) -> bool:
    """Whether an object lies wholly in the past. What has no time, an end that is not known, or no valid times does
    not.

    :param now: aware.
    """
    if value.name != "VEVENT":
        return False
    starts = [value.moment(each, "DTSTART") for each in value.components]
    if any(start is None or start.utc >= now for start in starts) or any(map(_is_endless, value.components)):
        return False
    try:
        times = materialise(value.calendar, now)
    except (InvalidData, TooManyInstances):
        return False
    end = times.span_end
    return end is not None and not times.endless and end + _FLOATING < now


def _is_endless(component: SchedulingComponent) -> bool:
    """Whether a component has a rule without an end: its instances need not be looked at."""
    return any(
        "UNTIL=" not in line.value.upper() and "COUNT=" not in line.value.upper() for line in component.all("RRULE")
    )
