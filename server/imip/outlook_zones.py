"""Time zones as Outlook stores them with a meeting ([MS-OXOCAL] §2.2.1.39, §2.2.1.41), as VTIMEZONE components."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from server.calendar.component import parse_calendar
from server.calendar.contentline import content_line, escape_text
from server.calendar.vtimezone import zone_of_component
from server.calendar.zones import Zone
from server.domain.errors import InvalidCalendarData
from server.imip.octets import Octets

_DAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
_FIRST_YEAR = 1970
"""The year of the first onset that is written; rules hold from then on."""
_EFFECTIVE, _FOR_RECURRENCE = 0x2, 0x1
"""Flags of a rule (TZRule): the one that holds, and the one that series were made with."""
_MAX_RULES = 1_024
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class OutlookZone:
    """A zone with the name that its times have."""

    tzid: str
    definition: str
    """A VTIMEZONE in CR LF lines."""
    zone: Zone


@dataclass(frozen=True, slots=True)
class _Onset:
    """When an observance begins (SYSTEMTIME): in each year in a week of a month, or in one year only."""

    year: int
    month: int
    weekday: int
    """From Sunday, 0."""
    day: int
    """The week of the month, 5 for the last; the day of the month in one year."""
    at: time


def zone_of_definition(data: bytes) -> OutlookZone:
    """The zone in a PidLidAppointmentTimeZoneDefinition…: its name in Windows, and the rule that holds.

    :raises InvalidCalendarData: for what is none.
    """
    source = Octets(data)
    source.take(2)  # versions
    header = Octets(source.take(source.u16()))
    header.u16()
    tzid = header.take(2 * header.u16()).decode("utf-16-le", "replace").strip("\0 ")
    count = header.u16()
    if not 0 < count <= _MAX_RULES:
        raise InvalidCalendarData("A time zone has no rules.")
    chosen: tuple[int, bytes] | None = None
    for _ in range(count):
        source.take(4)
        flags = source.u16()
        source.take(2 + 14)
        content = source.take(44)
        rank = 2 * bool(flags & _EFFECTIVE) + bool(flags & _FOR_RECURRENCE)
        if chosen is None or rank >= chosen[0]:
            chosen = rank, content
    assert chosen is not None
    rule = Octets(chosen[1])
    biases = rule.i32(), rule.i32(), rule.i32()
    return _made(tzid, biases, _onset(rule), _onset(rule))


def zone_of_structure(data: bytes, description: str) -> OutlookZone:
    """The zone in a PidLidTimeZoneStruct, by the name in PidLidTimeZoneDescription.

    :raises InvalidCalendarData: for what is none.
    """
    source = Octets(data)
    biases = source.i32(), source.i32(), source.i32()
    source.u16()
    standard = _onset(source)
    source.u16()
    return _made(description.strip(), biases, standard, _onset(source))


def _onset(source: Octets) -> _Onset | None:
    """A SYSTEMTIME; None where there is no such onset."""
    year, month, weekday, day, hour, minute, second, _ = source.u16s(8)
    if not month:
        return None
    if month > 12 or weekday > 6 or not 1 <= day <= (31 if year else 5) or hour > 23 or minute > 59 or second > 59:
        raise InvalidCalendarData("A time zone changes at no date that there is.")
    return _Onset(year, month, weekday, day, time(hour, minute, second))


def _made(tzid: str, biases: tuple[int, int, int], standard: _Onset | None, daylight: _Onset | None) -> OutlookZone:
    bias, of_standard, of_daylight = biases
    winter, summer = _offset(bias + of_standard), _offset(bias + of_daylight)
    lines = [
        "BEGIN:VTIMEZONE\r\n",
        content_line("TZID", {}, escape_text(name := tzid[:_MAX_NAME] or _offset_name(winter))),
    ]
    if standard is None or daylight is None:
        lines += _observance("STANDARD", None, winter, winter)
    else:
        lines += _observance("STANDARD", standard, summer, winter)
        lines += _observance("DAYLIGHT", daylight, winter, summer)
    definition = "".join([*lines, "END:VTIMEZONE\r\n"])
    (component,) = parse_calendar(f"BEGIN:VCALENDAR\r\n{definition}END:VCALENDAR\r\n").components
    return OutlookZone(name, definition, zone_of_component(component))


def _observance(name: str, onset: _Onset | None, before: timedelta, after: timedelta) -> list[str]:
    rule = ""
    if onset is None:
        start = datetime(_FIRST_YEAR, 1, 1)
    elif onset.year:
        start = datetime.combine(_date(onset.year, onset.month, onset.day), onset.at)
    else:
        start = datetime.combine(_nth(onset), onset.at)
        week = -1 if onset.day == 5 else onset.day
        rule = f"RRULE:FREQ=YEARLY;BYMONTH={onset.month};BYDAY={week}{_DAYS[onset.weekday]}\r\n"
    return [
        f"BEGIN:{name}\r\nDTSTART:{start:%Y%m%dT%H%M%S}\r\n",
        f"TZOFFSETFROM:{_written(before)}\r\nTZOFFSETTO:{_written(after)}\r\n{rule}END:{name}\r\n",
    ]


def _date(year: int, month: int, day: int) -> date:
    try:
        return date(max(year, 1601), month, day)
    except ValueError:
        raise InvalidCalendarData("A time zone changes at no date that there is.") from None


def _nth(onset: _Onset) -> date:
    """The day of an onset in the first year."""
    first = date(_FIRST_YEAR, onset.month, 1)
    found = first + timedelta(days=(onset.weekday - first.isoweekday()) % 7 + 7 * (onset.day - 1))
    return found if found.month == onset.month else found - timedelta(days=7)


def _offset(bias: int) -> timedelta:
    """The offset from UTC; a bias is what is to be added to local time, in minutes."""
    if not -1440 < bias < 1440:
        raise InvalidCalendarData("A time zone is a day or more away from UTC.")
    return timedelta(minutes=-bias)


def _written(offset: timedelta) -> str:
    minutes = abs(offset) // timedelta(minutes=1)
    return f"{'-' if offset < timedelta(0) else '+'}{minutes // 60:02d}{minutes % 60:02d}"


def _offset_name(offset: timedelta) -> str:
    return f"UTC{_written(offset)}"
