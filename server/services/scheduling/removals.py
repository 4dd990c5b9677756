"""What the deletion of a calendar sends (RFC 6638 §3.2.3.2): its meetings are cancelled or declined, by a job.

The job begins after a while, so that a calendar that is restored before sends nothing. Each meeting is one change set,
which stores the messages for other jobs to deliver and takes the role of the object away. So the job can be interrupted
anywhere, and stops where the calendar is restored meanwhile.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from server.auth import policy
from server.domain.actors import Actor
from server.domain.changes import Cause, ChangeSet, Released, Remember, SetDispatch
from server.domain.errors import AccessDenied, InvalidData, SchedulingRefused, SignInRequired
from server.domain.jobs import Job
from server.domain.limits import Limits
from server.domain.mails import NewMails
from server.domain.objects import Collection, Target
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.domain.values import value
from server.itip.calendar_users import addresses
from server.itip.change import Change
from server.itip.messages import Message
from server.itip.planning import plan_change
from server.itip.scheduling_object import SchedulingObject, read_object
from server.process.computing import computed
from server.services.changing import change
from server.services.contents import LARGE
from server.services.lookup import Lookup
from server.services.mail.outgoing import OutgoingMails
from server.services.mail.restored import after_restore
from server.services.objects import write_limits
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.delivery import by_recipient
from server.services.scheduling.dispatches import jobs_of, meeting_of, new_dispatch, sending_of
from server.services.scheduling.planned import answered_stamp, organizer_of, remembered_after
from server.storage import Storage
from server.storage.scheduling import RemovedMeeting

REMOVALS = "removals"
"""Kind of the jobs that cancel and decline the meetings of deleted calendars."""

ASKED_AGAIN = 100
"""After how many meetings the job asks again whether the person may send."""

log = structlog.get_logger()


def removal_jobs(home_id: int, collection: Collection | None, cause: Cause, delay: timedelta) -> tuple[Job, ...]:
    """The job for a calendar that a change deletes; none for what has no meetings of its home's owner."""
    if collection is None or collection.kind != "calendar" or collection.home_id != home_id:
        return ()
    return (removal_job(home_id, collection.id, cause, delay),) if collection.member_count else ()


def removal_job(home_id: int, collection_id: int, cause: Cause, delay: timedelta) -> Job:
    """The job for a deleted calendar."""
    key = f"removal {collection_id}"
    payload = {"home": home_id, "collection": collection_id, "principal": cause.principal_id or 0}
    return Job(REMOVALS, payload | {"acting_for": cause.acting_for or 0}, key, key, delay=delay)


@value
class Removal:
    """What the removal of a meeting from its owner's home sends."""

    messages: tuple[Message, ...]
    """To people here and elsewhere."""
    remembered: tuple[Remember, ...]
    """What the home knows afterwards."""
    dispatches: tuple[SetDispatch, ...]
    """Those to people here, for jobs to deliver."""
    mails: tuple[NewMails, ...] = ()
    """Those to people elsewhere."""


async def removal_of(
    storage: Storage,
    owner: Principal,
    acting: Principal,
    home_id: int,
    old: SchedulingObject,
    created_at: datetime,
    cause: Cause,
    now: datetime,
    outgoing: OutgoingMails,
    *,
    reply: bool = True,
    without: int | None = None,
) -> Removal:
    """What the removal of a meeting sends by jobs.

    :param acting: who acts for the owner, or the owner.
    :param created_at: when the object was made.
    :param reply: false: an attendee's removal does not decline (`server.itip.change.Change.reply`).
    :param without: the id of a principal who gets no message.
    """
    directory = await directory_of(storage, addresses(old) | {address_of(owner), address_of(acting)})
    user = directory.user(address_of(acting)) if acting.id != owner.id else None
    by = directory.user(address_of(owner))
    old = await after_restore(storage, outgoing, home_id, by, created_at, old, directory)
    made = Change(old, None, by, directory, now, reply=reply, acting=user)
    plan = await computed(plan_change, made) if len(old.text) >= LARGE else plan_change(made)
    number = meeting_of(organizer_of(made, plan), old.uid)
    mailboxes = await storage.mailboxes(owner.id, [owner.id], old.uid, number)
    remembered, known = remembered_after(made, plan, old.uid, mailboxes[0] if mailboxes else None)
    here = {
        key: sent
        for key, sent in by_recipient(plan.messages).items()
        if sent[0].recipient.is_here and sent[0].recipient.principal_id != without
    }
    about = answered_stamp(made, plan, known)
    sending = sending_of(here, known, cause, now, {}, is_new=False, about=about)
    dispatches = (new_dispatch(home_id, old.uid, number, sending),) if here else ()
    home = mailboxes[0].home if mailboxes else None
    mails = () if home is None else outgoing.of(home, mailboxes[0].collection, plan.messages, number, now).mails
    elsewhere = [each for each in plan.messages if not each.recipient.is_here]
    messages = (*(each for sent in here.values() for each in sent), *elsewhere)
    return Removal(messages, remembered, dispatches, mails)


