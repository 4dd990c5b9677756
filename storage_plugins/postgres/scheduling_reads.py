"""The part of the storage that reads for scheduling (`server.storage.scheduling.Scheduling`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from server.domain.changes import ObjectState
from server.domain.grants import Grants
from server.domain.objects import Collection
from server.storage.scheduling import (
    AddressedPrincipal,
    AddressSearch,
    Dispatch,
    GroupMember,
    Mailbox,
    MeetingPlace,
    OrganizedMeeting,
    PersonBusy,
    RemovedMeeting,
    SchedulingObject,
)
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.reads import dispatches as dispatch_reads
from storage_plugins.postgres.reads import meetings, members
from storage_plugins.postgres.reads.addressed import ADDRESSED, addressed
from storage_plugins.postgres.reads.busy_people import BUSY_PEOPLE, BUSY_PEOPLE_MASKED, busy_people
from storage_plugins.postgres.reads.grants import grants
from storage_plugins.postgres.reads.group_members import GROUP_MEMBERS, MEETINGS_OF_GROUP, group_members
from storage_plugins.postgres.reads.mailboxes import INBOX_ITEMS, INBOXES, MAILBOXES, OLDEST_MEMBERS, mailboxes


class SchedulingReads:
    """Reads for scheduling. Every method is one statement, in one round trip."""

    database: Database

    async def addressed(self, search: AddressSearch) -> Sequence[AddressedPrincipal]:
        """The principals that have one of the calendar user addresses, now or formerly."""
        rows = await self.database.fetch(ADDRESSED, list(search.uids), list(search.names), list(search.emails))
        return list(map(addressed, rows))

    async def group_members(
        self, groups: Sequence[int], home_id: int, uid: str
    ) -> tuple[Sequence[GroupMember], Mapping[str, Any] | None]:
        """The members of groups, and of the groups among these; and what a home knows of a UID."""
        rows = await self.database.fetch(GROUP_MEMBERS, list(groups), home_id, uid)
        return group_members(rows), rows[0][0] if rows else None

    async def meetings_of_group(
        self, group_id: int, *, after: tuple[int, int], limit: int
    ) -> Sequence[tuple[int, int]]:
        """A page of the organizers' objects that invite a group, also through others."""
        rows = await self.database.fetch(MEETINGS_OF_GROUP, group_id, *after, limit)
        return [(row[0], row[1]) for row in rows]

    async def scheduling_object(self, collection: Collection, uid: str) -> SchedulingObject | None:
        """The scheduling object that has a UID in the home of a collection's members."""
        places = collection.home_id, collection.binding_home_id
        row = await self.database.fetchrow(members.SCHEDULING_OBJECT, *places, uid)
        return None if row is None else SchedulingObject(*row)

    async def has_moved(self, collection: Collection, name: str, within: timedelta) -> bool:
        """Whether the home has the scheduling object of a member that was removed a moment ago."""
        return bool(await self.database.fetchval(members.HAS_MOVED, collection.home_id, collection.id, name, within))

    async def mailboxes(
        self, sender: int, recipients: Sequence[int], uid: str, meeting: int | None = None
    ) -> Sequence[Mailbox]:
        """The data of recipients for the delivery of messages about a UID."""
        return mailboxes(await self.database.fetch(MAILBOXES, sender, list(recipients), uid, meeting))

    async def inboxes(self, sender: int, people: Sequence[int]) -> Sequence[Mailbox]:
        """The inboxes of people."""
        return mailboxes(await self.database.fetch(INBOXES, sender, list(people)))

    async def inbox_grants(self, inbox: Collection, senders: Sequence[int]) -> Mapping[int, Grants]:
        """The grants on an inbox that may concern each of the senders."""
        rows = await self.database.fetch(dispatch_reads.INBOX_GRANTS, inbox.home_id, inbox.id, list(senders))
        return {row[0]: grants(row[1]) for row in rows}

    async def dispatches(self, meeting: int, *, failing: bool, limit: int) -> Sequence[Dispatch]:
        """The first dispatches of a meeting that have recipients who wait, or to whom it is to be tried again."""
        sql = dispatch_reads.FAILING if failing else dispatch_reads.WAITING
        return list(map(dispatch_reads.dispatch, await self.database.fetch(sql, meeting, limit)))

    async def scheduled_uid(self, home_id: int, object_id: int) -> tuple[int, str] | None:
        """The owner and UID of a scheduling object."""
        row = await self.database.fetchrow(dispatch_reads.SCHEDULED_UID, home_id, object_id)
        return None if row is None else (row[0], row[1])

    async def object_place(self, home_id: int, object_id: int) -> MeetingPlace | None:
        """Where an object of a calendar lies."""
        row = await self.database.fetchrow(meetings.OBJECT_PLACE, home_id, object_id)
        return None if row is None else meetings.place(row)

    async def removed_meetings(
        self, home_id: int, collection_id: int, *, after: str, limit: int
    ) -> Sequence[RemovedMeeting]:
        """The scheduling objects of a deleted calendar."""
        rows = await self.database.fetch(dispatch_reads.REMOVED_MEETINGS, home_id, collection_id, after, limit)
        return [dispatch_reads.removed_meeting(home_id, row) for row in rows]

    async def organized_meetings(
        self, principal_id: int, since: datetime, *, after: str, limit: int
    ) -> Sequence[OrganizedMeeting]:
        """The meetings that somebody organizes and that end after a time."""
        rows = await self.database.fetch(meetings.ORGANIZED, principal_id, since, after, limit)
        return list(map(meetings.organized_meeting, rows))

    async def meeting_uids(self, principal_id: int, *, after: str, limit: int) -> Sequence[str]:
        """The UIDs of the meetings that the calendar home of somebody knows of."""
        return [row[0] for row in await self.database.fetch(meetings.UIDS, principal_id, after, limit)]

    async def meeting_places(self, uid: str, *, after: tuple[int, int], limit: int) -> Sequence[MeetingPlace]:
        """A page of the places of the objects and inbox items of a UID in all calendar homes."""
        return list(map(meetings.place, await self.database.fetch(meetings.PLACES, uid, *after, limit)))

    async def busy_people(
        self,
        people: Sequence[int],
        window: tuple[datetime, datetime],
        floating: tuple[datetime, datetime],
        masked: Iterable[tuple[int, int]] = (),
    ) -> Sequence[PersonBusy]:
        """When each of these principals is busy in `window`, in the calendars of their home that count."""
        pairs = list(masked)
        times = (*window, *floating)
        if pairs:
            of, objects = [person for person, _ in pairs], [object_id for _, object_id in pairs]
            rows = await self.database.fetch(BUSY_PEOPLE_MASKED, list(people), *times, of, objects)
        else:
            rows = await self.database.fetch(BUSY_PEOPLE, list(people), *times)
        return busy_people(rows, len(people))

    async def oldest_members(self, collection: Collection, count: int) -> Sequence[tuple[str, ObjectState]]:
        """The members of a collection that were made first."""
        rows = await self.database.fetch(OLDEST_MEMBERS, collection.home_id, collection.id, count)
        return [(name, ObjectState(id_, revision)) for name, id_, revision in rows]

    async def inbox_items(self, inbox: Collection, uid: str) -> Sequence[tuple[str, ObjectState]]:
        """The items of an inbox about a UID."""
        rows = await self.database.fetch(INBOX_ITEMS, inbox.home_id, inbox.id, uid)
        return [(name, ObjectState(id_, revision)) for name, id_, revision in rows]
