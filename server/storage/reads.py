"""Reads: what they return, and the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable
from uuid import UUID

from server.domain.objects import Collection, Home, Target
from server.domain.resolution import Resolution
from server.domain.rows import MemberColumn, Row

if TYPE_CHECKING:
    from server.calendar.filter_plan import UidSearch
    from server.domain.occurrences import Busy, Occurrence, Timing


class _Columns(Protocol):
    def __getitem__(self, at: int, /) -> Any: ...


_R = TypeVar("_R", bound=_Columns)


@dataclass(frozen=True, slots=True)
class SharedObject:
    """What is stored of an object in a calendar with views."""

    id: int
    revision: int
    text: str
    """The owner's."""
    neutral_text: str | None
    """What sharees without a view see; None: the owner's text."""
    personal: Mapping[int, str]
    """The personal parts of those who have views, by principal."""
    views_revision: int
    """The latest revision of a view; 0 where there is none."""
    owner: frozenset[str] = frozenset()
    """The addresses of the calendar's owner, by `server.calendar.attendance.address_keys`."""

    @property
    def neutral(self) -> str:
        """The text without anybody's personal parts."""
        return self.text if self.neutral_text is None else self.neutral_text

    @property
    def state(self) -> tuple[int, int]:
        """`Views.based_on` for a write that was decided by this."""
        return len(self.personal), self.views_revision


@dataclass(frozen=True, slots=True)
class BusyTimes:
    """When a calendar's objects are busy: type, start and end of each stretch."""

    merged: Sequence[tuple[Busy, datetime, datetime]]
    """Of timed occurrences, those of one type put together; may reach out of the window."""
    floating: Sequence[tuple[Busy, datetime, datetime]]
    """Of floating times and dates: where they would lie in UTC."""
    unexpanded: Sequence[int]
    """Ids of objects whose stored occurrences do not cover the window."""
    availability: Sequence[int]
    """Ids of VAVAILABILITY objects (RFC 7953), at any time."""


@dataclass(frozen=True, slots=True)
class Overlapping:
    """Which objects of a calendar overlap a window (RFC 4791 §9.9)."""

    objects: Sequence[int]
    """Ids of those with a timed occurrence that does."""
    floating: Sequence[tuple[int, Occurrence]]
    """Floating times and dates that do in some zone, by the id of their object; all but their times is not told."""
    unexpanded: Sequence[int]
    """Ids of objects whose stored occurrences do not cover the window."""


@dataclass(frozen=True, slots=True)
class StoredRecurrence:
    """The recurrence of an object of which not all occurrences are stored."""

    object_id: int
    recurrence: str
    """As `server.calendar.stored_recurrence` writes it."""
    busy: tuple[Busy, ...] | None = None
    """What each component of VCALENDAR makes busy for the viewer; None: what the recurrence says."""


@dataclass(frozen=True, slots=True)
class Timings:
    """When the objects of a calendar occur in a window (RFC 4791 §9.9)."""

    timed: Sequence[tuple[int, Timing]]
    """Those that overlap it, by the id of their object; in no order."""
    floating: Sequence[tuple[int, Occurrence]]
    """Floating times and dates that do in some zone; their busy type is not told."""
    unexpanded: Sequence[int]
    """Ids of objects whose stored occurrences do not cover the window."""


MAX_TIMINGS = 100_000
"""Occurrences in a window that are held at once; of a calendar with more, the objects are expanded page by page."""


TEXT_PAGE = 2 * 1024 * 1024
"""Bytes of texts that fill a page: what one statement reads is less than this and one text."""


def with_texts(rows: Sequence[_R], at: int) -> Sequence[_R]:
    """The rows of a page before the first whose text (at this place) was left out, with which the next page begins."""
    left_out = next((number for number, row in enumerate(rows) if row[at] is None), None)
    return rows if left_out is None else rows[:left_out]


@runtime_checkable
class Reads(Protocol):
    """Reads: each is one statement."""

    async def resolve(self, viewer: int | None, target: Target | None, *, text: bool = False) -> Resolution:
        """Who asks (principal id `viewer`) and what `target` names, in one statement."""

    async def seen_by(self, found: Resolution, sharee: int, *, text: bool = False) -> Resolution:
        """What `resolve` found in the home of a calendar's owner, in the view of somebody it is shared with."""

    async def installation(self) -> UUID:
        """The id of this installation's data, from which resource ids are made."""

    async def collections(self, home: Home, viewer: int) -> list[Collection]:
        """The collections that a home shows, by name, in the viewer's view; one statement."""

    async def home_changes(self, home: Home, viewer: int, after: int) -> tuple[Home, list[Collection]]:
        """The home as it is now, and its collections that changed after a revision, tombstones included, by binding
        revision; in one snapshot, so that the home's revision and floors are those of a sync token for the list.

        Raises `NotFound` when the home is gone.
        """

    async def members(
        self,
        collection: Collection,
        columns: Sequence[MemberColumn],
        *,
        after: str | None,
        limit: int,
        components: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        """A page of the members in order of names (by code points), those behind the name `after`.

        `components`: only members of these component types; None: all. Of this and of the other reads of members: a
        `text` is None where the texts before it fill the page (`TEXT_PAGE`); `server.services.text_pages` asks for it
        again.
        """

    async def members_named(
        self, members: Sequence[tuple[Collection, str]], columns: Sequence[MemberColumn]
    ) -> Mapping[tuple[int, str], Row]:
        """The members of those names that exist, by (collection id, name); one statement for any number of them."""

    async def members_changed(
        self, collection: Collection, columns: Sequence[MemberColumn], *, after: int, up_to: int, limit: int
    ) -> Sequence[Row]:
        """Members with `after` < revision <= `up_to`, tombstones included, by revision."""

    async def timings(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Timings | None:
        """When the objects of a calendar occur in `window`; floating times are looked for in `floating`.

        None for more than `MAX_TIMINGS`.
        """

    async def overlapping(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Overlapping:
        """Which objects of a calendar overlap `window`; floating times are looked for in `floating`."""

    async def ringing(self, collection: Collection, window: tuple[datetime, datetime]) -> Sequence[int]:
        """Ids of the objects of a calendar that may have an alarm that rings in a window; all others have none.

        In the viewer's view: their own alarms.
        """

    async def busy_times(
        self, calendars: Sequence[Collection], window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Sequence[BusyTimes]:
        """When the objects of each calendar are busy in `window`; floating times are looked for in `floating`.

        In the viewer's view of each: their personal copies say whether an event makes them busy. One statement for any
        number of calendars.
        """

    async def recurrences(
        self, collection: Collection, ids: Sequence[int], *, components: Sequence[str] | None = None
    ) -> Sequence[StoredRecurrence]:
        """The recurrences of the objects with these ids, except those without one and those with a very long one.

        `components`: only objects of these component types; None: all.
        """

    async def owner_addresses(self, home_id: int) -> frozenset[str]:
        """The calendar user addresses of a home's owner, by `server.calendar.attendance.address_keys`."""

    async def members_by_id(
        self,
        collection: Collection,
        ids: Sequence[int],
        columns: Sequence[MemberColumn],
        *,
        components: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        """The members with these ids that still exist, in order of names; `components` as in `members`."""

    async def uids(self, collection: Collection, search: UidSearch | None) -> Sequence[Row]:
        """Id and UID of the members whose UID a search finds; None: of all members."""

    async def uid_holder(self, collection: Collection, uid: str) -> str | None:
        """The name of the member that has this UID. None in an inbox, where several may have it."""

    async def shared_object(self, collection: Collection, object_id: int) -> SharedObject | None:
        """What is stored of an object in a calendar with views."""
