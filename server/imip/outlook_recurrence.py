"""The recurrence of a meeting as Outlook stores it (PidLidAppointmentRecur, [MS-OXOCAL] §2.2.1.44).

Dates and times are local ones of the meeting's zone. A deleted instance is named by its date; so is a modified one,
which has its new times beside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import IntEnum

from server.domain.errors import InvalidCalendarData, ResourceTooLarge
from server.imip.mail import decoded
from server.imip.octets import Octets, of_minutes

MAX_DATES = 5_000
"""Deleted or modified instances."""
MAX_MODIFIED = 500
"""Modified instances."""


class _Frequency(IntEnum):
    DAILY = 0x200A
    WEEKLY = 0x200B
    MONTHLY = 0x200C
    YEARLY = 0x200D


class _Pattern(IntEnum):
    DAY = 0
    WEEK = 1
    MONTH = 2
    NTH = 3
    MONTH_END = 4


_GREGORIAN = (0, 1)
"""CalendarType: by default, and Gregorian. Others count by the moon, for which RFC 5545 has no rules."""
_ENDS_BY_DATE, _ENDS_BY_COUNT, _NEVER_ENDS = 0x2021, 0x2022, (0x2023, 0xFFFFFFFF)
_DAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
_DAY_MINUTES = 1440
_EXTENDED = 0x3009
"""WriterVersion2 from which modified instances have a ChangeHighlight."""
_SUBJECT, _MEETING_TYPE, _REMINDER_DELTA, _REMINDER, _LOCATION = 0x01, 0x02, 0x04, 0x08, 0x10
_BUSY_STATUS, _ATTACHMENT, _ALL_DAY, _COLOR = 0x20, 0x40, 0x80, 0x100


@dataclass(frozen=True, slots=True)
class ModifiedInstance:
    """An instance that differs from its series. None stands for what is as in the series."""

    start: datetime
    end: datetime
    original: datetime
    """The start that it would have."""
    subject: str | None = None
    location: str | None = None
    busy_status: int | None = None
    all_day: bool | None = None


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A recurrence with the first instance."""

    start: datetime
    duration: timedelta
    rule: str
    """RRULE without its end."""
    count: int | None
    last: date | None
    """The date of the last instance; with `count` None, the series never ends without it."""
    deleted: tuple[datetime, ...]
    """The starts of instances that do not take place."""
    modified: tuple[ModifiedInstance, ...]


def read_recurrence(data: bytes, charset: str) -> Recurrence:
    """The recurrence in an AppointmentRecurrencePattern.

    :param charset: of the texts that are not in Unicode.
    :raises InvalidCalendarData: for what is none, or has no rule in RFC 5545.
    :raises ResourceTooLarge: for one with too many deleted or modified instances.
    """
    source = Octets(data)
    source.take(4)  # versions
    written, kind, calendar = source.u16s(3)
    try:
        frequency, pattern = _Frequency(written), _Pattern(kind)
    except ValueError:
        raise InvalidCalendarData(f"There is no recurrence {written:#06x} with the pattern {kind:#06x}.") from None
    source.u32()  # FirstDateTime: how the periods are counted, which StartDate says, too
    period, _sliding = source.u32s(2)
    if calendar not in _GREGORIAN:
        raise InvalidCalendarData("A recurrence by another calendar than the Gregorian one has no rule.")
    mask, number = _specific(source, pattern)
    end, count, first_weekday = source.u32s(3)
    removed = [of_minutes(each).date() for each in source.u32s(_bounded(source.u32(), MAX_DATES))]
    source.u32s(_bounded(source.u32(), MAX_DATES))  # the new dates of modified instances
    start_date, end_date = (of_minutes(each).date() for each in source.u32s(2))
    rule = _rule(frequency, pattern, period, mask, number, start_date, first_weekday)
    _reader, version, begins, ends = source.u32s(4)
    if not 0 <= begins < _DAY_MINUTES or not begins <= ends <= begins + 366 * _DAY_MINUTES:
        raise InvalidCalendarData("A recurrence has no times.")
    offset = timedelta(minutes=begins)
    modified = _modified(source, version, charset)
    originals = {each.original.date() for each in modified}
    if end not in (_ENDS_BY_DATE, _ENDS_BY_COUNT, *_NEVER_ENDS) or (end == _ENDS_BY_COUNT and not count):
        raise InvalidCalendarData("A recurrence has no end that is known.")
    return Recurrence(
        _at_midnight(start_date) + offset,
        timedelta(minutes=ends - begins),
        rule,
        count if end == _ENDS_BY_COUNT else None,
        end_date if end == _ENDS_BY_DATE else None,
        tuple(_at_midnight(each) + offset for each in dict.fromkeys(removed) if each not in originals),
        modified,
    )


def _at_midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def _specific(source: Octets, pattern: _Pattern) -> tuple[int, int]:
    """PatternTypeSpecific (§2.2.1.44.1.3): the days of the week as bits, and a day of the month or its week."""
    match pattern:
        case _Pattern.DAY:
            return 0, 0
        case _Pattern.WEEK:
            return source.u32(), 0
        case _Pattern.MONTH | _Pattern.MONTH_END:
            return 0, source.u32()
        case _Pattern.NTH:
            return source.u32(), source.u32()


