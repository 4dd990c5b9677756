"""The recurrence set of a calendar component with its overrides (RFC 5545 §3.8.4.4, §3.8.5).

Instances are identified by the UTC time of their original start. What is settled where the RFC leaves a choice:

* RDATE, EXDATE and RECURRENCE-ID of another type or zone than DTSTART are read as those of the series: a date in a
  timed series is the instance of that local day, a floating time is in the series' zone;
* an override counts whether its instance is part of the series or not, and also when EXDATE excludes it;
* RANGE=THISANDFUTURE moves the later instances by the same difference in local time, as far as no override of their own
  and no later range describes them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from heapq import merge
from typing import NamedTuple

from server.calendar.component import Component
from server.calendar.component_times import (
    NO_LENGTH,
    ComponentTimes,
    Moment,
    as_local,
    component_times,
    given,
    local_in,
)
from server.calendar.occurrences import EARLIEST, FLOATING_MARGIN, LATEST, Busy, Kind, later
from server.calendar.recurrence import LAST_LOCAL, Series
from server.calendar.recurrence_ids import day_in_series, in_series, instance_id
from server.calendar.rrule import Frequency, RecurrenceRule, parse_rule
from server.calendar.values import CalendarTime, Period, property_time, property_times
from server.calendar.vtimezone import CalendarZones
from server.calendar.work import Work
from server.calendar.zones import UTC_ZONE, Zone

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


class ExtraDate(NamedTuple):
    """An RDATE."""

    start_utc: datetime
    start: Moment
    end_utc: datetime | None
    """Of a period."""


@dataclass(frozen=True, slots=True)
class Override:
    """A component with RECURRENCE-ID."""

    recurrence_id: Moment
    id_utc: datetime
    times: ComponentTimes
    shift: timedelta | None
    """With RANGE=THISANDFUTURE: how far later instances are moved, in local time."""


class RecurrenceParts(NamedTuple):
    """All that decides which instances a recurrence set has."""

    master: ComponentTimes | None
    rules: tuple[RecurrenceRule, ...]
    excluding: tuple[RecurrenceRule, ...]
    """EXRULE (RFC 2445)."""
    dates: tuple[ExtraDate, ...]
    excluded: frozenset[datetime]
    """UTC times of original starts."""
    excluded_days: frozenset[date]
    """In local time of the series."""
    overrides: tuple[Override, ...]


class RecurrenceSet:
    """The instances of one component (with the same UID) and its overrides.

    :param components: with their index among the calendar's components; those without RECURRENCE-ID first wins.
    :param declined: the indexes of components that make nobody busy, since the calendar's owner has declined.
    """

    def __init__(
        self,
        components: Sequence[tuple[int, Component]],
        zones: CalendarZones,
        work: Work,
        declined: frozenset[int] = frozenset(),
    ) -> None:
        self.zones = zones
        self.work = work
        self.master: ComponentTimes | None = None
        overriding: list[ComponentTimes] = []
        for index, component in components:
            is_override = component.first("RECURRENCE-ID") is not None
            if not is_override and self.master is not None:
                continue
            times = component_times(component, index, zones)
            if index in declined:
                times = replace(times, busy=Busy.FREE)
            if is_override:
                overriding.append(times)
            else:
                self.master = times
        self._anchor = None if self.master is None else self.master.anchor
        self._series: list[Series] = []
        self._dates: list[ExtraDate] = []
        self._date_keys: list[datetime] = []
        self._excluding: list[Series] = []
        self._excluded: set[datetime] = set()
        self._excluded_days: set[date] = set()
        if self.master is not None and self._anchor is not None:
            self._read_recurrence(self.master.component, self._anchor)
        self._overrides = [self._override(times) for times in overriding]
        self._complete()

    @classmethod
    def of(cls, parts: RecurrenceParts, work: Work) -> RecurrenceSet:
        """The set with these parts, without the components that they were read from.

        The components of its instances have a name and no properties.
        """
        made = cls((), CalendarZones(Component("VCALENDAR")), work)
        made.master = parts.master
        anchor = made._anchor = None if parts.master is None else parts.master.anchor
        if anchor is not None:
            made._series = [made._rule_series(rule, anchor) for rule in parts.rules]
            made._excluding = [made._rule_series(rule, anchor) for rule in parts.excluding]
        made._dates = list(parts.dates)
        made._date_keys = [item.start_utc for item in parts.dates]
        made._excluded, made._excluded_days = set(parts.excluded), set(parts.excluded_days)
        made._overrides = list(parts.overrides)
        made._complete()
        return made

    @property
    def parts(self) -> RecurrenceParts:
        """What `of` makes the same set from."""
        return RecurrenceParts(
            self.master,
            tuple(series.rule for series in self._series),
            tuple(series.rule for series in self._excluding),
            tuple(self._dates),
            frozenset(self._excluded),
            frozenset(self._excluded_days),
            tuple(self._overrides),
        )

    def _rule_series(self, rule: RecurrenceRule, anchor: Moment) -> Series:
        return Series(rule, anchor.local, anchor.zone, self.work, dates=anchor.kind is Kind.DATE)

    def _complete(self) -> None:
        """Work out what follows from the parts."""
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

    def _read_recurrence(self, component: Component, anchor: Moment) -> None:
        """RRULE, RDATE and EXDATE of the master, and EXRULE of RFC 2445."""
        is_date = anchor.kind is Kind.DATE
        for prop in component.properties:
            if prop.name in ("RRULE", "EXRULE"):
                if not prop.value.strip():
                    continue
                rule = parse_rule(prop.value)
                if is_date and isinstance(rule.until, datetime) and rule.until.tzinfo is not None:
                    until = day_in_series(CalendarTime(rule.until.replace(tzinfo=None), utc=True), self.zones)
                    if until.date() != rule.until.date():
                        rule = replace(rule, until=until.date())
                series = self._rule_series(rule, anchor)
                (self._series if prop.name == "RRULE" else self._excluding).append(series)
            elif prop.name == "RDATE":
                for value in property_times(prop):
                    self._dates.append(self._date(value))
            elif prop.name == "EXDATE":
                for value in property_times(prop):
                    time = value.start if isinstance(value, Period) else value
                    if time.is_date and not is_date:
                        self._excluded_days.add(time.local.date())
                    else:
                        self._excluded.add(self.in_series(time).utc)
        self._dates.sort(key=lambda item: item.start_utc)
        self.work.spend(len(self._dates) + len(self._excluded) + len(self._excluded_days))
        self._date_keys = [item.start_utc for item in self._dates]

    def _date(self, value: CalendarTime | Period) -> ExtraDate:
        """An RDATE; a period's length counts for series of times only."""
        if not isinstance(value, Period):
            start = self.in_series(value)
            return ExtraDate(start.utc, start, None)
        start = self.in_series(value.start)
        start_utc = start.utc
        if start.kind is Kind.DATE:
            return ExtraDate(start_utc, start, None)
        if isinstance(value.end, CalendarTime):
            return ExtraDate(start_utc, start, max(self.in_series(value.end).utc, start_utc))
        whole = Moment(later(start.local, timedelta(days=value.end.days)), start.kind, start.zone)
        return ExtraDate(start_utc, start, later(whole.utc, timedelta(seconds=value.end.seconds)))

    def in_series(self, time: CalendarTime) -> Moment:
        """A value of RDATE, EXDATE or RECURRENCE-ID as a time of the series."""
        return in_series(time, self._anchor, self.zones)

    def _override(self, times: ComponentTimes) -> Override:
        prop = times.component.first("RECURRENCE-ID")
        assert prop is not None
        recurrence_id = self.in_series(property_time(prop))
        master = self.master
        if master is not None and given(times.component, "DTSTART") is None and given(times.component, "DUE") is None:
            same = NO_LENGTH if times.form == "none" else times.length
            length, form = (master.length, master.form) if same is NO_LENGTH else (times.length, times.form)
            times = ComponentTimes(times.component, times.index, recurrence_id, master.starts, length, form, times.busy)
        shift = None
        if (prop.parameter("RANGE") or "").strip().upper() == "THISANDFUTURE" and times.anchor is not None:
            shift = times.anchor.local - local_in(recurrence_id, recurrence_id.utc, times.anchor)
        return Override(recurrence_id, recurrence_id.utc, times, shift)

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

        What `instances` gives, without what free-busy does not need. Floating times and dates count as if in UTC.

        :raises TooManyInstances: when the work is used up.
        """
        times = self.master
        if times is None or self._overrides or self._dates:
            for instance in self.instances(start, end):
                if instance.times.busy is not Busy.FREE and instance.start_utc < instance.end_utc:
                    yield instance.start_utc, instance.end_utc, instance.times.busy
            return
        if self._anchor is None or times.busy is Busy.FREE:
            return
        back, ahead = self._reach
        for begin, item in self._starts(later(start, -back), later(end, ahead)):
            assert isinstance(item, Moment)
            finish = times.end_of(item, begin)
            if begin < finish and begin < end and finish > start:
                yield begin, finish, times.busy

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
        """From when to when the original starts lie that a component describes, besides that of its own override."""
        if component is None:
            return EARLIEST, LATEST
        return self._described_ids.get(id(component), (LATEST, LATEST))

    @cached_property
    def _described_ids(self) -> dict[int, tuple[datetime, datetime]]:
        """What `_ids_of` returns, by the identity of the component."""
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
        """The instances among which the first and, but for rules, the last one is: overrides, DTSTART, some RDATEs,
        and the first of each range."""
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
