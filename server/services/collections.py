"""Changes of collections and homes: making, naming, deleting, and their properties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import uuid4

from server.domain.actors import Actor
from server.domain.changes import CopyUnderWay, PropertyChanges, Unchanged
from server.domain.contents import PlainText
from server.domain.errors import (
    AccessDenied,
    AlreadyExists,
    BadRequest,
    DefaultCalendarNeeded,
    InvalidData,
    PermanentCollection,
    SameResource,
    SignInRequired,
)
from server.domain.etags import etag_of
from server.domain.limits import Limits
from server.domain.objects import Collection, Home, NewCollection
from server.domain.privileges import Privilege
from server.itip.plain_event import plain_event
from server.itip.scheduling_object import read_object
from server.services.lookup import Found, Lookup
from server.services.objects import write_limits
from server.services.permissions import collection_of, demand_properties, home_of
from server.services.scheduling.default_calendar import default_calendar
from server.services.scheduling.removals import removal_job, removal_jobs
from server.services.scheduling.settings import SchedulingSettings
from server.storage import Storage

DEFAULT_ADDRESS_BOOK = NewCollection("addressbook", "addressbook")
"""What replaces the last address book of a home when it is deleted: clients need one to put contacts into."""

PERMANENT = frozenset({"inbox", "outbox", "notification"})
"""Kinds of collections that every home has exactly once."""


class Collections:
    """Changes of the collections that homes show.

    Each raises `WriteConflict` if the collection, or one of the states in `unchanged`, has changed.
    """

    def __init__(
        self,
        storage: Storage,
        limits: Limits,
        settings: SchedulingSettings = SchedulingSettings(),  # noqa: B008 - a value
        new_uid: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._storage = storage
        self._limits = limits
        self._new_uid = new_uid
        self._removal_delay = timedelta(seconds=settings.removal_delay)

    async def create(
        self, actor: Actor, found: Found, new: NewCollection, *, unchanged: Sequence[Unchanged] = ()
    ) -> Collection:
        """Make a calendar or address book in the home that was found.

        Raises `AlreadyExists`, `QuotaExceeded`, `TooManyCollections`, `AccessDenied`.
        """
        home = home_of(found)
        if found.collection is not None:
            raise AlreadyExists
        found.require(Privilege.BIND)
        return await self._storage.create_collection(
            home, new, write_limits(self._limits), actor.cause, unchanged=unchanged
        )

    async def set_properties(
        self, actor: Actor, found: Found, changes: PropertyChanges, *, unchanged: Sequence[Unchanged] = ()
    ) -> int:
        """Set properties of a collection. In another person's collection, personal properties are set in the viewer's
        view.

        Returns the revision. Raises `AccessDenied`, `QuotaExceeded`.
        """
        home, collection = home_of(found), collection_of(found)
        demand_properties(found, changes)
        return await self._storage.set_collection_properties(
            home,
            collection,
            changes,
            _viewer(actor, home),
            write_limits(self._limits),
            actor.cause,
            unchanged=unchanged,
        )

    async def set_home_properties(
        self, actor: Actor, found: Found, changes: PropertyChanges, *, unchanged: Sequence[Unchanged] = ()
    ) -> int:
        """Set dead properties of a home. Returns the revision. Raises `AccessDenied`, `QuotaExceeded`."""
        found.require(Privilege.WRITE_PROPERTIES)
        return await self._storage.set_home_properties(
            home_of(found), changes, write_limits(self._limits), actor.cause, unchanged=unchanged
        )

    async def delete(self, actor: Actor, found: Found, *, unchanged: Sequence[Unchanged] = ()) -> int:
        """Delete a collection; it can be restored for a while. A job cancels and declines the meetings of a calendar.

        Raises `PermanentCollection`, `AccessDenied`, and `DefaultCalendarNeeded` for the default calendar, which the
        installation alone deletes.
        """
        home, collection = home_of(found), collection_of(found)
        found.holder().require(Privilege.UNBIND)
        if collection.kind in PERMANENT:
            raise PermanentCollection
        replacement = None
        if collection.rights == "owner":
            shown = await self._storage.collections(home, _viewer(actor, home))
            if collection.kind == "addressbook":
                books = [item for item in shown if item.kind == "addressbook" and item.rights == "owner"]
                if [item.id for item in books] == [collection.id]:
                    replacement = DEFAULT_ADDRESS_BOOK
            else:
                _demand_not_default(actor, collection, shown)
        jobs = removal_jobs(home.id, collection, actor.cause, self._removal_delay)
        return await self._storage.delete_collection(
            home, collection, actor.cause, replacement=replacement, unchanged=unchanged, jobs=jobs
        )

    async def copy(
        self,
        actor: Actor,
        found: Found,
        target: Found,
        *,
        with_members: bool,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Copy a calendar or address book under another name of its home, with its properties. Meetings become events
        without organizer and attendees, of other UIDs.

        Raises `SameResource`, `QuotaExceeded`, `TooManyCollections`, `PermanentCollection`, `AccessDenied`, and
        `DefaultCalendarNeeded` if the default calendar would be replaced.
        """
        home, collection = home_of(found), collection_of(found)
        found.require(Privilege.READ)
        await self._demand_replaceable(actor, found, target)
        limits = write_limits(self._limits)
        return await self._storage.copy_collection(
            home,
            collection,
            target.name,
            target.collection,
            limits,
            actor.cause,
            with_members=with_members,
            unchanged=unchanged,
            as_plain=self._plain_text,
            jobs=removal_jobs(home.id, target.collection, actor.cause, self._removal_delay),
        )

    async def resume_copy(self, lookup: Lookup, home_id: int, collection_id: int) -> None:
        """Go on with a large copy that nobody else makes, if the person who asked for it may still have it; the work of
        a job. Else what was copied is removed."""
        copy = await self._storage.copy_under_way(home_id, collection_id)
        if copy is None:
            return
        if await _may_copy(lookup, copy):
            jobs = []
            if copy.replaced is not None:
                jobs.append(removal_job(home_id, copy.replaced, copy.cause, self._removal_delay))
            limits = write_limits(self._limits)
            await self._storage.resume_copy(home_id, collection_id, limits, as_plain=self._plain_text, jobs=jobs)
        else:
            await self._storage.give_up_copy(home_id, collection_id)

    async def move(self, actor: Actor, found: Found, target: Found, *, unchanged: Sequence[Unchanged] = ()) -> int:
        """Give a collection another name in its home.

        Raises `SameResource`, `PermanentCollection`, `AccessDenied`, and `DefaultCalendarNeeded` if the default
        calendar would be replaced.
        """
        home, collection = home_of(found), collection_of(found)
        found.holder().require(Privilege.UNBIND)
        await self._demand_replaceable(actor, found, target)
        return await self._storage.move_collection(
            home,
            collection,
            target.name,
            target.collection,
            actor.cause,
            unchanged=unchanged,
            jobs=removal_jobs(home.id, target.collection, actor.cause, self._removal_delay),
        )

    def _plain_text(self, text: str) -> PlainText | None:
        """The text of a meeting as an event without organizer and attendees, of another UID; None of what cannot be
        read."""
        uid = self._new_uid()
        try:
            plain = plain_event(read_object(text), uid).text
        except InvalidData:
            return None
        return PlainText(uid, etag_of(plain.encode()), plain)

    async def _demand_replaceable(self, actor: Actor, found: Found, target: Found) -> None:
        """Raises `AccessDenied`, `BadRequest`, `PermanentCollection`, `SameResource`, `DefaultCalendarNeeded`."""
        collection, replaced = collection_of(found), target.collection
        if home_of(target).id != home_of(found).id:
            raise BadRequest("A collection is copied and moved within its home.")
        target.holder().require(Privilege.BIND)
        if collection.kind in PERMANENT or (replaced is not None and replaced.kind in PERMANENT):
            raise PermanentCollection
        if replaced is not None and replaced.id == collection.id:
            raise SameResource
        if replaced is not None and replaced.kind == "calendar" and replaced.rights == "owner":
            home = home_of(target)
            shown = await self._storage.collections(home, _viewer(actor, home))
            _demand_not_default(actor, replaced, shown)


