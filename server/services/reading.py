"""What front ends read of homes and collections that a lookup has found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from server.calendar.filter_plan import UidSearch
from server.calendar.filters import TimeRange
from server.calendar.freebusy import BusyPeriod
from server.calendar.zones import Zone
from server.domain.actors import Actor
from server.domain.objects import Collection, Home
from server.domain.rows import MemberColumn, Row
from server.services import text_pages
from server.services.time import free_busy, time_ranges
from server.services.time.time_ranges import StoredOccurrences
from server.storage import Storage


class Reading:
    """Reads collections and their members.

    A collection is in the view in which it was found, and so are its members.
    """

    def __init__(self, storage: Storage, page_size: int) -> None:
        """`page_size` is the number of rows in a page without texts."""
        self._storage = storage
        self._page_size = page_size

    async def collections(self, actor: Actor, home: Home) -> Sequence[Collection]:
        """The collections that a home shows, by name, in the actor's view."""
        return await self._storage.collections(home, actor.viewer_id or home.principal_id)

    async def owners_collections(self, home: Home) -> Sequence[Collection]:
        """The collections that a home shows, by name, in its owner's view."""
        return await self._storage.collections(home, home.principal_id)

    async def home_changes(self, actor: Actor, home: Home, after: int) -> tuple[Home, Sequence[Collection]]:
        """The home as it is now, and its collections that changed after a revision, tombstones included; in one
        snapshot. Raises `NotFound` when the home is gone.
        """
        return await self._storage.home_changes(home, actor.viewer_id or home.principal_id, after)

    def pages(
        self, collection: Collection, columns: Sequence[MemberColumn], *, components: Sequence[str] | None = None
    ) -> AsyncIterator[Sequence[Row]]:
        """Pages of rows, none of them empty, of members of the component types. `columns` starts with the name."""
        size = text_pages.page_size(columns, self._page_size)
        return text_pages.member_pages(self._storage, collection, columns, size, components=components)

    def pages_by_id(
        self,
        collection: Collection,
        ids: Sequence[int],
        columns: Sequence[MemberColumn],
        *,
        components: Sequence[str] | None = None,
    ) -> AsyncIterator[Sequence[Row]]:
        """Pages of rows of the members with these ids. `columns` has the id where it has the text."""
        size = text_pages.page_size(columns, self._page_size)
        return text_pages.members_by_id(self._storage, collection, ids, columns, size, components=components)

    async def member(
        self,
        collection: Collection,
        member_id: int,
        columns: Sequence[MemberColumn],
        *,
        components: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        """The row of one member, if it still exists and is of one of the component types."""
        return await self._storage.members_by_id(collection, [member_id], columns, components=components)

    async def members_named(
        self, members: Sequence[tuple[Collection, str]], columns: Sequence[MemberColumn]
    ) -> Mapping[tuple[int, str], Row]:
        """The members of those names that exist, by (collection id, name); one statement for any number of them."""
        return await self._storage.members_named(members, columns)

    async def members_changed(
        self, collection: Collection, columns: Sequence[MemberColumn], *, after: int, up_to: int, limit: int
    ) -> Sequence[Row]:
        """Members with `after` < revision <= `up_to`, tombstones included, by revision."""
        return await self._storage.members_changed(collection, columns, after=after, up_to=up_to, limit=limit)

    async def uids(self, collection: Collection, search: UidSearch | None) -> Sequence[Row]:
        """Id and UID of the members whose UID a search finds; None: of all members."""
        return await self._storage.uids(collection, search)

    async def stored_in(self, collection: Collection, window: TimeRange, zone: Zone) -> StoredOccurrences | None:
        """The occurrences that overlap a window, from what is stored; None for more than are held at once."""
        return await time_ranges.stored_in(self._storage, collection, window, zone)

    async def objects_in(
        self,
        collection: Collection,
        window: TimeRange,
        zone: Zone,
        stored: StoredOccurrences | None,
        *,
        components: Sequence[str],
    ) -> frozenset[int]:
        """Ids of the objects of the component types with an occurrence that overlaps a window (RFC 4791 §9.9).

        `stored` are occurrences read before for the same zone.
        """
        return await time_ranges.objects_in(self._storage, collection, window, zone, stored, components=components)

    async def ringing_in(self, collection: Collection, window: TimeRange) -> frozenset[int]:
        """Ids of the objects of which an alarm may ring in a window."""
        return await time_ranges.ringing_in(self._storage, collection, window)

    async def busy_periods(
        self, calendars: Sequence[Collection], start: datetime, end: datetime, availability: Sequence[str]
    ) -> list[BusyPeriod]:
        """The merged busy periods of calendars in a window (RFC 4791 §7.10). Raises `TooManyInstances`."""
        return await free_busy.busy_periods(self._storage, calendars, start, end, availability)
