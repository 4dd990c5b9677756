"""Delivering messages to a calendar user here: what is written in their home (RFC 6638 §3.2.9, §4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from secrets import token_hex
from uuid import uuid4

from server.auth import policy
from server.domain.changes import Delete, ObjectState, Put, Remember, Write
from server.domain.contents import ObjectContent
from server.domain.errors import InvalidData
from server.domain.grants import Grants
from server.domain.jobs import Job
from server.domain.objects import Collection, Object
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.domain.values import value
from server.imip.catalogue import Language
from server.itip.calendar_users import Directory
from server.itip.change import utc_stamp
from server.itip.messages import FROM_ATTENDEES, Message, Method
from server.itip.receiving import receive
from server.itip.reception import (
    DELIVERED,
    IGNORED,
    Memory,
    Outcome,
    Received,
    memory_of,
    with_answers,
    with_resets,
)
from server.itip.schedule_changes import schedule_changes
from server.itip.scheduling_object import SchedulingObject
from server.services.mail.invitations_to import APPROVAL, notice_jobs
from server.services.objects import Objects
from server.services.scheduling import memory
from server.services.scheduling.answering import Recipient, given_answer
from server.services.scheduling.check_in_links import link_jobs
from server.services.scheduling.default_calendar import Scheduled, default_calendar, make_default_calendar
from server.services.scheduling.originator import properties_of
from server.services.scheduling.room_policies import as_kept, discreet_message
from server.services.scheduling.schedule_changes import SCHEDULE_CHANGES, as_property
from server.storage import Storage
from server.storage.scheduling import Mailbox

NO_CALENDAR_USER = "3.7"
"""SCHEDULE-STATUS: the address names nobody who can be invited (RFC 6638 §3.2.9)."""
NO_AUTHORITY = "3.8"
"""SCHEDULE-STATUS: the recipient does not take messages from the sender."""
NOT_DELIVERED = "5.1"
"""SCHEDULE-STATUS: the delivery failed; it may succeed later."""
NOT_ALLOWED = "5.3"
"""SCHEDULE-STATUS: the recipient's calendar does not take the message, also not later."""

MAX_ITEMS = 1000
"""Items that an inbox holds: those that were delivered first are removed for new ones. Many apps never remove any."""
MAX_REMOVED = 10
"""Items that one delivery removes at most."""

_TOLD = (Method.REQUEST, Method.CANCEL)
"""Methods of the messages of which delegates get a notice."""
_DELIVERED = "d-"
"""Begins the Schedule-Tag of what the server alone has written, until an app writes the object."""


@value
class Letter:
    """The messages of one change to one recipient."""

    sender: Principal | None
    """In whose name they are sent. None: of whom the recipient has the object that they refresh."""
    messages: Sequence[Message]
    """In the order in which they take effect."""
    now: datetime
    """When the change was made."""
    resets: Mapping[str, int] | None = None
    """When the recipient was last asked anew (`server.itip.reception.resets_of`)."""
    is_new: bool = False
    """Whether the sender's object is new. Messages about a deleted object of the UID count no more then: their SEQUENCE
    may be greater."""
    since: str = ""
    """Of an organizer's letter: older messages are about a meeting of the UID that was deleted
    (`server.services.scheduling.memory.Known.since`)."""
    about: str = ""
    """Of an attendee's letter: the greatest DTSTAMP of the messages that they answer, which tells whether it is about a
    meeting that the organizer has deleted; empty without one."""
    late: bool = False
    """Whether a job delivers it, so that later ones may have come before."""
    afterwards: Sequence[Message] = ()
    """Quiet messages that take effect after the server has answered for the recipient: they tell of all answers."""
    grants: Grants | None = None
    """The grants on the recipient's inbox that may concern the sender; None: those of the mailbox."""


@value
class Item:
    """An item of an inbox."""

    message: Message
    properties: Mapping[str, str]


@value
class Delivered:
    """The delivery of letters to one recipient."""

    statuses: tuple[str, ...]
    """SCHEDULE-STATUS of the recipient for the sender of each letter."""
    writes: tuple[Write, ...] = ()
    remembered: Remember | None = None
    object: SchedulingObject | None = None
    """The recipient's object afterwards; None without one."""
    received: tuple[Received, ...] = ()
    """What each message did."""
    known: memory.Known = memory.Known()
    """What the recipient's home knows afterwards."""
    jobs: tuple[Job, ...] = ()
    """Notices to the recipient's delegates."""


