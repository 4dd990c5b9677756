"""The recurrence set of a calendar component with its overrides (RFC 5545 §3.8.4.4, §3.8.5).

Instances are identified by the UTC time of their original start. Where the RFC leaves a choice:

* an override counts even when its instance is not part of the series, or EXDATE excludes it;
* RANGE=THISANDFUTURE moves each later instance by the same difference in local time, unless the instance has an
  override or a later range describes it.

`server.calendar.recurrence_parts` reads the properties.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from heapq import merge
from typing import NamedTuple

from server.calendar.component import Component
from server.calendar.component_times import ComponentTimes, Moment, as_local, local_in
from server.calendar.recurrence import LAST_LOCAL, Series
from server.calendar.recurrence_ids import instance_id
from server.calendar.recurrence_parts import ExtraDate, Override, RecurrenceParts, read_parts
from server.calendar.rrule import Frequency, RecurrenceRule
from server.calendar.vtimezone import CalendarZones
from server.calendar.work import Work
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.occurrences import EARLIEST, FLOATING_MARGIN, LATEST, Busy, Kind, later

_ZERO = timedelta(0)
_HOURS, _HOUR_SECONDS, _DAY_SECONDS = 24, 3600, 86_400
_UNITS = {Frequency.HOURLY: _HOUR_SECONDS, Frequency.MINUTELY: 60, Frequency.SECONDLY: 1}
"""Seconds of the frequencies below a day."""
_NEARBY = timedelta(hours=26)


class Instance(NamedTuple):
    """One instance of a component."""

    times: ComponentTimes
    """Of the component that describes it."""
    start: Moment
    start_utc: datetime
    end_utc: datetime
    recurrence_id: str
    """As `Occurrence.recurrence_id`."""
    has_period: bool
    """Its length comes from an RDATE."""
    matches_from: datetime | None
    """As `Occurrence.matches_from`; floating times and dates as if in UTC."""
    matches_until: datetime | None

    @property
    def busy(self) -> tuple[datetime, datetime]:
        """Start and end with the travel around it."""
        return self.times.busy_around(self.start.kind, self.start_utc, self.end_utc)

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether it overlaps a window by RFC 4791 §9.9, floating times and dates as if in UTC."""
        return (self.matches_from is None or self.matches_from < end) and (
            self.matches_until is None or self.matches_until > start
        )


def _made(
    times: ComponentTimes, start: Moment, start_utc: datetime, end_utc: datetime, key: str, has_period: bool = False
) -> Instance:
    """The instance of a component at a time."""
    if has_period and end_utc > start_utc:
        return Instance(times, start, start_utc, end_utc, key, True, start_utc, end_utc)
    return Instance(times, start, start_utc, end_utc, key, has_period, *times.matching(start_utc, end_utc, start.kind))


def recurrence_set(
    components: Sequence[tuple[int, Component]],
    zones: CalendarZones,
    work: Work,
    declined: frozenset[int] = frozenset(),
) -> RecurrenceSet:
    """The recurrence set that `read_parts` reads from components.

    :raises InvalidCalendarData: as `read_parts`.
    :raises TooManyInstances: for more dates than the work allows.
    """
    parts = read_parts(components, zones, declined)
    work.spend(len(parts.dates) + len(parts.excluded) + len(parts.excluded_days))
    return RecurrenceSet(parts, work)


