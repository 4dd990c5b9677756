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


class Zone:
    """A time zone.

    :param key: what names the zone in rows: an IANA name, or the hash of its rules.
    :param first_offset: the offset from UTC before the first transition.
    :param transitions: ascending.
    :param yearly: the transitions of a year after the last of `transitions`, for zones whose changes go on.
    """

    __slots__ = (
        "_bases",
        "_bounds",
        "_gaps",
        "_is_full",
        "_last",
        "_offsets",
        "_table_end",
        "_utc",
        "_yearly",
        "first_offset",
        "key",
    )

    def __init__(
        self,
        key: str,
        first_offset: timedelta,
        transitions: Iterable[Transition] = (),
        yearly: Callable[[int], Sequence[Transition]] | None = None,
    ) -> None:
        self.key = key
        self.first_offset = first_offset
        self._utc: list[datetime] = []
        self._offsets: list[timedelta] = [first_offset]
        self._bounds: list[datetime] = []
        self._bases: list[datetime] = [_EPOCH_UTC - first_offset]
        self._gaps: list[tuple[datetime, datetime]] = []
        self._yearly = yearly
        self._last = datetime.min
        for at, offset in transitions:
            self._add(at, offset)
        self._is_full = yearly is None
        self._table_end = datetime.max
        if yearly is not None:
            begin = self._last.year if self._last > datetime.min else 1970
            self._fill(begin, max(_TABLE_YEAR, begin + 2))

    def __repr__(self) -> str:
        return f"<Zone {self.key}>"

    def _add(self, at: datetime, offset: timedelta) -> None:
        """Add a transition behind the others; one that changes nothing or comes before them is left out."""
        before = self._offsets[-1]
        if at <= self._last:
            return
        self._last = at
        if offset == before:
            return
        try:
            bound = at + max(before, offset)
            if offset > before:
                self._gaps.append((at + before, bound))
        except OverflowError:
            return
        if self._bounds and bound <= self._bounds[-1]:
            bound = self._bounds[-1] + timedelta(seconds=1)
        self._utc.append(at)
        self._offsets.append(offset)
        self._bounds.append(bound)
        self._bases.append(_EPOCH_UTC - offset)

    def _fill(self, first_year: int, after_year: int) -> None:
        """Add the yearly transitions of some years; the table is good up to the end of the last."""
        if self._yearly is not None:
            for year in range(first_year, after_year):
                for at, offset in self._yearly(year):
                    self._add(at, offset)
        self._table_end = datetime(after_year, 1, 1)

    def _in_table(self, time: datetime) -> datetime:
        """A time that the table holds and that is like the given one, which lies behind the table."""
        if not self._is_full:
            year = self._table_end.year
            self._fill(year, year + _CYCLE_YEARS)
            self._is_full = True
        if time >= self._table_end:
            return time - ((time - self._table_end) // _CYCLE + 1) * _CYCLE
        return time

    def to_utc(self, local: datetime) -> datetime:
        """The UTC time (aware) of a local time (naive); cut to the years 1 to 9999.

        A local time that exists twice is the first of the two; one that does not exist is read with the offset before
        the gap (RFC 5545 §3.3.5).
        """
        like = local if local < self._table_end else self._in_table(local)
        try:
            return self._bases[bisect_right(self._bounds, like)] + (local - _EPOCH)
        except OverflowError:
            return _EARLIEST if local < _EPOCH else _LATEST

    def offset_at(self, utc: datetime) -> timedelta:
        """The offset from UTC at a time in UTC."""
        naive = utc.replace(tzinfo=None)
        return self._offsets[bisect_right(self._utc, naive if naive < self._table_end else self._in_table(naive))]

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
        like = naive if naive < self._table_end else self._in_table(naive)
        index = bisect_right(self._utc, like)
        if index and self._offsets[index] < self._offsets[index - 1]:
            first_pass_end = self._bounds[index - 1] + (naive - like)
            if local < first_pass_end:
                return first_pass_end - timedelta(seconds=1)
        return local

    @property
    def has_gaps(self) -> bool:
        """Whether there are local times that do not exist."""
        return bool(self._gaps)

    def gaps(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """The stretches of local time that do not exist and overlap `start`–`end`, ascending, as (start, end)."""
        if not self._gaps or start >= end:
            return []
        if end > self._table_end:
            self._in_table(end)
        found = self._gaps_in_table(start, min(end, self._table_end))
        begin = max(start, self._table_end)
        while begin < end:
            shift = begin - self._in_table(begin)
            until = min(end - shift, self._table_end)
            found += [(first + shift, after + shift) for first, after in self._gaps_in_table(begin - shift, until)]
            begin = until + shift
        return found

    def _gaps_in_table(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        first = bisect_right(self._gaps, start, key=lambda gap: gap[1])
        return self._gaps[first : bisect_left(self._gaps, end, lo=first, key=lambda gap: gap[0])]

    def exists(self, local: datetime) -> bool:
        """Whether a local time exists."""
        return not self.gaps(local, local + timedelta(seconds=1))

    def transitions(self, start: datetime, end: datetime) -> list[Transition]:
        """The changes of the offset from `start` on and before `end` (naive UTC), in years up to 2100."""
        first = bisect_left(self._utc, start)
        after = bisect_left(self._utc, end, lo=first)
        return list(zip(self._utc[first:after], self._offsets[first + 1 : after + 1], strict=True))


UTC_ZONE = Zone("UTC", _ZERO)
