"""When a room is full, from its reservations. Pure.

full_times(periods, at_once) -> the periods in which that many overlap
joined(periods) -> disjoint periods in order
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

Period = tuple[datetime, datetime]


def full_times(periods: Iterable[Period], at_once: int) -> list[Period]:
    """The times at which at least `at_once` of these half-open periods overlap: disjoint, in order."""
    # Where one ends and another begins, the end comes first.
    edges = sorted(edge for start, end in periods if start < end for edge in ((start, 1), (end, -1)))
    found: list[Period] = []
    count, since = 0, None
    for at, change in edges:
        count += change
        if since is None and count >= at_once:
            since = at
        elif since is not None and count < at_once:
            if since < at:
                found.append((since, at))
            since = None
    return joined(found)


def joined(periods: Iterable[Period]) -> list[Period]:
    """Periods without those of no length, joined where they overlap or meet: disjoint, in order."""
    found: list[Period] = []
    for start, end in sorted(period for period in periods if period[0] < period[1]):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
