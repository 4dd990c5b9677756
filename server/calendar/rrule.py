"""Recurrence rules as values, and the parser of RECUR (RFC 5545 §3.3.10).

It is lenient where a rule has one meaning only: any case and order, spaces, empty parts, a trailing semicolon, X-
parts, COUNT beside UNTIL (both hold), COUNT and INTERVAL below 1 and an UNTIL of zeros (as if absent), second 60 (59),
and parts that the RFC forbids for a frequency (`server.calendar.recurrence_days` says what they mean).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum
from functools import lru_cache

from server.calendar.values import is_no_time, parse_calendar_time
from server.domain.errors import InvalidCalendarData

_INTEGER = re.compile(r"([+-]?)0*([0-9]+)")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}\Z")
_WEEKDAY_NUMBER = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)\Z")

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
"""Names by number: Monday is 0, as in Python."""

MAX_COUNT = 10**9

_KEPT_LENGTH = 200
"""Rules of this length and shorter are kept parsed: each is needed again at once, and most are alike."""


class Frequency(IntEnum):
    """FREQ, from the longest period to the shortest."""

    YEARLY = 0
    MONTHLY = 1
    WEEKLY = 2
    DAILY = 3
    HOURLY = 4
    MINUTELY = 5
    SECONDLY = 6


@dataclass(frozen=True, slots=True)
class RecurrenceRule:
    """A RECUR value. Lists are sorted and without duplicates; empty means that the part is absent."""

    freq: Frequency
    interval: int = 1
    count: int | None = None
    until: date | datetime | None = None
    """A date, a naive date-time (local) or an aware one in UTC; inclusive."""
    by_month: tuple[int, ...] = ()
    by_week_no: tuple[int, ...] = ()
    by_year_day: tuple[int, ...] = ()
    by_month_day: tuple[int, ...] = ()
    by_day: tuple[tuple[int, int], ...] = ()
    """Pairs of ordinal (0 without one) and weekday."""
    by_hour: tuple[int, ...] = ()
    by_minute: tuple[int, ...] = ()
    by_second: tuple[int, ...] = ()
    by_set_pos: tuple[int, ...] = ()
    wkst: int = 0
    """The weekday on which a week starts."""


def parse_rule(text: str) -> RecurrenceRule:
    """The rule that a RECUR value states.

    :raises InvalidCalendarData: with the reason, for what is no rule or has no single meaning.
    """
    return _parsed_and_kept(text) if len(text) <= _KEPT_LENGTH else _parsed(text)


def _parsed(text: str) -> RecurrenceRule:
    parts: dict[str, str] = {}
    for part in text.upper().split(";"):
        name, _, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not name or not value or name.startswith("X-"):
            continue
        if name in parts and parts[name] != value:
            raise InvalidCalendarData(f"A recurrence rule has {name[:20]} more than once.")
        parts[name] = value
    freq_name = parts.pop("FREQ", "")
    if freq_name not in Frequency.__members__:
        raise InvalidCalendarData(f"A recurrence rule has no FREQ that is known: {text[:80]!r}.")
    if parts.pop("RSCALE", "GREGORIAN") != "GREGORIAN" or parts.pop("SKIP", "OMIT") != "OMIT":
        raise InvalidCalendarData(f"A recurrence rule has an RSCALE or a SKIP that is not supported: {text[:80]!r}.")
    wkst = parts.pop("WKST", "MO")
    if wkst not in WEEKDAYS:
        raise InvalidCalendarData(f"WKST={wkst[:20]} is no weekday.")
    rule = RecurrenceRule(
        freq=Frequency[freq_name],
        interval=_positive("INTERVAL", parts.pop("INTERVAL", "1")) or 1,
        count=_positive("COUNT", parts.pop("COUNT", "0")),
        until=_until(parts.pop("UNTIL")) if "UNTIL" in parts else None,
        by_month=_numbers("BYMONTH", parts.pop("BYMONTH", ""), 1, 12, signed=False),
        by_week_no=_numbers("BYWEEKNO", parts.pop("BYWEEKNO", ""), 1, 53),
        by_year_day=_numbers("BYYEARDAY", parts.pop("BYYEARDAY", ""), 1, 366),
        by_month_day=_numbers("BYMONTHDAY", parts.pop("BYMONTHDAY", ""), 1, 31),
        by_day=_weekdays(parts.pop("BYDAY", "")),
        by_hour=_numbers("BYHOUR", parts.pop("BYHOUR", ""), 0, 23, signed=False),
        by_minute=_numbers("BYMINUTE", parts.pop("BYMINUTE", ""), 0, 59, signed=False),
        by_second=tuple(
            sorted({min(second, 59) for second in _numbers("BYSECOND", parts.pop("BYSECOND", ""), 0, 60, signed=False)})
        ),
        by_set_pos=_numbers("BYSETPOS", parts.pop("BYSETPOS", ""), 1, 366),
        wkst=WEEKDAYS.index(wkst),
    )
    if parts:
        raise InvalidCalendarData(f"A recurrence rule has the unknown part {next(iter(parts))[:20]!r}.")
    return rule


_parsed_and_kept = lru_cache(maxsize=1024)(_parsed)


def _positive(name: str, text: str) -> int | None:
    """A number, cut to `MAX_COUNT`; None for 0 and negative numbers, which have no effect."""
    match = _INTEGER.fullmatch(text)
    if match is None:
        raise InvalidCalendarData(f"{name}={text[:20]} is no number.")
    sign, digits = match.groups()
    if sign == "-" or digits == "0":
        return None
    return MAX_COUNT if len(digits) > 9 else int(digits)


def _numbers(name: str, text: str, least: int, greatest: int, *, signed: bool = True) -> tuple[int, ...]:
    """The numbers of a BY list, whose absolute values lie in a range."""
    numbers = set()
    for item in text.split(",") if text else ():
        item = item.strip()
        if not item:
            continue
        if not _NUMBER.match(item):
            raise InvalidCalendarData(f"{name} has the value {item[:20]!r}.")
        number = int(item)
        if not least <= (abs(number) if signed else number) <= greatest:
            raise InvalidCalendarData(f"{name} has the value {number}, which is out of its range.")
        numbers.add(number)
    return tuple(sorted(numbers))


def _weekdays(text: str) -> tuple[tuple[int, int], ...]:
    """The pairs of ordinal and weekday of a BYDAY list."""
    pairs = set()
    for item in text.split(",") if text else ():
        item = item.strip()
        if not item:
            continue
        match = _WEEKDAY_NUMBER.match(item)
        if match is None or abs(int(match.group(1) or 0)) > 53:
            raise InvalidCalendarData(f"BYDAY has the value {item[:20]!r}.")
        pairs.add((int(match.group(1) or 0), WEEKDAYS.index(match.group(2))))
    return tuple(sorted(pairs))


def _until(text: str) -> date | datetime | None:
    """UNTIL as a date, a naive date-time or one in UTC; None for zeros, which have no effect."""
    if is_no_time(text):
        return None
    try:
        time = parse_calendar_time(text)
    except InvalidCalendarData as error:
        raise InvalidCalendarData(f"UNTIL: {error.message}") from None
    wall = time.wall
    return wall.replace(tzinfo=UTC) if time.utc and isinstance(wall, datetime) else wall
