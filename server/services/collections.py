"""Changes of collections and homes: making, naming, deleting, and their properties."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.changes import Cause, PropertyChanges, Unchanged
from server.domain.errors import AlreadyExists, PermanentCollection
from server.domain.limits import Limits
from server.domain.objects import Collection, Home, NewCollection
from server.services.objects import write_limits
from server.storage import Storage

DEFAULT_ADDRESS_BOOK = NewCollection("addressbook", "addressbook")
"""What replaces the last address book of a home when it is deleted: clients need one to put contacts into."""

PERMANENT = frozenset({"inbox", "outbox", "notification"})
"""Kinds of collections that every home has exactly once."""


class Collections:
    """Changes of the collections that homes show.

    Each raises `WriteConflict` if the collection, or one of the states in `unchanged`, has changed.
    """

    def __init__(self, storage: Storage, limits: Limits) -> None:
        self._storage = storage
        self._limits = limits

    async def create(
        self, home: Home, new: NewCollection, cause: Cause, *, unchanged: Sequence[Unchanged] = ()
    ) -> Collection:
        """Make a calendar or address book. Raises `AlreadyExists`, `TooManyCollections`."""
        return await self._storage.create_collection(home, new, write_limits(self._limits), cause, unchanged=unchanged)

    async def set_properties(
        self,
        home: Home,
        collection: Collection,
        changes: PropertyChanges,
        viewer: int,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Set properties of a collection, in the viewer's own view where it is another's. Returns the revision."""
        return await self._storage.set_collection_properties(
            home, collection, changes, viewer, cause, unchanged=unchanged
        )

    async def set_home_properties(
        self, home: Home, changes: PropertyChanges, cause: Cause, *, unchanged: Sequence[Unchanged] = ()
    ) -> int:
        """Set dead properties of a home. Returns the revision."""
        return await self._storage.set_home_properties(home, changes, cause, unchanged=unchanged)

    async def delete(
        self,
        home: Home,
        collection: Collection,
        viewer: int,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Delete a collection; it can be restored for a while. Raises `PermanentCollection`."""
        if collection.kind in PERMANENT:
            raise PermanentCollection
        replacement = None
        if collection.kind == "addressbook" and collection.rights == "owner":
            shown = await self._storage.collections(home, viewer)
            books = [item for item in shown if item.kind == "addressbook" and item.rights == "owner"]
            if [item.id for item in books] == [collection.id]:
                replacement = DEFAULT_ADDRESS_BOOK
        return await self._storage.delete_collection(
            home, collection, cause, replacement=replacement, unchanged=unchanged
        )

    async def copy(
        self,
        home: Home,
        collection: Collection,
        name: str,
        replaced: Collection | None,
        cause: Cause,
        *,
        with_members: bool,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Copy a calendar or address book under another name of its home, with its properties.

        Raises `AlreadyExists`, `QuotaExceeded`, `TooManyCollections`, `PermanentCollection`.
        """
        self._demand_replaceable(collection, replaced)
        limits = write_limits(self._limits)
        return await self._storage.copy_collection(
            home, collection, name, replaced, limits, cause, with_members=with_members, unchanged=unchanged
        )

    async def move(
        self,
        home: Home,
        collection: Collection,
        name: str,
        replaced: Collection | None,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Give a collection another name in its home.

        Raises `AlreadyExists`, `PermanentCollection`.
        """
        self._demand_replaceable(collection, replaced)
        return await self._storage.move_collection(home, collection, name, replaced, cause, unchanged=unchanged)

    @staticmethod
    def _demand_replaceable(collection: Collection, replaced: Collection | None) -> None:
        if collection.kind in PERMANENT or (replaced is not None and replaced.kind in PERMANENT):
            raise PermanentCollection
        if replaced is not None and replaced.id == collection.id:
            raise AlreadyExists
