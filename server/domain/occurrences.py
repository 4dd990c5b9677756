"""The times of a calendar object as values: occurrences, span and alarms.

`server.calendar.materialise.materialise(calendar, now)` computes them from the component tree of an object.

Times are aware UTC date-times with a resolution of one second. Floating date-times and dates have a time in UTC only in
some zone. They are stored as if they were in UTC, with another `kind`. A query widens its window by `FLOATING_MARGIN`,
and then decides with `resolve` in the zone of the request.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol

from server.domain.values import value

FLOATING_MARGIN = timedelta(hours=26)
"""The greatest difference between a floating time in any zone and in UTC: more than the offset of any zone."""

EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Bounds of computed times; later and earlier ones are cut to them."""


TRAVEL = -1
"""In place of a component's index: the occurrence is the travel of the calendar's owner before or after an event."""


class Kind(StrEnum):
    """The form of an occurrence's times (RFC 5545 §3.3.5, §3.3.4)."""

    TIMED = "timed"
    """In UTC or in a time zone."""
    FLOATING = "floating"
    DATE = "date"


class Busy(StrEnum):
    """The busy type of an occurrence: a value of FBTYPE (RFC 5545 §3.2.9, RFC 4791 §7.10)."""

    FREE = "FREE"
    BUSY = "BUSY"
    TENTATIVE = "BUSY-TENTATIVE"
    UNAVAILABLE = "BUSY-UNAVAILABLE"


@value
class Occurrence:
    """One instance of a component.

    It overlaps a window (RFC 4791 §9.9) if and only if `matches_from < window end` and `matches_until > window start`.
    Both are a second earlier or later where the tables of §9.9 have `<=` in place of `<`. None is unbounded.
    """

    start: datetime
    end: datetime
    """Exclusive; equal to `start` for an occurrence without duration."""
    matches_from: datetime | None
    matches_until: datetime | None
    tzid: str | None
    """Key of the zone (`server.calendar.zones`); None for floating and dates."""
    kind: Kind
    busy: Busy
    recurrence_id: str
    """`20260131`, `20260131T090000` (floating) or `20260131T080000Z` (all others); empty for what does not recur."""
    component: int
    """Index in the calendar's `components` of the component that describes this instance; `TRAVEL` for travel."""
    matches: bool = True
    """False for rows that only count for free-busy: FREEBUSY periods of a VFREEBUSY that has DTSTART and DTEND, and
    travel."""

    def overlaps(self, start: datetime | None, end: datetime | None) -> bool:
        """Whether the occurrence overlaps a window (RFC 4791 §9.9); `resolve` floating ones and dates first."""
        return (
            self.matches
            and (end is None or self.matches_from is None or self.matches_from < end)
            and (start is None or self.matches_until is None or self.matches_until > start)
        )


class Timing(NamedTuple):
    """The fields of an occurrence that are needed to write it. They are ordered as in responses."""

    start: datetime
    """Like `end`, as in the occurrence: floating times and dates are not resolved."""
    recurrence_id: str
    end: datetime
    kind: Kind
    component: int


@value
class AlarmTrigger:
    """When an alarm rings (RFC 5545 §3.8.6.3), for every occurrence of a component or at one time."""

    component: int
    """Index in the calendar's `components`."""
    alarm: int
    """Which VALARM of that component, from 0."""
    at: datetime | None
    """An absolute trigger, in UTC; `days` and `seconds` are 0 then."""
    days: int
    """The nominal part of a trigger's offset: days by the calendar of the occurrence's zone."""
    seconds: int
    """The exact part of a trigger's offset; both are negative for a trigger before."""
    from_end: bool
    """The offset counts from the end (RELATED=END) and not from the start."""
    repeat: int = 0
    """How often the alarm rings again."""
    interval: int = 0
    """Seconds between repetitions."""

    @property
    def earliest(self) -> timedelta:
        """The offset from start or end of the first ring; a change of a zone's offset may move it by some hours."""
        return timedelta(days=self.days, seconds=self.seconds)

    @property
    def latest(self) -> timedelta:
        """The offset of the last ring."""
        return timedelta(days=self.days, seconds=self.seconds + self.repeat * self.interval)


class NextRing(NamedTuple):
    """When an alarm rings next."""

    at: datetime | None
    """In UTC; None: it rings no more, as far as occurrences are stored. A floating one by its place in UTC."""
    floating: bool
    """Whether it belongs to a floating time or a date, so that the zone of the calendar moves it by up to
    `FLOATING_MARGIN`."""


@dataclass(frozen=True, slots=True)
class DueAlarm:
    """A ring of an alarm."""

    home_id: int
    collection_id: int
    object_id: int
    viewer_id: int | None
    """The principal whose personal copy has the alarm; None: the owner's object."""
    component: int
    """As in `AlarmTrigger`, with `alarm`."""
    alarm: int
    at: datetime
    """In UTC."""
    start: datetime | None
    """The start of the occurrence in UTC; None for an absolute trigger."""
    recurrence_id: str
    """As in `Occurrence`."""


@value
class Materialised:
    """A calendar object in time.

    `occurrences` holds every instance that overlaps `expanded_from`–`expanded_until`; None is unbounded, so that an
    object with both None is materialised whole.
    """

    component: str
    """VEVENT, VTODO, VJOURNAL, VFREEBUSY or VAVAILABILITY."""
    occurrences: tuple[Occurrence, ...]
    span_start: datetime | None
    """Not after the least `matches_from` of all instances; None is unbounded."""
    span_end: datetime | None
    """Not before the greatest `matches_until` of all instances; None is unbounded, also when `endless`."""
    endless: bool
    """Instances never end, or not before a time that can be computed with bounded work."""
    expanded_from: datetime | None
    expanded_until: datetime | None
    alarms: tuple[AlarmTrigger, ...]
    zones: tuple[str, ...]
    """Keys of the zones that the times depend on, sorted; UTC is not among them."""
    next_rings: tuple[NextRing, ...] = field(default=(), compare=False)
    """When each of the alarms rings next, from the moment on at which this was computed."""
    recurrence: str | None = None
    """The recurrence of an object that is not materialised whole (`server.calendar.stored_recurrence`)."""

    @property
    def whole(self) -> bool:
        """Whether every instance is among the occurrences."""
        return self.expanded_from is None and self.expanded_until is None


def later(time: datetime, by: timedelta) -> datetime:
    """The sum, cut to the years 1 to 9999."""
    try:
        return time + by
    except OverflowError:
        bound = LATEST if by > timedelta(0) else EARLIEST
        return bound if time.tzinfo is not None else bound.replace(tzinfo=None)


class Clock(Protocol):
    """A time zone as far as `resolve` needs it."""

    def to_utc(self, local: datetime) -> datetime:
        """The UTC date-time of a naive local one."""


def resolve(occurrence: Occurrence, zone: Clock) -> Occurrence:
    """The occurrence with floating times and dates as they are in a zone (RFC 4791 §7.3, §9.9)."""
    if occurrence.kind is Kind.TIMED:
        return occurrence
    start = zone.to_utc(occurrence.start.replace(tzinfo=None))
    end = zone.to_utc(occurrence.end.replace(tzinfo=None))
    matches_from, matches_until = occurrence.matches_from, occurrence.matches_until
    if matches_from is not None:
        matches_from = later(start, matches_from - occurrence.start)
    if matches_until is not None:
        matches_until = later(end, matches_until - occurrence.end)
    return replace(occurrence, start=start, end=end, matches_from=matches_from, matches_until=matches_until)
