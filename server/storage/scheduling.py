"""The protocol for scheduling.

The rules of `server.storage` apply here, too: reads are single statements, errors are those of `server.domain.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from server.domain.grants import NO_GRANTS, Grants
from server.domain.objects import Collection, Home, Object, Target
from server.domain.occurrences import Busy
from server.domain.principals import Principal
from server.storage.reads import BusyTimes


@dataclass(frozen=True, slots=True)
class AddressSearch:
    """Calendar user addresses, by kind. If an address has several spellings, all of them are searched."""

    uids: frozenset[str] = frozenset()
    """Stable ids of principals."""
    names: frozenset[str] = frozenset()
    """`server.domain.principals.name_key` of names of principals."""
    emails: frozenset[str] = frozenset()
    """`name_key` of e-mail addresses."""


@dataclass(frozen=True, slots=True)
class AddressedPrincipal:
    """A principal that a calendar user address names."""

    principal: Principal
    former_addresses: tuple[str, ...]
    """E-mail addresses that the principal had, and that nobody else has now."""


@dataclass(frozen=True, slots=True)
class SchedulingObject:
    """The place of the scheduling object of a UID (RFC 6638 §3.1)."""

    id: int
    collection_id: int
    collection: str | None
    """The name of its collection in the home that it was asked for; None where this home does not show it."""
    name: str


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What the delivery of messages about one UID needs to know of a recipient."""

    principal_id: int
    home: Home
    inbox: Collection | None
    calendars: tuple[Collection, ...]
    """Those of the home itself, by id, in the recipient's view."""
    collection: Collection | None = None
    """The calendar in which `object` lies."""
    object: Object | None = None
    """The scheduling object of the UID, with its text; otherwise the plain object of the UID in the oldest calendar."""
    grants: Grants = NO_GRANTS
    """What was granted on the inbox, as far as it concerns the sender."""
    state: Mapping[str, Any] | None = None
    """What the home knows of the messages about the UID (`Remember.state`)."""
    version: int = 0
    """Of the state; 0: there is none."""


@dataclass(frozen=True, slots=True)
class BusyCalendar:
    """What of a person's calendar depends on its zone or on texts."""

    place: Target
    """Where the person finds it."""
    timezone: str | None
    """CALDAV:calendar-timezone as iCalendar text."""
    times: BusyTimes
    """Without merged times, which are the person's."""


@dataclass(frozen=True, slots=True)
class PersonBusy:
    """When a person is busy."""

    merged: Sequence[tuple[Busy, datetime, datetime]]
    """Of timed occurrences of all calendars, those of one type put together; may reach out of the window."""
    calendars: Sequence[BusyCalendar]


@runtime_checkable
class Scheduling(Protocol):
    """Reads for scheduling."""

    async def addressed(self, search: AddressSearch) -> Sequence[AddressedPrincipal]:
        """The principals that have one of the addresses, now or formerly, in order of their ids."""

    async def scheduling_object(self, collection: Collection, uid: str) -> SchedulingObject | None:
        """The scheduling object that has a UID in the home of a collection's members, by an index.

        None where there is none, or it lies in a deleted collection.
        """

    async def mailboxes(self, sender: int, recipients: Sequence[int], uid: str) -> Sequence[Mailbox]:
        """The calendar homes of those of the recipients (ids of principals) who have one, in order of their ids.

        `sender` is the id of the principal in whose name the messages are sent.
        """

    async def busy_people(
        self, people: Sequence[int], window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Sequence[PersonBusy]:
        """When each of these principals is busy in `window`; floating times are looked for in `floating`.

        In all calendars that their calendar home shows, except those that are transparent in their view (RFC 6638
        §9.1). Their personal copies decide in calendars of others; what they declined in their own is not busy. One
        statement for any number of people.
        """