class RecurrenceSet:
    """The instances of one component and its overrides.

    :param parts: all that decides which instances there are. The components in it are not read: a name is enough.
    """

    def __init__(self, parts: RecurrenceParts, work: Work) -> None:
        self.parts = parts
        self.work = work
        self.master = parts.master
        self._anchor = anchor = None if parts.master is None else parts.master.anchor
        self._series: list[Series] = []
        self._excluding: list[Series] = []
        if anchor is not None:
            self._series = [_series(rule, anchor, work) for rule in parts.rules]
            self._excluding = [_series(rule, anchor, work) for rule in parts.excluding]
        self._dates = parts.dates
        self._date_keys = [item.start_utc for item in parts.dates]
        self._excluded, self._excluded_days = parts.excluded, parts.excluded_days
        self._overrides = parts.overrides
        self._overridden = {override.id_utc for override in self._overrides}
        self._ranges = sorted(
            (override for override in self._overrides if override.shift is not None),
            key=lambda override: override.id_utc,
        )
        self._range_keys = [override.id_utc for override in self._ranges]
        self.recurs = bool(self._series or self._dates or self._overrides)

    @property
    def endless(self) -> bool:
        """Whether a rule has neither COUNT nor UNTIL."""
        return any(series.endless for series in self._series)

    @property
    def is_dense(self) -> bool:
        """Whether a rule steps by an hour or less, or names as many times of a day."""
        return any(
            rule.interval * _UNITS.get(rule.freq, _DAY_SECONDS) <= _HOUR_SECONDS
            or max(len(rule.by_hour), 1) * max(len(rule.by_minute), 1) * max(len(rule.by_second), 1) >= _HOURS
            for rule in self.parts.rules
        )

    @cached_property
    def floating_margin(self) -> timedelta:
        """How much to widen a window for instances that have no place on the time line yet."""
        anchors = [self._anchor, *(override.times.anchor for override in self._overrides)]
        placed = all(anchor is None or anchor.kind is Kind.TIMED for anchor in anchors)
        return _ZERO if placed else FLOATING_MARGIN

    # -- instances -----------------------------------------------------------------------------------------------------

    def instances(self, start: datetime, end: datetime, of: Component | None = None) -> Iterator[Instance]:
        """The instances that overlap a window (RFC 4791 §9.9), in no particular order.

        Floating times and dates count as if they were in UTC.

        :param start: aware, as `end`, which is exclusive.
        :param of: only those that this component describes.
        :raises TooManyInstances: when the work is used up.
        """
        for override in self._overrides if of is None else self._overrides_of.get(id(of), ()):
            instance = self._of_override(override)
            if instance is not None and instance.overlaps(start, end):
                yield instance
        if self.master is None or self._anchor is None:
            return
        ids_from, ids_until = self._ids_of(of)
        back, ahead = self._reach
        for id_utc, item in self._starts(max(later(start, -back), ids_from), min(later(end, ahead), ids_until)):
            instance = self._instance(id_utc, item)
            if instance.overlaps(start, end):
                yield instance

    def occurs(self, start: datetime, end: datetime) -> bool:
        """Whether any of `instances` is in a window.

        :raises TooManyInstances: when the work is used up.
        """
        times = self.master
        if times is None or self._anchor is None or self._overrides or self._dates:
            return next(self.instances(start, end), None) is not None
        back, ahead = self._reach
        for begin, item in self._starts(later(start, -back), later(end, ahead)):
            assert isinstance(item, Moment)
            since, until = times.matching(begin, times.end_of(item, begin), item.kind)
            if (since is None or since < end) and (until is None or until > start):
                return True
        return False

    def busy_times(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, Busy]]:
        """Start, end and type of the instances in a window that make somebody busy, in no particular order.

        The instances that `instances` returns, with the travel around them, and without the parts that free-busy does
        not need. Floating times and dates count as if in UTC.

        :raises TooManyInstances: when the work is used up.
        """
        times = self.master
        before, after = self.travel
        since, until = later(start, -after), later(end, before)
        if times is None or self._overrides or self._dates:
            for instance in self.instances(since, until):
                if instance.times.busy is not Busy.FREE and instance.start_utc < instance.end_utc:
                    begin, finish = instance.busy
                    if begin < end and finish > start:
                        yield begin, finish, instance.times.busy
            return
        if self._anchor is None or times.busy is Busy.FREE:
            return
        back, ahead = self._reach
        for begin, item in self._starts(later(since, -back), later(until, ahead)):
            assert isinstance(item, Moment)
            finish = times.end_of(item, begin)
            if begin < finish and begin < until and finish > since:
                around = times.busy_around(item.kind, begin, finish)
                if around[0] < end and around[1] > start:
                    yield (*around, times.busy)

    @cached_property
    def travel(self) -> tuple[timedelta, timedelta]:
        """The longest travel before an instance, and after one."""
        found = [override.times.travel for override in self._overrides]
        if self.master is not None:
            found.append(self.master.travel)
        return max((before for before, _ in found), default=_ZERO), max((after for _, after in found), default=_ZERO)

    @cached_property
    def _reach(self) -> tuple[timedelta, timedelta]:
        """How far before a window, and behind it, the original starts of instances that overlap it may lie."""
        assert self.master is not None
        assert self._anchor is not None
        least = timedelta(days=1) if self._anchor.kind is Kind.DATE else timedelta(seconds=2)
        if not self._ranges and not self._dates:
            return max(self.master.length.longest, least), timedelta(seconds=2)
        longest = max((times.length.longest for times in self._describing()), default=_ZERO)
        latest = max((item.end_utc - item.start_utc for item in self._dates if item.end_utc), default=_ZERO)
        shifts = [override.shift for override in self._ranges if override.shift is not None]
        back = max(longest, latest, least) + max([*shifts, _ZERO]) + (_NEARBY if shifts else _ZERO)
        ahead = max([-shift for shift in shifts] + [_ZERO]) + (_NEARBY if shifts else timedelta(seconds=2))
        return back, ahead

    def _ids_of(self, component: Component | None) -> tuple[datetime, datetime]:
        """The range of original starts that a component describes, without that of its own RECURRENCE-ID."""
        if component is None:
            return EARLIEST, LATEST
        return self._described_ids.get(id(component), (LATEST, LATEST))

    @cached_property
    def _described_ids(self) -> dict[int, tuple[datetime, datetime]]:
        """Results of `_ids_of`, by the identity of the component."""
        bounds = [EARLIEST, *self._range_keys, LATEST]
        described = [self.master, *(override.times for override in self._ranges)]
        return {
            id(times.component): (bounds[number], bounds[number + 1])
            for number, times in enumerate(described)
            if times is not None
        }

    @cached_property
    def _overrides_of(self) -> dict[int, list[Override]]:
        """The overrides by the identity of their component."""
        found: dict[int, list[Override]] = {}
        for override in self._overrides:
            found.setdefault(id(override.times.component), []).append(override)
        return found

    def single(self) -> Instance | None:
        """The one instance of a master that does not recur; None for a task without times."""
        if self.master is None or self._anchor is None:
            return None
        return self._instance(self._anchor.utc, self._anchor)

    def first(self) -> datetime | None:
        """No instance matches before this time; None when a task's are unbounded."""
        found = [instance.matches_from for instance in self._outermost()]
        return None if not found or None in found else min(time for time in found if time is not None)

    def last(self) -> datetime | None:
        """No instance of a set that is not endless matches at or after this time; None when a task's are unbounded.

        :raises TooManyInstances: when the work is used up.
        """
        found = [instance.matches_until for instance in self._outermost()]
        if self.master is not None and self._anchor is not None:
            for series in self._series:
                local = series.last()
                if local is not None:
                    last = Moment(local, self._anchor.kind, self._anchor.zone)
                    # A local time before it that does not exist may be a later instance.
                    nearby = self._series_starts(series, last.utc, later(last.utc, _NEARBY))
                    latest = deque(nearby, maxlen=1) or [(last.utc, last)]
                    found.append(self._instance(*latest[0]).matches_until)
        return None if not found or None in found else max(time for time in found if time is not None)

    def _outermost(self) -> list[Instance]:
        """Some instances, the first of the set among them, and the last unless a rule gives it.

        These are the overrides, DTSTART, some RDATEs, and the first instance of each range.
        """
        found = [instance for instance in map(self._of_override, self._overrides) if instance is not None]
        if self.master is not None and self._anchor is not None:
            found.append(self._instance(self._anchor.utc, self._anchor))
            if self._dates:
                longest = max(self._dates, key=lambda item: item.end_utc or item.start_utc)
                found += [self._instance(item.start_utc, item) for item in (self._dates[0], self._dates[-1], longest)]
            for override in self._ranges:
                following = next(self._starts(override.id_utc, later(override.id_utc, timedelta(days=800))), None)
                if following is not None:
                    found.append(self._instance(*following))
        return found

    def replaced(self, component: Component, start: datetime, end: datetime) -> Iterator[Instance]:
        """The instances, as the master has them, that a component with RECURRENCE-ID overrides, near a window.

        Nothing without a master.
        """
        if self.master is None or self._anchor is None:
            return
        for override in self._overrides_of.get(id(component), ()):
            yield self._described(override.id_utc, override.recurrence_id, self.master, None)
        ids_from, ids_until = self._ids_of(component)
        back = later(start, -max(self.master.length.longest, timedelta(days=1)))
        for id_utc, item in self._starts(max(back, ids_from), min(later(end, timedelta(seconds=2)), ids_until)):
            original = item.start if isinstance(item, ExtraDate) else item
            yield self._described(id_utc, original, self.master, item.end_utc if isinstance(item, ExtraDate) else None)

    def _describing(self) -> Iterator[ComponentTimes]:
        """The components that describe more than one instance."""
        if self.master is not None:
            yield self.master
        for override in self._ranges:
            yield override.times

    def _starts(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, Moment | ExtraDate]]:
        """The original starts of the master's instances in a window, ascending: none that is excluded or overridden."""
        assert self._anchor is not None
        sources: list[Iterator[tuple[datetime, Moment | ExtraDate]]] = [
            self._series_starts(series, start, end) for series in self._series
        ]
        if not self._series and start <= (anchor_utc := self._anchor.utc) < end:
            sources.append(iter([(anchor_utc, self._anchor)]))
        if self._dates:
            first, after = bisect_left(self._date_keys, start), bisect_left(self._date_keys, end)
            sources.append((item.start_utc, item) for item in map(self._dates.__getitem__, range(first, after)))
        merged = sources[0] if len(sources) == 1 else merge(*reversed(sources), key=lambda pair: pair[0])
        previous = None
        for pair in merged:
            id_utc = pair[0]
            if id_utc == previous or id_utc in self._excluded or id_utc in self._overridden:
                continue
            previous = id_utc
            if self._excluded_days or self._excluding:
                item = pair[1].start if isinstance(pair[1], ExtraDate) else pair[1]
                local = local_in(item, id_utc, self._anchor)
                if local.date() in self._excluded_days:
                    continue
                if self._excluding and any(
                    rule.generates(same) for rule in self._excluding for same in _local_times(id_utc, self._anchor.zone)
                ):
                    continue
            yield pair

    def _series_starts(self, series: Series, start: datetime, end: datetime) -> Iterator[tuple[datetime, Moment]]:
        anchor = self._anchor
        assert anchor is not None
        zone, kind = anchor.zone, anchor.kind
        first, after = _local_bounds(start, end, zone)
        if zone is None:
            for local in series.between(first, after):
                made = Moment(local, kind, None)
                yield made.utc, made
            return
        for utc, local in series.placed(first, after):
            if start <= utc < end:
                yield utc, Moment(local, kind, zone)

    def _of_override(self, override: Override) -> Instance | None:
        start = override.times.anchor
        if start is None:
            return None
        start_utc = start.utc
        end_utc = override.times.end_of(start, start_utc)
        return _made(override.times, start, start_utc, end_utc, instance_id(override.id_utc, override.recurrence_id))

    def _instance(self, id_utc: datetime, item: Moment | ExtraDate) -> Instance:
        """The instance with an original start, described by the master or by a range."""
        assert self.master is not None
        position = bisect_right(self._range_keys, id_utc)
        start = item.start if isinstance(item, ExtraDate) else item
        if position == 0:
            return self._described(id_utc, start, self.master, item.end_utc if isinstance(item, ExtraDate) else None)
        override = self._ranges[position - 1]
        anchor, shift = override.times.anchor, override.shift
        assert anchor is not None
        assert shift is not None
        moved = Moment(later(local_in(start, id_utc, anchor), shift), anchor.kind, anchor.zone)
        moved_utc = moved.utc
        end_utc = override.times.end_of(moved, moved_utc)
        return _made(override.times, moved, moved_utc, end_utc, instance_id(id_utc, start))

    def _described(
        self, id_utc: datetime, start: Moment, times: ComponentTimes, period_end: datetime | None
    ) -> Instance:
        end_utc = period_end or times.end_of(start, id_utc)
        key = instance_id(id_utc, start) if self.recurs else ""
        return _made(times, start, id_utc, end_utc, key, period_end is not None)


