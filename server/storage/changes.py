"""Writes: what they store, and the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from server.domain.changes import Cause, ObjectState, PropertyChanges, Unchanged, WriteLimits, Written
from server.domain.objects import Collection, Home, NewCollection

if TYPE_CHECKING:
    from server.domain.occurrences import AlarmTrigger, Busy, Materialised


@dataclass(frozen=True, slots=True)
class ObjectContent:
    """What is stored of a member: the text and all that reads need of it."""

    uid: str
    component: str
    etag: str
    text: str
    size: int
    time_key: str
    schedule_tag: str | None = None
    summary: Mapping[str, str] = field(default_factory=dict)
    """What lists and search show, by name: `summary`, `location`, `organizer`, ... or `fn`, `email`, ..."""
    materialised: Materialised | None = None
    """Occurrences, alarms and zones; None leaves those that are stored alone (equal time key) or means none (cards)."""


@dataclass(frozen=True, slots=True)
class ObjectView:
    """An object as one person sees it with whom its calendar is shared."""

    principal_id: int
    etag: str
    text: str
    size: int
    personal: str
    """What is this person's own (`server.calendar.personal`)."""
    busy: tuple[Busy, ...] | None = None
    """What each component of VCALENDAR makes busy; None: the same as for the owner."""
    alarms: tuple[AlarmTrigger, ...] = ()


@dataclass(frozen=True, slots=True)
class Views:
    """An object as others than the owner see it."""

    neutral_etag: str
    neutral_text: str | None
    """For those without a view; None: the object's own text."""
    neutral_busy: tuple[Busy, ...] | None
    """As `ObjectView.busy`."""
    views: tuple[ObjectView, ...] = ()
    based_on: tuple[int, int] = (0, 0)
    """How many views there were, and their latest revision."""


@runtime_checkable
class Changes(Protocol):
    """Writes: each is one transaction; it raises `WriteConflict` if one of the states in `unchanged` has changed."""

    async def put_object(
        self,
        collection: Collection,
        name: str,
        content: ObjectContent,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
        views: Views | None = None,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Create or replace a member; creates nothing when any of it fails. `views` for calendars that have them.

        Raises `WriteConflict` (name, collection or home is no longer as expected), `UidConflict`, `QuotaExceeded`,
        `TooManyMembers`, `NotFound` (the collection is gone).
        """

    async def put_view(
        self,
        collection: Collection,
        name: str,
        view: ObjectView,
        expected: ObjectState,
        view_revision: int,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Set what one person sees of a member, which stays as it is; `view_revision` is that of the view until now.

        Only this person's home and collection get a new revision. Raises `WriteConflict`, `NotFound`, `QuotaExceeded`.
        """

    async def delete_object(
        self,
        collection: Collection,
        name: str,
        expected: ObjectState,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Make a member a tombstone; gives the revision. What it held can be restored for a while."""

    async def move_object(
        self,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Move a member, which keeps its id and dead properties; may replace what has the name."""

    async def copy_object(
        self,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Copy a member with its dead properties and occurrences; may replace what has the name."""

    async def transfer_text(
        self,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        content: ObjectContent,
        expected: ObjectState | None,
        properties: Mapping[str, str],
        limits: WriteLimits,
        cause: Cause,
        views: Views | None,
        *,
        keep: bool,
        unchanged: Sequence[Unchanged] = (),
    ) -> Written:
        """Put what was read of a member into another collection, and unless `keep` delete it, in one transaction.

        For calendars with views, where a text is another one for everybody. Raises what `put_object` raises.
        """

    async def set_object_properties(
        self,
        collection: Collection,
        name: str,
        state: ObjectState,
        changes: PropertyChanges,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Set dead properties of a member; the ETag stays, the revision moves."""

    async def create_collection(
        self, home: Home, new: NewCollection, limits: WriteLimits, cause: Cause, *, unchanged: Sequence[Unchanged] = ()
    ) -> Collection:
        """Make a collection. Raises `AlreadyExists`, `TooManyCollections`. An old name's infinite tokens end."""

    async def set_collection_properties(
        self,
        home: Home,
        collection: Collection,
        changes: PropertyChanges,
        viewer: int,
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Set properties, in the viewer's view of another's collection; gives the revision."""

    async def set_home_properties(
        self, home: Home, changes: PropertyChanges, cause: Cause, *, unchanged: Sequence[Unchanged] = ()
    ) -> int:
        """Set dead properties of a home; gives the revision."""

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
        """Copy a collection under another name of its home; `replaced` is deleted in the same transaction.

        Raises `QuotaExceeded`, `TooManyCollections`.
        """
