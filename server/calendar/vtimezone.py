"""Zones from VTIMEZONE components (RFC 5545 §3.6.5), and what a TZID in a calendar object means.

A TZID that names a place of the IANA database follows the zone data of the server. So does a name of Windows, unless
only one of the two, its VTIMEZONE and our zone, has daylight saving time in the years of the object. All others, also
abbreviations such as EST and GMT, follow the rules that their VTIMEZONE brings; where a zone of the database has these
rules, that zone. Without a VTIMEZONE every name that is known follows our data.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache

from server.calendar.component import Component
from server.calendar.iana import NameKind, data_year, name_kind, named_zone, zone_with_rules_of
from server.calendar.recurrence import Series
from server.calendar.rrule import Frequency, parse_rule
from server.calendar.values import Period, parse_utc_offset, property_time, property_times
from server.calendar.work import Work
from server.calendar.zones import Transition, Zone
from server.domain.errors import InvalidCalendarData, InvalidData, UnknownTimezone

KEY_PREFIX = "rules:"
"""The prefix of the keys of zones with rules of their own, before the hash of the rules."""

_FIRST_YEAR = 1899
_TABLE_YEAR = 2100
_LAST_YEAR = _TABLE_YEAR - 1
_YEARS_AHEAD = 10
_WITH_YEARS = frozenset(("DTSTART", "DTEND", "DUE", "RECURRENCE-ID"))
_ORDINARY_PARTS = 500
"""Observances, rules and dates of a zone that is kept."""
_ORDINARY_LIST = 4
"""Commas in one of its rules."""
_WORK = 60_000


@dataclass(frozen=True, slots=True)
class Observance:
    """A STANDARD or DAYLIGHT component."""

    start: datetime
    """The first onset, in local time by `offset_from`."""
    offset_from: timedelta
    offset_to: timedelta
    rules: tuple[str, ...]
    dates: tuple[datetime, ...]
    """RDATEs in local time by `offset_from`."""


def observances(component: Component) -> tuple[Observance, ...]:
    """The observances of a VTIMEZONE, sorted.

    :raises InvalidCalendarData: when it has none, or one lacks what it must have.
    """
    found = set()
    for part in component.components:
        if part.name not in ("STANDARD", "DAYLIGHT"):
            continue
        start, offset_to = part.first("DTSTART"), part.first("TZOFFSETTO")
        offset_from = part.first("TZOFFSETFROM") or offset_to
        if start is None or offset_to is None or offset_from is None:
            raise InvalidCalendarData(f"A {part.name} of a VTIMEZONE lacks DTSTART or TZOFFSETTO.", part.line)
        dates = []
        for prop in part.all("RDATE"):
            for time in property_times(prop):
                date = time.start if isinstance(time, Period) else time
                dates.append(date.local + parse_utc_offset(offset_from.value) if date.utc else date.local)
        found.add(
            Observance(
                property_time(start).local,
                parse_utc_offset(offset_from.value),
                parse_utc_offset(offset_to.value),
                tuple(sorted(rule for prop in part.all("RRULE") if (rule := prop.value.strip().upper()))),
                tuple(sorted(dates)),
            )
        )
    if not found:
        raise InvalidCalendarData("A VTIMEZONE has neither STANDARD nor DAYLIGHT.", component.line)
    return tuple(sorted(found, key=lambda item: (item.start, item.offset_from, item.offset_to, item.rules, item.dates)))


class RulesZone(Zone):
    """A zone by the rules that a VTIMEZONE brings."""

    __slots__ = ("observances",)

    observances: tuple[Observance, ...]


def zone_of_rules(parts: tuple[Observance, ...]) -> RulesZone:
    """The zone that observances describe; its key is a hash of them.

    :raises InvalidCalendarData: for a recurrence rule that is none.
    :raises TooManyInstances: when there are more changes than any zone has.
    """
    return _kept_zone_of_rules(parts) if _are_ordinary(parts) else _zone_of_rules(parts)


def _are_ordinary(parts: tuple[Observance, ...]) -> bool:
    """Whether the zone is of a size that is worth keeping: a few changes a year, as all that there are have."""
    rules = [rule for part in parts for rule in part.rules]
    return len(rules) + sum(len(part.dates) for part in parts) + len(parts) <= _ORDINARY_PARTS and all(
        "FREQ=YEARLY" in rule and rule.count(",") <= _ORDINARY_LIST and ("BYMONTH=" in rule or "BY" not in rule)
        for rule in rules
    )


def _zone_of_rules(parts: tuple[Observance, ...]) -> RulesZone:
    work = Work(_WORK)
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()
    transitions = _onsets(parts, datetime(_FIRST_YEAR, 1, 1), datetime(_TABLE_YEAR, 1, 1), work)
    first_offset = min(parts, key=lambda part: part.start).offset_from
    zone = RulesZone(KEY_PREFIX + digest[:24], first_offset, transitions, _yearly(parts))
    zone.observances = parts
    return zone


_kept_zone_of_rules = lru_cache(maxsize=512)(_zone_of_rules)


def _yearly(parts: tuple[Observance, ...]) -> Callable[[int], Sequence[Transition]] | None:
    """The transitions of later years, when there are any."""
    if not any("COUNT=" not in rule and "UNTIL=" not in rule for part in parts for rule in part.rules):
        return None

    def transitions(year: int) -> Sequence[Transition]:
        return _onsets(parts, datetime(year, 1, 1), datetime(year + 1, 1, 1), Work(_WORK))

    return transitions


def _onsets(parts: tuple[Observance, ...], start: datetime, end: datetime, work: Work) -> list[Transition]:
    """The transitions whose local times lie in a range."""
    found: set[Transition] = set()
    for part in parts:
        local = {time for time in (part.start, *part.dates) if start <= time < end}
        for text in part.rules:
            rule = parse_rule(text)
            if rule.freq > Frequency.DAILY:
                raise InvalidCalendarData(f"A VTIMEZONE cannot change by FREQ={rule.freq.name}.")
            zone = Zone("", part.offset_from)
            local.update(Series(rule, part.start, zone, work).between(start, end))
        work.spend(len(local))
        found.update((time - part.offset_from, part.offset_to) for time in local)
    return sorted(found)


class CalendarZones:
    """The zones of one calendar object.

    :param calendar: its VCALENDAR.
    """

    def __init__(self, calendar: Component) -> None:
        self._calendar = calendar
        self._found: dict[str, Zone] = {}

    @property
    def used(self) -> tuple[Zone, ...]:
        """The zones asked for so far."""
        return tuple(self._found.values())

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the zones asked for so far, and of those that their Windows names stand for: other zone data may
        decide between the two in another way."""
        named = (named_zone(tzid) for tzid in self._found if name_kind(tzid) is NameKind.WINDOWS)
        return frozenset(zone.key for zone in (*self.used, *named) if zone is not None)

    def zone(self, tzid: str) -> Zone:
        """The zone that a TZID means in this object.

        :raises UnknownTimezone: when the TZID is unknown and the object brings no rules for it.
        :raises InvalidCalendarData: when the rules that it brings are none.
        """
        zone = self._found.get(tzid)
        if zone is None:
            zone = self._found[tzid] = self._meant(tzid)
        return zone

    @cached_property
    def brought(self) -> tuple[Zone, ...]:
        """The zones that the object brings a VTIMEZONE for, as far as they can be read."""
        found = []
        for component in self._calendar.components:
            if component.name == "VTIMEZONE":
                with contextlib.suppress(InvalidData):
                    found.append(self.zone((component.text("TZID") or "").strip()))
        return tuple(found)

    def _meant(self, tzid: str) -> Zone:
        named = named_zone(tzid)
        if named is None or name_kind(tzid) is not NameKind.PLACE:
            wanted = _plain(tzid)
            for component in self._calendar.components:
                if component.name == "VTIMEZONE" and _plain(component.text("TZID") or "") == wanted:
                    return zone_of_component(component, self._years)
        if named is None:
            raise UnknownTimezone(tzid)
        return named

    @cached_property
    def _years(self) -> range:
        """The years of the object's times, from 1970 on; ten years from now are in those of a series without UNTIL."""
        texts: list[str] = []
        for component in self._calendar.components:
            if component.name == "VTIMEZONE":
                continue
            for prop in component.properties:
                if prop.name in _WITH_YEARS:
                    texts.append(prop.value)
                elif prop.name == "RRULE":
                    _, _, until = prop.value.upper().partition("UNTIL=")
                    texts.append(until or f"{data_year() + _YEARS_AHEAD}")
                elif prop.name == "RDATE":
                    texts += prop.value.split(",")
        years = [int(text[:4]) for text in texts if text[:4].isascii() and text[:4].isdigit()]
        first = max(min(years, default=data_year()), 1970)
        return range(first, max(max(years, default=0), first) + 1)