def _first(
    found: Sequence[RemovedMeeting], read: Callable[[], Awaitable[Sequence[RemovedMeeting]]]
) -> Callable[[], Awaitable[Sequence[RemovedMeeting]]]:
    """A read that gives what was found at first, and reads from then on."""
    known = [found]

    async def again() -> Sequence[RemovedMeeting]:
        return known.pop() if known else await read()

    return again


class Removals:
    """The handler of these jobs."""

    def __init__(
        self,
        storage: Storage,
        limits: Limits,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        mails: OutgoingMails | None = None,
    ) -> None:
        self._mails = mails or OutgoingMails()
        self._storage, self._limits, self._now = storage, write_limits(limits), now
        self._lookup = Lookup(storage)

    async def send(self, home_id: int, collection_id: int, cause: Cause) -> int:
        """Send what follows of a deleted calendar, in the name of its owner. Returns the number of meetings.

        Nothing is sent if the person who deleted it may not send in the owner's name, which is asked again after
        `ASKED_AGAIN` meetings, and no more once it is restored.
        """
        count, name = 0, ""
        acting: Principal | None = None
        for number in itertools.count():
            read = partial(self._storage.removed_meetings, home_id, collection_id, after=name, limit=1)
            found = await read()
            if found and number % ASKED_AGAIN == 0:
                acting = await self._acting(found[0].owner, collection_id, cause)
            if not found or acting is None:
                break
            name = found[0].name
            try:
                count += await change(_first(found, read), partial(self._remove, cause, acting))
            except (InvalidData, SchedulingRefused) as error:
                log.warning("meeting_not_removed", home=home_id, object=found[0].state.id, error=type(error).__name__)
        return count

    async def _acting(self, owner: Principal, collection_id: int, cause: Cause) -> Principal | None:
        """Who acts in the name of the owner, or the owner; None if they may not any more."""
        if cause.principal_id in (None, owner.id):
            return owner
        target = Target(owner.uid, "uid", "calendar", "outbox")
        known = await self._lookup.resolve(cause.principal_id or 0, target, text=False)
        if known.viewer is None:
            return None
        actor = Actor(known.viewer, cause.origin, cause.request_id, cause.acting_for, cause.trace)
        try:
            outbox = await self._lookup.find(actor, target, Privilege.SCHEDULE_SEND_INVITE, known=known)
            if not policy.may_send(outbox.viewer, owner, collection_id, outbox.grants):
                outbox.require(Privilege.SCHEDULE_SEND_INVITE, Privilege.SCHEDULE_SEND_REPLY)
        except (AccessDenied, SignInRequired):
            log.info("removal_not_sent", owner=owner.id, principal=cause.principal_id)
            return None
        return known.viewer

    async def _remove(self, cause: Cause, acting: Principal, found: Sequence[RemovedMeeting]) -> int:
        """Store what the removal of one meeting sends; returns the number of meetings. `acting`: who acts for the
        owner, or the owner."""
        if not found:
            return 0
        meeting = found[0]
        old, home_id = read_object(meeting.text), meeting.home_id
        made = old, meeting.created_at, cause, self._now(), self._mails
        removal = await removal_of(self._storage, meeting.owner, acting, home_id, *made)
        released = (Released(meeting.home_id, meeting.state),)
        await self._storage.apply(
            ChangeSet(
                (),
                self._limits,
                cause,
                remembered=removal.remembered,
                dispatches=removal.dispatches,
                mails=removal.mails,
                jobs=jobs_of(removal.dispatches),
                released=released,
            )
        )
        return 1