async def deliver(
    storage: Storage,
    objects: Objects,
    mailbox: Mailbox,
    letters: Sequence[Letter],
    directory: Directory,
    language: Language = "en",
) -> Delivered:
    """What is written in the home of a recipient for letters about one UID, in the order in which they take effect.

    An event of the recipient's own that has the UID, but no ORGANIZER, stays beside the meeting. `language` is that of
    what a room says with its answer.

    No state of the recipient raises an error, but those that make the write fail: `WriteConflict`.
    """
    inbox = mailbox.inbox
    if inbox is None:
        return not_delivered(NO_CALENDAR_USER, len(letters))
    before = None if mailbox.object is None else objects.scheduling_object(mailbox.object.text or "")
    held, own = mailbox, None
    if before is not None and not any(each.first("ORGANIZER") for each in before.components):
        own, before, mailbox = before, None, replace(mailbox, object=None, collection=None)
    after, known = before, memory.read(mailbox.state)
    statuses: list[str] = []
    messages: list[Message] = []
    received: list[Received] = []
    items: list[Item] = []
    for letter in letters:
        if not _is_taken(letter, mailbox, inbox):
            statuses.append(NO_AUTHORITY)
            continue
        try:
            results, left, changed, learnt = _received(letter, after, known, directory)
        except InvalidData:
            statuses.append(NOT_ALLOWED)
            continue
        statuses.append(next((each.status for each in results if each.status != DELIVERED), DELIVERED))
        if letter.is_new:
            received = [replace(each, messages=()) for each in received]  # returned to a meeting that is deleted
        after, known = changed, learnt
        messages += letter.messages
        received += results
        items += left
    recipient = Recipient(mailbox, before, after, known)
    sender, now = _sender(letters), letters[-1].now
    given = await given_answer(storage, recipient, messages, sender, directory, now, language)
    if given is not None:
        after, known = given.object, given.known
        items = items if given.leaves_items else []
        if given.forwards:
            items = [replace(each, properties={**each.properties, **APPROVAL}) for each in items]
        if given.reply is not None:
            received.append(Received(Outcome.APPLIED, messages=(given.reply,)))
            after, known = _told_afterwards(letters[-1], after, known, directory)
    after = as_kept(mailbox, before, after)
    items = [replace(each, message=discreet_message(mailbox, each.message)) for each in items]
    quiet = all(message.quiet or message.method is Method.REPLY for message in messages)
    try:
        writes = await _writes(storage, objects, mailbox, before, after, items, keep_tag=quiet)
        if writes is not None and own is not None and after is not None:
            writes = await _with_own(objects, held, own, writes)
    except InvalidData:
        return not_delivered(NOT_ALLOWED, len(letters))
    if writes is None:
        return not_delivered(NOT_DELIVERED, len(letters))
    remembered = None
    state = memory.write(known, after)
    if state != mailbox.state and received:
        remembered = Remember(mailbox.home.id, messages[0].uid, state, mailbox.version)
    jobs = _notices(mailbox, inbox, writes, items) if any(each.sender is not None for each in letters) else ()
    if given is not None and given.sends_link:
        jobs += link_jobs(mailbox, writes)
    return Delivered(tuple(statuses), writes, remembered, after, tuple(received), known, jobs)


def _notices(mailbox: Mailbox, inbox: Collection, writes: Sequence[Write], items: Sequence[Item]) -> tuple[Job, ...]:
    """The jobs that tell delegates of new invitations and cancellations in an inbox."""
    names = [each.name for each in writes if isinstance(each, Put) and each.collection.id == inbox.id]
    told = [(name, item.properties) for name, item in zip(names, items, strict=True) if item.message.method in _TOLD]
    return notice_jobs(mailbox.principal_id, mailbox.home.properties, told)


def _told_afterwards(
    letter: Letter, after: SchedulingObject | None, known: memory.Known, directory: Directory
) -> tuple[SchedulingObject | None, memory.Known]:
    """The object and memory of a recipient, for whom the server has answered, with the quiet messages of a letter."""
    for message in letter.afterwards:
        result = receive(message, after, directory, letter.now, memory=known.memory, resets=letter.resets)
        after, known = result.object or after, replace(known, memory=result.memory or known.memory)
    return after, known


