"""Recurrence rules by looking at every candidate: slow, short, and written without a look at the engine.

It reads RFC 5545 §3.3.10 as follows: a candidate is a local time; it belongs to a period of FREQ, every INTERVAL-th of
which counts from that of DTSTART; it satisfies every BY part, where parts that the rule lacks come from DTSTART;
BYSETPOS chooses among those of a period; then COUNT and UNTIL.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import isleap, monthrange
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from zoneinfo import ZoneInfo

from server.calendar.rrule import Frequency, RecurrenceRule


def week_of(day: date, wkst: int) -> tuple[int, int]:
    """Year and number of the week of a day, by counting days of the week in each year."""
    return _numbered(day - timedelta(days=(day.weekday() - wkst) % 7))


@lru_cache(100_000)
def _year_of(start: date) -> int:
    """The year that has at least four of the days of a week."""
    years = [(start + timedelta(days=number)).year for number in range(7)]
    return max(set(years), key=years.count)


@lru_cache(100_000)
def _numbered(start: date) -> tuple[int, int]:
    before = start - timedelta(days=7)
    year = _year_of(start)
    return year, _numbered(before)[1] + 1 if _year_of(before) == year else 1


@lru_cache(10_000)
def weeks_in(year: int, wkst: int) -> int:
    return max(
        week_of(date(year, 12, day), wkst)[1] for day in range(25, 32) if week_of(date(year, 12, day), wkst)[0] == year
    )


def nth_fits(ordinal: int, position: int, size: int) -> bool:
    """Whether the weekday at `position` (from 0) among `size` days of a range is its `ordinal`-th there."""
    if ordinal > 0:
        return position // 7 + 1 == ordinal
    return (size - 1 - position) // 7 + 1 == -ordinal


def with_defaults(rule: RecurrenceRule, start: date) -> RecurrenceRule:
    """The rule with what it lacks about days from DTSTART."""
    about_days = rule.by_year_day or rule.by_month_day or rule.by_day
    if rule.freq is Frequency.YEARLY and not about_days:
        if rule.by_week_no:
            return replace(rule, by_day=((0, start.weekday()),))
        return replace(rule, by_month_day=(start.day,), by_month=rule.by_month or (start.month,))
    if rule.freq is Frequency.MONTHLY and not (rule.by_month_day or rule.by_day):
        return replace(rule, by_month_day=(start.day,))
    if rule.freq is Frequency.WEEKLY and not rule.by_day:
        return replace(rule, by_day=((0, start.weekday()),))
    return rule


def day_fits(rule: RecurrenceRule, day: date) -> bool:
    length = monthrange(day.year, day.month)[1]
    year_length = 366 if isleap(day.year) else 365
    year_day = (day - date(day.year, 1, 1)).days + 1
    if rule.by_month and day.month not in rule.by_month:
        return False
    if rule.by_month_day and not {day.day, day.day - length - 1} & set(rule.by_month_day):
        return False
    if rule.by_year_day and not {year_day, year_day - year_length - 1} & set(rule.by_year_day):
        return False
    if rule.by_week_no:
        year, number = week_of(day, rule.wkst)
        if not {number, number - weeks_in(year, rule.wkst) - 1} & set(rule.by_week_no):
            return False
    if rule.by_day:
        for ordinal, weekday in rule.by_day:
            if weekday != day.weekday():
                continue
            if not ordinal or rule.freq > Frequency.MONTHLY or rule.by_week_no:
                return True
            if rule.freq is Frequency.MONTHLY or rule.by_month:
                if nth_fits(ordinal, day.day - 1, length):
                    return True
            elif nth_fits(ordinal, year_day - 1, year_length):
                return True
        return False
    return True


def period_of(rule: RecurrenceRule, time: datetime) -> int:
    day = time.date()
    match rule.freq:
        case Frequency.YEARLY:
            return week_of(day, rule.wkst)[0] if rule.by_week_no else day.year
        case Frequency.MONTHLY:
            return day.year * 12 + day.month
        case Frequency.WEEKLY:
            return (day - timedelta(days=(day.weekday() - rule.wkst) % 7)).toordinal() // 7
        case Frequency.DAILY:
            return day.toordinal()
    seconds = (time - datetime(1, 1, 1)) // timedelta(seconds=1)
    return seconds // {Frequency.HOURLY: 3600, Frequency.MINUTELY: 60, Frequency.SECONDLY: 1}[rule.freq]


def times_of_day(rule: RecurrenceRule, start: datetime) -> list[timedelta]:
    freq = rule.freq
    return _all_times(
        rule.by_hour or (tuple(range(24)) if freq >= Frequency.HOURLY else (start.hour,)),
        rule.by_minute or (tuple(range(60)) if freq >= Frequency.MINUTELY else (start.minute,)),
        rule.by_second or (tuple(range(60)) if freq >= Frequency.SECONDLY else (start.second,)),
    )


@lru_cache(16)
def _all_times(hours: tuple[int, ...], minutes: tuple[int, ...], seconds: tuple[int, ...]) -> list[timedelta]:
    return [timedelta(hours=h, minutes=m, seconds=s) for h in hours for m in minutes for s in seconds]


def near(times: list[timedelta], start: timedelta, end: timedelta) -> list[timedelta]:
    """Those of the hours that a window touches: whole periods of HOURLY and shorter frequencies."""
    hour = timedelta(hours=1)
    return times[bisect_left(times, start // hour * hour) : bisect_left(times, -(-end // hour) * hour)]


def chosen(rule: RecurrenceRule, candidates: list[datetime]) -> list[datetime]:
    """BYSETPOS within one period."""
    if not rule.by_set_pos:
        return candidates
    size = len(candidates)
    return [
        candidate
        for index, candidate in enumerate(candidates)
        if index + 1 in rule.by_set_pos or index - size in rule.by_set_pos
    ]


def instances(rule: RecurrenceRule, start: datetime, end: datetime) -> list[datetime]:
    """All instances before `end`, DTSTART first."""
    found = [start]
    for instance in _generated(rule, start, end):
        if instance <= start:
            continue
        if rule.until is not None and instance > rule.until:  # type: ignore[operator]
            break
        found.append(instance)
    if rule.count is not None:
        del found[rule.count :]
    return [instance for instance in found if instance < end]


def placed(rule: RecurrenceRule, start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """The UTC times of all instances whose local times lie before `end`, DTSTART at its place.

    The rule has no UNTIL, or one in UTC. zoneinfo reads a local time that does not exist with the offset before the
    gap.
    """

    def utc(local: datetime) -> datetime:
        return local.replace(tzinfo=zone).astimezone(UTC)

    until = rule.until
    found = {utc(local) for local in instances(replace(rule, until=None), start, end)}
    return sorted(time for time in found if until is None or time <= until or time == utc(start))  # type: ignore[operator]


def _generated(rule: RecurrenceRule, start: datetime, end: datetime) -> Iterator[datetime]:
    full = with_defaults(rule, start.date())
    reach = {Frequency.YEARLY: 740, Frequency.MONTHLY: 31, Frequency.WEEKLY: 7}.get(rule.freq, 0)
    first = start.date() - timedelta(days=reach)
    days = [first + timedelta(days=number) for number in range((end.date() - first).days + reach + 1)]
    times = times_of_day(rule, start)
    candidates = (
        midnight + time
        for day in days
        if day_fits(full, day)
        for midnight in (datetime(day.year, day.month, day.day),)
        for time in (times if rule.freq < Frequency.HOURLY else near(times, start - midnight, end - midnight))
    )
    base = period_of(full, start)
    for period, group in groupby(candidates, lambda candidate: period_of(full, candidate)):
        if (period - base) % rule.interval == 0:
            yield from chosen(full, list(group))
