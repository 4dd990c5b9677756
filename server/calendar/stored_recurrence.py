"""The recurrence of a series as a compact text, so that a window far away is computed without the iCalendar text.

It is stored with each object of which not all instances are stored: the rules, dates, exceptions and overrides, with
the keys of their zones. Exceptions and the ends of periods are UTC times: the job that follows changed zone data writes
the text again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from server.calendar.component import Component
from server.calendar.component_times import NO_TRAVEL, ComponentTimes, Length, Moment
from server.calendar.iana import iana_zone
from server.calendar.recurrence_parts import ExtraDate, Override, RecurrenceParts
from server.calendar.recurrence_set import RecurrenceSet
from server.calendar.rrule import Frequency, RecurrenceRule
from server.calendar.values import Duration
from server.calendar.vtimezone import Observance, RulesZone, zone_of_rules
from server.calendar.work import Work
from server.calendar.zones import Zone
from server.domain.occurrences import Busy, Kind

_FORMAT = 1
_FORMAT_WITH_TRAVEL = 2
"""Servers that do not know it read the text of the object."""
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_KINDS = tuple(Kind)
_BUSY = tuple(Busy)
_KEPT_LENGTH = 1000
"""Characters of a text up to which its parts are kept: clients ask for one window after the other."""
_LISTS = (
    "by_month",
    "by_week_no",
    "by_year_day",
    "by_month_day",
    "by_hour",
    "by_minute",
    "by_second",
    "by_set_pos",
)
"""Parts of a rule that are lists of numbers."""


def dump(recurrences: RecurrenceSet) -> str:
    """The text that `load` reads."""
    return json.dumps(_Writer().written(recurrences.parts), separators=(",", ":"))


def load(text: str, work: Work, busy: Sequence[Busy] | None = None) -> RecurrenceSet | None:
    """The recurrence set of a text that `dump` gave; None when the zone data do not have one of its zones.

    :param busy: what each component makes busy in another person's view, by its index, as far as that differs; the
        travel of the calendar's owner does not count then. None: the owner's view.
    """
    types = None if busy is None else tuple(busy)
    parts = _kept_parts(text, types) if len(text) <= _KEPT_LENGTH else _parts(text, types)
    return None if parts is None else RecurrenceSet(parts, work)


def _parts(text: str, busy: tuple[Busy, ...] | None) -> RecurrenceParts | None:
    form, keys, *content = json.loads(text)
    zones = [zone for zone in map(_read_zone, keys) if zone is not None]
    if form not in (_FORMAT, _FORMAT_WITH_TRAVEL) or len(zones) < len(keys):
        return None
    return _Reader(zones, busy).parts(*content)


_kept_parts = lru_cache(maxsize=1000)(_parts)


class _Writer:
    """Turns parts into lists; zones are kept once, by number."""

    def __init__(self) -> None:
        self._zones: list[Zone] = []
        self._numbers: dict[int, int] = {}
        """By the identity of the zone."""

    def written(self, parts: RecurrenceParts) -> list[Any]:
        content = [
            None if parts.master is None else self._times(parts.master),
            [_rule(rule) for rule in parts.rules],
            [_rule(rule) for rule in parts.excluding],
            [[*self._moment(item.start), _utc(item.end_utc)] for item in parts.dates],
            sorted(map(_utc_seconds, parts.excluded)),
            sorted(day.toordinal() for day in parts.excluded_days),
            [
                [self._times(item.times), *self._moment(item.recurrence_id), _seconds(item.shift)]
                for item in parts.overrides
            ],
        ]
        all_times = [parts.master, *(item.times for item in parts.overrides)]
        travels = any(times is not None and times.travel != NO_TRAVEL for times in all_times)
        form = _FORMAT_WITH_TRAVEL if travels else _FORMAT
        return [form, [_zone(zone) for zone in self._zones], *content]

    def _moment(self, moment: Moment) -> list[int]:
        number = -1
        if moment.zone is not None:
            number = self._numbers.setdefault(id(moment.zone), len(self._zones))
            if number == len(self._zones):
                self._zones.append(moment.zone)
        return [(moment.local - _EPOCH) // _SECOND, _KINDS.index(moment.kind), number]

    def _times(self, times: ComponentTimes) -> list[Any]:
        nominal = times.length.nominal
        return [
            times.component.name,
            times.index,
            None if times.anchor is None else self._moment(times.anchor),
            times.starts,
            _seconds(times.length.exact),
            None if nominal is None else [nominal.days, nominal.seconds],
            times.form,
            _BUSY.index(times.busy),
            *(map(_seconds, times.travel) if times.travel != NO_TRAVEL else ()),
        ]


class _Reader:
    """The inverse of `_Writer`."""

    def __init__(self, zones: list[Zone], busy: tuple[Busy, ...] | None) -> None:
        self._zones = zones
        self._busy = busy or ()
        self._by_owner = busy is None

    def parts(
        self,
        master: list[Any] | None,
        rules: list[Any],
        excluding: list[Any],
        dates: list[Any],
        excluded: list[int],
        days: list[int],
        overrides: list[Any],
    ) -> RecurrenceParts:
        return RecurrenceParts(
            None if master is None else self._times(master),
            tuple(map(_read_rule, rules)),
            tuple(map(_read_rule, excluding)),
            tuple(self._date(*item) for item in dates),
            frozenset(map(_read_utc, excluded)),
            frozenset(map(date.fromordinal, days)),
            tuple(self._override(*item) for item in overrides),
        )

    def _moment(self, seconds: int, kind: int, zone: int) -> Moment:
        return Moment(_EPOCH + timedelta(seconds=seconds), _KINDS[kind], None if zone < 0 else self._zones[zone])

    def _date(self, seconds: int, kind: int, zone: int, end: int | None) -> ExtraDate:
        start = self._moment(seconds, kind, zone)
        return ExtraDate(start.utc, start, None if end is None else _read_utc(end))

    def _override(self, times: list[Any], seconds: int, kind: int, zone: int, shift: int | None) -> Override:
        recurrence_id = self._moment(seconds, kind, zone)
        return Override(recurrence_id, recurrence_id.utc, self._times(times), _read_seconds(shift))

    def _times(self, written: list[Any]) -> ComponentTimes:
        name, index, anchor, starts, exact, nominal, form, busy, *travel = written
        before, after = (timedelta(seconds=seconds) for seconds in travel or (0, 0))
        return ComponentTimes(
            Component(name),
            index,
            None if anchor is None else self._moment(*anchor),
            starts,
            Length(_read_seconds(exact), None if nominal is None else Duration(*nominal)),
            form,
            self._busy[index] if index < len(self._busy) else _BUSY[busy],
            (before, after) if travel and self._by_owner else NO_TRAVEL,
        )


def _rule(rule: RecurrenceRule) -> dict[str, Any]:
    """A rule without the parts that it does not have."""
    until = rule.until
    found: dict[str, Any] = {"freq": int(rule.freq)}
    if rule.interval != 1:
        found["interval"] = rule.interval
    if rule.count is not None:
        found["count"] = rule.count
    if isinstance(until, datetime):
        plain = until.replace(tzinfo=None)
        found["until"] = [(plain - _EPOCH) // _SECOND, 0 if until.tzinfo is None else 1]
    elif until is not None:
        found["until"] = [until.toordinal(), 2]
    if rule.by_day:
        found["by_day"] = rule.by_day
    if rule.wkst:
        found["wkst"] = rule.wkst
    found.update((name, getattr(rule, name)) for name in _LISTS if getattr(rule, name))
    return found


def _read_rule(written: dict[str, Any]) -> RecurrenceRule:
    found: dict[str, Any] = {name: tuple(value) if name in _LISTS else value for name, value in written.items()}
    found["freq"] = Frequency(written["freq"])
    if "until" in written:
        number, form = written["until"]
        if form == 2:
            found["until"] = date.fromordinal(number)
        else:
            until = _EPOCH + timedelta(seconds=number)
            found["until"] = until.replace(tzinfo=UTC) if form == 1 else until
    if "by_day" in written:
        found["by_day"] = tuple((ordinal, weekday) for ordinal, weekday in written["by_day"])
    return RecurrenceRule(**found)


def _zone(zone: Zone) -> str | list[Any]:
    """The key of a zone of the database, or the rules of another."""
    if not isinstance(zone, RulesZone):
        return zone.key
    return [
        [
            _local_seconds(part.start),
            _seconds(part.offset_from),
            _seconds(part.offset_to),
            part.rules,
            [_local_seconds(time) for time in part.dates],
        ]
        for part in zone.observances
    ]


def _read_zone(written: str | list[Any]) -> Zone | None:
    if isinstance(written, str):
        return iana_zone(written)
    return zone_of_rules(
        tuple(
            Observance(
                _EPOCH + timedelta(seconds=start),
                timedelta(seconds=offset_from),
                timedelta(seconds=offset_to),
                tuple(rules),
                tuple(_EPOCH + timedelta(seconds=time) for time in dates),
            )
            for start, offset_from, offset_to, rules, dates in written
        )
    )


def _local_seconds(time: datetime) -> int:
    return (time - _EPOCH) // _SECOND


def _seconds(length: timedelta | None) -> int | None:
    return None if length is None else length // _SECOND


def _read_seconds(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _utc_seconds(time: datetime) -> int:
    return (time - _EPOCH_UTC) // _SECOND


def _utc(time: datetime | None) -> int | None:
    return None if time is None else _utc_seconds(time)


def _read_utc(seconds: int) -> datetime:
    return _EPOCH_UTC + timedelta(seconds=seconds)