def knows(delivered: Delivered, mailbox: Mailbox, letter: Letter, directory: Directory) -> bool:
    """Whether the quiet messages of a letter tell a recipient, for whom the server has answered, nothing new.

    :param delivered: the delivery of the letter without them.
    """
    after, known = _told_afterwards(letter, delivered.object, delivered.known, directory)
    return as_kept(mailbox, delivered.object, after) is delivered.object and known == delivered.known


def _sender(letters: Sequence[Letter]) -> Principal | None:
    """In whose name the last letter of an organizer was sent."""
    return next((letter.sender for letter in reversed(letters) if letter.sender is not None), None)


def not_delivered(status: str, letters: int = 1) -> Delivered:
    """The delivery of letters that all failed with one status."""
    return Delivered((status,) * letters)


def _is_taken(letter: Letter, mailbox: Mailbox, inbox: Collection) -> bool:
    """Whether the recipient takes messages from the sender."""
    if letter.sender is None:
        return True
    grants = mailbox.grants if letter.grants is None else letter.grants
    needed = {_privilege(message) for message in letter.messages}
    return all(policy.may_deliver(letter.sender, inbox, grants, need) for need in needed)


def _received(
    letter: Letter, after: SchedulingObject | None, known: memory.Known, directory: Directory
) -> tuple[list[Received], list[Item], SchedulingObject | None, memory.Known]:
    """What each message of a letter does and what is left in the inbox, and the recipient's object and memory
    afterwards. Raises `InvalidData`."""
    if letter.about and letter.about < known.since:
        # An answer to a meeting that the recipient has deleted, of whose UID they have another one.
        return [IGNORED for _ in letter.messages], [], after, known
    resets = letter.resets
    present = _present(letter, known.memory or memory_of(after))
    if present is not None:
        # What was answered before is no answer to this meeting.
        known = replace(known, memory=present)
        components = [component for message in letter.messages for component in message.object.components]
        resets = {**(resets or {}), **{component.instance: component.sequence for component in components}}
    received: list[Received] = []
    items: list[Item] = []
    for message in letter.messages:
        result = receive(message, after, directory, letter.now, memory=known.memory, resets=resets, rows=known.rows)
        received.append(result)
        before, after = after, result.object or after
        if result.item:
            items.append(item_of(message, before, after, directory, letter.now))
        rows = with_answers(known.rows, result.answers) if result.answers else known.rows
        rows = with_resets(rows, result.resets) if result.resets else rows
        known = replace(known, memory=result.memory or known.memory, rows=rows)
    return received, items, after, known


def item_of(
    message: Message,
    before: SchedulingObject | None,
    after: SchedulingObject | None,
    directory: Directory,
    now: datetime,
) -> Item:
    """The item that a message leaves, which says what changed (CS:schedule-changes)."""
    changes = schedule_changes(message, before, after, directory)
    told = {} if changes is None else {SCHEDULE_CHANGES: as_property(changes, utc_stamp(now))}
    return Item(message, {**told, **properties_of(message)})


def _present(letter: Letter, known: Memory) -> Memory | None:
    """What the recipient knows of the meeting of a letter, where some messages were about an earlier one of its UID."""
    if letter.is_new and not letter.late:
        return Memory()
    since, sequence = letter.since, max(message.sequence for message in letter.messages)
    if letter.is_new:
        # Later ones may have come before.
        since, sequence = utc_stamp(letter.now), -1
    kept = {
        instance: version
        for instance, version in known.versions.items()
        if version.dtstamp > since or (version.dtstamp == since and version.sequence <= sequence)
    }
    if not letter.is_new and (not since or len(kept) == len(known.versions)):
        return None
    return replace(known, versions=kept) if kept else Memory()


async def _writes(
    storage: Storage,
    objects: Objects,
    mailbox: Mailbox,
    before: SchedulingObject | None,
    after: SchedulingObject | None,
    items: Sequence[Item],
    *,
    keep_tag: bool,
) -> tuple[Write, ...] | None:
    """The writes of an object and of the items in the inbox; None where there is no calendar for the
    object, and none can be made."""
    writes: list[Write] = []
    if after is not None and after is not before:
        write = await put_object(storage, objects, mailbox, after, keep_tag=keep_tag)
        if write is None:
            return None
        writes.append(write)
    elif after is None and mailbox.object is not None and mailbox.collection is not None:
        held = mailbox.object
        writes.append(Delete(mailbox.collection, held.name, ObjectState(held.id, held.revision)))
    return (*writes, *await item_writes(storage, objects, mailbox, items))


