"""Reads by time, over the occurrences that were stored with each object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from server.domain.occurrences import (
    EARLIEST,
    FLOATING_MARGIN,
    LATEST,
    TRAVEL,
    AlarmTrigger,
    Busy,
    Kind,
    Materialised,
    Occurrence,
    Timing,
    later,
)
from server.storage.reads import BusyTimes, Overlapping, StoredRecurrence, Timings
from tests.unit.services.memory_storage.seen import Member
from tests.unit.services.memory_storage.space import octets

Window = tuple[datetime, datetime]

_LONGEST_RECURRENCE = 100_000
"""Bytes of a recurrence that is read beside others."""
_MOST = 86_400_000_000
"""Seconds of an alarm's reach that are computed with."""


def _occurrences(found: Member) -> Sequence[Occurrence]:
    return found.row.content.materialised.occurrences if found.row.content.materialised is not None else ()


def _range(row: Occurrence) -> Window:
    """All that an occurrence touches or matches."""
    if not row.matches:
        return row.start, row.end
    since, until = row.matches_from or EARLIEST, row.matches_until or LATEST
    return min(row.start, since), max(row.end, until)


def _touches(row: Occurrence, window: Window) -> bool:
    start, end = _range(row)
    return start < window[1] and end > window[0]


def _matches(row: Occurrence, start: datetime, end: datetime) -> bool:
    return (row.matches_from is None or row.matches_from < end) and (
        row.matches_until is None or row.matches_until > start
    )


def unexpanded(members: Sequence[Member], window: Window) -> list[int]:
    """Ids of the objects whose stored occurrences do not cover a window that they may reach into."""
    return [each.row.id for each in members if _reaches_beyond(each.row.content.materialised, window)]


def _reaches_beyond(stored: Materialised | None, window: Window) -> bool:
    if stored is None or stored.whole:
        return False
    covered = (stored.expanded_from is None or stored.expanded_from <= window[0]) and (
        stored.expanded_until is None or stored.expanded_until >= window[1]
    )
    begins = stored.span_start is None or stored.span_start < window[1]
    goes_on = stored.endless or stored.span_end is None or stored.span_end > window[0]
    return not covered and begins and goes_on


def timings(members: Sequence[Member], window: Window, floating: Window) -> Timings:
    """As `Reads.timings`."""
    timed = [
        (each.row.id, Timing(row.start, row.recurrence_id, row.end, row.kind, row.component))
        for each in members
        for row in _occurrences(each)
        if row.kind is Kind.TIMED and row.matches and _touches(row, window) and _matches(row, *window)
    ]
    placeless = [
        (each.row.id, _without_busy(row, row.recurrence_id, row.component))
        for each in members
        for row in _occurrences(each)
        if row.kind is not Kind.TIMED and row.matches and _touches(row, floating)
    ]
    return Timings(timed, placeless, unexpanded(members, floating))


def overlapping(members: Sequence[Member], window: Window, floating: Window) -> Overlapping:
    """As `Reads.overlapping`."""
    surely: list[int] = []
    perhaps: list[tuple[int, Occurrence]] = []
    narrow = later(window[0], FLOATING_MARGIN), later(window[1], -FLOATING_MARGIN)
    for each in members:
        found = [row for row in _occurrences(each) if row.matches]
        if any(
            _touches(row, window) and _matches(row, *(window if row.kind is Kind.TIMED else narrow)) for row in found
        ):
            surely.append(each.row.id)
        perhaps += [
            (each.row.id, _without_busy(row, "", 0))
            for row in found
            if row.kind is not Kind.TIMED and _touches(row, floating) and not _matches(row, *narrow)
        ]
    return Overlapping(surely, perhaps, unexpanded(members, floating))


def _without_busy(row: Occurrence, recurrence_id: str, component: int) -> Occurrence:
    return Occurrence(
        row.start, row.end, row.matches_from, row.matches_until, None, row.kind, Busy.FREE, recurrence_id, component
    )


