"""Delivering messages to a calendar user here: what is written in their home (RFC 6638 §3.2.9, §4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from secrets import token_hex
from uuid import uuid4

from server.domain.changes import Delete, ObjectState, Put, Remember, Write
from server.domain.contents import ObjectContent
from server.domain.errors import InvalidData
from server.domain.jobs import Job
from server.domain.objects import Collection, Object
from server.domain.values import value
from server.imip.catalogue import Language
from server.itip.calendar_users import Directory
from server.itip.messages import Message, Method
from server.itip.reception import (
    Received,
)
from server.itip.scheduling_object import SchedulingObject
from server.services.mail.invitations_to import notice_jobs
from server.services.objects import Objects
from server.services.scheduling import memory
from server.services.scheduling.answered_items import item_deletions
from server.services.scheduling.check_in_links import link_jobs
from server.services.scheduling.default_calendar import Scheduled, default_calendar, make_default_calendar
from server.services.scheduling.letters import NOT_ALLOWED, NOT_DELIVERED, Item, Letter, Reception, reception_of
from server.services.scheduling.room_policies import as_kept, discreet_message
from server.storage import Storage
from server.storage.scheduling import Mailbox

MAX_ITEMS = 1000
"""Items that an inbox holds: those that were delivered first are removed for new ones. Many apps never remove any."""
MAX_REMOVED = 10
"""Items that one delivery removes at most."""

_TOLD = (Method.REQUEST, Method.CANCEL)
"""Methods of the messages of which delegates get a notice."""
_DELIVERED = "d-"
"""Begins the Schedule-Tag of what the server alone has written, until an app writes the object."""


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
    *,
    rooms_in_location: bool = False,
) -> Delivered:
    """What is written in the home of a recipient for letters about one UID (`reception_of`, then `delivery_of`)."""
    reception = await reception_of(
        storage, objects, mailbox, letters, directory, language, rooms_in_location=rooms_in_location
    )
    return await delivery_of(storage, objects, reception)


async def delivery_of(storage: Storage, objects: Objects, reception: Reception) -> Delivered:
    """What is written in the home of a recipient for what letters do there.

    An event of the recipient's own that has the UID, but no ORGANIZER, stays beside the meeting.

    No state of the recipient raises an error, but those that make the write fail: `WriteConflict`.
    """
    held, mailbox, letters = reception.held, reception.mailbox, reception.letters
    inbox, before, own = held.inbox, reception.before, reception.own
    if inbox is None:
        return Delivered(reception.statuses)
    after = as_kept(mailbox, before, reception.after)
    items = [replace(each, message=discreet_message(mailbox, each.message)) for each in reception.items]
    quiet = all(message.quiet or message.method is Method.REPLY for message in reception.messages)
    keep_tag = quiet and not reception.is_located
    try:
        writes = await _writes(storage, objects, mailbox, before, after, items, keep_tag=keep_tag)
        if writes is not None and own is not None and after is not None:
            writes = await _with_own(objects, held, own, writes)
    except InvalidData:
        return not_delivered(NOT_ALLOWED, len(letters))
    if writes is None:
        return not_delivered(NOT_DELIVERED, len(letters))
    if reception.is_settled:
        writes = (*writes, *await item_deletions(storage, mailbox, reception.messages[0].uid))
    remembered = None
    state = memory.write(reception.known, after)
    if state != mailbox.state and reception.received:
        remembered = Remember(mailbox.home.id, reception.messages[0].uid, state, mailbox.version)
    jobs = _notices(mailbox, inbox, writes, items) if any(each.sender is not None for each in letters) else ()
    if reception.sends_link:
        jobs += link_jobs(mailbox, writes)
    return Delivered(reception.statuses, writes, remembered, after, reception.received, reception.known, jobs)


def _notices(mailbox: Mailbox, inbox: Collection, writes: Sequence[Write], items: Sequence[Item]) -> tuple[Job, ...]:
    """The jobs that tell delegates of new invitations and cancellations in an inbox."""
    names = [each.name for each in writes if isinstance(each, Put) and each.collection.id == inbox.id]
    told = [(name, item.properties) for name, item in zip(names, items, strict=True) if item.message.method in _TOLD]
    return notice_jobs(mailbox.principal_id, mailbox.home.properties, told)


def not_delivered(status: str, letters: int = 1) -> Delivered:
    """The delivery of letters that all failed with one status."""
    return Delivered((status,) * letters)


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


def by_recipient(messages: Iterable[Message]) -> Mapping[str, list[Message]]:
    """Messages by the key of their recipient, in their order."""
    found: dict[str, list[Message]] = {}
    for message in messages:
        found.setdefault(message.recipient.key, []).append(message)
    return found
