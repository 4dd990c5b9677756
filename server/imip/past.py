"""Whether a meeting is over: nothing is mailed about it."""

from __future__ import annotations

from datetime import datetime, timedelta

from server.calendar.materialise import materialise
from server.domain.errors import InvalidData, TooManyInstances
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
    try:
        times = materialise(value.calendar, now)
    except (InvalidData, TooManyInstances):
        return False
    end = times.span_end
    return end is not None and not times.endless and end + _FLOATING < now
