"""What jobs do for scheduling: they deliver what requests leave to them, try again, and refresh copies after answers.

The jobs of a meeting run one at a time. Each change set delivers to at most `MAX_RECIPIENTS` recipients, and stores in
the same transaction what became of it. So a job can be interrupted anywhere, and goes on where it was: nothing is
delivered twice. All messages to one recipient that wait are delivered at once: many answers are one write of the
organizer's object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from prometheus_client import CollectorRegistry

from server.domain.changes import Cause, ChangeSet, ObjectState, Put, Remember, SetDispatch, UnchangedObject, Write
from server.domain.errors import (
    NotFound,
    QuotaExceeded,
    SchedulingObjectExists,
    TooManyMembers,
    UidConflict,
    WriteConflict,
)
from server.domain.grants import Grants
from server.domain.jobs import Job
from server.domain.limits import Limits
from server.domain.scheduling import SCHEDULING_OBJECTS, SchedulingRole
from server.itip.answers import refreshes
from server.itip.calendar_users import Directory, addresses
from server.itip.change import utc_stamp
from server.itip.messages import Message
from server.itip.participants import with_schedule_statuses
from server.itip.reception import resets_of
from server.itip.scheduling_object import SchedulingObject, read_object
from server.observe.scheduling_counts import SchedulingCounts
from server.services.changing import change
from server.services.objects import Objects, write_limits
from server.services.scheduling import dispatches, memory
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.delivery import (
    NO_CALENDAR_USER,
    NOT_DELIVERED,
    Delivered,
    Letter,
    by_recipient,
    deliver,
    not_delivered,
)
from server.services.scheduling.dispatches import PENDING, Recipient, Sending, principal_key, refresh_job
from server.services.scheduling.sending import is_full
from server.services.scheduling.settings import SchedulingSettings
from server.storage import Storage
from server.storage.scheduling import Dispatch, Mailbox

MAX_RECIPIENTS = 50
"""Recipients of one change set."""
SHORTEST_DELAY = 0.2
"""Seconds until a refresh looks again whether messages wait, at least."""
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
class _Set:
    """A change set that is being made."""

    writes: list[tuple[int | None, Write]] = field(default_factory=list)
    """With the id of the recipient that each concerns; None: the sender's own."""
    remembered: list[Remember] = field(default_factory=list)
    dispatches: list[SetDispatch] = field(default_factory=list)
    jobs: dict[str | None, Job] = field(default_factory=dict)
    """By their queueing key."""
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    """METHOD and SCHEDULE-STATUS of each message."""
    delivered: set[tuple[int, int]] = field(default_factory=set)
    """Ids of dispatches and their recipients."""
    merges: int = 0
    """Objects of organizers that answers are merged into."""