def busy_times(members: Sequence[Member], window: Window, floating: Window) -> BusyTimes:
    """As `Reads.busy_times`, of one calendar."""
    return BusyTimes(
        united(_busy(members, window, timed=True)),
        united(_busy(members, floating, timed=False)),
        unexpanded(members, floating),
        [each.row.id for each in members if each.row.content.component == "VAVAILABILITY"],
    )


def _busy(members: Sequence[Member], window: Window, *, timed: bool) -> list[tuple[Busy, datetime, datetime]]:
    return [
        (_busy_of(each, row), row.start, row.end)
        for each in members
        for row in _occurrences(each)
        if (row.kind is Kind.TIMED) is timed and row.start < row.end and _touches(row, window)
        if row.component != TRAVEL or not each.by_sharee
    ]


def united(busy: Sequence[tuple[Busy, datetime, datetime]]) -> list[tuple[Busy, datetime, datetime]]:
    """The stretches of each type, those that touch put together."""
    return list(_united(busy))


def _united(busy: Sequence[tuple[Busy, datetime, datetime]]) -> Iterator[tuple[Busy, datetime, datetime]]:
    for kind in (Busy.BUSY, Busy.TENTATIVE, Busy.UNAVAILABLE):
        start = end = None
        for since, until in sorted(item[1:] for item in busy if item[0] is kind):
            if start is None or end is None or since > end:
                if start is not None and end is not None:
                    yield kind, start, end
                start, end = since, until
            end = max(end, until)
        if start is not None and end is not None:
            yield kind, start, end


def _busy_of(found: Member, row: Occurrence) -> Busy:
    if found.busy is not None and 0 <= row.component < len(found.busy):
        return found.busy[row.component]
    return row.busy


def recurrence(found: Member, *, viewed: bool) -> StoredRecurrence | None:
    """The stored recurrence of an object, if it has one that is not very long."""
    stored = found.row.content.materialised
    if found.row.underived or stored is None or stored.recurrence is None:
        return None
    if octets(stored.recurrence) > _LONGEST_RECURRENCE:
        return None
    return StoredRecurrence(found.row.id, stored.recurrence, found.busy if viewed else None)


def rings(found: Member, window: Window) -> bool:
    """Whether an alarm of an object may ring in a window."""
    stored = found.row.content.materialised
    for alarm in found.alarms:
        if alarm.at is not None:
            if alarm.at < window[1] and alarm.at + timedelta(seconds=alarm.repeat * alarm.interval) >= window[0]:
                return True
            continue
        rows = (row for row in _occurrences(found) if row.component == alarm.component)
        if any(_rings(alarm, row, window) for row in rows) or _may_ring_beyond(alarm, stored, window):
            return True
    return False


def _reach(alarm: AlarmTrigger) -> int:
    """Seconds from the occurrence to the farthest ring."""
    return abs(alarm.days) * 86400 + abs(alarm.seconds) + alarm.repeat * alarm.interval


def _rings(alarm: AlarmTrigger, row: Occurrence, window: Window) -> bool:
    if _reach(alarm) > _MOST:
        return True
    # Floating times have their place in some zone, and days have some hours more or less where its offset changes.
    slack = timedelta(hours=(28 if row.kind is not Kind.TIMED else 0) + (26 if alarm.days else 0))
    first = later(row.end if alarm.from_end else row.start, alarm.earliest)
    last = later(first, timedelta(seconds=alarm.repeat * alarm.interval))
    return later(first, -slack) < window[1] and later(last, slack) >= window[0]


def _may_ring_beyond(alarm: AlarmTrigger, stored: Materialised | None, window: Window) -> bool:
    """Whether an alarm of an occurrence that is not stored may ring."""
    if stored is None or stored.whole:
        return False
    reach = timedelta(days=4, seconds=min(_reach(alarm), _MOST))
    since, until = later(window[0], -reach), later(window[1], reach)
    return (stored.expanded_from is not None and stored.expanded_from > since) or (
        stored.expanded_until is not None and stored.expanded_until < until
    )
