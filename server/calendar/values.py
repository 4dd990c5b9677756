"""Typed values of iCalendar properties (RFC 5545 §3.3).

Every function takes the raw value (unfolded) and raises `InvalidCalendarData` for what is not of the type; the caller
adds the line. Accepted beyond the RFC, since it has one meaning only: spaces around, lower case, ISO 8601's hyphens and
colons, times without seconds, 24:00:00, a leap second (as the second before), `P1DT`, and the broken values that
docs/standards.md lists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from server.calendar.contentline import Property
from server.domain.errors import InvalidCalendarData
from server.domain.values import value

_DATE_TIME = re.compile(
    r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})(?:[Zz]|[Tt ]([0-9]{2})(:?)([0-9]{2})(?:\6([0-9]{2}))?([Zz])?)?"
)
_NO_TIME = re.compile(r"\s*(?:0000-?00-?00(?:[Tt]00:?00:?00[Zz]?)?)?\s*")
_DURATION = re.compile(
    r"([+-])?P(?:([0-9]{1,9})W)?(?:([0-9]{1,9})D)?(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})S)?)?",
    re.IGNORECASE,
)
_UTC_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})(?::?([0-9]{2}))?")

MAX_DURATION_DAYS = 9999 * 366
"""A longer duration reaches no date that can be written."""


@value
class CalendarTime:
    """A DATE or DATE-TIME as written (RFC 5545 §3.3.4, §3.3.5).

    `wall` is a date, or a naive datetime: the local time, or UTC when `utc`. `tzid` is that of the parameter; it is
    None for dates, UTC and floating times.
    """

    wall: date | datetime
    utc: bool = False
    tzid: str | None = None

    @property
    def is_date(self) -> bool:
        """Whether this is a DATE."""
        return not isinstance(self.wall, datetime)

    @property
    def is_floating(self) -> bool:
        """Whether this is a DATE-TIME without zone (form 1 of §3.3.5)."""
        return self.tzid is None and not self.utc and isinstance(self.wall, datetime)

    @property
    def local(self) -> datetime:
        """The wall-clock time; midnight for a DATE."""
        wall = self.wall
        return wall if isinstance(wall, datetime) else datetime(wall.year, wall.month, wall.day)


@value
class Duration:
    """A duration (RFC 5545 §3.3.6): `days` are counted by the calendar (a week has 7), `seconds` exactly.

    Both have the sign of the duration.
    """

    days: int = 0
    seconds: int = 0

    @property
    def is_negative(self) -> bool:
        """Whether it reaches into the past."""
        return self.days < 0 or self.seconds < 0

    @property
    def timedelta(self) -> timedelta:
        """The length, with days of 24 hours."""
        return timedelta(days=self.days, seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Period:
    """A period of time (RFC 5545 §3.3.9), with an end or a duration."""

    start: CalendarTime
    end: CalendarTime | Duration


def parse_calendar_time(value: str, tzid: str | None = None) -> CalendarTime:
    """A DATE or a DATE-TIME, told apart by the form. A UTC time ignores the zone; a DATE ignores a `Z`.

    :raises InvalidCalendarData: also for days that do not exist and the year 0.
    """
    match = _DATE_TIME.fullmatch(value) or _DATE_TIME.fullmatch(value.strip())
    if match is None:
        raise InvalidCalendarData(f"{value[:40]!r} is no date or time.")
    year, _, month, day, hour, _, minute, second, zulu = match.groups()
    try:
        if hour is None:
            return CalendarTime(date(int(year), int(month), int(day)))
        if hour == "24" and minute == "00" and second in ("00", None):
            wall = datetime(int(year), int(month), int(day)) + timedelta(days=1)
        else:
            seconds = 59 if second == "60" else int(second or 0)
            wall = datetime(int(year), int(month), int(day), int(hour), int(minute), seconds)
    except (ValueError, OverflowError):
        raise InvalidCalendarData(f"{value[:40]!r} is no date or time that exists.") from None
    if zulu:
        return CalendarTime(wall, utc=True)
    return CalendarTime(wall, tzid=tzid if tzid and not tzid.isspace() else None)


def parse_date(value: str) -> date:
    """A DATE; a DATE-TIME, as some clients write it under `VALUE=DATE`, is its date."""
    wall = parse_calendar_time(value).wall
    return wall.date() if isinstance(wall, datetime) else wall


def parse_duration(value: str) -> Duration:
    """A DURATION. Weeks may stand beside other parts, `T` may be empty; a lone `P` or `PT` is zero."""
    match = _DURATION.fullmatch(value) or _DURATION.fullmatch(value.strip())
    if match is None:
        raise InvalidCalendarData(f"{value[:40]!r} is no duration.")
    sign, weeks, days, hours, minutes, seconds = match.groups()
    whole_days = int(weeks or 0) * 7 + int(days or 0)
    exact = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    if whole_days + exact // 86400 > MAX_DURATION_DAYS:
        raise InvalidCalendarData(f"The duration {value[:40]!r} is too long.")
    return Duration(-whole_days, -exact) if sign == "-" else Duration(whole_days, exact)


def parse_period(value: str, tzid: str | None = None) -> Period:
    """A PERIOD: start and end, or start and duration. The order of start and end is not checked.

    :raises InvalidCalendarData: also when either is a DATE.
    """
    first, slash, second = value.strip().partition("/")
    if not slash:
        raise InvalidCalendarData(f"{value[:80]!r} is no period.")
    start = parse_calendar_time(first, tzid)
    end: CalendarTime | Duration
    if second[:1] in ("P", "p", "+", "-"):
        end = parse_duration(second)
    else:
        end = parse_calendar_time(second, tzid)
        if end.is_date:
            raise InvalidCalendarData(f"{value[:80]!r} is no period of times.")
    if start.is_date:
        raise InvalidCalendarData(f"{value[:80]!r} is no period of times.")
    return Period(start, end)


def parse_utc_offset(value: str) -> timedelta:
    """A UTC-OFFSET (RFC 5545 §3.3.14); `-0000` counts as zero."""
    match = _UTC_OFFSET.fullmatch(value.strip())
    if match is None:
        raise InvalidCalendarData(f"{value[:40]!r} is no offset from UTC.")
    sign, hours, minutes, seconds = match.groups()
    if int(hours) > 23 or int(minutes) > 59 or int(seconds or 0) > 59:
        raise InvalidCalendarData(f"{value[:40]!r} is no offset from UTC.")
    offset = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds or 0))
    return -offset if sign == "-" else offset


def is_no_time(value: str) -> bool:
    """Whether a value says that there is no time: it is blank, or a date or date-time of zeros alone."""
    return _NO_TIME.fullmatch(value) is not None


def property_time(prop: Property) -> CalendarTime:
    """The DATE or DATE-TIME of DTSTART, DTEND, DUE, RECURRENCE-ID, COMPLETED, CREATED and the like, by its form.

    :raises InvalidCalendarData: with the line.
    """
    try:
        return _time_of(prop.value, prop) if prop.parameter_text else parse_calendar_time(prop.value)
    except InvalidCalendarData as error:
        raise InvalidCalendarData(f"{prop.name} in line {prop.line}: {error.message}", prop.line) from None


def listed_values(value: str) -> list[str]:
    """The parts of a list of times that hold one; blank parts, as after a trailing comma, and zeros are left out."""
    return [part for part in value.split(",") if not is_no_time(part)]


def property_times(prop: Property) -> list[CalendarTime | Period]:
    """The dates, times and periods of RDATE, EXDATE and FREEBUSY, each by its form (RFC 5545 §3.8.5.1, §3.8.5.2).

    In the order of `listed_values`.

    :raises InvalidCalendarData: with the line.
    """
    try:
        return [
            parse_period(part, prop.parameter("TZID")) if "/" in part else _time_of(part, prop)
            for part in listed_values(prop.value)
        ]
    except InvalidCalendarData as error:
        raise InvalidCalendarData(f"{prop.name} in line {prop.line}: {error.message}", prop.line) from None


def property_duration(prop: Property) -> Duration:
    """The duration of DURATION and TRIGGER.

    :raises InvalidCalendarData: with the line.
    """
    try:
        return parse_duration(prop.value)
    except InvalidCalendarData as error:
        raise InvalidCalendarData(f"{prop.name} in line {prop.line}: {error.message}", prop.line) from None


def _time_of(value: str, prop: Property) -> CalendarTime:
    """A value of a property with its parameters TZID and VALUE=DATE taken into account."""
    if (prop.parameter("VALUE") or "").upper() == "DATE":
        return CalendarTime(parse_date(value))
    return parse_calendar_time(value, prop.parameter("TZID"))
