"""Time zones as values: local time to UTC and back, at any date.

A `Zone` is a table of transitions, and what the years after the table look like. It knows nothing of where it comes
from: `server.calendar.iana` reads the zones of the IANA database, `server.calendar.vtimezone` those that an iCalendar
text brings.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

Transition = tuple[datetime, timedelta]
"""A change of a zone's offset: when, in UTC (naive), and the offset from UTC from then on."""

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_CYCLE = timedelta(days=146_097)
"""400 years, after which weekdays and leap years repeat."""
_CYCLE_YEARS = 400
_TABLE_YEAR = 2100
"""Tables reach the begin of this year at first, and of 400 more when a later time is asked for."""
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_ZERO = timedelta(0)


class _Table:
    """The transitions of a zone up to a year. Nothing changes it once a `Zone` refers to it."""

    __slots__ = ("bases", "bounds", "end", "gaps", "last", "offsets", "utc")

    def __init__(self, first_offset: timedelta) -> None:
        self.utc: list[datetime] = []
        self.offsets: list[timedelta] = [first_offset]
        """Before the first transition, and from each one on."""
        self.bounds: list[datetime] = []
        """Local times from which on the offset of a transition holds."""
        self.bases: list[datetime] = [_EPOCH_UTC - first_offset]
        """For each offset, the UTC time of 1970-01-01 in local time."""
        self.gaps: list[tuple[datetime, datetime]] = []
        self.last = datetime.min
        self.end = datetime.max
        """The table holds for times before this one."""

    def copy(self) -> _Table:
        """A table with the same transitions, to which others can be added."""
        made = _Table(self.offsets[0])
        made.utc, made.offsets = self.utc.copy(), self.offsets.copy()
        made.bounds, made.bases, made.gaps = self.bounds.copy(), self.bases.copy(), self.gaps.copy()
        made.last, made.end = self.last, self.end
        return made

    def add(self, at: datetime, offset: timedelta) -> None:
        """Add a transition behind the others; one that changes nothing or comes before them is left out."""
        before = self.offsets[-1]
        if at <= self.last:
            return
        self.last = at
        if offset == before:
            return
        try:
            bound = at + max(before, offset)
            if offset > before:
                self.gaps.append((at + before, bound))
        except OverflowError:
            return
        if self.bounds and bound <= self.bounds[-1]:
            bound = self.bounds[-1] + timedelta(seconds=1)
        self.utc.append(at)
        self.offsets.append(offset)
        self.bounds.append(bound)
        self.bases.append(_EPOCH_UTC - offset)

    def fill(self, yearly: Callable[[int], Sequence[Transition]], first_year: int, after_year: int) -> None:
        """Add the yearly transitions of some years; the table holds up to the end of the last."""
        for year in range(first_year, after_year):
            for at, offset in yearly(year):
                self.add(at, offset)
        self.end = datetime(after_year, 1, 1)

    def gaps_within(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """The gaps that overlap a stretch of local time, ascending."""
        first = bisect_right(self.gaps, start, key=lambda gap: gap[1])
        return self.gaps[first : bisect_left(self.gaps, end, lo=first, key=lambda gap: gap[0])]


class Zone:
    """A time zone. Threads may share one: a table that grows is a new table, put in place by one assignment.

    :param key: what names the zone in rows: an IANA name, or the hash of its rules.
    :param first_offset: the offset from UTC before the first transition.
    :param transitions: ascending.
    :param yearly: the transitions of a year after the last of `transitions`, for zones whose changes go on.
    """

    __slots__ = ("_full", "_table", "_yearly", "first_offset", "key")

    def __init__(
        self,
        key: str,
        first_offset: timedelta,
        transitions: Iterable[Transition] = (),
        yearly: Callable[[int], Sequence[Transition]] | None = None,
    ) -> None:
        self.key = key
        self.first_offset = first_offset
        table = _Table(first_offset)
        for at, offset in transitions:
            table.add(at, offset)
        self._yearly = yearly
        self._full = table if yearly is None else None
        if yearly is not None:
            begin = table.last.year if table.last > datetime.min else 1970
            table.fill(yearly, begin, max(_TABLE_YEAR, begin + 2))
        self._table = table

    def __repr__(self) -> str:
        return f"<Zone {self.key}>"

    def _full_table(self) -> _Table:
        """The table with 400 more years, after which all repeats."""
        table = self._full
        if table is None:
            table = self._table.copy()
            if self._yearly is not None:
                table.fill(self._yearly, table.end.year, table.end.year + _CYCLE_YEARS)
            self._full = self._table = table
        return table

    def _at(self, time: datetime) -> tuple[_Table, datetime]:
        """A table, and a time that it holds and that is like the given one."""
        table = self._table
        if time < table.end:
            return table, time
        table = self._full_table()
        if time >= table.end:
            time -= ((time - table.end) // _CYCLE + 1) * _CYCLE
        return table, time

    def to_utc(self, local: datetime) -> datetime:
        """The UTC time (aware) of a local time (naive); cut to the years 1 to 9999.

        A local time that exists twice is the first of the two; one that does not exist is read with the offset before
        the gap (RFC 5545 §3.3.5).
        """
        table = self._table
        like = local
        if local >= table.end:
            table, like = self._at(local)
        try:
            return table.bases[bisect_right(table.bounds, like)] + (local - _EPOCH)
        except OverflowError:
            return _EARLIEST if local < _EPOCH else _LATEST

    def offset_at(self, utc: datetime) -> timedelta:
        """The offset from UTC at a time in UTC."""
        table, like = self._at(utc.replace(tzinfo=None))
        return table.offsets[bisect_right(table.utc, like)]

    def to_local(self, utc: datetime) -> datetime:
        """The local time (naive) of a UTC time (aware); cut to the years 1 to 9999."""
        try:
            return utc.replace(tzinfo=None) + self.offset_at(utc)
        except OverflowError:
            return (_EARLIEST if utc < _EPOCH_UTC else _LATEST).replace(tzinfo=None)

    def latest_local(self, utc: datetime) -> datetime:
        """The latest local time whose UTC time, by `to_utc`, is not later than `utc`, in whole seconds."""
        local = self.to_local(utc)
        naive = utc.replace(tzinfo=None)
        table, like = self._at(naive)
        index = bisect_right(table.utc, like)
        if index and table.offsets[index] < table.offsets[index - 1]:
            first_pass_end = table.bounds[index - 1] + (naive - like)
            if local < first_pass_end:
                return first_pass_end - timedelta(seconds=1)
        return local

    @property
    def has_gaps(self) -> bool:
        """Whether there are local times that do not exist."""
        return bool(self._table.gaps)

    def gaps(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """The stretches of local time that do not exist and overlap `start`–`end`, ascending, as (start, end)."""
        table = self._table
        if not table.gaps or start >= end:
            return []
        if end <= table.end:
            return table.gaps_within(start, end)
        table = self._full_table()
        found = table.gaps_within(start, min(end, table.end))
        begin = max(start, table.end)
        while begin < end:
            shift = begin - self._at(begin)[1]
            until = min(end - shift, table.end)
            found += [(first + shift, after + shift) for first, after in table.gaps_within(begin - shift, until)]
            begin = until + shift
        return found

    def exists(self, local: datetime) -> bool:
        """Whether a local time exists."""
        return not self.gaps(local, local + timedelta(seconds=1))

    def transitions(self, start: datetime, end: datetime) -> list[Transition]:
        """The changes of the offset from `start` on and before `end` (naive UTC), in years up to 2100."""
        table = self._table
        first = bisect_left(table.utc, start)
        after = bisect_left(table.utc, end, lo=first)
        return list(zip(table.utc[first:after], table.offsets[first + 1 : after + 1], strict=True))


UTC_ZONE = Zone("UTC", _ZERO)
