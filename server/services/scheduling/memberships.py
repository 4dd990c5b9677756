"""Meetings follow the membership of the groups that they invite, by jobs.

A change of a group's members writes a job of the kind `memberships` in its transaction. It writes a job of the kind
`members` for each meeting that invites the group, or a group that has it as a member, which waits for
`scheduling.membership_delay` and takes in later ones of the same meeting, so that a meeting changes once in that time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from server.domain.actors import Actor
from server.domain.changes import Cause, ChangeSet
from server.domain.errors import (
    AccessDenied,
    InvalidData,
    NotFound,
    QuotaExceeded,
    SchedulingRefused,
    SignInRequired,
)
from server.domain.jobs import Job
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import addresses
from server.itip.change import Change
from server.itip.scheduling_object import read_object
from server.services.changing import change
from server.services.contents import LARGE
from server.services.lookup import Found, Lookup
from server.services.objects import text_of
from server.services.permissions import collection_of, member_of
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.groups import with_groups
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.leaving_groups import leave_groups
from server.services.scheduling.planned import owner_of
from server.services.scheduling.sent import Sent

MEMBERS = "members"
"""Kind of the jobs that let one meeting follow."""
_PAGE = 500
"""Meetings whose jobs one transaction stores."""

_REFUSED = (AccessDenied, InvalidData, NotFound, QuotaExceeded, SchedulingRefused, SignInRequired)

log = structlog.get_logger()


class Memberships:
    """The handlers of these jobs."""

    def __init__(
        self, scheduling: Scheduling, delay: timedelta, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._scheduling, self._storage, self._delay, self._now = scheduling, scheduling.storage, delay, now
        self._lookup = Lookup(self._storage)

    async def plan(self, group_id: int) -> int:
        """Store a job for each meeting that invites a group, also through others. Returns their number."""
        count, after = 0, (0, 0)
        while page := await self._storage.meetings_of_group(group_id, after=after, limit=_PAGE):
            jobs = tuple(self._job(home_id, object_id) for home_id, object_id in page)
            await self._storage.apply(ChangeSet((), self._scheduling.limits, Cause(None, "jobs"), jobs=jobs))
            count, after = count + len(page), page[-1]
        return count

    def _job(self, home_id: int, object_id: int) -> Job:
        key = f"members {object_id}"
        return Job(MEMBERS, {"home": home_id, "object": object_id}, key, key, delay=self._delay)

    async def follow(self, home_id: int, object_id: int) -> bool:
        """Let a meeting follow the membership of its groups, in the name of its organizer. The copy of a member whom an
        organizer elsewhere has invited is cancelled where they have left. Returns whether it changed.

        The policy is asked again; what it denies, and what the organizer's home has no room for, is logged.
        """

        async def read() -> Found | None:
            return await self._found(home_id, object_id)

        async def decide(found: Found | None) -> bool:
            if found is None or found.viewer is None:
                return False
            text = await text_of(self._storage, found)
            if member_of(found).role is SchedulingRole.ATTENDEE:
                return await leave_groups(self._scheduling, found, text, self._now())
            if not await self._is_behind(found, text):
                return False
            await self._scheduling.put(Actor(found.viewer, "jobs"), found, text.encode(), Sent(etag_matches=True))
            return True

        try:
            return await change(read, decide)
        except _REFUSED as error:
            log.warning("membership_not_followed", home=home_id, object=object_id, error=type(error).__name__)
        return False

    async def _is_behind(self, found: Found, text: str) -> bool:
        """Whether the members of the groups are others than an organizer's object names."""
        old, owner = read_object(text), address_of(owner_of(found))
        directory = await directory_of(self._storage, addresses(old) | {owner})
        kept = Change(old, old, directory.user(owner), directory, self._now(), etag_matches=True)
        home_id, limit = collection_of(found).home_id, self._scheduling.max_attendees
        then = await with_groups(self._storage, kept, home_id, limit, large=len(text) >= LARGE)
        return then.new is not None and then.new.text != text

    async def _found(self, home_id: int, object_id: int) -> Found | None:
        """The meeting as its organizer finds it; None where it is gone."""
        scheduled = await self._storage.scheduled_uid(home_id, object_id)
        if scheduled is None:
            return None
        owner_id, uid = scheduled
        mailboxes = await self._storage.mailboxes(owner_id, [owner_id], uid)
        if not mailboxes or mailboxes[0].object is None or mailboxes[0].collection is None:
            return None
        held, collection = mailboxes[0].object, mailboxes[0].collection
        viewer = (await self._storage.resolve(owner_id, None)).viewer
        if held.id != object_id or viewer is None or collection.name is None:
            return None
        target = Target(viewer.uid, "uid", "calendar", collection.name, held.name)
        return await self._lookup.find(Actor(viewer, "jobs"), target, Privilege.WRITE_CONTENT, text=True)
