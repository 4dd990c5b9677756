"""What jobs deliver for scheduling: the messages that requests leave to them, and those whose delivery has failed.

The jobs of a meeting run one at a time. Each change set delivers to at most `MAX_RECIPIENTS` recipients, and stores in
the same transaction what became of it. So a job can be interrupted anywhere, and goes on where it was: nothing is
delivered twice. All messages to one recipient that wait are delivered at once: many answers are one write of the
organizer's object.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from prometheus_client import CollectorRegistry

from server.domain.changes import Cause
from server.domain.errors import (
    QuotaExceeded,
    SchedulingObjectExists,
    TooManyMembers,
    UidConflict,
    WriteConflict,
)
from server.domain.grants import Grants
from server.domain.jobs import Job
from server.domain.limits import Limits
from server.itip.calendar_users import Directory, addresses
from server.itip.change import utc_stamp
from server.itip.messages import Message
from server.itip.reception import PENDING, resets_of
from server.itip.refreshing import refreshes
from server.itip.scheduling_object import SchedulingObject
from server.observe.scheduling_counts import SchedulingCounts
from server.services.changing import change
from server.services.mail.outgoing import OutgoingMails
from server.services.objects import Objects, write_limits
from server.services.scheduling import dispatches, memory
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.delivery import Delivered, by_recipient, deliver, not_delivered
from server.services.scheduling.dispatches import Recipient, Sending, refresh_job
from server.services.scheduling.letters import NO_CALENDAR_USER, NOT_DELIVERED, Letter
from server.services.scheduling.long_series import split_jobs_after
from server.services.scheduling.room_turns import Booking
from server.services.scheduling.settings import SchedulingSettings
from server.services.scheduling.shared_sets import LeftOut, SharedSet, apply_shared
from server.services.scheduling.stating import stated
from server.services.scheduling.turns import Turns
from server.storage import Storage
from server.storage.scheduling import Dispatch, Mailbox

MAX_RECIPIENTS = 50
"""Recipients of one change set."""
NOT_ENDED = (PENDING, NOT_DELIVERED)
"""SCHEDULE-STATUS of deliveries whose outcome is not known yet."""
MAX_DISPATCHES = 50
"""Changes whose messages one change set delivers."""


@dataclass(frozen=True, slots=True)
class _Post:
    """A dispatch, with those of its recipients to whom a set delivers."""

    dispatch: Dispatch
    sending: Sending
    objects: Sequence[SchedulingObject]
    recipients: tuple[Recipient, ...]


@dataclass(slots=True)
class _Set(SharedSet[int]):
    """A change set; recipients by the id of their principal."""

    delivered: set[tuple[int, int]] = field(default_factory=set)
    """Ids of dispatches and their recipients."""


class QueuedDeliveries:
    """The handlers of the jobs that deliver."""

    def __init__(
        self,
        storage: Storage,
        objects: Objects,
        limits: Limits,
        settings: SchedulingSettings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        counts: SchedulingCounts | None = None,
        mails: OutgoingMails | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._storage, self._objects, self._limits = storage, objects, write_limits(limits)
        self._mails = mails or OutgoingMails()
        self._settings, self._now = settings, now
        self._turns = turns or Turns(storage)
        self.counts = counts or SchedulingCounts(CollectorRegistry())

    async def deliver(self, meeting: int) -> int:
        """Deliver all messages of a meeting that wait. Returns the number of deliveries."""
        return await self._deliver_all(meeting, failing=False)

    async def redeliver(self, meeting: int) -> int:
        """Try again to deliver the messages of a meeting that failed. Returns the number of deliveries."""
        return await self._deliver_all(meeting, failing=True)

    async def _deliver_all(self, meeting: int, *, failing: bool) -> int:
        tried: set[tuple[int, int]] = set()
        count = 0
        while True:
            read = partial(self._storage.dispatches, meeting, failing=failing, limit=MAX_DISPATCHES)
            done = await change(read, partial(self._deliver_some, failing, tried))
            if not done:
                return count
            count += done

    async def _deliver_some(self, failing: bool, tried: set[tuple[int, int]], found: Sequence[Dispatch]) -> int:
        """Deliver to some of those who wait. Returns the number of deliveries, 0 where nobody waits."""
        posts = _chosen(found, NOT_DELIVERED if failing else PENDING, tried)
        if not posts:
            return 0
        settles = True
        while True:
            make = partial(self._set, posts, settles)
            try:
                async with self._turns.rooms.of() as booking:

                    async def taken(room: int, _: LeftOut[int], booking: Booking = booking) -> None:
                        await booking.conflicted(room)

                    made, _ = await apply_shared(self._storage, make, self._limits, _cause(posts), taken=taken)
            except WriteConflict as error:
                self.counts.waits.inc()
                self._turns.repeat_in_turn(error, posts[0].dispatch.meeting)
                raise
            except (QuotaExceeded, TooManyMembers, UidConflict, SchedulingObjectExists):
                if not settles:
                    raise
                settles = False  # the sender's home has no room for what became of it
            else:
                self.counts.delivered(made.outcomes, made.merges, 0)
                break
        tried |= made.delivered
        return len(made.delivered)

    async def _set(self, posts: Sequence[_Post], settles: bool, left: LeftOut[int]) -> _Set:
        """The set that makes some deliveries and stores what became of them.

        `settles`: also in the objects of their senders.
        """
        now, uid = self._now(), posts[0].dispatch.uid
        directory = await self._directory(posts)
        ids = {each.id for post in posts for each in post.recipients} | {post.dispatch.sender.id for post in posts}
        found = await self._storage.mailboxes(posts[0].dispatch.sender.id, sorted(ids), uid)
        mailboxes = {each.principal_id: each for each in found}
        made, objects = _Set(), self._objects.for_one_set()
        outcomes: dict[int, dict[int, str]] = {post.dispatch.id: {} for post in posts}
        for recipient in dict.fromkeys(each.id for post in posts for each in post.recipients):
            if made.is_full:
                break
            concerned = [(post, each) for post in posts for each in post.recipients if each.id == recipient]
            made.delivered |= {(post.dispatch.id, recipient) for post, _ in concerned}
            done = await self._delivery(objects, recipient, concerned, mailboxes, left.failed, directory)
            for (post, each), status in zip(concerned, done.statuses, strict=True):
                outcomes[post.dispatch.id][recipient] = status
                made.outcomes += [(post.sending.messages[index][0], status) for index in each.messages]
            made.merges += any(result.answers for result in done.received)
            made.deliver(recipient, done)
            made.jobs += split_jobs_after(self._settings, [done], now)
            senders = frozenset(directory.key(address_of(post.dispatch.sender)) for post, _ in concerned)
            await self._follow_up(made, posts, mailboxes.get(recipient), done, senders)
        statuses: dict[int, dict[str, str]] = {}
        for post in posts:
            sending = post.sending.with_outcomes(outcomes[post.dispatch.id], now)
            made.dispatches.append(dispatches.changed_dispatch(post.dispatch, sending, now))
            made.failing_for = max(made.failing_for, now - sending.at)
            if settles and not sending.is_waiting:
                ended = {directory.key(each.address): each.status for each in sending.recipients}
                statuses.setdefault(post.dispatch.sender.id, {}).update(ended)
        for sender, ended in statuses.items():
            write = await stated(self._objects, mailboxes.get(sender), ended, directory, NOT_ENDED)
            made.writes += () if write is None else ((None, write),)
        return made

    async def _delivery(
        self,
        objects: Objects,
        recipient: int,
        concerned: Sequence[tuple[_Post, Recipient]],
        mailboxes: Mapping[int, Mailbox],
        failed: Container[int],
        directory: Directory,
    ) -> Delivered:
        """The delivery to one recipient."""
        mailbox = mailboxes.get(recipient)
        if recipient in failed or mailbox is None:
            return not_delivered(NOT_DELIVERED if recipient in failed else NO_CALENDAR_USER, len(concerned))
        first = concerned[0][0].dispatch.sender.id
        senders = {post.dispatch.sender.id for post, _ in concerned}
        grants: Mapping[int, Grants] = {}
        if mailbox.inbox is not None and senders != {first}:
            grants = await self._storage.inbox_grants(mailbox.inbox, sorted(senders))
        letters = []
        for post, each in concerned:
            sender = post.dispatch.sender
            if post.sending.former:
                former, present = directory.user(post.sending.former), directory.user(address_of(sender))
                directory = directory.with_former(former, present)
            messages = dispatches.messages_to(each, post.sending, post.objects, sender, directory)
            resets = resets_of(post.sending.resets, directory.user(each.address))
            granted = grants.get(sender.id)
            at, is_new = post.sending.at, post.sending.is_new
            made = sender, messages, at, resets, is_new, post.sending.since, post.sending.about
            letters.append(Letter(*made, late=True, grants=granted))
        located = self._settings.rooms_in_location
        return await deliver(
            self._storage, objects, mailbox, letters, directory, self._mails.language, rooms_in_location=located
        )

    async def _follow_up(
        self,
        made: _Set,
        posts: Sequence[_Post],
        mailbox: Mailbox | None,
        done: Delivered,
        senders: frozenset[str],
    ) -> None:
        """Add to a set what follows from a delivery: what is sent in return, and a refresh of the others' copies."""
        changed = frozenset(instance for result in done.received for instance in result.changed)
        messages = [message for result in done.received for message in result.messages]
        if mailbox is None or done.object is None or not (changed or messages):
            return
        stamp = utc_stamp(self._now())
        directory = await directory_of(self._storage, addresses(done.object))
        invited = frozenset(user.key for result in done.received for user in result.invited)
        others = refreshes(done.object, changed, directory, stamp, frozenset(), invited) if changed else ()
        messages += [message for message in others if message.recipient.key in invited]
        quiet = {message.recipient.key for message in others} - invited
        if mailbox.object is not None and (quiet - senders or len(senders) > 1):
            job = self._refresh_job(mailbox, len(quiet))
            made.jobs += () if job is None else (job,)
        about = utc_stamp(max(post.sending.at for post in posts))
        self._send(made, posts[0].dispatch, mailbox, messages, done.known, _cause(posts), about)

    def _refresh_job(self, mailbox: Mailbox, attendees: int) -> Job | None:
        settings = self._settings
        if mailbox.object is None or attendees > settings.max_refreshed:
            return None
        delay = settings.refresh_delay if attendees > settings.direct_refreshes else 0.0
        return refresh_job(mailbox.home.id, mailbox.object.id, delay)

    def _send(
        self,
        made: _Set,
        dispatch: Dispatch,
        mailbox: Mailbox,
        messages: Sequence[Message],
        known: memory.Known,
        cause: Cause,
        about: str,
    ) -> None:
        """Add messages of a recipient to a set, for delivery by jobs."""
        meeting, now = dispatch.meeting, self._now()
        made.mails += self._mails.of(mailbox.home, mailbox.collection, messages, meeting, now).mails
        here = by_recipient([each for each in messages if each.recipient.is_here])
        if here:
            sending = dispatches.sending_of(here, known, cause, now, {}, is_new=False, about=about)
            new = dispatches.new_dispatch(mailbox.home.id, dispatch.uid, meeting, sending)
            made.dispatches.append(new)

    async def _directory(self, posts: Iterable[_Post]) -> Directory:
        """The calendar users of all messages."""
        named: set[str] = set()
        for post in posts:
            named |= addresses(*post.objects) | {address_of(post.dispatch.sender)}
            named |= {each.address for each in post.sending.recipients}
            named |= {post.sending.former} - {""}
        return await directory_of(self._storage, named)


def _chosen(found: Sequence[Dispatch], status: str, tried: set[tuple[int, int]]) -> list[_Post]:
    """The deliveries of the next set: the first recipients of the first dispatch who have a status, and what else waits
    for the same recipients.

    Nobody is a recipient and a sender in one set: both write their object.
    """
    chosen: list[_Post] = []
    recipients: set[int] = set()
    uid = ""
    for dispatch in found:
        sending = dispatches.read(dispatch)
        wanted = [each for each in sending.recipients if each.status == status and (dispatch.id, each.id) not in tried]
        if not chosen:
            wanted = wanted[:MAX_RECIPIENTS]
            recipients, uid = {each.id for each in wanted}, dispatch.uid
        elif dispatch.sender.id in recipients:
            break
        else:
            wanted = [each for each in wanted if each.id in recipients and dispatch.uid == uid]
        if wanted:
            chosen.append(_Post(dispatch, sending, dispatches.objects_of(sending), tuple(wanted)))
    return chosen


def _cause(posts: Sequence[_Post]) -> Cause:
    """The cause of the change that sent the messages; of several changes, the jobs."""
    cause = posts[0].sending.cause
    return cause if all(post.sending.cause == cause for post in posts) else Cause(None, "jobs")
