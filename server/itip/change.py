"""A change of a scheduling object by its owner: what a plan is made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from server.calendar.expand import written_time
from server.domain.occurrences import Kind
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.scheduling_object import SchedulingObject


@dataclass(frozen=True, slots=True)
class InvitedGroups:
    """The groups that an organizer's object invites."""

    ids: tuple[int, ...] = ()
    """Their ids as principals, ascending."""
    left_out: frozenset[tuple[str, str]] = frozenset()
    """Instance and key of the members whom the organizer removed; those of the master from all instances."""
    statuses: tuple[tuple[str, str], ...] = ()
    """SCHEDULE-STATUS of each group, with its key."""


@dataclass(frozen=True, slots=True)
class Change:
    """What the owner of a calendar, or a delegate of theirs, does with one object."""

    old: SchedulingObject | None
    """What is stored; None where the object is new."""
    new: SchedulingObject | None
    """What the app sent; None where it deletes the object."""
    owner: CalendarUser
    directory: Directory
    now: datetime
    """Aware."""
    tag_matches: bool = False
    """The request had If-Schedule-Tag-Match with the present tag: the answers of others come from what is stored."""
    etag_matches: bool = False
    """The request had If-Match with the present ETag: the app has seen all that is stored."""
    reply: bool = True
    """False: the request had `Schedule-Reply: F` (RFC 6638 §8.1)."""
    mailed: frozenset[tuple[str, str]] = frozenset()
    """Key and instance of answers by mail that arrived after the version that the app read."""
    sequence_floor: int = -1
    """SEQUENCE of messages that were sent before about an object that is new: those of this change have a greater."""
    groups: InvitedGroups | None = None
    """The groups that the organizer's `new` invites, whose members it names; None: as before."""
    quiet: bool = False
    """The server divides a series (`splitting`): answers stay as they are, and nobody here gets an inbox item."""
    former: CalendarUser | None = None
    """Who organized a meeting that is handed over to the owner (`server.itip.handing_over`)."""
    acting: CalendarUser | None = None
    """Who acts for the owner (`server.itip.acting`); None: the owner."""

    rooms_in_location: bool = False
    """LOCATION of what the owner organizes names the rooms (`server.itip.room_locations`)."""

    @property
    def dtstamp(self) -> str:
        """DTSTAMP of the messages."""
        return utc_stamp(self.now)


def utc_stamp(now: datetime) -> str:
    """A time as a value in UTC."""
    return written_time(now.astimezone(UTC), Kind.TIMED)
