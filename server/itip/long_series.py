"""Series that the server divides by itself: those with a long past or with many changed instances in it
(caldav-recursplit §4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.calendar.expand import written_time
from server.domain.errors import SplitRefused
from server.domain.occurrences import later
from server.itip.instances import recurs, start_of
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject
from server.itip.series_parts import SERIES, instances_from
from server.itip.splitting import split_point

_EVENT = re.compile(r"BEGIN:VEVENT\r?\n(.*?)END:VEVENT", re.DOTALL | re.IGNORECASE)
_SERIES = re.compile(r"^(?:RRULE|RDATE)[;:]", re.MULTILINE | re.IGNORECASE)
_START = re.compile(r"^DTSTART(?:;[^:\n]*)?:(\d{8})", re.MULTILINE | re.IGNORECASE)
_OVERRIDE = re.compile(r"^RECURRENCE-ID[;:]", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Which series are divided, and where."""

    past: timedelta
    """Those that began so long ago; longer than `kept`."""
    overrides: int
    """Those with so many overrides before the point at which they would be divided."""
    kept: timedelta
    """They are divided at the next instance on or after so long ago."""


def may_be_long(text: str, now: datetime, thresholds: Thresholds) -> bool:
    """Whether a stored text may be such a series: a fast look, which overlooks none that is not folded oddly."""
    earliest = f"{later(now, -thresholds.past):%Y%m%d}"
    begins, overrides, is_series = False, 0, False
    for event in _EVENT.finditer(text):
        body = event[1]
        if _OVERRIDE.search(body):
            overrides += 1
        elif _SERIES.search(body):
            is_series = True
            start = _START.search(body)
            begins = start is not None and start[1] <= earliest
    return is_series and (begins or overrides >= thresholds.overrides)


def dividing_time(value: SchedulingObject, now: datetime, thresholds: Thresholds) -> str | None:
    """The time at which a series is to be divided, in the form of its DTSTART; None for what stays as it is.

    What is over stays, and so do series with RANGE=THISANDFUTURE, which cannot be divided. Floating times and dates
    count as if they were in UTC.

    :raises InvalidData: for rules and times that cannot be read.
    """
    master, anchor = value.master, value.anchor
    if value.name != "VEVENT" or master is None or anchor is None or not recurs(master) or value.ranges:
        return None
    point = later(now, -thresholds.kept)
    first = next(instances_from(value, None, SERIES), None)
    if first is None or first[0] >= point:
        return None
    originals = (start_of(each.instance) for each in value.components if each.instance != MASTER)
    before = sum(start is not None and start < point for start in originals)
    if first[0] > later(now, -thresholds.past) and before < thresholds.overrides:
        return None
    time = written_time(point, anchor.kind)
    try:
        split_point(value, time)
    except SplitRefused:
        return None
    return time
