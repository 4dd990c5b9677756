"""The protocol for reservations: when rooms and equipment are taken.

Every busy instance of an event in the calendars of a room is a reservation, whoever writes it: one for the room, or one
for each of its parts that have no parts. Reservations are derived when a change set, a job or a command writes the
event, in its transaction. A change that overlaps what others have reserved fails with `AlreadyReserved`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from server.booking.free_time import Period
from server.domain.objects import Target

MAX_CLASHES = 200
"""Clashes of an event that are told of."""


@dataclass(frozen=True, slots=True)
class Clash:
    """An instance without a reservation, and a booking that has its time."""

    instance: str
    """Of the event without a reservation, as in `Unplaced.instances`."""
    time: Period
    """When it is, without buffers, as `kept_time`."""
    kept: Target
    """The event that has the time, in the home of the room, or of one that has parts in common with it."""
    kept_instance: str
    kept_time: Period


@dataclass(frozen=True, slots=True)
class Unplaced:
    """An event in a calendar of a room some of whose instances have no reservation, since others have their times."""

    target: Target
    """In the room's home."""
    instances: frozenset[str]
    """Recurrence ids, as in `server.domain.occurrences.Occurrence`; one that is empty is the event itself."""
    clashes: tuple[Clash, ...] = ()
    """In order of time, at most `MAX_CLASHES`."""


@runtime_checkable
class Reservations(Protocol):
    """Reads of reservations."""

    async def taken_times(
        self, rooms: Sequence[int], start: datetime, end: datetime, *, besides: int | None = None
    ) -> Mapping[int, Sequence[Period]]:
        """When rooms take no further booking, by their principals' ids; half-open, in UTC, in order, disjoint.

        How many bookings a room takes at once, its parts, and the buffers of both bookings are counted in: a meeting
        fits if and only if it overlaps none of the periods.

        :param start: what ends before it is left out, `end`: what begins after it. Buffers are added to both.
        :param besides: the id of an object whose reservations do not count.
        """

    async def unplaced(self, home_id: int, object_id: int) -> Unplaced | None:
        """The instances of an object that are not over and have no reservation; None if there are none."""