def _series(rule: RecurrenceRule, anchor: Moment, work: Work) -> Series:
    return Series(rule, anchor.local, anchor.zone, work, dates=anchor.kind is Kind.DATE)


def _local_times(utc: datetime, zone: Zone | None) -> set[datetime]:
    """The local times that mean a UTC time: one, and one more when that does not exist and is read so."""
    local = as_local(utc, zone)
    times = {local}
    if zone is not None:
        for start, end in zone.gaps(later(local, -_NEARBY), local):
            nominal = local - (end - start)
            if start <= nominal < end:
                times.add(nominal)
    return times


def _local_bounds(start: datetime, end: datetime, zone: Zone | None) -> tuple[datetime, datetime]:
    """A range of local times that holds all whose UTC times lie in a window."""
    if zone is None or zone is UTC_ZONE:
        return start.replace(tzinfo=None), min(end.replace(tzinfo=None), LAST_LOCAL)
    earliest = min(zone.offset_at(later(start, by)) for by in (-_NEARBY, _ZERO, _NEARBY))
    latest = max(zone.offset_at(later(end, by)) for by in (-_NEARBY, _ZERO, _NEARBY))
    return later(start.replace(tzinfo=None), earliest), min(later(end.replace(tzinfo=None), latest), LAST_LOCAL)