def _rule(
    frequency: _Frequency, pattern: _Pattern, period: int, mask: int, number: int, start: date, first_weekday: int
) -> str:
    """RRULE by [MS-OXCICAL] §2.1.3.2.2, without its end."""
    days = ",".join(day for bit, day in enumerate(_DAYS) if mask >> bit & 1)
    if pattern in (_Pattern.WEEK, _Pattern.NTH) and not days:
        raise InvalidCalendarData("A recurrence by weekdays names none.")
    interval = period
    match frequency, pattern:
        case _Frequency.DAILY, _Pattern.DAY:
            interval, rest = divmod(period, _DAY_MINUTES)
            if rest:
                raise InvalidCalendarData("A daily recurrence is one of whole days.")
            parts = "FREQ=DAILY"
        case ((_Frequency.DAILY | _Frequency.WEEKLY), _Pattern.WEEK):
            # A daily one by weekdays is that of every working day.
            interval = period if frequency is _Frequency.WEEKLY else 1
            parts = f"FREQ=WEEKLY;BYDAY={days}"
            if interval > 1:
                parts += f";WKST={_DAYS[first_weekday % 7]}"
        case ((_Frequency.MONTHLY | _Frequency.YEARLY), (_Pattern.MONTH | _Pattern.NTH | _Pattern.MONTH_END)):
            if pattern is _Pattern.NTH:
                by = _by_weekday(days, number)
            else:
                by = _by_day(31 if pattern is _Pattern.MONTH_END else number)
            if frequency is _Frequency.MONTHLY:
                parts = f"FREQ=MONTHLY;{by}"
            else:
                interval, rest = divmod(period, 12)
                if rest:
                    raise InvalidCalendarData("A yearly recurrence is one of whole years.")
                parts = f"FREQ=YEARLY;BYMONTH={start.month};{by}"
        case _:
            raise InvalidCalendarData(f"There is no recurrence {frequency:#06x} with the pattern {pattern:#06x}.")
    if not 0 < interval < 10_000:
        raise InvalidCalendarData("A recurrence has no interval.")
    return parts if interval == 1 else f"{parts};INTERVAL={interval}"


def _by_weekday(days: str, number: int) -> str:
    if not 1 <= number <= 5:
        raise InvalidCalendarData("A recurrence by weekdays of a month has no number.")
    return f"BYDAY={days};BYSETPOS={-1 if number == 5 else number}"


def _by_day(day: int) -> str:
    """A day of the month. Outlook takes the last one of months that are too short (§2.2.1.44.1.3)."""
    if not 1 <= day <= 31:
        raise InvalidCalendarData("A recurrence by days of a month has none.")
    if day == 31:
        return "BYMONTHDAY=-1"
    if day > 28:
        return f"BYMONTHDAY={','.join(map(str, range(28, day + 1)))};BYSETPOS=-1"
    return f"BYMONTHDAY={day}"


def _modified(source: Octets, version: int, charset: str) -> tuple[ModifiedInstance, ...]:
    """ExceptionInfo and ExtendedException (§2.2.1.44.2, §2.2.1.44.4)."""
    found: list[tuple[ModifiedInstance, int]] = []
    for _ in range(_bounded(source.u16(), MAX_MODIFIED)):
        start, end, original = map(of_minutes, source.u32s(3))
        if end < start:
            raise InvalidCalendarData("An instance of a recurrence ends before it begins.")
        flags = source.u16()
        subject = location = None
        busy = all_day = None
        if flags & _SUBJECT:
            subject = _text(source, charset)
        for flag in (_MEETING_TYPE, _REMINDER_DELTA, _REMINDER):
            source.take(4 if flags & flag else 0)
        if flags & _LOCATION:
            location = _text(source, charset)
        if flags & _BUSY_STATUS:
            busy = source.u32()
        source.take(4 if flags & _ATTACHMENT else 0)
        if flags & _ALL_DAY:
            all_day = source.u32() != 0
        source.take(4 if flags & _COLOR else 0)
        found.append((ModifiedInstance(start, end, original, subject, location, busy, all_day), flags))
    if not found or not source.left:
        return tuple(each for each, _ in found)
    _skip(source)
    return tuple(_in_unicode(source, each, flags, version) for each, flags in found)


def _in_unicode(source: Octets, instance: ModifiedInstance, flags: int, version: int) -> ModifiedInstance:
    """A modified instance with its texts in Unicode."""
    if version >= _EXTENDED:
        _skip(source)  # ChangeHighlight
    _skip(source)
    if not flags & (_SUBJECT | _LOCATION):
        return instance
    source.take(12)  # the times again
    if flags & _SUBJECT:
        instance = replace(instance, subject=_wide(source))
    if flags & _LOCATION:
        instance = replace(instance, location=_wide(source))
    _skip(source)
    return instance


def _skip(source: Octets) -> None:
    """A block of a size that stands before it."""
    source.take(source.u32())


def _text(source: Octets, charset: str) -> str:
    source.u16()  # the length with the NUL that is not there
    return decoded(source.take(source.u16()), charset)


def _wide(source: Octets) -> str:
    return source.take(2 * source.u16()).decode("utf-16-le", "replace")


def _bounded(count: int, most: int) -> int:
    if count > most:
        raise ResourceTooLarge(f"A recurrence has at most {most} deleted or modified instances.")
    return count
