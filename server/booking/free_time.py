"""Free time between periods: half-open pairs of start and end, of datetimes or other ordered values. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

Period = tuple[datetime, datetime]

STEP = timedelta(minutes=15)
"""Starts that are looked for lie on multiples of this, counted from midnight in UTC (and so in every zone of today)."""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def merged(periods: Iterable[Period]) -> list[Period]:
    """The union of periods, ascending; those that overlap or touch are put together, and empty ones left out."""
    found: list[Period] = []
    for start, end in sorted(period for period in periods if period[0] < period[1]):
        if found and start <= found[-1][1]:
            if end > found[-1][1]:
                found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def crowded(periods: Iterable[Period], count: int) -> list[Period]:
    """When at least `count` of the periods run at once, ascending: a pool of so many equal pieces has none left."""
    if count == 1:
        return merged(periods)
    changes = sorted(change for start, end in periods if start < end for change in ((start, 1), (end, -1)))
    found: list[Period] = []
    running, since = 0, None
    # At one time, ends sort before starts: touching periods do not run at once.
    for at, change in changes:
        running += change
        if running >= count and since is None:
            since = at
        elif running < count and since is not None:
            if since < at:
                found.append((since, at))
            since = None
    return merged(found)


def conflict(taken: Sequence[Period], start: datetime, end: datetime) -> Period | None:
    """The first of the merged periods that overlaps a period."""
    at = _first_ending_after(taken, start)
    return taken[at] if at < len(taken) and taken[at][0] < end else None


def free_until(taken: Sequence[Period], start: datetime) -> datetime | None:
    """The start of the first merged period that begins at or after a time; None where no other comes."""
    at = _first_ending_after(taken, start)
    return None if at == len(taken) else max(taken[at][0], start)


def next_free(
    taken: Sequence[Period], start: datetime, duration: timedelta, until: datetime, step: timedelta = STEP
) -> Period | None:
    """The first period of a duration that overlaps none of the merged periods and ends at `until` at the latest.

    It begins at `start`, or later at a multiple of `step`.
    """
    at = _first_ending_after(taken, start)
    while start + duration <= until:
        if at == len(taken) or taken[at][0] >= start + duration:
            return start, start + duration
        start = ceiled(taken[at][1], step)
        while at < len(taken) and taken[at][1] <= start:
            at += 1
    return None


def ceiled(time: datetime, step: timedelta) -> datetime:
    """The first multiple of `step` that is not before a time."""
    over = (time - _EPOCH) % step
    return time + (step - over) if over else time


def _first_ending_after(taken: Sequence[Period], time: datetime) -> int:
    return bisect_right(taken, time, key=lambda period: period[1])
