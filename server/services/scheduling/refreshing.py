"""Jobs that refresh the copies of all attendees of a meeting after answers (RFC 6638 §3.2.2.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from prometheus_client import CollectorRegistry

from server.domain.changes import Cause, ObjectState, UnchangedObject
from server.domain.errors import WriteConflict
from server.domain.limits import Limits
from server.domain.objects import Object
from server.domain.scheduling import SchedulingRole
from server.domain.values import value
from server.itip.calendar_users import Directory, addresses
from server.itip.change import utc_stamp
from server.itip.messages import Message
from server.itip.reception import resets_of
from server.itip.refreshing import refreshes
from server.itip.scheduling_object import SchedulingObject, read_object
from server.observe.scheduling_counts import SchedulingCounts
from server.services.changing import change
from server.services.objects import Objects, write_limits
from server.services.scheduling import dispatches, memory
from server.services.scheduling.calendar_users import directory_of
from server.services.scheduling.delivery import by_recipient, deliver
from server.services.scheduling.dispatches import principal_key, refresh_job
from server.services.scheduling.letters import Letter
from server.services.scheduling.queued import MAX_RECIPIENTS
from server.services.scheduling.settings import SchedulingSettings
from server.services.scheduling.shared_sets import LeftOut, SharedSet, apply_shared
from server.storage import Storage
from server.storage.scheduling import Mailbox

SHORTEST_DELAY = 0.2
"""Seconds until a refresh looks again whether messages wait, at least."""


@value
class _Refresh:
    """A refresh of some copies."""

    own: Mailbox
    """The organizer's."""
    object: Object
    """The organizer's object."""
    meeting: int
    cause: Cause
    now: datetime
    directory: Directory
    messages: Mapping[str, Sequence[Message]]
    """What refreshes each copy, by the key of the attendee."""


class Refreshing:
    """The handler of these jobs."""

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
        self._counts = counts or SchedulingCounts(CollectorRegistry())

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

    async def _refresh_some(self, uid: str, done: set[str], found: Sequence[Mailbox]) -> int | None:
        """Refresh the copies of some attendees who are not `done`; returns how many changed, None where all are."""
        if not found or found[0].object is None or found[0].object.role is not SchedulingRole.ORGANIZER:
            return None
        own, now = found[0], self._now()
        assert own.object is not None
        stored = read_object(own.object.text or "")
        directory = await directory_of(self._storage, addresses(stored))
        messages = by_recipient(refreshes(stored, frozenset(stored.by_instance), directory, utc_stamp(now)))
        left = [key for key in messages if key not in done][:MAX_RECIPIENTS]
        if not left or len(messages) > self._settings.max_refreshed:
            return None
        meeting = dispatches.meeting_of(directory.user(_organizer_of(stored)), uid)
        cause = Cause(None, "refresh", acting_for=own.principal_id)
        # The object may be deleted meanwhile, and made anew with a lower SEQUENCE.
        read = (UnchangedObject(own.home.id, ObjectState(own.object.id, own.object.revision)),)
        refresh = _Refresh(own, own.object, meeting, cause, now, directory, {key: messages[key] for key in left})
        make = partial(self._set, refresh)
        try:
            made, _ = await apply_shared(self._storage, make, self._limits, cause, read)
        except WriteConflict:
            self._counts.waits.inc()
            raise
        if made.jobs:
            return None
        done.update(left)
        changed = len({key for key, _ in made.writes})
        self._counts.delivered((), 0, changed)
        return changed

    async def _set(self, refresh: _Refresh, left: LeftOut[int]) -> SharedSet[int]:
        """The set that refreshes some copies, or has the job that does so later, where messages wait."""
        own, uid, meeting, messages = refresh.own, refresh.object.uid, refresh.meeting, refresh.messages
        ids = [sent[0].recipient.principal_id or 0 for sent in messages.values()]
        mailboxes = await self._storage.mailboxes(own.principal_id, ids, uid, meeting)
        if any(each.queued for each in mailboxes):
            # What waits was sent before; the copies may be those of an earlier meeting.
            pause = max(self._settings.refresh_delay, SHORTEST_DELAY)
            return SharedSet(jobs=[refresh_job(own.home.id, refresh.object.id, pause)])
        known = memory.read(own.state)
        objects = self._objects.for_one_set()
        made: SharedSet[int] = SharedSet()
        for mailbox in mailboxes:
            if mailbox.principal_id in left.failed:
                continue
            sent = messages[principal_key(mailbox.principal_id)]
            resets = resets_of(known.rows.resets, sent[0].recipient)
            letter = Letter(None, sent, refresh.now, resets, since=known.since)
            delivered = await deliver(self._storage, objects, mailbox, [letter], refresh.directory)
            made.deliver(mailbox.principal_id, delivered)
            crossed = [message for result in delivered.received for message in result.messages]
            if crossed:
                sending = dispatches.sending_of(
                    by_recipient(crossed), memory.Known(), refresh.cause, refresh.now, {}, is_new=False
                )
                made.dispatches.append(dispatches.new_dispatch(mailbox.home.id, uid, meeting, sending))
        return made


def _organizer_of(stored: SchedulingObject) -> str:
    return next(line.value for component in stored.components for line in component.all("ORGANIZER"))