def _demand_not_default(actor: Actor, calendar: Collection, shown: Sequence[Collection]) -> None:
    """Raises `DefaultCalendarNeeded` if a calendar is the default of its home, which shows these collections, and
    somebody else than the installation deletes it (RFC 6638 §4.3)."""
    inbox = next((item for item in shown if item.kind == "inbox"), None)
    found = None if inbox is None else default_calendar(inbox, shown)
    if actor.principal is not None and found is not None and found.id == calendar.id:
        raise DefaultCalendarNeeded


def _viewer(actor: Actor, home: Home) -> int:
    """The principal in whose view the collections of a home are read: the actor, or for the installation the home's
    owner."""
    return actor.viewer_id or home.principal_id


async def _may_copy(lookup: Lookup, copy: CopyUnderWay) -> bool:
    """Whether the person who asked for a copy has the privileges for it still. The installation has them."""
    cause = copy.cause
    if cause.principal_id is None:
        return True
    known = await lookup.resolve(cause.principal_id, copy.source, text=False)
    if known.viewer is None:
        return False
    actor = Actor(known.viewer, cause.origin, cause.request_id, cause.acting_for, cause.trace)
    try:
        found = await lookup.find(actor, copy.source, Privilege.READ, known=known)
        found.require(Privilege.READ)
        found.holder().require(Privilege.BIND)
    except (AccessDenied, SignInRequired):
        return False
    return True
