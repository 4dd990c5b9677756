"""The times of one component, and when an instance of it overlaps a window (RFC 4791 §9.9, RFC 5545 §3.6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from server.calendar.component import Component
from server.calendar.contentline import Property
from server.calendar.values import CalendarTime, Duration, is_no_time, property_duration, property_time
from server.calendar.vtimezone import CalendarZones
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.errors import InvalidData
from server.domain.occurrences import Busy, Kind, later
from server.domain.values import value

SECOND = timedelta(seconds=1)
TRAVEL_TIMES = ("X-APPLE-TRAVEL-DURATION", "X-APPLE-TRAVEL-RETURN-DURATION")
"""How long somebody travels before an event and after it: Apple's apps write it into each person's own copy."""
_TIMES = frozenset(("DTSTART", "DTEND", "DUE", "DURATION", "RECURRENCE-ID", *TRAVEL_TIMES))
_DAY = timedelta(days=1)
_ZERO = timedelta(0)


class Moment(NamedTuple):
    """A time with what binds it to the time line."""

    local: datetime
    """Naive; midnight for a date."""
    kind: Kind
    zone: Zone | None
    """None for floating times and dates."""

    @property
    def utc(self) -> datetime:
        """In UTC (aware); floating times and dates as if their zone were UTC."""
        return as_utc(self.local, self.zone)


def as_utc(local: datetime, zone: Zone | None) -> datetime:
    """A local time in UTC (aware), as if its zone were UTC when it has none."""
    return local.replace(tzinfo=UTC) if zone is None else zone.to_utc(local)


def as_local(utc: datetime, zone: Zone | None) -> datetime:
    """The inverse of `as_utc` (naive)."""
    return utc.replace(tzinfo=None) if zone is None else zone.to_local(utc)


def local_in(start: Moment, start_utc: datetime, other: Moment) -> datetime:
    """A start by the clock of another moment."""
    if start.zone is other.zone or start.zone is None or other.zone is None:
        return start.local
    return as_local(start_utc, other.zone)


def given(component: Component, name: str) -> Property | None:
    """The first property with this upper-case name, unless its value says that there is no time."""
    return next((prop for prop in component.properties if prop.name == name and not is_no_time(prop.value)), None)


def moment(time: CalendarTime, zones: CalendarZones) -> Moment:
    """The moment that a value means in a calendar object.

    :raises UnknownTimezone: when its TZID is unknown.
    """
    if time.is_date:
        return Moment(time.local, Kind.DATE, None)
    if time.utc:
        return Moment(time.local, Kind.TIMED, UTC_ZONE)
    if time.tzid is None or not time.tzid.strip():
        return Moment(time.local, Kind.FLOATING, None)
    return Moment(time.local, Kind.TIMED, zones.zone(time.tzid))


@value
class Length:
    """How long an instance is: DTEND and DUE are exact, DURATION is nominal (RFC 5545 §3.8.5.3)."""

    exact: timedelta | None = None
    nominal: Duration | None = None

    def end(self, start: Moment, start_utc: datetime) -> datetime:
        """The end (UTC) of an instance that starts at a moment."""
        if self.exact is not None:
            return later(start_utc, self.exact)
        if self.nominal is not None:
            days = timedelta(days=self.nominal.days)
            utc = as_utc(later(start.local, days), start.zone) if days else start_utc
            return later(utc, timedelta(seconds=self.nominal.seconds))
        return start_utc

    @property
    def longest(self) -> timedelta:
        """No instance is longer; a change of the zone's offset is allowed for."""
        if self.nominal is not None:
            return max(self.nominal.timedelta + (_DAY if self.nominal.days else _ZERO), _ZERO)
        return max(self.exact or _ZERO, _ZERO)


NO_LENGTH = Length()
NO_TRAVEL = (_ZERO, _ZERO)


