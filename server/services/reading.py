"""Reads of homes and collections for front ends.

Each method demands a privilege on the found resource, and raises `AccessDenied` if the actor lacks it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from server.calendar.filter_plan import UidSearch
from server.calendar.filters import TimeRange
from server.calendar.freebusy import BusyPeriod
from server.calendar.zones import Zone
from server.domain.actors import Actor
from server.domain.privileges import Privilege
from server.domain.rows import MemberColumn, Row
from server.services import text_pages
from server.services.lookup import Found
from server.services.permissions import home_of, member_of, readable
from server.services.time import free_busy, time_ranges
from server.services.time.time_ranges import StoredOccurrences
from server.storage import Storage


class Reading:
    """Reads collections and their members, in the view in which the collection was found."""

    def __init__(self, storage: Storage, page_size: int) -> None:
        """`page_size` is the number of rows in a page without texts."""
        self._storage = storage
        self._page_size = page_size

    async def collections(self, actor: Actor, found: Found) -> Sequence[Found]:
        """The collections that the found home shows, by name, in the actor's view."""
        found.require(Privilege.READ)
        home = home_of(found)
        shown = await self._storage.collections(home, actor.viewer_id or home.principal_id)
        return [found.child(item) for item in shown]

    async def owners_collections(self, found: Found) -> Sequence[Found]:
        """The collections that the found home shows, by name, in its owner's view, which decides when the owner is
        busy."""
        found.require(Privilege.READ_FREE_BUSY)
        home = home_of(found)
        return [found.child(item) for item in await self._storage.collections(home, home.principal_id)]

    async def home_changes(self, actor: Actor, found: Found, after: int) -> tuple[Found, Sequence[Found]]:
        """The found home as it is now, and its collections that changed after a revision, tombstones included; in one
        snapshot.

        Raises `NotFound` if the home was deleted.
        """
        found.require(Privilege.READ)
        home = home_of(found)
        now, changed = await self._storage.home_changes(home, actor.viewer_id or home.principal_id, after)
        return found.as_now(now), [found.child(item) for item in changed]

    def pages(
        self, found: Found, columns: Sequence[MemberColumn], *, components: Sequence[str] | None = None
    ) -> AsyncIterator[Sequence[Row]]:
        """Pages of rows, none of them empty, of members of the component types. `columns` starts with the name."""
        size = text_pages.page_size(columns, self._page_size)
        return text_pages.member_pages(self._storage, found, columns, size, components=components)

    def pages_by_id(
        self,
        found: Found,
        ids: Sequence[int],
        columns: Sequence[MemberColumn],
        *,
        components: Sequence[str] | None = None,
    ) -> AsyncIterator[Sequence[Row]]:
        """Pages of rows of the members with these ids. `columns` has the id where it has the text."""
        size = text_pages.page_size(columns, self._page_size)
        return text_pages.members_by_id(self._storage, found, ids, columns, size, components=components)

    async def member(
        self,
        found: Found,
        columns: Sequence[MemberColumn],
        *,
        components: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        """The row of the found member, if it still exists and has one of the component types."""
        ids = [member_of(found).id]
        return await self._storage.members_by_id(readable(found), ids, columns, components=components)

    async def members_named(
        self, members: Sequence[tuple[Found, str]], columns: Sequence[MemberColumn]
    ) -> Mapping[tuple[int, str], Row]:
        """The rows of the members that exist, by (collection id, name); one statement for any number of them.

        `members` are found collections, each with the name of a member.
        """
        distinct = {id(found): found for found, _ in members}
        collections = {key: readable(found) for key, found in distinct.items()}
        named = [(collections[id(found)], name) for found, name in members]
        return await self._storage.members_named(named, columns)

    async def members_changed(
        self, found: Found, columns: Sequence[MemberColumn], *, after: int, up_to: int, limit: int
    ) -> Sequence[Row]:
        """Members with `after` < revision <= `up_to`, tombstones included, by revision."""
        return await self._storage.members_changed(readable(found), columns, after=after, up_to=up_to, limit=limit)

    async def uids(self, found: Found, search: UidSearch | None) -> Sequence[Row]:
        """Id and UID of the members whose UID a search finds; None: of all members."""
        return await self._storage.uids(readable(found), search)

    async def stored_in(self, found: Found, window: TimeRange, zone: Zone) -> StoredOccurrences | None:
        """The stored occurrences that overlap a window; None if there are more than `MAX_TIMINGS`."""
        return await time_ranges.stored_in(self._storage, found, window, zone)

    async def objects_in(
        self,
        found: Found,
        window: TimeRange,
        zone: Zone,
        stored: StoredOccurrences | None,
        *,
        components: Sequence[str],
    ) -> frozenset[int]:
        """Ids of the objects of the component types with an occurrence that overlaps a window (RFC 4791 §9.9).

        `stored` are occurrences read before for the same zone.
        """
        return await time_ranges.objects_in(self._storage, found, window, zone, stored, components=components)

    async def ringing_in(self, found: Found, window: TimeRange) -> frozenset[int]:
        """Ids of the objects of which an alarm may ring in a window."""
        return await time_ranges.ringing_in(self._storage, found, window)

    async def busy_periods(
        self, calendars: Sequence[Found], start: datetime, end: datetime, availability: Sequence[str]
    ) -> list[BusyPeriod]:
        """The merged busy periods of calendars that were found, in a window (RFC 4791 §7.10).

        Raises `TooManyInstances`.
        """
        return await free_busy.busy_periods(self._storage, calendars, start, end, availability)
