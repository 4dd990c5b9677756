"""Rooms for a meeting: free at its time, large enough, with what it needs, near an office; ranked. Pure.

    find(rooms, wanted, zone) -> Findings

What a meeting demands leaves rooms out, and `Findings.left_out` counts them by reason. The others come in this order:
rooms that are free at the time, then those that are free soonest; among them the one that costs the fewest points. A
floor on the way from the office costs 4, another building 40, another site 400 (`server.booking.places`), an empty seat
1, a feature that nobody asked for 2, and a capacity that is not known 20, as does an approval that is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from server.booking.free_time import STEP, Period, conflict, free_until, merged, next_free
from server.booking.places import NOWHERE, Place, way
from server.domain.rooms import RoomType

EMPTY_SEAT = 1
NEEDLESS_FEATURE = 2
UNKNOWN_CAPACITY = 20
APPROVAL = 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A room or piece of equipment, and when it cannot be booked. Times are aware."""

    uid: str
    """The stable id of its principal."""
    name: str
    """As people read it."""
    type: RoomType = "ROOM"
    capacity: int | None = None
    features: frozenset[str] = frozenset()
    accessible: bool = False
    place: Place = NOWHERE
    taken: Sequence[Period] = ()
    """When no other meeting may run in it, merged and ascending: it has no piece left, or needs a buffer."""
    closed: Sequence[Period] = ()
    """Outside of its opening times, merged and ascending."""
    shortest: timedelta | None = None
    longest: timedelta | None = None
    """The meetings that it takes."""
    bookable_until: datetime | None = None
    """The end of its booking window: meetings begin by it."""
    may_book: bool = True
    """Whether who asks may book or request it."""
    by_approval: bool = False
    """Whether somebody has to approve."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a room must have."""

    people: int = 0
    """Seats; 0: any number."""
    features: frozenset[str] = frozenset()
    accessible: bool = False
    near: Place | None = None
    """An office; it only ranks the rooms."""
    type: RoomType = "ROOM"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for."""

    start: datetime
    duration: timedelta
    """More than zero."""
    until: datetime
    """The next free slots end by this."""
    needs: Needs


class LeftOut(StrEnum):
    """Why a room is not among those that were found; the first that holds."""

    NOT_ALLOWED = "not yours to book"
    TOO_SMALL = "too small"
    LACKS_FEATURES = "without what is needed"
    NOT_ACCESSIBLE = "not accessible"
    DURATION = "not booked for so short or long"
    WINDOW = "not booked so far ahead"
    FULL = "without free time until then"


@dataclass(frozen=True, slots=True)
class Offer:
    """A room that fits."""

    room: Candidate
    slot: Period
    """The next free slot: the time itself, if the room is free then."""
    free: bool
    """Whether it is free at the time that is wanted."""
    cost: int
    reasons: tuple[str, ...]
    """In words, the most important first."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a search found."""

    rooms: tuple[Offer, ...]
    left_out: Mapping[LeftOut, int]
    """Without those of another type."""


def find(rooms: Iterable[Candidate], wanted: Wanted, zone: tzinfo, limit: int | None = None) -> Findings:
    """The rooms that fit, ranked, at most `limit`.

    :param zone: that of the times in reasons.
    """
    left_out: Counter[LeftOut] = Counter()
    ranked: list[tuple[bool, datetime, int, str, str, Candidate]] = []
    for room in rooms:
        if room.type != wanted.needs.type:
            continue
        reason = lacking(room, wanted.needs, wanted.duration)
        if reason is not None:
            left_out[reason] += 1
            continue
        slot = next_slot(room, wanted.start, wanted.duration, wanted.until)
        if slot is None:
            left_out[_why_no_slot(room, wanted)] += 1
            continue
        ranked.append((slot[0] != wanted.start, slot[0], cost_of(room, wanted.needs), room.name, room.uid, room))
    ranked.sort(key=lambda each: each[:5])
    offers = (
        Offer(room, (start, start + wanted.duration), not later, cost, _reasons(room, start, wanted, zone))
        for later, start, cost, _, _, room in ranked[:limit]
    )
    return Findings(tuple(offers), left_out)