@value
class ComponentTimes:
    """The times of a VEVENT, VTODO, VJOURNAL or AVAILABLE."""

    component: Component
    index: int
    """Among the calendar's components."""
    anchor: Moment | None
    """DTSTART; for a task without it DUE, for an override without either RECURRENCE-ID."""
    starts: bool
    """Whether the anchor is a start and not a DUE."""
    length: Length
    form: str
    """Which row of the table in RFC 4791 §9.9 holds: `end`, `duration`, `none`, `due`."""
    busy: Busy
    travel: tuple[timedelta, timedelta] = NO_TRAVEL
    """How long an event keeps its calendar's owner busy before its instances and after them."""

    def busy_around(self, kind: Kind, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        """Start and end of an instance with the travel before and after it."""
        if self.travel is NO_TRAVEL or kind is Kind.DATE:
            return start, end
        before, after = self.travel
        return later(start, -before), later(end, after)

    def matching(self, start: datetime, end: datetime, kind: Kind) -> tuple[datetime | None, datetime | None]:
        """(matches_from, matches_until) of an instance: see `server.domain.occurrences.Occurrence`.

        :param end: as `Length.end` gives it.
        """
        match self.component.name:
            case "VTODO":
                return self._task_matching(start, end)
            case "VJOURNAL":
                return start, later(start, _DAY if kind is Kind.DATE else SECOND)
        if self.form == "none":
            return start, later(start, _DAY if kind is Kind.DATE else SECOND)
        return start, end if end > start else later(start, SECOND)

    def _task_matching(self, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        """The rows of a VTODO with DTSTART or DUE."""
        if self.form == "none":
            return start, later(start, SECOND)
        if not self.starts:
            return later(start, -SECOND), start
        if self.form == "duration":
            return (start if end > start else later(min(start, end), -SECOND)), later(end, SECOND)
        if end > start:
            return start, end
        return later(end, -SECOND), later(start, SECOND)

    def end_of(self, start: Moment, start_utc: datetime) -> datetime:
        """The end (UTC) of an instance that starts at a moment, at least the start."""
        if self.form == "none" and start.kind is Kind.DATE and self.component.name != "VTODO":
            return later(start_utc, _DAY)
        return self.length.end(start, start_utc)


def component_times(component: Component, index: int, zones: CalendarZones) -> ComponentTimes:
    """The times of a component.

    :raises InvalidCalendarData: for values that are none, unknown zones included.
    """
    properties: dict[str, Property] = {}
    for prop in component.properties:
        if prop.name in _TIMES and not is_no_time(prop.value):
            properties.setdefault(prop.name, prop)
    start = _moment(properties.get("DTSTART"), zones)
    is_task = component.name == "VTODO"
    end = None if component.name == "VJOURNAL" else _moment(properties.get("DUE" if is_task else "DTEND"), zones)
    starts = True
    if start is None and is_task and end is not None:
        start, end, starts = end, None, False
    if start is None:
        start = _moment(properties.get("RECURRENCE-ID"), zones)
    length, form = NO_LENGTH, "none"
    if not starts:
        form = "due"
    elif start is not None and end is not None and (is_task or ends_after(start, end)):
        length, form = Length(exact=_between(start, end)), "due" if is_task else "end"
    elif start is not None and "DURATION" in properties and component.name != "VJOURNAL":
        nominal = property_duration(properties["DURATION"])
        length, form = Length(nominal=Duration() if nominal.is_negative else nominal), "duration"
    travel = NO_TRAVEL if component.name != "VEVENT" else _travel(properties)
    return ComponentTimes(component, index, start, starts, length, form, busy_of(component), travel)


def _travel(properties: dict[str, Property]) -> tuple[timedelta, timedelta]:
    """Times of travel: at most a day; what cannot be read is none."""
    if not properties.keys() & set(TRAVEL_TIMES):
        return NO_TRAVEL
    before, after = (_travel_time(properties.get(name)) for name in TRAVEL_TIMES)
    return (before, after) if before or after else NO_TRAVEL


def _travel_time(prop: Property | None) -> timedelta:
    try:
        length = _ZERO if prop is None else property_duration(prop).timedelta
    except InvalidData:
        return _ZERO
    return min(max(length, _ZERO), _DAY)


def _moment(prop: Property | None, zones: CalendarZones) -> Moment | None:
    return None if prop is None else moment(property_time(prop), zones)


def ends_after(start: Moment, end: Moment) -> bool:
    """Whether a DTEND has an effect: it is of the type of DTSTART and later (RFC 5545 §3.8.2.2)."""
    return (start.kind is Kind.DATE) is (end.kind is Kind.DATE) and _between(start, end) > _ZERO


def _between(start: Moment, end: Moment) -> timedelta:
    """The exact length from start to end; a date and a time are compared by the clock."""
    if start.kind is end.kind:
        return end.utc - start.utc
    return end.local - start.local


def busy_of(component: Component) -> Busy:
    """The busy type of a component (RFC 4791 §7.10): only events make busy."""
    if component.name != "VEVENT":
        return Busy.FREE
    busy = Busy.BUSY
    for prop in component.properties:
        if prop.name == "TRANSP" and prop.value.strip().upper() == "TRANSPARENT":
            return Busy.FREE
        if prop.name == "STATUS":
            status = prop.value.strip().upper()
            if status == "CANCELLED":
                return Busy.FREE
            if status == "TENTATIVE":
                busy = Busy.TENTATIVE
    return busy
