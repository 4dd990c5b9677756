"""The protocol for reads, with the values that they return."""

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
    """The stored texts of an object in a calendar with views."""

    id: int
    revision: int
    text: str
    """The owner's."""
    neutral_text: str | None
    """The text of sharees without a view; None: the owner's text."""
    personal: Mapping[int, str]
    """The personal parts of those who have views, by principal."""
    views_revision: int
    """The latest revision of a view; 0 where there is none."""
    owner: frozenset[str] = frozenset()
    """The addresses of the calendar's owner, by `server.calendar.attendance.address_keys`."""

    @property
    def neutral(self) -> str:
        """The text without personal parts."""
        return self.text if self.neutral_text is None else self.neutral_text

    @property
    def state(self) -> tuple[int, int]:
        """`Views.based_on` for a write that is based on this state."""
        return len(self.personal), self.views_revision


@dataclass(frozen=True, slots=True)
class BusyTimes:
    """The busy times of a calendar, each with type, start and end."""

    merged: Sequence[tuple[Busy, datetime, datetime]]
    """Timed occurrences, merged by type; they may begin before the window and end after it."""
    floating: Sequence[tuple[Busy, datetime, datetime]]
    """Floating times and dates, as if they were in UTC."""
    unexpanded: Sequence[int]
    """Ids of objects whose stored occurrences do not cover the window."""
    availability: Sequence[int]
    """Ids of VAVAILABILITY objects (RFC 7953), at any time."""


@dataclass(frozen=True, slots=True)
class Overlapping:
    """The objects of a calendar that overlap a window (RFC 4791 §9.9)."""

    objects: Sequence[int]
    """Ids of the objects with an occurrence that overlaps it in every zone."""
    floating: Sequence[tuple[int, Occurrence]]
    """Floating times and dates that overlap it in some zones only, by the id of their object. Only the times are
    set."""
    unexpanded: Sequence[int]
    """Ids of objects whose stored occurrences do not cover the window."""


@dataclass(frozen=True, slots=True)
class StoredRecurrence:
    """The recurrence of an object of which not all occurrences are stored."""

    object_id: int
    recurrence: str
    """As `server.calendar.stored_recurrence` writes it."""
    busy: tuple[Busy, ...] | None = None
    """The busy types of the components of VCALENDAR for the viewer; None: those in the recurrence."""


@dataclass(frozen=True, slots=True)
class Timings:
    """The occurrences of a calendar in a window (RFC 4791 §9.9)."""

    timed: Sequence[tuple[int, Timing]]
    """Timed occurrences that overlap it, with the id of their object; in no order."""
    floating: Sequence[tuple[int, Occurrence]]
    """Floating times and dates that overlap it in some zone, with the id of their object. Their busy type is not
    set."""
    unexpanded: Sequence[int]
    """Ids of objects whose stored occurrences do not cover the window."""


MAX_TIMINGS = 100_000
"""Occurrences in a window that are held in memory; with more, the objects of the calendar are expanded page by page."""


TEXT_PAGE = 2 * 1024 * 1024
"""Bytes of texts that fill a page: one statement reads fewer bytes than this and one text."""


def with_texts(rows: Sequence[_R], at: int) -> Sequence[_R]:
    """The rows of a page before the first one whose text (the column `at`) was left out. The next page begins with that
    row."""
    left_out = next((number for number, row in enumerate(rows) if row[at] is None), None)
    return rows if left_out is None else rows[:left_out]


@runtime_checkable
class Reads(Protocol):
    """Reads: each is one statement."""

    async def resolve(self, viewer: int | None, target: Target | None, *, text: bool = False) -> Resolution:
        """Read the viewer (the id of a principal) and the resources that `target` names, by one statement."""

    async def seen_by(self, found: Resolution, sharee: int, *, text: bool = False) -> Resolution:
        """The result of `resolve` in the home of a calendar's owner, in the view of a sharee."""

    async def with_blocks(self, found: Resolution, *, text: bool = False) -> Resolution:
        """The result of `resolve` for somebody who does not see the whole of private members (`Collection.blocks`).

        Another statement only if the member is private.
        """

    async def installation(self) -> UUID:
        """The id of this installation's data, from which resource ids are made."""

    async def mail_secret(self) -> bytes:
        """The key of the signatures in tagged mail addresses (`server.imip.tags`)."""

    async def collections(self, home: Home, viewer: int) -> list[Collection]:
        """The collections that a home shows, by name, in the viewer's view; one statement."""

    async def home_changes(self, home: Home, viewer: int, after: int) -> tuple[Home, list[Collection]]:
        """The home as it is now, and its collections that changed after a revision, tombstones included, by binding
        revision.

        Both are read in one snapshot, so that a sync token for the list has the home's revision. Raises `NotFound` if
        the home was deleted.
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
        """A page of the members, in order of names (by code points), after the name `after`.

        `components`: only members of these component types; None: all. In all reads of members, a `text` is None if the
        texts before it fill the page (`TEXT_PAGE`); `server.services.text_pages` reads it with the next page.
        """

    async def members_named(
        self, members: Sequence[tuple[Collection, str]], columns: Sequence[MemberColumn]
    ) -> Mapping[tuple[int, str], Row]:
        """The members with these names that exist, by (collection id, name); one statement for any number of them."""

    async def members_changed(
        self, collection: Collection, columns: Sequence[MemberColumn], *, after: int, up_to: int, limit: int
    ) -> Sequence[Row]:
        """Members with `after` < revision <= `up_to`, tombstones included, by revision."""

    async def timings(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Timings | None:
        """The occurrences of a calendar in `window`, and those of floating times in `floating`.

        None if there are more than `MAX_TIMINGS`.
        """

    async def overlapping(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Overlapping:
        """The objects of a calendar that overlap `window`, and floating times in `floating`."""

    async def ringing(self, collection: Collection, window: tuple[datetime, datetime]) -> Sequence[int]:
        """Ids of the objects of a calendar that may have an alarm in a window, with the viewer's own alarms.

        All other objects have none.
        """

    async def busy_times(
        self, calendars: Sequence[Collection], window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Sequence[BusyTimes]:
        """The busy times of each calendar in `window`, and those of floating times in `floating`.

        Each calendar is read in its view: personal copies have busy types of their own. One statement for any number of
        calendars.
        """

    async def recurrences(
        self, collection: Collection, ids: Sequence[int], *, components: Sequence[str] | None = None
    ) -> Sequence[StoredRecurrence]:
        """The recurrences of the objects with these ids, except those without one and those with a very long one.

        `components`: only objects of these component types; None: all.
        """

    async def owner_addresses(self, home_id: int) -> frozenset[str]:
        """The calendar user addresses of a home's owner, by `server.calendar.attendance.address_keys`."""

    async def owners_target(self, collection: Collection) -> Target | None:
        """The collection in the home of its owner; None if it was deleted."""

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
        """The name of the member with this UID. None in an inbox, where several members may have it."""

    async def shared_object(self, collection: Collection, object_id: int) -> SharedObject | None:
        """The stored texts of an object in a calendar with views."""
