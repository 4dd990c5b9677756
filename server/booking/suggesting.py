"""Times for a meeting: when its people and a room are free; ranked. Pure.

    suggest(people, rooms, wanted, zone) -> Suggestions

A time that suits more of the people comes first: by required people who cannot come, then by required ones who are
tentatively busy or whose times are not known, then by optional ones likewise. Of equal times the earlier comes first.
Times that overlap a better one are not suggested.

Every start on the grid is a bit of an integer, so that a person or a room with thousands of busy times costs one mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from server.booking.finding import Candidate, Needs, blocked, cost_of, fit_in_words, lacking
from server.booking.free_time import STEP, Period, ceiled
from server.calendar.freebusy import BusyPeriod
from server.domain.occurrences import Busy

ROOMS_OF_A_TIME = 3
"""Rooms that are named with a suggestion."""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who is to come."""

    name: str
    """As people read it."""
    busy: Sequence[BusyPeriod] | None
    """None: not known, or not for the eyes of who asks."""
    required: bool = True


@dataclass(frozen=True, slots=True)
class WantedTimes:
    """What is looked for."""

    start: datetime
    end: datetime
    """The window in which the meeting lies."""
    duration: timedelta
    """More than zero."""
    hours: Sequence[Period] | None = None
    """The hours in which the meeting lies, merged and ascending; None: any."""
    needs: Needs | None = None
    """What the room must have; None: no room is needed."""
    missing: int = 0
    """How many of the required people may be missing."""
    limit: int = 10
    step: timedelta = STEP
    """Meetings begin at multiples of it."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A time for the meeting."""

    start: datetime
    end: datetime
    missing: tuple[str, ...]
    """Required people who cannot come."""
    doubtful: tuple[str, ...]
    """Required people who are tentatively busy, or whose times are not known."""
    optional_missing: tuple[str, ...]
    optional_doubtful: tuple[str, ...]
    rooms: tuple[Candidate, ...]
    """The best of those that are free, at most `ROOMS_OF_A_TIME`; none if no room is needed."""
    reasons: tuple[str, ...]
    """In words."""


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What a search found."""

    times: tuple[Suggestion, ...]
    next_free: Period | None
    """The first time at which all required people are free, with a room if one is needed."""
    fewest_missing: int | None
    """How many required people are missing at best; None: there is no time at all, such as without a free room."""
    rooms_that_fit: int
    """Rooms that have what is needed, at whatever time."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """The starts that are looked at."""

    first: datetime
    step: timedelta
    duration: timedelta
    count: int

    def start(self, index: int) -> datetime:
        return self.first + index * self.step

    def touching(self, periods: Iterable[Period]) -> int:
        """The starts of meetings that overlap one of the periods."""
        found = 0
        for start, end in periods:
            found |= self._between((start - self.duration - self.first) // self.step + 1, self._index_from(end))
        return found

    def within(self, periods: Iterable[Period]) -> int:
        """The starts of meetings that lie in one of the periods."""
        found = 0
        for start, end in periods:
            found |= self._between(self._index_from(start), (end - self.duration - self.first) // self.step + 1)
        return found

    def beginning_by(self, time: datetime) -> int:
        """The starts that are not after a time."""
        return self._between(0, (time - self.first) // self.step + 1)

    def _index_from(self, time: datetime) -> int:
        """The index of the first start that is not before a time."""
        return -((self.first - time) // self.step)

    def _between(self, first: int, end: int) -> int:
        first, end = max(first, 0), min(end, self.count)
        return (1 << end) - (1 << first) if first < end else 0


def suggest(
    people: Sequence[Participant], rooms: Iterable[Candidate], wanted: WantedTimes, zone: tzinfo
) -> Suggestions:
    """The best times for a meeting.

    :param zone: that of the times in reasons.
    """
    first = ceiled(wanted.start, wanted.step)
    count = max((wanted.end - wanted.duration - first) // wanted.step + 1, 0)
    grid = _Grid(first, wanted.step, wanted.duration, count)
    free_rooms = _free_rooms(grid, rooms, wanted)
    possible = (1 << count) - 1 if wanted.hours is None else grid.within(wanted.hours)
    if wanted.needs is not None:
        with_room = 0
        for _, mask in free_rooms:
            with_room |= mask
        possible &= with_room
    kinds = [_Attendance.of(grid, people, required=required) for required in (True, False)]
    ranked = sorted(
        (*required, *optional, index)
        for index, required, optional in zip(
            range(count), kinds[0].counted(count), kinds[1].counted(count), strict=True
        )
        if possible >> index & 1
    )
    times: list[Suggestion] = []
    for rank in ranked:
        if len(times) == wanted.limit or rank[0] > wanted.missing:
            break
        start = grid.start(rank[-1])
        if all(start >= time.end or start + wanted.duration <= time.start for time in times):
            times.append(_suggestion(grid, rank[-1], kinds, free_rooms, wanted, zone))
    suiting = possible & ~(kinds[0].cannot_any | kinds[0].may_not_any)
    index = (suiting & -suiting).bit_length() - 1
    next_free = (grid.start(index), grid.start(index) + wanted.duration) if suiting else None
    return Suggestions(tuple(times), next_free, ranked[0][0] if ranked else None, len(free_rooms))


@dataclass(frozen=True, slots=True)
class _Attendance:
    """When the required, or the optional, people cannot come, and when they perhaps can."""

    names: tuple[str, ...]
    cannot: tuple[int, ...]
    may_not: tuple[int, ...]
    """Without what is in `cannot`."""
    known: tuple[bool, ...]

    @classmethod
    def of(cls, grid: _Grid, people: Iterable[Participant], *, required: bool) -> _Attendance:
        names, cannot, may_not, known = [], [], [], []
        for person in people:
            if person.required is not required:
                continue
            hard = grid.touching(_periods(person, tentative=False))
            soft = (1 << grid.count) - 1 if person.busy is None else grid.touching(_periods(person, tentative=True))
            names.append(person.name)
            cannot.append(hard)
            may_not.append(soft & ~hard)
            known.append(person.busy is not None)
        return cls(tuple(names), tuple(cannot), tuple(may_not), tuple(known))

    @property
    def cannot_any(self) -> int:
        return _union(self.cannot)

    @property
    def may_not_any(self) -> int:
        return _union(self.may_not)

    def counted(self, count: int) -> Iterator[tuple[int, int]]:
        """For each start, how many cannot come and how many perhaps cannot."""
        return zip(_counts(self.cannot, count), _counts(self.may_not, count), strict=True)


def _periods(person: Participant, *, tentative: bool) -> Iterator[Period]:
    for start, end, busy in person.busy or ():
        if busy is not Busy.FREE and (busy is Busy.TENTATIVE) is tentative:
            yield start, end


def _counts(masks: Sequence[int], count: int) -> Iterable[int]:
    if not masks or not count:
        return [0] * count
    # The digits from the lowest bit on; the added bit keeps leading zeros.
    digits = (bin(mask | 1 << count)[:2:-1] for mask in masks)
    return (column.count("1") for column in zip(*digits, strict=True))


def _union(masks: Iterable[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found


def _free_rooms(grid: _Grid, rooms: Iterable[Candidate], wanted: WantedTimes) -> list[tuple[Candidate, int]]:
    """The rooms that fit, the best first, with the starts at which they are free."""
    needs = wanted.needs
    if needs is None:
        return []
    fitting = [room for room in rooms if room.type == needs.type and lacking(room, needs, wanted.duration) is None]
    fitting.sort(key=lambda room: (cost_of(room, needs), room.name, room.uid))
    found = []
    for room in fitting:
        mask = (1 << grid.count) - 1 if room.bookable_until is None else grid.beginning_by(room.bookable_until)
        found.append((room, mask & ~grid.touching(blocked(room))))
    return found


def _suggestion(
    grid: _Grid,
    index: int,
    kinds: Sequence[_Attendance],
    free_rooms: Sequence[tuple[Candidate, int]],
    wanted: WantedTimes,
    zone: tzinfo,
) -> Suggestion:
    required, optional = kinds
    start = grid.start(index)
    rooms = tuple(room for room, mask in free_rooms if mask >> index & 1)[:ROOMS_OF_A_TIME]
    missing, doubtful = _named(required, required.cannot, index), _named(required, required.may_not, index)
    reasons = []
    if required.names and not missing and not doubtful:
        reasons.append("everybody who is required is free" if optional.names else "everybody is free")
    reasons += _attendance_in_words(required, index)
    reasons += [f"optional: {words}" for words in _attendance_in_words(optional, index)]
    if rooms and wanted.needs is not None:
        reasons.append("; ".join((rooms[0].name, *fit_in_words(rooms[0], wanted.needs))))
    return Suggestion(
        start,
        start + wanted.duration,
        missing,
        doubtful,
        _named(optional, optional.cannot, index),
        _named(optional, optional.may_not, index),
        rooms,
        tuple(reasons),
    )


def _named(people: _Attendance, masks: Sequence[int], index: int) -> tuple[str, ...]:
    return tuple(name for name, mask in zip(people.names, masks, strict=True) if mask >> index & 1)


def _attendance_in_words(people: _Attendance, index: int) -> list[str]:
    words = []
    for name, cannot, may_not, known in zip(people.names, people.cannot, people.may_not, people.known, strict=True):
        if cannot >> index & 1:
            words.append(f"{name} is busy")
        elif may_not >> index & 1:
            words.append(f"{name} is tentatively busy" if known else f"the times of {name} are not known")
    return words