def zone_of_component(component: Component, years: range | None = None) -> Zone:
    """The zone that a VTIMEZONE means.

    :param years: those in which its rules must hold, at least one; None for those from now on.
    :raises InvalidCalendarData: when it has no name that is known and its rules are none.
    :raises TooManyInstances: when they have more changes than any zone has.
    """
    tzid, location = (component.text(name) or "" for name in ("TZID", "X-LIC-LOCATION"))
    named = None
    for name in (tzid, location):
        found = named_zone(name)
        if found is not None and name_kind(name) is NameKind.PLACE:
            return found
        named = named or found
    years = years or range(data_year(), data_year() + _YEARS_AHEAD + 1)
    try:
        parts = observances(component)
        own = zone_of_rules(parts)
    except InvalidData:
        if named is None:
            raise
        return named
    is_windows = name_kind(tzid) is NameKind.WINDOWS
    if named is not None and is_windows and _saves_daylight(own, years) is _saves_daylight(named, years):
        return named
    return _followed_zone(parts, years.start)


def _saves_daylight(zone: Zone, years: range) -> bool:
    """Whether the offset changes and changes back within one of some years; those from 2099 on are alike."""
    first, last = min(years.start, _LAST_YEAR), min(years.stop - 1, _LAST_YEAR)
    return any(
        len(zone.transitions(datetime(year, 1, 1), datetime(year + 1, 1, 1))) > 1 for year in range(first, last + 1)
    )


def _followed_zone(parts: tuple[Observance, ...], since: int) -> Zone:
    """The zone of the database with the rules of some observances, else the zone that they describe."""
    return _kept_followed_zone(parts, since) if _are_ordinary(parts) else _find_followed_zone(parts, since)


def _find_followed_zone(parts: tuple[Observance, ...], since: int) -> Zone:
    own = zone_of_rules(parts)
    return zone_with_rules_of(own, since) or own


_kept_followed_zone = lru_cache(maxsize=512)(_find_followed_zone)


def _plain(tzid: str) -> str:
    """A TZID as it is compared."""
    return tzid.strip().strip("\"'").strip().casefold()
