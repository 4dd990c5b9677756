"""The properties that determine the instances of a component and its overrides (RFC 5545 §3.8.4.4, §3.8.5).

RDATE, EXDATE and RECURRENCE-ID of another type or zone than DTSTART are read as those of the series: a date in a timed
series is the instance of that local day, a floating time is in the series' zone (`recurrence_ids.in_series`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from server.calendar.component import Component
from server.calendar.component_times import NO_LENGTH, ComponentTimes, Moment, component_times, given, local_in
from server.calendar.recurrence_ids import day_in_series, in_series
from server.calendar.rrule import RecurrenceRule, parse_rule
from server.calendar.values import CalendarTime, Period, property_time, property_times
from server.calendar.vtimezone import CalendarZones
from server.domain.occurrences import Busy, Kind, later


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


def read_parts(
    components: Sequence[tuple[int, Component]], zones: CalendarZones, declined: frozenset[int] = frozenset()
) -> RecurrenceParts:
    """The parts of the recurrence set of one component (with the same UID) and its overrides.

    :param components: with their index among the calendar's components; the first without RECURRENCE-ID is the master,
        further ones are ignored.
    :param zones: those of the calendar object.
    :param declined: the indexes of components that make nobody busy, since the calendar's owner has declined.
    :raises InvalidCalendarData: for values of time that cannot be read; `UnknownTimezone` is one of these errors.
    """
    master: ComponentTimes | None = None
    overriding: list[ComponentTimes] = []
    for index, component in components:
        is_override = component.first("RECURRENCE-ID") is not None
        if not is_override and master is not None:
            continue
        times = component_times(component, index, zones)
        if index in declined:
            times = replace(times, busy=Busy.FREE)
        if is_override:
            overriding.append(times)
        else:
            master = times
    reader = _Reader(master, zones)
    reader.read_series()
    return RecurrenceParts(
        master,
        tuple(reader.rules),
        tuple(reader.excluding),
        tuple(sorted(reader.dates, key=lambda item: item.start_utc)),
        frozenset(reader.excluded),
        frozenset(reader.excluded_days),
        tuple(map(reader.override, overriding)),
    )


class _Reader:
    """Reads the properties of recurrence of one series."""

    def __init__(self, master: ComponentTimes | None, zones: CalendarZones) -> None:
        self._master = master
        self._anchor = None if master is None else master.anchor
        self._zones = zones
        self.rules: list[RecurrenceRule] = []
        self.excluding: list[RecurrenceRule] = []
        self.dates: list[ExtraDate] = []
        self.excluded: set[datetime] = set()
        self.excluded_days: set[date] = set()

    def read_series(self) -> None:
        """RRULE, RDATE and EXDATE of the master, and EXRULE of RFC 2445; nothing of a master without a time."""
        if self._master is None or self._anchor is None:
            return
        is_date = self._anchor.kind is Kind.DATE
        for prop in self._master.component.properties:
            if prop.name in ("RRULE", "EXRULE"):
                if prop.value.strip():
                    (self.rules if prop.name == "RRULE" else self.excluding).append(self._rule(prop.value, is_date))
            elif prop.name == "RDATE":
                self.dates += map(self._date, property_times(prop))
            elif prop.name == "EXDATE":
                for value in property_times(prop):
                    time = value.start if isinstance(value, Period) else value
                    if time.is_date and not is_date:
                        self.excluded_days.add(time.local.date())
                    else:
                        self.excluded.add(self._in_series(time).utc)

    def _rule(self, value: str, is_date: bool) -> RecurrenceRule:
        """A rule; a UTC time in UNTIL of a series of dates is the day that it means."""
        rule = parse_rule(value)
        if is_date and isinstance(rule.until, datetime) and rule.until.tzinfo is not None:
            until = day_in_series(CalendarTime(rule.until.replace(tzinfo=None), utc=True), self._zones)
            if until.date() != rule.until.date():
                return replace(rule, until=until.date())
        return rule

    def _date(self, value: CalendarTime | Period) -> ExtraDate:
        """An RDATE; a period's length counts for series of times only."""
        if not isinstance(value, Period):
            start = self._in_series(value)
            return ExtraDate(start.utc, start, None)
        start = self._in_series(value.start)
        start_utc = start.utc
        if start.kind is Kind.DATE:
            return ExtraDate(start_utc, start, None)
        if isinstance(value.end, CalendarTime):
            return ExtraDate(start_utc, start, max(self._in_series(value.end).utc, start_utc))
        whole = Moment(later(start.local, timedelta(days=value.end.days)), start.kind, start.zone)
        return ExtraDate(start_utc, start, later(whole.utc, timedelta(seconds=value.end.seconds)))

    def _in_series(self, time: CalendarTime) -> Moment:
        """A value of RDATE, EXDATE or RECURRENCE-ID as a time of the series."""
        return in_series(time, self._anchor, self._zones)

    def override(self, times: ComponentTimes) -> Override:
        """The override with these times; without any, those of the instance that it replaces."""
        prop = times.component.first("RECURRENCE-ID")
        assert prop is not None
        recurrence_id = self._in_series(property_time(prop))
        master = self._master
        if master is not None and given(times.component, "DTSTART") is None and given(times.component, "DUE") is None:
            same = NO_LENGTH if times.form == "none" else times.length
            length, form = (master.length, master.form) if same is NO_LENGTH else (times.length, times.form)
            times = replace(times, anchor=recurrence_id, starts=master.starts, length=length, form=form)
        shift = None
        if (prop.parameter("RANGE") or "").strip().upper() == "THISANDFUTURE" and times.anchor is not None:
            shift = times.anchor.local - local_in(recurrence_id, recurrence_id.utc, times.anchor)
        return Override(recurrence_id, recurrence_id.utc, times, shift)
