"""The one write path: every change of a calendar object or a card, whoever makes it, goes through these calls.

A write is based on the state that its caller read; when another changed that meanwhile, storage raises `WriteConflict`
and the caller reads, decides and writes again. Reading the text, validating it and working out its occurrences happen
before the transaction, so that it is short.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from server.calendar.calendar_object import CalendarObject, read_calendar_object
from server.calendar.materialise import materialise
from server.contacts.vcard import AddressObject, read_address_object
from server.costs import computed
from server.errors import NotFound, UidConflict, UnsupportedComponent, WriteConflict
from server.limits import Limits
from server.storage import (
    Cause,
    Collection,
    Object,
    ObjectContent,
    ObjectState,
    PropertyChanges,
    Storage,
    WriteLimits,
    Written,
)

LARGE = 64 * 1024
"""Bytes from which a text is read off the event loop; one with a rule always is, since rules can be made to be slow."""


@dataclass(frozen=True, slots=True)
class Put:
    """What putting a member did."""

    created: bool
    etag: str
    """Without quotes."""
    as_sent: bool
    """Whether what is stored is what was sent, byte by byte; only then may the answer carry the ETag (RFC 4791
    §5.3.4)."""
    written: Written


def etag_of(text: bytes) -> str:
    """The ETag of a text: a hash of its bytes, so that equal contents have equal tags wherever they lie."""
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def state_of(member: Object | None) -> ObjectState | None:
    """The state that a decision about a member is based on."""
    return None if member is None else ObjectState(member.id, member.revision)


UNCOUNTED = 2
"""Collections of a calendar home that do not count against the limit: outbox and notifications, which nobody made."""


def write_limits(limits: Limits) -> WriteLimits:
    """The limits that a transaction holds itself."""
    return WriteLimits(limits.quota_bytes, limits.max_members, limits.max_collections + UNCOUNTED)


class Objects:
    """Changes of members of calendars and address books."""

    def __init__(
        self, storage: Storage, limits: Limits, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._storage = storage
        self._limits = limits
        self._now = now

    async def put(self, collection: Collection, name: str, body: bytes, existing: Object | None, cause: Cause) -> Put:
        """Create a member or replace `existing`.

        Raises what reading the text raises (`InvalidData` and its kinds), `UnsupportedComponent`, `UidConflict` with
        the name of the member that has the UID, `QuotaExceeded`, `TooManyMembers`, `WriteConflict`.
        """
        return await self.store(collection, name, await self.read(collection, body, existing), existing, cause)

    async def store(
        self, collection: Collection, name: str, content: ObjectContent, existing: Object | None, cause: Cause
    ) -> Put:
        """Create a member or replace `existing` by what `read` gave. Raises what `put` raises, but for the reading."""
        if existing is not None and existing.uid != content.uid:
            raise UidConflict(existing.name, "Another UID may not replace the one of the resource.")
        try:
            written = await self._storage.put_object(
                collection, name, content, state_of(existing), write_limits(self._limits), cause
            )
        except NotFound:
            # The collection has ended since it was looked up; the next look says so.
            raise WriteConflict from None
        except UidConflict:
            raise UidConflict(await self._storage.uid_holder(collection, content.uid)) from None
        return Put(existing is None, content.etag, True, written)

    async def read(self, collection: Collection, body: bytes, existing: Object | None) -> ObjectContent:
        """What is stored of a text: validated, with its occurrences unless they are those of `existing`."""
        if len(body) < LARGE and b"RRULE" not in body.upper():
            return self._read(collection, body, existing)
        return await computed(self._read, collection, body, existing)

    def _read(self, collection: Collection, body: bytes, existing: Object | None) -> ObjectContent:
        if collection.kind == "addressbook":
            return _card_content(read_address_object(body, self._limits), body)
        found = read_calendar_object(body, self._limits)
        if collection.components and found.component not in collection.components:
            raise UnsupportedComponent(f"This calendar takes {', '.join(collection.components)} only.")
        unchanged = existing is not None and existing.time_key == found.time_key
        return _calendar_content(found, body, None if unchanged else self._now())

    async def delete(self, collection: Collection, existing: Object, cause: Cause) -> int:
        """Delete a member; it can be restored for a while. Gives the revision."""
        state = ObjectState(existing.id, existing.revision)
        return await self._storage.delete_object(collection, existing.name, state, cause)

    async def transfer(
        self,
        source: Collection,
        member: Object,
        destination: Collection,
        name: str,
        replaced: Object | None,
        cause: Cause,
        *,
        keep: bool,
    ) -> Put:
        """Copy (`keep`) or move a member to a name that is free or whose member is replaced.

        Raises `UnsupportedComponent`, `UidConflict` with the name of the member that has the UID, `QuotaExceeded`,
        `TooManyMembers`, `WriteConflict`.
        """
        if destination.components and member.component not in destination.components:
            raise UnsupportedComponent(f"The calendar takes {', '.join(destination.components)} only.")
        if replaced is not None and replaced.uid != member.uid:
            raise UidConflict(replaced.name, "Another UID may not replace the one of the resource.")
        act = self._storage.copy_object if keep else self._storage.move_object
        try:
            written = await act(
                source,
                member.name,
                ObjectState(member.id, member.revision),
                destination,
                name,
                state_of(replaced),
                write_limits(self._limits),
                cause,
            )
        except NotFound:
            # One of the collections has ended since they were looked up; the next look says which.
            raise WriteConflict from None
        except UidConflict:
            raise UidConflict(await self._storage.uid_holder(destination, member.uid)) from None
        return Put(replaced is None, member.etag, True, written)

    async def set_properties(
        self, collection: Collection, member: Object, changes: PropertyChanges, cause: Cause
    ) -> int:
        """Set dead properties of a member. Gives the revision."""
        state = ObjectState(member.id, member.revision)
        return await self._storage.set_object_properties(collection, member.name, state, changes, cause)


def _card_content(card: AddressObject, body: bytes) -> ObjectContent:
    return ObjectContent(
        uid=card.uid,
        component="VCARD",
        etag=etag_of(body),
        text=card.text,
        size=len(body),
        time_key="",
        summary=card.summary(),
    )


def _calendar_content(found: CalendarObject, body: bytes, now: datetime | None) -> ObjectContent:
    """`now` is None where the stored occurrences hold."""
    return ObjectContent(
        uid=found.uid,
        component=found.component,
        etag=etag_of(body),
        text=found.text,
        size=len(body),
        time_key=found.time_key,
        summary=found.summary(),
        tzids=found.tzids,
        materialised=None if now is None else materialise(found.tree, now),
    )
