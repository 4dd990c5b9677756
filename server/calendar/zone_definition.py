"""VTIMEZONE components (RFC 5545 §3.6.5) written from zone data, for texts that must define the zones that they use."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from server.calendar.contentline import escape_text, fold
from server.calendar.zones import Zone

FIRST_YEAR = 1970
"""The year that a short definition begins with."""

LISTED_UNTIL = 2100
"""Changes before this year are listed; a rule that still holds in the year before goes on."""
_FEWEST_OF_RULE = 4
"""Years in a row from which changes become a rule."""
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_SEASON = timedelta(days=330)
"""Offsets that are higher than before for less than this are daylight saving time."""


@dataclass(frozen=True, slots=True)
class _Change:
    """An onset of an observance."""

    local: datetime
    """By the offset before it."""
    offset_from: timedelta
    offset_to: timedelta
    daylight: bool

    @property
    def series(self) -> tuple[object, ...]:
        """The common part of the changes by one rule."""
        local = self.local
        return self.observance, local.month, local.weekday(), local.time()

    @property
    def observance(self) -> tuple[timedelta, timedelta, bool]:
        """The common part of the changes of one STANDARD or DAYLIGHT."""
        return self.offset_from, self.offset_to, self.daylight


@lru_cache(maxsize=1024)
def definition(zone: Zone, tzid: str, since: int | None = FIRST_YEAR) -> str:
    """The VTIMEZONE of a zone of the database under a TZID, in CR LF lines; X-LIC-LOCATION has the zone's name.

    It holds from the year `since` on, without it always, up to 2100; where the zone has yearly rules, for good.
    """
    lines = ["BEGIN:VTIMEZONE", f"TZID:{escape_text(tzid)}", f"X-LIC-LOCATION:{zone.key}"]
    for _, part in sorted(_observances(zone, since)):
        lines += part
    lines.append("END:VTIMEZONE")
    return "".join(map(fold, lines))


def _observances(zone: Zone, since: int | None) -> Iterator[tuple[datetime, list[str]]]:
    """STANDARD and DAYLIGHT components with their first onsets."""
    start = datetime(since or 1, 1, 1)
    offset = zone.offset_at(start.replace(tzinfo=UTC))
    changes = list(_changes(zone, start, offset))
    begin = datetime(since or 1601, 1, 1)
    yield begin, _component(_Change(begin, offset, offset, False), [])
    by_series: dict[tuple[object, ...], list[_Change]] = {}
    for change in changes:
        by_series.setdefault(change.series, []).append(change)
    single: dict[tuple[timedelta, timedelta, bool], list[_Change]] = {}
    for series in by_series.values():
        for run, days in _runs(series):
            if len(run) >= _FEWEST_OF_RULE:
                yield run[0].local, _component(run[0], [_rule(run, days)])
            else:
                single.setdefault(run[0].observance, []).extend(run)
    for group in single.values():
        first, *others = sorted(change.local for change in group)
        dates = [f"RDATE:{_written(local)}" for local in others]
        yield first, _component(_Change(first, *group[0].observance), dates)


def _changes(zone: Zone, start: datetime, offset: timedelta) -> Iterator[_Change]:
    transitions = zone.transitions(start, datetime(LISTED_UNTIL, 1, 1))
    for number, (at, after) in enumerate(transitions):
        if number + 1 < len(transitions):
            until, then = transitions[number + 1]
            daylight = offset < after > then and until - at < _SEASON
        else:
            daylight = after > offset and at.year == LISTED_UNTIL - 1
        yield _Change(at + offset, offset, after, daylight)
        offset = after


def _runs(changes: Sequence[_Change]) -> Iterator[tuple[list[_Change], str]]:
    """Changes of one month, weekday and time, in runs of years that follow each other and have the days of one rule."""
    run: list[_Change] = []
    ordinals: set[int] = set()
    low = high = 0
    for change in changes:
        day = change.local.day
        possible = _ordinals(change.local)
        if (
            run
            and change.local.year == run[-1].local.year + 1
            and (ordinals & possible or max(high, day) - min(low, day) < 7)
        ):
            ordinals &= possible
            low, high = min(low, day), max(high, day)
        else:
            if run:
                yield run, _days(ordinals, low, run[0].local)
            run, ordinals, low, high = [], possible, day, day
        run.append(change)
    if run:
        yield run, _days(ordinals, low, run[0].local)


def _ordinals(local: datetime) -> set[int]:
    """The numbers that the weekday of a date has in its month; -1 for the last."""
    last = (local + timedelta(days=7)).month != local.month
    return {(local.day + 6) // 7, *([-1] if last else [])}


def _days(ordinals: set[int], low: int, local: datetime) -> str:
    """The part of a rule that names the days, with `{}` for the weekday: by its number, or as the one in a week."""
    if ordinals:
        return f"BYDAY={min(ordinals)}{{}}"
    first = min(low, monthrange(local.year, local.month)[1] - 6)
    return f"BYMONTHDAY={','.join(str(day) for day in range(first, first + 7))};BYDAY={{}}"


def _rule(run: list[_Change], days: str) -> str:
    first, last = run[0], run[-1]
    rule = f"RRULE:FREQ=YEARLY;BYMONTH={first.local.month};{days.format(_DAYS[first.local.weekday()])}"
    if last.local.year < LISTED_UNTIL - 1:
        # In UTC, and late enough for readers that take it for a local time.
        rule += f";UNTIL={_written(last.local + timedelta(days=1))}Z"
    return rule


def _component(change: _Change, recurrence: list[str]) -> list[str]:
    name = "DAYLIGHT" if change.daylight else "STANDARD"
    return [
        f"BEGIN:{name}",
        f"DTSTART:{_written(change.local)}",
        f"TZOFFSETFROM:{_offset(change.offset_from)}",
        f"TZOFFSETTO:{_offset(change.offset_to)}",
        *recurrence,
        f"END:{name}",
    ]


def _written(local: datetime) -> str:
    return f"{local.year:04d}{local:%m%dT%H%M%S}"


def _offset(offset: timedelta) -> str:
    seconds = abs(offset) // timedelta(seconds=1)
    sign = "-" if offset < timedelta(0) else "+"
    return f"{sign}{seconds // 3600:02d}{seconds // 60 % 60:02d}" + (f"{seconds % 60:02d}" if seconds % 60 else "")
