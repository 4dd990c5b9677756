"""At which times of day a recurrence rule falls (RFC 5545 §3.3.10): BYHOUR, BYMINUTE, BYSECOND.

For DAILY and the longer frequencies they are the same on every day. For HOURLY, MINUTELY and SECONDLY the period is a
*unit* of the day, numbered from 0: parts for the unit and longer times limit the units, parts for shorter times expand
within one. Second 60 is none: the parser has made it 59.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice

from server.calendar.rrule import Frequency, RecurrenceRule
from server.calendar.work import Work

DAY_SECONDS = 86400
_UNIT_SECONDS = {Frequency.HOURLY: 3600, Frequency.MINUTELY: 60, Frequency.SECONDLY: 1}


class TimeRule:
    """The times of day of a rule; a rule of dates has midnight only, and its parts about times count for nothing."""

    def __init__(self, rule: RecurrenceRule, start: datetime, work: Work, *, dates: bool) -> None:
        self._rule = rule
        self._work = work
        self._dates = dates
        self.unit = _UNIT_SECONDS.get(rule.freq)
        """Seconds of a period that is shorter than a day; None for DAILY and longer ones."""
        self.limits_units = (
            not dates
            and self.unit is not None
            and bool(
                rule.by_hour
                or (rule.freq > Frequency.HOURLY and rule.by_minute)
                or (rule.freq is Frequency.SECONDLY and rule.by_second)
            )
        )
        """Whether some units of a day are left out, whatever INTERVAL says."""
        self.times = self._times(start)
        """The instances on a day, counted from midnight; of a unit, counted from its begin."""
        self._found: tuple[int, Sequence[int]] | None = None
        self._candidates: Sequence[int] | None = None
        self._candidate_set: frozenset[int] | None = None

    def _times(self, start: datetime) -> tuple[timedelta, ...]:
        """BYSETPOS is applied where every period has the same times: for DAILY and the shorter frequencies."""
        rule, freq = self._rule, self._rule.freq
        seconds = [0]
        if not self._dates:
            if freq <= Frequency.DAILY:
                seconds = [hour * 3600 for hour in rule.by_hour or (start.hour,)]
            if freq <= Frequency.HOURLY:
                seconds = [before + minute * 60 for before in seconds for minute in rule.by_minute or (start.minute,)]
            if freq <= Frequency.MINUTELY:
                seconds = [before + second for before in seconds for second in rule.by_second or (start.second,)]
        if freq >= Frequency.DAILY and rule.by_set_pos:
            size = len(seconds)
            chosen = {position - 1 if position > 0 else size + position for position in rule.by_set_pos}
            seconds = [seconds[index] for index in sorted(chosen) if 0 <= index < size]
        self._work.spend(len(seconds) // 8)
        return tuple(timedelta(seconds=second) for second in seconds)

    def units_of_day(self, first: int) -> Sequence[int] | Iterator[int]:
        """The units of a day on which the rule falls, ascending from `first`, which is in step with INTERVAL."""
        interval = self._rule.interval
        per_day = DAY_SECONDS // (self.unit or DAY_SECONDS)
        if not self.limits_units:
            return range(first, per_day, interval)
        candidates = self._unit_candidates()
        position = bisect_left(candidates, first)
        if interval == 1:
            return islice(candidates, position, None) if position else candidates
        if self._found is not None and self._found[0] == first:
            return self._found[1]
        self._work.spend(min(len(candidates), per_day // interval) // 8)
        if per_day // interval < len(candidates):
            if self._candidate_set is None:
                self._candidate_set = frozenset(candidates)
            units = [unit for unit in range(first, per_day, interval) if unit in self._candidate_set]
        else:
            units = [unit for unit in islice(candidates, position, None) if (unit - first) % interval == 0]
        self._found = (first, units)
        return units

    def count_units(self, first: int) -> int:
        """How many units `units_of_day` gives."""
        units = self.units_of_day(first)
        return len(units) if isinstance(units, Sequence) else sum(1 for _ in units)

    def _unit_candidates(self) -> Sequence[int]:
        """The units of any day that satisfy the parts that limit them."""
        if self._candidates is None:
            rule = self._rule
            numbers: list[int] = list(rule.by_hour or range(24))
            if rule.freq > Frequency.HOURLY:
                numbers = [number * 60 + minute for number in numbers for minute in rule.by_minute or range(60)]
            if rule.freq is Frequency.SECONDLY:
                numbers = [number * 60 + second for number in numbers for second in rule.by_second or range(60)]
            self._work.spend(len(numbers) // 8)
            self._candidates = numbers
        return self._candidates
