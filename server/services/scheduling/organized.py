"""What administrators do with the meetings that somebody organizes: list them, cancel them, hand them over.

Each meeting is one change set. An act that is broken off goes on where it is repeated.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex

from server.auth import policy
from server.domain.actors import Actor
from server.domain.changes import Delete, ObjectState
from server.domain.errors import (
    AccessDenied,
    InvalidData,
    KoyomiError,
    NotFound,
    QuotaExceeded,
    SchedulingRefused,
    TooManyConflicts,
    TooManyMembers,
)
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.domain.values import value
from server.itip.calendar_users import addresses
from server.itip.change import Change
from server.itip.handing_over import plan_hand_over
from server.itip.scheduling_object import SchedulingObject, read_object
from server.itip.splitting import ended_before
from server.process.computing import computed
from server.services.changing import change
from server.services.lookup import Found, Lookup
from server.services.mail.restored import after_restore
from server.services.objects import text_of
from server.services.permissions import collection_of, member_of
from server.services.scheduling import memory
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.default_calendar import Scheduled, default_calendar, make_default_calendar
from server.services.scheduling.dispatches import meeting_of
from server.services.scheduling.former_organizers import former_organizers
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.intent import Intent
from server.services.scheduling.sending import Sending
from server.services.scheduling.sent import Sent
from server.storage.directory import PrincipalRecord
from server.storage.scheduling import OrganizedMeeting

_PAGE = 100
_REFUSALS = AccessDenied, InvalidData, QuotaExceeded, SchedulingRefused, TooManyConflicts, TooManyMembers
"""Errors that concern one meeting alone."""


@value
class Acted:
    """What became of one meeting."""

    meeting: OrganizedMeeting
    error: KoyomiError | None = None
    """Why it stays as it was; None: it does not."""


class Organized:
    """The meetings of one person that are not over."""

    def __init__(
        self, scheduling: Scheduling, actor: Actor, person: PrincipalRecord, now: datetime | None = None
    ) -> None:
        self._scheduling, self._actor, self._person = scheduling, actor, person
        self._storage, self._objects = scheduling.storage, scheduling.objects
        self._lookup = Lookup(scheduling.storage)
        self._now = now or datetime.now(UTC)

    async def meetings(self) -> AsyncIterator[OrganizedMeeting]:
        """The meetings, in order of their UIDs. Raises `AccessDenied`."""
        if Privilege.READ not in policy.on_directory(self._actor.principal):
            raise AccessDenied("", Privilege.READ)
        after = ""
        while page := await self._storage.organized_meetings(self._person.id, self._now, after=after, limit=_PAGE):
            for each in page:
                yield each
            after = page[-1].uid

    async def cancel(self) -> AsyncIterator[Acted]:
        """Cancel all of them. A series keeps the instances that have begun."""
        async for each in self._each(self._cancel):
            yield each

    async def hand_over(self, to: PrincipalRecord) -> AsyncIterator[Acted]:
        """Let `to` organize all of them: they go to their calendars, and each attendee gets a REQUEST."""
        async for each in self._each(partial(self._hand_over, to=to)):
            yield each

    async def _each(self, act: Callable[[Found], Awaitable[None]]) -> AsyncIterator[Acted]:
        async for meeting in self.meetings():
            try:
                await change(partial(self._found, meeting), act)
            except NotFound:
                continue  # it was deleted meanwhile
            except _REFUSALS as error:
                yield Acted(meeting, error)
            else:
                yield Acted(meeting)

    async def _found(self, meeting: OrganizedMeeting) -> Found:
        """A meeting as it is now. Raises `NotFound` where its owner does not organize it any more."""
        target = Target(self._person.uid, "uid", "calendar", meeting.collection, meeting.name)
        found = await self._lookup.find(self._actor, target, Privilege.WRITE_CONTENT, text=True)
        if found.object is None or found.object.role is not SchedulingRole.ORGANIZER:
            raise NotFound
        return found

    async def _cancel(self, found: Found) -> None:
        left = await computed(_begun, await text_of(self._storage, found), self._now)
        if left is None:
            await self._scheduling.delete(self._actor, found, Sent())
        else:
            await self._scheduling.put(self._actor, found, left.text.encode(), Sent())

    async def _hand_over(self, found: Found, to: PrincipalRecord) -> None:
        member = member_of(found)
        old = read_object(await text_of(self._storage, found))
        named = addresses(old) | {address_of(self._person), address_of(to)}
        directory = await directory_of(self._storage, named)
        former, user = directory.user(address_of(self._person)), directory.user(address_of(to))
        mails, home_id = self._scheduling.mails, collection_of(found).home_id
        old = await after_restore(self._storage, mails, home_id, former, member.created_at, old, directory)
        own = self._person.id
        (home,) = await self._storage.mailboxes(own, [own], old.uid, meeting_of(former, old.uid))
        if home.queued:
            raise SchedulingRefused("Jobs are still delivering messages about it.")
        known = memory.read(home.state)
        plan = await computed(plan_hand_over, old, former, user, directory, known.rows.resets, self._now)
        assert plan.object is not None
        place = await self._place(to, plan.object)
        content = await self._objects.content(collection_of(place), plan.object.text.encode(), place.object)
        made = Change(old, plan.object, user, directory.with_former(former, user), self._now, former=former)
        gone = Delete(collection_of(found), member.name, ObjectState(member.id, member.revision))
        actor = replace(self._actor, acting_for=to.id)
        before = known.former | former_organizers(home_id, former.addresses, await self._storage.mail_secret())
        await Sending(self._scheduling, Intent(actor, place, content, made, plan, also=(gone,), former=before)).apply()

    async def _place(self, to: PrincipalRecord, new: SchedulingObject) -> Found:
        """The place of the object of the new organizer: that of their copy, else a new name in the default calendar.

        Raises `NotFound` where they have no calendar, and none can be made.
        """
        (mailbox,) = await self._storage.mailboxes(to.id, [to.id], new.uid)
        collection, name = mailbox.collection, f"{token_hex(16)}.ics"
        if mailbox.object is not None and mailbox.object.role is not SchedulingRole.NONE:
            name = mailbox.object.name
        elif mailbox.inbox is not None:
            component: Scheduled = "VTODO" if new.name == "VTODO" else "VEVENT"
            collection = default_calendar(mailbox.inbox, mailbox.calendars, component)
            if collection is None:
                limits = self._objects.write_limits
                collection = await make_default_calendar(self._storage, mailbox.home, mailbox.inbox, component, limits)
        if collection is None:
            raise NotFound(f"{to.name} has no calendar.")
        target = Target(to.uid, "uid", "calendar", collection.name, name)
        return await self._lookup.find(self._actor, target, Privilege.BIND, or_need=Privilege.WRITE_CONTENT)


def _begun(text: str, now: datetime) -> SchedulingObject | None:
    """A series without the instances that have not begun; None where all of the meeting is cancelled."""
    try:
        return ended_before(read_object(text), now)
    except InvalidData:
        return None
