"""Texts as they are stored: parsed, validated, and with all that is derived from them when they are written."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_hex
from typing import Self

from server.auth import policy
from server.calendar import attendance, roles
from server.calendar.calendar_object import CalendarObject, read_calendar_object, time_key
from server.calendar.component import parse_calendar
from server.calendar.materialise import is_single, materialise
from server.calendar.visibility import access_of, others_of, with_access
from server.contacts.vcard import AddressObject, read_address_object
from server.domain.contents import ObjectContent
from server.domain.errors import (
    AccessRestrictionChange,
    UnsupportedComponent,
)
from server.domain.etags import etag_of
from server.domain.limits import Limits
from server.domain.objects import Collection, Object
from server.domain.scheduling import NO_SCHEDULING, SCHEDULING_OBJECTS, Scheduling
from server.itip.scheduling_object import SchedulingObject, read_object
from server.process.computing import computed
from server.services.derived_texts import DerivedTexts
from server.services.lookup import Found
from server.services.permissions import collection_of
from server.storage import Storage

UNRESTRICTED = (None, "PUBLIC")
"""Values of X-CALENDARSERVER-ACCESS that hide nothing."""
LARGE = 16 * 1024
"""Bytes from which a text is parsed off the event loop."""


class Contents:
    """Parses the texts of members of calendars and address books."""

    def __init__(
        self, storage: Storage, limits: Limits, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.storage = storage
        self._limits = limits
        self._now = now
        self._derived: DerivedTexts | None = None

    def for_one_set(self) -> Self:
        """The same for the members of one change set: a text that several of them get is parsed and derived once."""
        made = copy(self)
        made._derived = DerivedTexts(self._now())
        return made

    def scheduling_object(self, text: str) -> SchedulingObject:
        """The editable form of a stored text. Raises `InvalidCalendarData`."""
        return read_object(text) if self._derived is None else self._derived.scheduling_object(text)

    async def read(self, found: Found, body: bytes) -> ObjectContent:
        """Parse and validate a text that replaces the found member, or that becomes a new one.

        Occurrences are computed, unless the time key says that those of the found member stay. Large texts are parsed
        in a thread. The occurrences of an object that recurs, or that defines its zones, are computed in a thread, too.

        Raises `InvalidData` and its subclasses, and `AccessRestrictionChange`. Where the actor may not set
        X-CALENDARSERVER-ACCESS, that of the found member stays.
        """
        content = await self.content(collection_of(found), body, found.object)
        if (content.access is not None or (found.object is not None and found.object.private)) and not (
            policy.may_restrict(found.viewer, found.owner, collection_of(found))
        ):
            return await self._restricted_as_before(found, content)
        return content

    async def _restricted_as_before(self, found: Found, content: ObjectContent) -> ObjectContent:
        collection, member = collection_of(found), found.object
        rows = [] if member is None else await self.storage.members_by_id(collection, [member.id], ("text",))
        before = access_of(parse_calendar(rows[0][0])) if rows else None
        if content.access in UNRESTRICTED and before not in UNRESTRICTED:
            assert before is not None
            return await self.content(collection, with_access(content.text, before).encode(), member)
        if content.access not in (*UNRESTRICTED, before):
            raise AccessRestrictionChange
        return content

    async def content(
        self, collection: Collection, body: bytes, existing: Object | None, owner: frozenset[str] | None = None
    ) -> ObjectContent:
        """As `read`, for a member of a collection that no lookup has found: that of a recipient of a message.

        `owner` are the addresses of the calendar's owner; None: they are read if the text needs them.
        """
        large = len(body) >= LARGE
        if collection.kind == "addressbook":
            return await computed(self._card, body) if large else self._card(body)
        is_message, derived = collection.kind == "inbox", self._derived
        found = None if derived is None else derived.read.get((is_message, body))
        if found is None:
            parse = self._calendar_object
            found = await computed(parse, body, is_message) if large else parse(body, is_message)
            if derived is not None:
                derived.read[is_message, body] = found
        if collection.components and found.component not in collection.components:
            raise UnsupportedComponent(f"This calendar takes {', '.join(collection.components)} only.")
        if owner is None:
            needed = found.scheduled or found.may_be_free
            owner = await self.storage.owner_addresses(collection.home_id) if needed else frozenset()
        declined = attendance.declined(found.tree, owner) if found.may_be_free else frozenset[int]()
        key = found.time_key
        if declined:
            key = time_key(found.text, found.tree, declined)
        stays = existing is not None and existing.time_key == key
        if derived is not None and (known := derived.content(found, key, stays=stays, is_message=is_message)):
            if is_message:
                return known
            scheduling = derived.scheduling(found, owner)
            return replace(known, scheduling=scheduling, schedule_tag=_schedule_tag(scheduling))
        now = None if stays else self._now() if derived is None else derived.now
        if not large and (now is None or is_single(found.tree)):
            content = _calendar_content(collection, found, key, now, declined, owner)
        else:
            content = await computed(_calendar_content, collection, found, key, now, declined, owner)
        if derived is not None:
            derived.keep(found, content, stays=stays, is_message=is_message)
        return content

    def _card(self, body: bytes) -> ObjectContent:
        return _card_content(read_address_object(body, self._limits))

    def _calendar_object(self, body: bytes, is_message: bool) -> CalendarObject:
        return read_calendar_object(body, self._limits, message=is_message)


def new_schedule_tag() -> str:
    """A Schedule-Tag that no object has had (RFC 6638 §3.2.10): hexadecimal digits."""
    return token_hex(8)


def _card_content(card: AddressObject) -> ObjectContent:
    body = card.text.encode()
    return ObjectContent(
        uid=card.uid,
        component="VCARD",
        etag=etag_of(body),
        text=card.text,
        size=len(body),
        time_key="",
        summary=card.summary(),
    )


def _calendar_content(
    collection: Collection,
    found: CalendarObject,
    key: str,
    now: datetime | None,
    declined: frozenset[int],
    owner: frozenset[str],
) -> ObjectContent:
    """`now` is None if the stored occurrences stay."""
    body = found.text.encode()
    if collection.kind == "inbox":
        scheduling = roles.message(found.tree)
    else:
        scheduling = roles.scheduling(found.tree, owner) if found.scheduled else NO_SCHEDULING
    others, summary = others_of(found.text, found.tree, owner), found.summary()
    if others is not None:
        summary["others"] = "part"
    return ObjectContent(
        uid=found.uid,
        component=found.component,
        etag=etag_of(body),
        text=found.text,
        size=len(body),
        time_key=key,
        summary=summary,
        materialised=None if now is None else materialise(found.tree, now, declined),
        scheduling=scheduling,
        schedule_tag=_schedule_tag(scheduling),
        access=found.access,
        others=others,
    )


def _schedule_tag(scheduling: Scheduling) -> str | None:
    """A new Schedule-Tag for an object with one."""
    return new_schedule_tag() if scheduling.role in SCHEDULING_OBJECTS else None
