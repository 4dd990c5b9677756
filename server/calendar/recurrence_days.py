"""On which days a recurrence rule falls (RFC 5545 §3.3.10): period by period, as proleptic ordinals.

The table of expand and limit comes down to this: a day belongs to the rule when its period does (FREQ, INTERVAL) and
when it satisfies every BY part about days, after the parts that the rule lacks are taken from DTSTART. So parts that
the table marks N/A have a meaning too: they limit. What is settled where the RFC leaves a choice:

* an ordinal in BYDAY counts within the month for MONTHLY, and for YEARLY with BYMONTH; within the year for YEARLY
  without it; where it means nothing (other frequencies, BYWEEKNO) it is ignored;
* with BYWEEKNO the period of YEARLY is the year that the week belongs to (ISO 8601, with WKST), so that week 1 of an
  interval may begin in December.

Years are alike when they begin on the same weekday and they and their neighbours are equally long, months when they
begin on the same weekday and are equally long: the days of each such kind are computed once.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import isleap
from collections.abc import Iterator, Sequence
from datetime import date

from server.calendar.rrule import Frequency, RecurrenceRule

MAX_YEAR = 9999
LAST_ORDINAL = date(MAX_YEAR, 12, 31).toordinal()

_MONTH_STARTS = (
    (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365),
    (0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366),
)
_ALL_MONTHS = tuple(range(1, 13))


def year_start(year: int) -> int:
    """The ordinal of January 1, also of the years 0 and 10000."""
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 + 1


def week_one(year: int, wkst: int) -> int:
    """The ordinal of the first day of week 1: the first week with at least four days in the year."""
    january_4 = year_start(year) + 3
    return january_4 - (january_4 - 1 - wkst) % 7


def week_year(ordinal: int, wkst: int) -> int:
    """The year that the week of a day belongs to."""
    year = date.fromordinal(ordinal).year
    if ordinal < week_one(year, wkst):
        return year - 1
    return year + 1 if ordinal >= week_one(year + 1, wkst) else year


class DayRule:
    """The days of a rule that starts on a day; parts about the time of day are not its business."""

    def __init__(self, rule: RecurrenceRule, start: date) -> None:
        freq = rule.freq
        self.freq = freq
        self.interval = rule.interval
        self.wkst = rule.wkst
        self.months = frozenset(rule.by_month)
        self.week_numbers = rule.by_week_no
        self.year_days = rule.by_year_day
        self.month_days: tuple[int, ...] = rule.by_month_day
        self.weekdays = frozenset(weekday for ordinal, weekday in rule.by_day if not ordinal)
        self.nth_weekdays = tuple((ordinal, weekday) for ordinal, weekday in rule.by_day if ordinal)
        if self.nth_weekdays and (freq > Frequency.MONTHLY or self.week_numbers):
            self.weekdays |= {weekday for _, weekday in self.nth_weekdays}
            self.nth_weekdays = ()
        if freq is Frequency.YEARLY and not (rule.by_year_day or rule.by_month_day or rule.by_day):
            if self.week_numbers:
                self.weekdays = frozenset((start.weekday(),))
            else:
                self.month_days = (start.day,)
                self.months = self.months or frozenset((start.month,))
        elif freq is Frequency.MONTHLY and not (rule.by_month_day or rule.by_day):
            self.month_days = (start.day,)
        elif freq is Frequency.WEEKLY and not rule.by_day:
            self.weekdays = frozenset((start.weekday(),))
        self.nth_in_month = freq is Frequency.MONTHLY or bool(self.months)
        self.first_ordinal = start.toordinal()
        self._year_kinds: dict[tuple[int, int, int, int], tuple[int, ...]] = {}
        self._month_kinds: dict[tuple[int, int], tuple[int, ...]] = {}
        self.has_limits = bool(
            self.months or self.week_numbers or self.year_days or self.month_days or self.weekdays or self.nth_weekdays
        )

        looks_at_days = freq in (Frequency.MONTHLY, Frequency.WEEKLY) and bool(self.year_days or self.week_numbers)
        looks_at_days |= freq is Frequency.WEEKLY and bool(self.months or self.month_days)
        self.period_cost = 10 if looks_at_days else 1
        """The work for a period without days: more where each candidate is looked at."""

    # -- periods, by a number of their own per frequency: the year, months since year 0, weeks, days -----------------

    def period_of(self, ordinal: int) -> int:
        """The number of the period in which a day lies."""
        match self.freq:
            case Frequency.YEARLY:
                return week_year(ordinal, self.wkst) if self.week_numbers else date.fromordinal(ordinal).year
            case Frequency.MONTHLY:
                day = date.fromordinal(ordinal)
                return day.year * 12 + day.month - 1
            case Frequency.WEEKLY:
                return (ordinal - 1 - self.wkst) // 7
        return ordinal

    def periods(self, first_day: int, last_day: int) -> Iterator[Sequence[int]]:
        """The days of each period of the rule, ascending: periods that touch `first_day` to `last_day`.

        The days of DAILY, whose periods have but one, come many at once. Days outside of the range may be among those
        of the first and the last period, also days after the year 9999. Not for HOURLY and shorter frequencies.
        """
        base = self.period_of(self.first_ordinal)
        behind = max(self.period_of(first_day) - base, 0)
        period = base + -(-behind // self.interval) * self.interval
        numbers = range(period, self.period_of(last_day) + 1, self.interval)
        match self.freq:
            case Frequency.YEARLY:
                return map(self.days_of_year, numbers)
            case Frequency.MONTHLY:
                return self._months(numbers)
            case Frequency.WEEKLY:
                return self._weeks(numbers)
        return self._limited_days(first_day, last_day) if self.has_limits else _slices(numbers, 256)

    def days_of_year(self, year: int) -> Sequence[int]:
        """The days of a year (with BYWEEKNO and YEARLY: of the year's weeks) that satisfy all parts."""
        start = year_start(year)
        kind = ((start - 1) % 7, isleap(year - 1), isleap(year), isleap(year + 1))
        days = self._year_kinds.get(kind)
        if days is None:
            if self.week_numbers and self.freq is Frequency.YEARLY:
                days = self._offsets_in_week_year(year)
            else:
                days = self._offsets_in_year(year)
            self._year_kinds[kind] = days
        return [start + offset for offset in days]

    def _months(self, numbers: range) -> Iterator[Sequence[int]]:
        checked = bool(self.year_days or self.week_numbers)
        for number in numbers:
            year, month = divmod(number, 12)
            if self.months and month + 1 not in self.months:
                yield ()
                continue
            starts = _MONTH_STARTS[isleap(year)]
            before = year_start(year) + starts[month] - 1
            kind = (before % 7, starts[month + 1] - starts[month])
            days = self._month_kinds.get(kind)
            if days is None:
                days = self._month_kinds[kind] = self._days_in_month(*kind)
            ordinals = [before + day for day in days]
            yield [day for day in ordinals if self._satisfied(day)] if checked else ordinals

    def _weeks(self, numbers: range) -> Iterator[Sequence[int]]:
        offsets = sorted((weekday - self.wkst) % 7 for weekday in self.weekdays)
        limited = bool(self.months or self.month_days or self.year_days or self.week_numbers)
        for number in numbers:
            start = number * 7 + 1 + self.wkst
            days = [start + offset for offset in offsets]
            yield [day for day in days if 1 <= day <= LAST_ORDINAL and self._satisfied(day)] if limited else days

    def _limited_days(self, first_day: int, last_day: int) -> Iterator[Sequence[int]]:
        start, interval = self.first_ordinal, self.interval
        for year in range(date.fromordinal(first_day).year, date.fromordinal(last_day).year + 1):
            days = self.days_of_year(year)
            yield days if interval == 1 else [day for day in days if (day - start) % interval == 0]

    def next_day(self, first_day: int, last_day: int) -> int | None:
        """The first day of a range that satisfies all parts, whatever the period; None without one."""
        for year in range(date.fromordinal(first_day).year, date.fromordinal(last_day).year + 1):
            days = self.days_of_year(year)
            position = bisect_left(days, first_day)
            if position < len(days):
                return days[position] if days[position] <= last_day else None
        return None

    # -- the parts about days ----------------------------------------------------------------------------------------

    def _offsets_in_year(self, year: int) -> tuple[int, ...]:
        """Days from 0 of a calendar year that satisfy all parts."""
        starts = _MONTH_STARTS[isleap(year)]
        length = starts[12]
        first_weekday = (year_start(year) - 1) % 7
        chosen = None
        if self.year_days:
            chosen = {day - 1 if day > 0 else length + day for day in self.year_days}
        by_weekday = bool(self.weekdays or self.nth_weekdays)
        nth_in_year: set[int] = set()
        if self.nth_weekdays and not self.nth_in_month:
            nth_in_year = set(_nth_days(self.nth_weekdays, first_weekday, length))
        days: list[int] = []
        for month in sorted(self.months) or _ALL_MONTHS:
            first, after = starts[month - 1], starts[month]
            candidates: Sequence[int]
            if self.month_days:
                numbers = {day if day > 0 else after - first + 1 + day for day in self.month_days}
                candidates = [first + day - 1 for day in sorted(numbers) if 1 <= day <= after - first]
            else:
                candidates = range(first, after)
            if by_weekday:
                nth = nth_in_year
                if self.nth_weekdays and self.nth_in_month:
                    found = _nth_days(self.nth_weekdays, (first_weekday + first) % 7, after - first)
                    nth = {first + day for day in found}
                candidates = [
                    day for day in candidates if (first_weekday + day) % 7 in self.weekdays or (nth and day in nth)
                ]
            if chosen is not None:
                candidates = [day for day in candidates if day in chosen]
            days += candidates
        if self.week_numbers:
            start = year_start(year)
            days = [day for day in days if self._week_matches(start + day)]
        return tuple(days)

    def _offsets_in_week_year(self, year: int) -> tuple[int, ...]:
        """Days of a year's weeks, counted from January 1, that satisfy all parts (YEARLY with BYWEEKNO)."""
        first, after = week_one(year, self.wkst), week_one(year + 1, self.wkst)
        start = year_start(year)
        weeks = (after - first) // 7
        numbers = {number if number > 0 else weeks + 1 + number for number in self.week_numbers}
        days = []
        for number in sorted(numbers):
            if 1 <= number <= weeks:
                monday = first + (number - 1) * 7
                days += [day for day in range(monday, monday + 7) if self._satisfied(day, weeks_too=False)]
        return tuple(day - start for day in days)

    def _days_in_month(self, first_weekday: int, length: int) -> tuple[int, ...]:
        """Days from 1 of a month that satisfy BYMONTHDAY and BYDAY."""
        days = set(range(1, length + 1))
        if self.month_days:
            days &= {day if day > 0 else length + 1 + day for day in self.month_days}
        if self.weekdays or self.nth_weekdays:
            nth = {day + 1 for day in _nth_days(self.nth_weekdays, first_weekday, length)}
            days = {day for day in days if (first_weekday + day - 1) % 7 in self.weekdays or day in nth}
        return tuple(sorted(days))

    def _week_matches(self, ordinal: int) -> bool:
        """BYWEEKNO."""
        year = week_year(ordinal, self.wkst)
        first, after = week_one(year, self.wkst), week_one(year + 1, self.wkst)
        number = (ordinal - first) // 7 + 1
        return number in self.week_numbers or number - (after - first) // 7 - 1 in self.week_numbers

    def _satisfied(self, ordinal: int, *, weeks_too: bool = True) -> bool:
        """Whether a single day satisfies all parts but ordinals in BYDAY."""
        if not 1 <= ordinal <= LAST_ORDINAL:
            return False
        day = date.fromordinal(ordinal)
        starts = _MONTH_STARTS[isleap(day.year)]
        length = starts[day.month] - starts[day.month - 1]
        year_day = starts[day.month - 1] + day.day
        return (
            (not self.months or day.month in self.months)
            and (not self.month_days or day.day in self.month_days or day.day - length - 1 in self.month_days)
            and (not self.year_days or year_day in self.year_days or year_day - starts[12] - 1 in self.year_days)
            and (not self.weekdays or bool(self.nth_weekdays) or day.weekday() in self.weekdays)
            and (not weeks_too or not self.week_numbers or self._week_matches(ordinal))
        )


def _slices(numbers: range, size: int) -> Iterator[Sequence[int]]:
    """A range in pieces."""
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


def _nth_days(pairs: tuple[tuple[int, int], ...], first_weekday: int, length: int) -> Iterator[int]:
    """Days from 0, in a range of `length` days that begins on a weekday, that are the nth of their weekday."""
    for ordinal, weekday in pairs:
        first = (weekday - first_weekday) % 7
        day = first + (ordinal - 1) * 7 if ordinal > 0 else first + ((length - 1 - first) // 7 + 1 + ordinal) * 7
        if 0 <= day < length:
            yield day
