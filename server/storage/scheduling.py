"""The protocol for scheduling.

The rules of `server.storage` apply here, too: reads are single statements, errors are those of `server.domain.errors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from server.domain.changes import ObjectState
from server.domain.grants import NO_GRANTS, Grants
from server.domain.objects import Collection, Home, Object, Target
from server.domain.occurrences import Busy
from server.domain.principals import ExpandableBy, Principal, PrincipalKind
from server.domain.rooms import Room
from server.domain.scheduling import SchedulingRole
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
    elsewhere: bool = False
    """Whether the principal keeps the calendar elsewhere, and gets scheduling messages by mail."""


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A group, and one of its direct members."""

    group: Principal
    expandable_by: ExpandableBy
    """Whose invitations of the group invite its members."""
    member: AddressedPrincipal | None
    """None: the group has none."""


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
    """The data of a recipient for the delivery of messages about one UID."""

    principal_id: int
    home: Home
    inbox: Collection | None
    calendars: tuple[Collection, ...]
    """The home's own calendars, in order of their ids, in the recipient's view."""
    addresses: frozenset[str]
    """The recipient's addresses, former ones too, by `server.calendar.attendance.address_keys`."""
    collection: Collection | None = None
    """The calendar of `object`."""
    object: Object | None = None
    """The scheduling object of the UID, with its text; if there is none, the plain object of the UID in the oldest
    calendar."""
    grants: Grants = NO_GRANTS
    """The grants on the inbox that may concern the sender."""
    state: Mapping[str, Any] | None = None
    """The state of the messages about the UID (`Remember.state`)."""
    version: int = 0
    """The version of the state; 0: there is none."""
    kind: PrincipalKind = "individual"
    """That of the recipient."""
    auto_schedule: Mapping[str, Any] | None = None
    """How invitations are answered for the recipient, as in `PrincipalRecord`; None, too, for disabled ones."""
    queued: bool = False
    """Whether messages about the meeting wait for their delivery by a job."""
    taken: bool = False
    """Whether somebody has, or waits for, a turn in the queue of the meeting (`server.storage.queues`)."""
    room: Room | None = None
    """Of a room or piece of equipment, unless it is disabled."""

    @property
    def answers(self) -> bool:
        """Whether the server may answer invitations for the recipient."""
        return self.auto_schedule is not None or (self.room is not None and bool(self.room.policy))


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Scheduling messages of one change that jobs deliver (`server.domain.changes.SetDispatch`)."""

    home_id: int
    id: int
    sender: Principal
    """The owner of the home."""
    uid: str
    meeting: int
    version: int
    state: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MeetingCopy:
    """An object or inbox item of a UID in somebody's home, for administrators."""

    owner: Principal
    collection: str
    name: str
    role: SchedulingRole
    modified_at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class MeetingPlace:
    """Where an object or inbox item lies."""

    owner: Principal
    collection: str
    name: str
    id: int
    """Of the object."""


@dataclass(frozen=True, slots=True)
class RemovedMeeting:
    """A scheduling object in a deleted calendar."""

    home_id: int
    owner: Principal
    """The owner of the home."""
    name: str
    state: ObjectState
    text: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OrganizedMeeting:
    """A meeting that somebody organizes."""

    collection: str
    """The name of its calendar in their home."""
    name: str
    uid: str
    text: str


@dataclass(frozen=True, slots=True)
class BusyCalendar:
    """The busy times of a person's calendar that depend on its zone or on texts."""

    place: Target
    """Its path in the person's home."""
    timezone: str | None
    """CALDAV:calendar-timezone as iCalendar text."""
    times: BusyTimes
    """Without merged times, which are the person's."""


@dataclass(frozen=True, slots=True)
class PersonBusy:
    """When a person is busy."""

    merged: Sequence[tuple[Busy, datetime, datetime]]
    """Of timed occurrences of all calendars, those of one type put together, ascending; may reach out of the window."""
    calendars: Sequence[BusyCalendar]