def alternative(
    room: Candidate, others: Iterable[Candidate], period: Period, people: int | None = None
) -> Candidate | None:
    """A room like one that cannot be booked: free then, with its features, as large, and as near to it as possible.

    :param people: who come; None: as many as the room holds. If no room is as large, one for so many people is taken.
    """
    start, end = period
    if start >= end:
        return None
    others = [each for each in others if each.uid != room.uid]
    for seats in (room.capacity or 0, people):
        if seats is not None:
            needs = Needs(seats, room.features, room.accessible, room.place, room.type)
            found = find(others, Wanted(start, end - start, end, needs), UTC, 1).rooms
            if found:
                return found[0].room
    return None


def lacking(room: Candidate, needs: Needs, duration: timedelta) -> LeftOut | None:
    """Why a room does not fit at any time."""
    if not room.may_book:
        return LeftOut.NOT_ALLOWED
    if room.capacity is not None and room.capacity < needs.people:
        return LeftOut.TOO_SMALL
    if not needs.features <= room.features:
        return LeftOut.LACKS_FEATURES
    if needs.accessible and not room.accessible:
        return LeftOut.NOT_ACCESSIBLE
    if (room.shortest is not None and duration < room.shortest) or (
        room.longest is not None and duration > room.longest
    ):
        return LeftOut.DURATION
    return None


def blocked(room: Candidate) -> Sequence[Period]:
    """When no meeting may run in a room, merged and ascending."""
    return merged((*room.taken, *room.closed)) if room.closed else room.taken


def next_slot(
    room: Candidate, start: datetime, duration: timedelta, until: datetime, step: timedelta = STEP
) -> Period | None:
    """The first time from `start` on at which a room is free for so long, in its booking window."""
    last = until if room.bookable_until is None else min(until, room.bookable_until + duration)
    return next_free(blocked(room), start, duration, last, step)


def cost_of(room: Candidate, needs: Needs) -> int:
    """The points of a room that fits."""
    cost = NEEDLESS_FEATURE * len(room.features - needs.features) + APPROVAL * room.by_approval
    if needs.near is not None:
        cost += way(needs.near, room.place).cost
    if needs.people:
        cost += UNKNOWN_CAPACITY if room.capacity is None else EMPTY_SEAT * (room.capacity - needs.people)
    return cost


def fit_in_words(room: Candidate, needs: Needs) -> tuple[str, ...]:
    """Why a room fits at any time."""
    words = []
    if needs.people:
        words.append(
            "its seats are not known" if room.capacity is None else f"{room.capacity} seats for {needs.people}"
        )
    if needs.features:
        words.append(f"has {', '.join(sorted(needs.features))}")
    if needs.accessible:
        words.append("accessible")
    if needs.near is not None:
        words.append(way(needs.near, room.place).words)
    if room.by_approval:
        words.append("somebody has to approve")
    return tuple(words)


def _reasons(room: Candidate, start: datetime, wanted: Wanted, zone: tzinfo) -> tuple[str, ...]:
    end = wanted.start + wanted.duration
    if start == wanted.start:
        until = free_until(blocked(room), end)
        soon = until is not None and until <= wanted.until
        words = f"free until {_clock(until, start, zone)}" if until is not None and soon else "free"
    else:
        closed = conflict(room.closed, wanted.start, end)
        hindrance = closed or conflict(room.taken, wanted.start, end)
        # Free at a time that was asked for off the grid, the room would begin then.
        assert hindrance is not None
        why = "closed" if closed else "booked"
        words = f"free from {_clock(start, wanted.start, zone)}, {why} until {_clock(hindrance[1], wanted.start, zone)}"
    return (words, *fit_in_words(room, wanted.needs))


def _why_no_slot(room: Candidate, wanted: Wanted) -> LeftOut:
    beyond = room.bookable_until is not None and wanted.start > room.bookable_until
    return LeftOut.WINDOW if beyond else LeftOut.FULL


def _clock(time: datetime, beside: datetime, zone: tzinfo) -> str:
    """A time of day, with its date where it is another day than that of a time beside it."""
    local = time.astimezone(zone)
    same_day = local.date() == beside.astimezone(zone).date()
    return f"{local:%H:%M}" if same_day else f"{local:%Y-%m-%d %H:%M}"
