"""The recurrence engine: the instances of a rule as local times (RFC 5545 §3.3.10, §3.8.5.3).

A window is reached by arithmetic: the period in which it begins is computed, and nothing before it is looked at. COUNT
is turned into the time of the last instance first, by counting whole stretches and not instances.

What is settled where the RFC leaves a choice: DTSTART is the first instance and counts, whether it fits the rule or
not; rules of shorter periods than a day step in local time; COUNT counts local times; a local time that does not exist
in the zone is read with the offset before the gap (`Series.placed`); UNTIL as a date includes that day.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice

from server.calendar.recurrence_days import LAST_ORDINAL, DayRule
from server.calendar.recurrence_times import DAY_SECONDS, TimeRule
from server.calendar.rrule import Frequency, RecurrenceRule
from server.calendar.work import Work
from server.calendar.zones import Zone

LAST_LOCAL = datetime(9999, 12, 31, 23, 59, 59)
SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_GAPS_AHEAD = timedelta(days=800)
_LATEST = LAST_LOCAL.replace(tzinfo=UTC)
_LEAST_EVENING = 10
"""The hour in UTC at which the easternmost zone, at UTC+14, has midnight."""
_NO_GAP = (datetime.max, datetime.max)
_COUNTED_BY_ONE = 3000
"""A COUNT up to this is found by going over the instances."""
_STRETCHES = (timedelta(days=3650), timedelta(days=365), timedelta(days=28), _DAY, timedelta(hours=1))


class Series:
    """The instances that DTSTART and one RRULE give, in local time.

    :param start: DTSTART, naive: in `zone`, floating (no zone), or midnight of a date (`dates`).
    """

    def __init__(
        self, rule: RecurrenceRule, start: datetime, zone: Zone | None, work: Work, *, dates: bool = False
    ) -> None:
        self.rule = rule
        self.start = start
        self.zone = zone
        self.work = work
        self.dates = dates
        self._days = DayRule(rule, start.date())
        self._time_rule = TimeRule(rule, start, work, dates=dates)
        self._unit, self._times = self._time_rule.unit, self._time_rule.times
        self._positions = () if rule.freq >= Frequency.DAILY else rule.by_set_pos
        self._limit = _until_limit(rule.until, zone, dates=dates)
        if dates and isinstance(rule.until, datetime) and rule.until.tzinfo is not None:
            self._limit = self._limit_of_dates(rule.until)
        self._counted = rule.count is None

    @property
    def endless(self) -> bool:
        """Whether the rule has neither COUNT nor UNTIL."""
        return self.rule.count is None and self.rule.until is None

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Instances from `start` on and before `end`, ascending.

        :raises TooManyInstances: when the work is used up.
        """
        if start <= self.start:
            if self.start < end:
                yield self.start
            start = self.start + SECOND if self.start < LAST_LOCAL else LAST_LOCAL
        end = min(end, self._limit + SECOND) if self._limit < LAST_LOCAL else end
        if not self._counted and start < end:
            last = self._last_counted(end)
            if last is not None:
                end = min(end, last + SECOND)
        yield from self._instances(start, end)

    def placed(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """UTC (aware) and local time of the instances that `between` gives; for a series in a zone.

        Ascending by UTC time, and each UTC time once: a local time that does not exist is read with the offset before
        the gap (RFC 5545 §3.3.5, §3.3.10), so it can coincide with a later one, or be later than the next.

        :raises TooManyInstances: when the work is used up.
        """
        zone = self.zone
        assert zone is not None
        to_utc = zone.to_utc
        if not zone.has_gaps:
            for local in self.between(start, end):
                yield to_utc(local), local
            return
        until = self.rule.until
        latest = until if isinstance(until, datetime) and until.tzinfo is not None else _LATEST
        known_until = gap_start = gap_end = datetime.min
        gaps: Iterator[tuple[datetime, datetime]] = iter(())
        held: deque[tuple[datetime, datetime]] = deque()
        for local in self.between(start, end):
            utc = to_utc(local)
            if local >= known_until:
                known_until = local + _GAPS_AHEAD if LAST_LOCAL - local > _GAPS_AHEAD else datetime.max
                gaps = iter(zone.gaps(local, known_until))
                gap_start, gap_end = next(gaps, _NO_GAP)
            if local >= gap_start:
                while local >= gap_end:
                    gap_start, gap_end = next(gaps, _NO_GAP)
                if local >= gap_start:
                    if held and held[0][1] < gap_start:
                        yield from held
                        held.clear()
                    if utc <= latest or local == self.start:
                        held.append((utc, local))
                    continue
            while held and held[0][0] <= utc:
                earlier = held.popleft()
                if earlier[0] != utc:
                    yield earlier
            yield utc, local
        yield from held

    def generates(self, local: datetime) -> bool:
        """Whether the rule by itself, DTSTART or not, has an instance at a local time."""
        if local >= LAST_LOCAL:
            return False
        if not self._counted:
            self._last_counted(local + SECOND)
        return local <= self._limit and next(self._instances(local, local + SECOND), None) is not None

    def last(self) -> datetime | None:
        """The last instance; None when the rule is endless.

        :raises TooManyInstances: when the work is used up.
        """
        if self.endless:
            return None
        if not self._counted:
            self._last_counted(min(self._limit, LAST_LOCAL - SECOND) + SECOND)
        reach = timedelta(seconds=self._unit or DAY_SECONDS) * min(self.rule.interval, 10**6)
        end = min(self._limit, LAST_LOCAL - SECOND)
        while end > self.start:
            begin = end - reach if end - self.start > reach else self.start + SECOND
            found = deque(self._instances(begin, end + SECOND), maxlen=1)
            if found:
                return found[0]
            end = begin - SECOND
            reach = min(reach * 8, timedelta(days=3_700_000))
        return self.start

    # -- instances without COUNT -------------------------------------------------------------------------------------

    def _instances(self, start: datetime, end: datetime) -> Iterator[datetime]:
        if start >= end or not self._times:
            return iter(())
        if self._unit is not None:
            return self._by_units(start, end, self._unit)
        return self._by_days(start, end)

    def _by_days(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Instances of DAILY and the longer frequencies."""
        spend = self.work.spend
        times = self._times
        from_ordinal = datetime.fromordinal
        first_day, last_day = start.toordinal(), end.toordinal()
        for days in self._days.periods(first_day, last_day):
            found = len(self._positions) + len(days) if self._positions else len(days) * len(times)
            spend(found + self._days.period_cost)
            if not days:
                continue
            if self._positions:
                for instance in self._at_positions(days):
                    if instance >= end:
                        continue
                    if instance >= start:
                        yield instance
            else:
                for day in days:
                    if day < first_day:
                        continue
                    if day > last_day or day > LAST_ORDINAL:
                        return
                    midnight = from_ordinal(day)
                    for time in times:
                        instance = midnight + time
                        if instance < start:
                            continue
                        if instance >= end:
                            return
                        yield instance

    def _at_positions(self, days: Sequence[int]) -> list[datetime]:
        """The instances that BYSETPOS takes from those of a period."""
        times = self._times
        size = len(days) * len(times)
        chosen = {position - 1 if position > 0 else size + position for position in self._positions}
        instances = []
        for index in sorted(chosen):
            if 0 <= index < size:
                day, time = divmod(index, len(times))
                if 1 <= days[day] <= LAST_ORDINAL:
                    instances.append(datetime.fromordinal(days[day]) + times[time])
        return instances

    def _by_units(self, start: datetime, end: datetime, unit: int) -> Iterator[datetime]:
        """Instances of HOURLY, MINUTELY and SECONDLY: steps of `unit` seconds."""
        per_day = DAY_SECONDS // unit
        base = self._index(self.start, unit)
        interval = self.rule.interval
        spend = self.work.spend
        inner = self._times
        limited = self._days.has_limits
        index = self._index(start, unit)
        index += (base - index) % interval
        last_day = end.toordinal()
        while True:
            day = index // per_day
            if limited and day <= last_day:
                spend()
                allowed = self._days.next_day(day, last_day)
                if allowed is None:
                    return
                if allowed != day:
                    index = allowed * per_day
                    index += (base - index) % interval
                    day = index // per_day
                    if day != allowed:
                        continue
            if day > last_day or day > LAST_ORDINAL:
                return
            midnight = datetime.fromordinal(day)
            spend()
            for number in self._time_rule.units_of_day(index - day * per_day):
                spend()
                begin = midnight + timedelta(seconds=number * unit)
                for offset in inner:
                    instance = begin + offset
                    if instance < start:
                        continue
                    if instance >= end:
                        return
                    yield instance
                if self.dates:
                    break
            index = (day + 1) * per_day
            index += (base - index) % interval

    @staticmethod
    def _index(time: datetime, unit: int) -> int:
        """The number of the hour, minute or second of a time, from the proleptic day 0 on."""
        return (time.toordinal() * DAY_SECONDS + time.hour * 3600 + time.minute * 60 + time.second) // unit

    def _limit_of_dates(self, until: datetime) -> datetime:
        """The last local time that an UNTIL in UTC allows in a series of dates.

        Exchange writes midnight of the last day by the clock of its zone, which east of Greenwich is the evening before
        in UTC. So the limit is the day after when the rule falls on that day and not on the day of UNTIL.
        """
        day = datetime(until.year, until.month, until.day)
        if not until.second and until.hour >= _LEAST_EVENING and day.toordinal() < LAST_ORDINAL:
            after = day + _DAY
            falls_after = any(self._instances(after, after + SECOND))
            if falls_after and day != self.start and not any(self._instances(day, day + SECOND)):
                day = after
        return day.replace(hour=23, minute=59, second=59)

    # -- COUNT -------------------------------------------------------------------------------------------------------

    def _last_counted(self, end: datetime) -> datetime | None:
        """The time of the instance that COUNT names as the last; None when it is not before `end`."""
        left = (self.rule.count or 1) - 1
        last: datetime | None = self.start
        if left:
            cursor = self.start + SECOND if self.start < LAST_LOCAL else LAST_LOCAL
            if left > _COUNTED_BY_ONE:
                left, cursor = self._counted_off(left, cursor, end)
            last = next(islice(self._instances(cursor, end), left - 1, None), None)
        if last is not None:
            self._limit = min(self._limit, last)
            self._counted = True
        return last

    def _counted_off(self, left: int, cursor: datetime, end: datetime) -> tuple[int, datetime]:
        """Pass whole stretches of time that have fewer than `left` instances; what is left then, and from when on."""
        day_over = timedelta(seconds=DAY_SECONDS - self._index(cursor, 1) % DAY_SECONDS)
        stretches: Sequence[timedelta] = _STRETCHES
        if end - cursor > day_over:
            number = self._count(cursor, cursor + day_over)
            if number < left:
                left -= number
                cursor += day_over
            else:
                stretches = _STRETCHES[-1:]
        for stretch in stretches:
            while end - cursor > stretch:
                number = self._count(cursor, cursor + stretch)
                if number >= left:
                    break
                left -= number
                cursor += stretch
        return left, cursor

    def _count(self, start: datetime, end: datetime) -> int:
        """How many instances the rule has from `start` on and before `end`."""
        if start >= end or not self._times:
            return 0
        if self._unit is None:
            return self._count_days(start, end)
        is_plain = not (self.dates or self._time_rule.limits_units or self._days.has_limits)
        block = self._unit if is_plain else DAY_SECONDS
        first, after = -(-self._index(start, 1) // block), self._index(end, block)
        if first >= after:
            return sum(1 for _ in self._by_units(start, end, self._unit))
        number = sum(1 for _ in self._by_units(start, _at(first * block), self._unit))
        number += sum(1 for _ in self._by_units(_at(after * block), end, self._unit))
        if not is_plain:
            return number + self._count_units(first, after, self._unit)
        interval = self.rule.interval
        first += (self._index(self.start, block) - first) % interval
        return number + max(-(-(after - first) // interval), 0) * len(self._times)

    def _count_days(self, start: datetime, end: datetime) -> int:
        """Instances of DAILY and the longer frequencies: only periods at the edges are looked into."""
        first_day, last_day = start.toordinal(), end.toordinal()
        number = 0
        for days in self._days.periods(first_day, last_day):
            self.work.spend(self._days.period_cost)
            if not days:
                continue
            if days[0] > first_day and days[-1] < last_day:
                number += len(self._at_positions(days)) if self._positions else len(days) * len(self._times)
                continue
            if self._positions:
                number += sum(start <= instance < end for instance in self._at_positions(days))
            else:
                inner_first, inner_last = bisect_left(days, first_day + 1), bisect_left(days, last_day)
                number += max(inner_last - inner_first, 0) * len(self._times)
                for day in {first_day, last_day}:
                    position = bisect_left(days, day)
                    if position < len(days) and days[position] == day <= LAST_ORDINAL:
                        midnight = datetime.fromordinal(day)
                        number += sum(start <= midnight + time < end for time in self._times)
        return number

    def _count_units(self, first_day: int, last_day: int, unit: int) -> int:
        """Instances of HOURLY, MINUTELY and SECONDLY with limits on whole days, `last_day` not among them."""
        per_day = DAY_SECONDS // unit
        interval = self.rule.interval
        base = self._index(self.start, unit)
        limited = self._days.has_limits
        day_is_uniform = per_day % interval == 0
        number = 0
        by_phase: dict[int, int] = {}
        index = first_day * per_day
        index += (base - index) % interval
        while (day := index // per_day) < last_day:
            self.work.spend()
            if limited:
                allowed = self._days.next_day(day, last_day - 1)
                if allowed is None:
                    break
                if allowed != day:
                    index = allowed * per_day
                    index += (base - index) % interval
                    continue
            phase = index - day * per_day
            if phase not in by_phase:
                size = self._time_rule.count_units(phase)
                by_phase[phase] = min(size, 1) if self.dates else size * len(self._times)
            if day_is_uniform and not limited:
                return (last_day - day) * by_phase[phase]
            number += by_phase[phase]
            index = (day + 1) * per_day
            index += (base - index) % interval
        return number


def _at(seconds: int) -> datetime:
    """The inverse of `Series._index` for seconds."""
    day, second = divmod(seconds, DAY_SECONDS)
    return datetime.fromordinal(day) + timedelta(seconds=second)


def _until_limit(until: date | datetime | None, zone: Zone | None, *, dates: bool) -> datetime:
    """The last local time that UNTIL allows."""
    if until is None:
        return LAST_LOCAL
    if not isinstance(until, datetime):
        return datetime(until.year, until.month, until.day, 23, 59, 59)
    if until.tzinfo is not None and zone is not None and not dates:
        return zone.latest_local(until)
    until = until.replace(tzinfo=None)
    return until.replace(hour=23, minute=59, second=59) if dates else until
