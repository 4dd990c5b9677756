"""Writes: the protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from server.domain.changes import Cause, ChangeSet, CopyUnderWay, PropertyChanges, Unchanged, WriteLimits, Written
from server.domain.contents import PlainText
from server.domain.jobs import Job
from server.domain.objects import Collection, Home, NewCollection


@runtime_checkable
class Changes(Protocol):
    """Writes: each is one transaction, except a large copy.

    It raises `WriteConflict` if one of the states in `unchanged` has changed.
    """

    async def apply(self, changes: ChangeSet) -> tuple[Written, ...]:
        """Make all writes of a set, or none. Returns the result of each, in their order.

        No other method writes members. Raises `WriteConflict` (a name, collection or home has changed), `UidConflict`,
        `SchedulingObjectExists` (another scheduling object of the home has the UID; one in a deleted collection becomes
        a plain object instead), `QuotaExceeded`, `TooManyMembers`, `AlreadyReserved` (the resource is taken),
        `NotFound` (a collection was deleted). `write` of the error is the index of the write that failed; it is None if
        a state in `unchanged` has changed.
        """

    async def create_collection(
        self, home: Home, new: NewCollection, limits: WriteLimits, cause: Cause, *, unchanged: Sequence[Unchanged] = ()
    ) -> Collection:
        """Make a collection. If its name was used before, sync tokens of infinite depth become invalid.

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
        """Set properties of a collection; personal ones of another person's collection are set in the viewer's view.

        Returns the revision. Properties in a view are bounded by `max_personal_properties_size` and count against no
        quota. Raises `QuotaExceeded`.
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
        """Set dead properties of a home. Returns the revision. Raises `QuotaExceeded`."""

    async def delete_collection(
        self,
        home: Home,
        collection: Collection,
        cause: Cause,
        *,
        replacement: NewCollection | None = None,
        unchanged: Sequence[Unchanged] = (),
        jobs: Sequence[Job] = (),
    ) -> int:
        """Unbind a collection (its members can be restored for a while), with `replacement` and `jobs` in the same
        transaction."""

    async def move_collection(
        self,
        home: Home,
        collection: Collection,
        name: str,
        replaced: Collection | None,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
        jobs: Sequence[Job] = (),
    ) -> int:
        """Give a collection another name in its home; `replaced` is deleted, with `jobs`, in the same transaction."""

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
        as_plain: Callable[[str], PlainText | None] | None = None,
        jobs: Sequence[Job] = (),
    ) -> int:
        """Copy a collection under another name of its home; `replaced` is deleted, with `jobs`, when the copy appears.

        The copies are no scheduling objects. Those of meetings, which have an organizer, get the texts that `as_plain`
        makes; with None they keep theirs. It is called in threads.

        A large collection is copied in several transactions, and the copy appears with the last of them. If this call
        is interrupted, a job of the kind `copies` continues. Raises `QuotaExceeded`, `TooManyCollections`.
        """

    async def copy_under_way(self, home_id: int, collection_id: int) -> CopyUnderWay | None:
        """The copy of a collection into a new one, with these ids, that is not complete."""

    async def give_up_copy(self, home_id: int, collection_id: int) -> None:
        """Remove what was copied of a collection into a new one."""

    async def resume_copy(
        self,
        home_id: int,
        collection_id: int,
        limits: WriteLimits,
        *,
        as_plain: Callable[[str], PlainText | None] | None = None,
        jobs: Sequence[Job] = (),
    ) -> None:
        """Continue the interrupted copy of a collection into a new one; called by a job. `as_plain` and `jobs` are
        those of `copy_collection`.

        If the copy is not possible, the members that were copied are removed.
        """