async def item_writes(storage: Storage, objects: Objects, mailbox: Mailbox, items: Sequence[Item]) -> Sequence[Write]:
    """The writes that leave items in an inbox, and remove the oldest ones where there are too many."""
    writes: list[Write] = []
    assert mailbox.inbox is not None
    for item in items:
        content = await objects.content(mailbox.inbox, item.message.text.encode(), None, mailbox.addresses)
        writes.append(Put(mailbox.inbox, f"{token_hex(16)}.ics", content, None, properties=item.properties))
    most = min(MAX_ITEMS, objects.write_limits.max_members)
    excess = mailbox.inbox.member_count + len(items) - most if items else 0
    if excess > 0:
        oldest = await storage.oldest_members(mailbox.inbox, min(excess, MAX_REMOVED))
        writes += [Delete(mailbox.inbox, name, state) for name, state in oldest]
    return writes


async def _with_own(
    objects: Objects, mailbox: Mailbox, own: SchedulingObject, writes: Sequence[Write]
) -> tuple[Write, ...]:
    """The writes of a delivery, the first of which is that of a new object, where an event of one's own has its UID.

    A UID is used once in a calendar (RFC 4791 §4.1). In the same calendar the meeting takes the place of the event,
    which stays under a new name and UID.
    """
    first, existing, collection = writes[0], mailbox.object, mailbox.collection
    assert isinstance(first, Put)
    assert isinstance(first.content, ObjectContent)
    assert existing is not None
    assert collection is not None
    if first.collection.id != collection.id:
        return tuple(writes)
    uid = str(uuid4())
    moved = own.map_components(lambda component: component.with_value("UID", uid))
    content = await objects.content(collection, moved.text.encode(), None, mailbox.addresses)
    meeting = await objects.put_of(collection, existing.name, first.content, existing)
    return meeting, await objects.put_of(collection, first.name, content, None), *writes[1:]


async def put_object(
    storage: Storage,
    objects: Objects,
    mailbox: Mailbox,
    after: SchedulingObject,
    *,
    keep_tag: bool,
    like: Object | None = None,
) -> Put | None:
    """The write of the recipient's object; None where there is no calendar for it, and none can be made.

    Its Schedule-Tag stays where only the participation of others changed (RFC 6638 §3.2.10).

    :param like: the object from which a new one is divided: it keeps the parts of sharees.
    """
    existing, collection = mailbox.object, mailbox.collection
    if collection is None:
        home, inbox = mailbox.home, mailbox.inbox
        assert inbox is not None
        component: Scheduled = "VTODO" if after.name == "VTODO" else "VEVENT"
        collection = default_calendar(inbox, mailbox.calendars, component)
        if collection is None:
            collection = await make_default_calendar(storage, home, inbox, component, objects.write_limits)
        if collection is None:
            return None
    content = await objects.content(collection, after.text.encode(), existing, mailbox.addresses)
    if content.schedule_tag is not None:
        kept = existing.schedule_tag if keep_tag and existing is not None else None
        source = existing or like
        untouched = source is None or is_delivered(source)
        content = replace(content, schedule_tag=kept or (_DELIVERED if untouched else "") + content.schedule_tag)
    name = f"{token_hex(16)}.ics" if existing is None else existing.name
    return await objects.put_of(collection, name, content, existing, like=like)


def is_delivered(member: Object) -> bool:
    """Whether the server has put a member into its calendar, and no app has written or moved it."""
    return member.schedule_tag is not None and member.schedule_tag.startswith(_DELIVERED)


def _privilege(message: Message) -> Privilege:
    """The privilege on the inbox that a message needs (RFC 6638 §6.1, Appendix A)."""
    if message.method in FROM_ATTENDEES:
        return Privilege.SCHEDULE_DELIVER_REPLY
    return Privilege.SCHEDULE_DELIVER_INVITE


def by_recipient(messages: Iterable[Message]) -> Mapping[str, list[Message]]:
    """Messages by the key of their recipient, in their order."""
    found: dict[str, list[Message]] = {}
    for message in messages:
        found.setdefault(message.recipient.key, []).append(message)
    return found