@runtime_checkable
class Scheduling(Protocol):
    """Reads for scheduling."""

    async def addressed(self, search: AddressSearch) -> Sequence[AddressedPrincipal]:
        """The principals that have one of the addresses, now or formerly, in order of their ids."""

    async def group_members(
        self, groups: Sequence[int], home_id: int, uid: str
    ) -> tuple[Sequence[GroupMember], Mapping[str, Any] | None]:
        """The members of groups, and of the groups among these; and what a home knows of a UID (`Remember.state`).

        In order of the groups' ids and the members' names.
        """

    async def meetings_of_group(
        self, group_id: int, *, after: tuple[int, int], limit: int
    ) -> Sequence[tuple[int, int]]:
        """A page of the organizers' objects that invite a group, or a group that has it as a member: home and object.

        In order, after a pair of ids. By an index of what homes know (`groups` in `Remember.state`).
        """

    async def scheduling_object(self, collection: Collection, uid: str) -> SchedulingObject | None:
        """The scheduling object that has a UID in the home of a collection's members, by an index.

        None where there is none, or it lies in a deleted collection.
        """

    async def has_moved(self, collection: Collection, name: str, within: timedelta) -> bool:
        """Whether the member that had a name was removed within this time, and its home has the scheduling object of
        its UID: it has moved."""

    async def mailboxes(
        self, sender: int, recipients: Sequence[int], uid: str, meeting: int | None = None
    ) -> Sequence[Mailbox]:
        """The calendar homes of those of the recipients (ids of principals) who have one, in order of their ids.

        `sender` is the id of the principal in whose name the messages are sent; `meeting` is the number of the meeting
        (`SetDispatch.meeting`) of which `Mailbox.queued` and `Mailbox.taken` tell.
        """

    async def inboxes(self, sender: int, people: Sequence[int]) -> Sequence[Mailbox]:
        """As `mailboxes`, for people who have an inbox, without their calendars and what is in them."""

    async def inbox_grants(self, inbox: Collection, senders: Sequence[int]) -> Mapping[int, Grants]:
        """The grants on an inbox that may concern each of the senders, as in `Mailbox.grants`."""

    async def dispatches(self, meeting: int, *, failing: bool, limit: int) -> Sequence[Dispatch]:
        """The first dispatches of a meeting that have recipients who wait; `failing`: to whom it is to be tried again.

        In the order in which they were stored.
        """

    async def scheduled_uid(self, home_id: int, object_id: int) -> tuple[int, str] | None:
        """The owner (id of a principal) and UID of a scheduling object; None where it is gone."""

    async def object_place(self, home_id: int, object_id: int) -> MeetingPlace | None:
        """Where an object of a calendar lies; None where it is gone, or its calendar or owner is deleted."""

    async def removed_meetings(
        self, home_id: int, collection_id: int, *, after: str, limit: int
    ) -> Sequence[RemovedMeeting]:
        """The scheduling objects of a deleted calendar, by name; none if it is not deleted (any more)."""

    async def organized_meetings(
        self, principal_id: int, since: datetime, *, after: str, limit: int
    ) -> Sequence[OrganizedMeeting]:
        """The meetings that somebody organizes and that end after a time, in order of their UIDs, after one of them."""

    async def meeting_uids(self, principal_id: int, *, after: str, limit: int) -> Sequence[str]:
        """The UIDs of the meetings that somebody's calendar home knows of, also of removed copies, in order."""

    async def meeting_places(self, uid: str, *, after: tuple[int, int], limit: int) -> Sequence[MeetingPlace]:
        """A page of the places of the objects and inbox items of a UID in all calendar homes; slow.

        In order of the ids of owner and object, after such a pair.
        """

    async def busy_people(
        self,
        people: Sequence[int],
        window: tuple[datetime, datetime],
        floating: tuple[datetime, datetime],
        masked: Iterable[tuple[int, int]] = (),
    ) -> Sequence[PersonBusy]:
        """When each of these principals is busy in `window`; floating times are looked for in `floating`.

        `masked` are pairs of a principal and an object whose times do not count for this principal.

        In all calendars that their calendar home shows, except those that are transparent in their view (RFC 6638
        §9.1). Their personal copies decide in calendars of others; what they declined in their own is not busy. One
        statement for any number of people.
        """

    async def oldest_members(self, collection: Collection, count: int) -> Sequence[tuple[str, ObjectState]]:
        """Names and states of the members of a collection that were made first, at most `count`."""

    async def inbox_items(self, inbox: Collection, uid: str) -> Sequence[tuple[str, ObjectState]]:
        """Names and states of the items of an inbox about a UID, ascending by their ids."""
