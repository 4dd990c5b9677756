"""Writes: the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from server.domain.changes import Cause, ChangeSet, PropertyChanges, Unchanged, WriteLimits, Written
from server.domain.objects import Collection, Home, NewCollection


@runtime_checkable
class Changes(Protocol):
    """Writes: each is one transaction, except a large copy.

    It raises `WriteConflict` if one of the states in `unchanged` has changed.
    """

    async def apply(self, changes: ChangeSet) -> tuple[Written, ...]:
        """Make all writes of a set, or none. Returns what each left, in their order.

        Members are written by this call alone. Raises `WriteConflict` (a name, collection or home is no longer as
        expected), `UidConflict`, `SchedulingObjectExists` (another scheduling object of the home has the UID; those of
        deleted collections give it up), `QuotaExceeded`, `TooManyMembers`, `NotFound` (a collection is gone); `write`
        of the error is the index of the write that it concerns. An error of a state in `unchanged` concerns none.
        """

    async def create_collection(
        self, home: Home, new: NewCollection, limits: WriteLimits, cause: Cause, *, unchanged: Sequence[Unchanged] = ()
    ) -> Collection:
        """Make a collection. An old name's infinite tokens end.

        Raises `AlreadyExists`, `QuotaExceeded`, `TooManyCollections`.
        """

    async def set_collection_properties(
        self,
        home: Home,
        collection: Collection,
        changes: PropertyChanges,
        viewer: int,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Set properties, in the viewer's view of another's collection; gives the revision. Raises `QuotaExceeded`.

        What lies in a view is bounded by `max_personal_properties_size` and counts against no quota.
        """

    async def set_home_properties(
        self,
        home: Home,
        changes: PropertyChanges,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Set dead properties of a home; gives the revision. Raises `QuotaExceeded`."""

    async def delete_collection(
        self,
        home: Home,
        collection: Collection,
        cause: Cause,
        *,
        replacement: NewCollection | None = None,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Unbind a collection (its members can be restored for a while), with `replacement` in the same transaction."""

    async def move_collection(
        self,
        home: Home,
        collection: Collection,
        name: str,
        replaced: Collection | None,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Give a collection another name in its home; `replaced` is deleted in the same transaction."""

    async def copy_collection(
        self,
        home: Home,
        collection: Collection,
        name: str,
        replaced: Collection | None,
        limits: WriteLimits,
        cause: Cause,
        *,
        with_members: bool,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Copy a collection under another name of its home; `replaced` is deleted when the copy appears.

        A large collection is copied in several transactions, and the copy appears with the last of them. Where this
        call is broken off, a job of the kind `copies` goes on. Raises `QuotaExceeded`, `TooManyCollections`.
        """

    async def resume_copy(self, home_id: int, collection_id: int, limits: WriteLimits) -> None:
        """Go on with the copy of a collection into a new one, which nobody else makes; the work of a job.

        A copy that cannot be made is given up, and what was copied is removed.
        """
