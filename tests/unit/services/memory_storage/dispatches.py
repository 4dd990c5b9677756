"""Scheduling messages that jobs deliver, and the jobs of change sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from server.domain.changes import ChangeSet, ObjectState
from server.domain.errors import WriteConflict
from server.domain.grants import Grants
from server.domain.objects import Collection
from server.domain.occurrences import LATEST
from server.domain.scheduling import SchedulingRole
from server.storage.scheduling import Dispatch, MeetingPlace, OrganizedMeeting, RemovedMeeting
from tests.unit.services.memory_storage import seen
from tests.unit.services.memory_storage.mails import store_mails
from tests.unit.services.memory_storage.tables import Tables, without_role


class DispatchReads:
    """What deliveries by jobs read."""

    tables: Tables

    async def inbox_grants(self, inbox: Collection, senders: Sequence[int]) -> Mapping[int, Grants]:
        home = self.tables.homes[inbox.home_id]
        return {
            each: seen.grants(self.tables, seen.principal(self.tables.principals[each]), home, inbox.id)
            for each in senders
            if each != home.principal_id
        }

    async def dispatches(self, meeting: int, *, failing: bool, limit: int) -> Sequence[Dispatch]:
        tables = self.tables
        found = []
        for id_, (row, created_at) in sorted(tables.dispatches.items()):
            if row.meeting == meeting and (row.failing if failing else row.waiting):
                sender = seen.principal(tables.principals[tables.homes[row.home_id].principal_id])
                at = row.home_id, id_, sender, row.uid, meeting, row.version, row.state, created_at
                found.append(Dispatch(*at))
        return found[:limit]

    async def scheduled_uid(self, home_id: int, object_id: int) -> tuple[int, str] | None:
        row = self.tables.objects.get(object_id)
        if row is None or row.home_id != home_id or not row.is_scheduling_object:
            return None
        return self.tables.homes[home_id].principal_id, row.content.uid

    async def object_place(self, home_id: int, object_id: int) -> MeetingPlace | None:
        tables = self.tables
        row = tables.objects.get(object_id)
        if row is None or row.home_id != home_id or row.deleted_revision is not None:
            return None
        principal, collection = tables.principals[tables.homes[home_id].principal_id], row.collection_id
        live = tables.live_collection(collection)
        if live is None or live.kind != "calendar" or principal.deleted_at is not None:
            return None
        (name,) = (
            each.name
            for each in tables.bindings.values()
            if each.is_own and each.collection_id == collection and each.deleted_revision is None
        )
        return MeetingPlace(seen.principal(principal), name, row.name, row.id)

    async def removed_meetings(
        self, home_id: int, collection_id: int, *, after: str, limit: int
    ) -> Sequence[RemovedMeeting]:
        tables = self.tables
        if tables.live_collection(collection_id) is not None or collection_id not in tables.collections:
            return []
        owner = seen.principal(tables.principals[tables.homes[home_id].principal_id])
        rows = sorted(tables.members(collection_id), key=lambda row: row.name)
        return [
            RemovedMeeting(
                home_id, owner, row.name, ObjectState(row.id, row.revision), row.content.text, row.created_at
            )
            for row in rows
            if row.is_scheduling_object and row.name > after
        ][:limit]

    async def organized_meetings(
        self, principal_id: int, since: datetime, *, after: str, limit: int
    ) -> Sequence[OrganizedMeeting]:
        tables, found = self.tables, []
        for each in tables.bindings.values():
            home = tables.homes[each.home_id]
            if home.principal_id != principal_id or home.kind != "calendar" or each.deleted_revision is not None:
                continue
            if tables.live_collection(each.collection_id) is None or each.rights != "owner":
                continue
            for row in tables.members(each.collection_id):
                if row.content.scheduling.role is SchedulingRole.ORGANIZER and row.is_scheduling_object:
                    stored = row.content.materialised
                    over = stored is not None and not stored.endless and (stored.span_end or LATEST) <= since
                    if row.content.uid > after and not over:
                        found.append(OrganizedMeeting(each.name, row.name, row.content.uid, row.content.text))
        return sorted(found, key=lambda meeting: meeting.uid)[:limit]

    async def meeting_uids(self, principal_id: int, *, after: str, limit: int) -> Sequence[str]:
        tables = self.tables
        homes = {home.id for home in tables.homes.values() if home.principal_id == principal_id}
        found = {
            row.content.uid for row in tables.objects.values() if row.home_id in homes and row.is_scheduling_object
        }
        found |= {uid for home_id, uid in tables.memory if home_id in homes}
        return sorted(uid for uid in found if uid > after)[:limit]

    async def meeting_places(self, uid: str, *, after: tuple[int, int], limit: int) -> Sequence[MeetingPlace]:
        tables, found = self.tables, []
        for row in tables.objects.values():
            collection = tables.live_collection(row.collection_id)
            if row.content.uid != uid or row.deleted_revision is not None or collection is None:
                continue
            owner = seen.principal(tables.principals[tables.homes[row.home_id].principal_id])
            (name,) = (
                each.name
                for each in tables.bindings.values()
                if each.is_own and each.collection_id == row.collection_id and each.deleted_revision is None
            )
            found.append(MeetingPlace(owner, name, row.name, row.id))
        found.sort(key=lambda each: (each.owner.id, each.id))
        return [each for each in found if (each.owner.id, each.id) > after][:limit]


class DispatchWrites:
    """What a change set leaves to jobs."""

    tables: Tables

    def _leave_to_jobs(self, changes: ChangeSet) -> None:
        """Store the dispatches and jobs of a set, in its transaction."""
        tables = self.tables
        for each in changes.dispatches:
            if each.id is None:
                id_ = tables.new_id()
                tables.dispatches[id_] = replace(each, id=id_, version=1), tables.clock()
                continue
            stored, created_at = tables.dispatches[each.id]
            if stored.version != each.version:
                raise WriteConflict
            tables.dispatches[each.id] = replace(each, version=each.version + 1), created_at
        for released in changes.released:
            row = tables.objects[released.state.id]
            if tables.live_collection(row.collection_id) is not None or not row.is_scheduling_object:
                raise WriteConflict
            content = replace(without_role(row.content), schedule_tag=None)
            tables.objects[row.id] = replace(row, content=content)
        for sent in changes.mails:
            store_mails(tables, sent)
        for job in changes.jobs:
            waits = [each for each in tables.jobs if (each.kind, each.queueing_key) == (job.kind, job.queueing_key)]
            if job.queueing_key is None or not waits:
                tables.jobs.append(job)