class QueuedDeliveries:
    """The handlers of the jobs of scheduling."""

    def __init__(
        self,
        storage: Storage,
        objects: Objects,
        limits: Limits,
        settings: SchedulingSettings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        counts: SchedulingCounts | None = None,
    ) -> None:
        self._storage, self._objects, self._limits = storage, objects, write_limits(limits)
        self._settings, self._now = settings, now
        self.counts = counts or SchedulingCounts(CollectorRegistry())

    async def deliver(self, meeting: int) -> int:
        """Deliver all messages of a meeting that wait. Returns the number of deliveries."""
        return await self._deliver_all(meeting, failing=False)

    async def redeliver(self, meeting: int) -> int:
        """Try again to deliver the messages of a meeting that failed. Returns the number of deliveries."""
        return await self._deliver_all(meeting, failing=True)

    async def refresh(self, home_id: int, object_id: int) -> int:
        """Bring the copies of all attendees here up to date with an organizer's object. Returns how many changed."""
        found = await self._storage.scheduled_uid(home_id, object_id)
        if found is None:
            return 0
        organizer, uid = found
        done: set[str] = set()
        changed = 0
        while True:
            read = partial(self._storage.mailboxes, organizer, [organizer], uid)
            slice_ = await change(read, partial(self._refresh_some, uid, done))
            if slice_ is None:
                return changed
            changed += slice_

    # -- deliveries ---------------------------------------------------------------------------------------------------

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
        failed: dict[int, str] = {}
        settles = True
        while True:
            made = await self._set(posts, failed)
            if not settles:
                made.writes = [each for each in made.writes if each[0] is not None]
            index = await self._applied(made, _cause(posts))
            if index is None:
                self.counts.delivered(made.outcomes, made.merges, 0)
                break
            concerned = made.writes[index][0]
            if concerned is None:
                settles = False  # the sender's home has no room for what became of it
            else:
                failed[concerned] = NOT_DELIVERED
        tried |= made.delivered
        return len(made.delivered)

    async def _applied(self, made: _Set, cause: Cause, unchanged: tuple[UnchangedObject, ...] = ()) -> int | None:
        """Apply a set; returns the index of the write that the state of its home does not allow."""
        changes = ChangeSet(
            tuple(write for _, write in made.writes),
            self._limits,
            cause,
            unchanged,
            remembered=tuple(made.remembered),
            graced=frozenset(write.collection.home_id for key, write in made.writes if key is not None),
            dispatches=tuple(made.dispatches),
            jobs=tuple(made.jobs.values()),
        )
        try:
            await self._storage.apply(changes)
        except (NotFound, WriteConflict):
            self.counts.waits.inc()
            raise WriteConflict from None
        except (QuotaExceeded, TooManyMembers, UidConflict, SchedulingObjectExists) as error:
            if error.write is None:
                raise
            return error.write
        return None

    async def _set(self, posts: Sequence[_Post], failed: Mapping[int, str]) -> _Set:
        """The set that makes some deliveries and stores what became of them."""
        now, uid = self._now(), posts[0].dispatch.uid
        directory = await self._directory(posts)
        ids = {each.id for post in posts for each in post.recipients} | {post.dispatch.sender.id for post in posts}
        found = await self._storage.mailboxes(posts[0].dispatch.sender.id, sorted(ids), uid)
        mailboxes = {each.principal_id: each for each in found}
        made, objects = _Set(), self._objects.for_one_set()
        outcomes: dict[int, dict[int, str]] = {post.dispatch.id: {} for post in posts}
        for recipient in dict.fromkeys(each.id for post in posts for each in post.recipients):
            if is_full(write for _, write in made.writes):
                break
            concerned = [(post, each) for post in posts for each in post.recipients if each.id == recipient]
            made.delivered |= {(post.dispatch.id, recipient) for post, _ in concerned}
            done = await self._delivery(objects, recipient, concerned, mailboxes, failed, directory)
            for (post, each), status in zip(concerned, done.statuses, strict=True):
                outcomes[post.dispatch.id][recipient] = status
                made.outcomes += [(post.sending.messages[index][0], status) for index in each.messages]
            made.merges += any(result.answers for result in done.received)
            made.writes += [(recipient, write) for write in done.writes]
            made.remembered += () if done.remembered is None else (done.remembered,)
            senders = frozenset(directory.key(address_of(post.dispatch.sender)) for post, _ in concerned)
            await self._follow_up(made, posts, mailboxes.get(recipient), done, senders)
        statuses: dict[int, dict[str, str]] = {}
        age = timedelta(0)
        for post in posts:
            sending = post.sending.with_outcomes(outcomes[post.dispatch.id], now)
            made.dispatches.append(dispatches.changed_dispatch(post.dispatch, sending, now))
            age = max(age, now - sending.at)
            if not sending.is_waiting:
                ended = {directory.key(each.address): each.status for each in sending.recipients}
                statuses.setdefault(post.dispatch.sender.id, {}).update(ended)
        for sender, ended in statuses.items():
            write = await self._stated(mailboxes.get(sender), ended, directory)
            made.writes += () if write is None else ((None, write),)
        made.jobs |= {job.queueing_key: job for job in dispatches.jobs_of(made.dispatches, age)}
        return made

    async def _delivery(
        self,
        objects: Objects,
        recipient: int,
        concerned: Sequence[tuple[_Post, Recipient]],
        mailboxes: Mapping[int, Mailbox],
        failed: Mapping[int, str],
        directory: Directory,
    ) -> Delivered:
        """The delivery to one recipient."""
        mailbox = mailboxes.get(recipient)
        if recipient in failed or mailbox is None:
            return not_delivered(failed.get(recipient, NO_CALENDAR_USER), len(concerned))
        first = concerned[0][0].dispatch.sender.id
        senders = {post.dispatch.sender.id for post, _ in concerned}
        grants: Mapping[int, Grants] = {}
        if mailbox.inbox is not None and senders != {first}:
            grants = await self._storage.inbox_grants(mailbox.inbox, sorted(senders))
        letters = []
        for post, each in concerned:
            sender = post.dispatch.sender
            messages = dispatches.messages_to(each, post.sending, post.objects, sender, directory)
            resets = resets_of(post.sending.resets, directory.user(each.address))
            granted = grants.get(sender.id)
            at, is_new = post.sending.at, post.sending.is_new
            made = sender, messages, at, resets, is_new, post.sending.since, post.sending.about
            letters.append(Letter(*made, late=True, grants=granted))
        return await deliver(self._storage, objects, mailbox, letters, directory)

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
            made.jobs |= {} if job is None else {job.queueing_key: job}
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
        here = by_recipient([each for each in messages if each.recipient.is_here])
        if here:
            sending = dispatches.sending_of(here, known, cause, self._now(), {}, is_new=False, about=about)
            new = dispatches.new_dispatch(mailbox.home.id, dispatch.uid, dispatch.meeting, sending)
            made.dispatches.append(new)

    async def _stated(self, mailbox: Mailbox | None, ended: Mapping[str, str], directory: Directory) -> Put | None:
        """The write of the sender's object with what became of deliveries; None where it says so, or is gone."""
        if mailbox is None or mailbox.object is None or mailbox.collection is None:
            return None
        existing, collection = mailbox.object, mailbox.collection
        if existing.role not in SCHEDULING_OBJECTS:
            return None
        stored = read_object(existing.text or "")
        known = _known_statuses(stored, directory)
        statuses = {key: status for key, status in ended.items() if known.get(key, status) != status}
        if not statuses:
            return None
        stated = with_schedule_statuses(stored, statuses, directory)
        content = await self._objects.content(collection, stated.text.encode(), existing, mailbox.addresses)
        content = replace(content, schedule_tag=existing.schedule_tag)
        return await self._objects.put_of(collection, existing.name, content, existing)

    async def _directory(self, posts: Iterable[_Post]) -> Directory:
        """The calendar users of all messages."""
        named: set[str] = set()
        for post in posts:
            named |= addresses(*post.objects) | {address_of(post.dispatch.sender)}
            named |= {each.address for each in post.sending.recipients}
        return await directory_of(self._storage, named)

    # -- refreshes ----------------------------------------------------------------------------------------------------

    async def _refresh_some(self, uid: str, done: set[str], found: Sequence[Mailbox]) -> int | None:
        """Refresh the copies of some attendees who are not `done`; returns how many changed, None where all are."""
        if not found or found[0].object is None or found[0].object.role is not SchedulingRole.ORGANIZER:
            return None
        own, now = found[0], self._now()
        assert own.object is not None
        value = read_object(own.object.text or "")
        directory = await directory_of(self._storage, addresses(value))
        messages = by_recipient(refreshes(value, frozenset(value.by_instance), directory, utc_stamp(now)))
        left = [key for key in messages if key not in done][:MAX_RECIPIENTS]
        if not left or len(messages) > self._settings.max_refreshed:
            return None
        ids = [messages[key][0].recipient.principal_id or 0 for key in left]
        organizer = directory.user(_organizer_of(value))
        meeting = dispatches.meeting_of(organizer, uid)
        mailboxes = await self._storage.mailboxes(own.principal_id, ids, uid, meeting)
        cause = Cause(None, "jobs", acting_for=own.principal_id)
        if any(each.queued for each in mailboxes):
            # What waits was sent before; the copies may be those of an earlier meeting.
            pause = max(self._settings.refresh_delay, SHORTEST_DELAY)
            again = _Set(jobs={None: refresh_job(own.home.id, own.object.id, pause)})
            await self._applied(again, cause)
            return None
        known = memory.read(own.state)
        made, objects = _Set(), self._objects.for_one_set()
        for mailbox in mailboxes:
            sent = messages[principal_key(mailbox.principal_id)]
            resets = resets_of(known.rows.resets, sent[0].recipient)
            letter = Letter(None, sent, now, resets, since=known.since)
            delivered = await deliver(self._storage, objects, mailbox, [letter], directory)
            made.writes += [(mailbox.principal_id, write) for write in delivered.writes]
            made.remembered += () if delivered.remembered is None else (delivered.remembered,)
            crossed = [message for result in delivered.received for message in result.messages]
            if crossed:
                sending = dispatches.sending_of(by_recipient(crossed), memory.Known(), cause, now, {}, is_new=False)
                made.dispatches.append(dispatches.new_dispatch(mailbox.home.id, uid, meeting, sending))
        made.jobs = {job.queueing_key: job for job in dispatches.jobs_of(made.dispatches)}
        # It may be deleted meanwhile, and made anew with a lower SEQUENCE.
        read = (UnchangedObject(own.home.id, ObjectState(own.object.id, own.object.revision)),)
        while made.writes or made.remembered or made.dispatches:
            index = await self._applied(made, cause, read)
            if index is None:
                break
            concerned = made.writes[index][0]  # its home has no room
            made.writes = [each for each in made.writes if each[0] != concerned]
            home = next(each.home.id for each in mailboxes if each.principal_id == concerned)
            made.remembered = [each for each in made.remembered if each.home_id != home]
        done.update(left)
        changed = len({key for key, _ in made.writes})
        self.counts.delivered((), 0, changed)
        return changed


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


def _known_statuses(value: SchedulingObject, directory: Directory) -> dict[str, str]:
    """SCHEDULE-STATUS by calendar user where it says that the delivery has not been made; otherwise there is no entry.

    A later answer or delivery has set another one.
    """
    found: dict[str, str] = {}
    for component in value.components:
        for line in component.lines:
            if line.name in ("ATTENDEE", "ORGANIZER"):
                status = line.parameter("SCHEDULE-STATUS") or ""
                if status in (PENDING, NOT_DELIVERED):
                    found[directory.key(line.value)] = status
    return found


def _cause(posts: Sequence[_Post]) -> Cause:
    """The cause of the change that sent the messages; of several changes, the jobs."""
    cause = posts[0].sending.cause
    return cause if all(post.sending.cause == cause for post in posts) else Cause(None, "jobs")


def _organizer_of(value: SchedulingObject) -> str:
    return next(line.value for component in value.components for line in component.all("ORGANIZER"))
