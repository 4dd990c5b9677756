"""What letters do in the home of a calendar user here, before anything is written (RFC 6638 §4.1).

For rooms, and people with an auto-schedule mode, that is the answer of the server, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from server.auth import policy
from server.domain.errors import InvalidData
from server.domain.grants import Grants
from server.domain.objects import Collection
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.domain.values import value
from server.imip.catalogue import Language
from server.itip.calendar_users import Directory, addresses
from server.itip.change import InvitedGroups, utc_stamp
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
from server.itip.room_locations import with_rooms_in_location
from server.itip.schedule_changes import schedule_changes
from server.itip.scheduling_object import SchedulingObject
from server.services.mail.invitations_to import APPROVAL
from server.services.objects import Objects
from server.services.scheduling import memory
from server.services.scheduling.answered_items import is_settled
from server.services.scheduling.answering import Recipient, given_answer
from server.services.scheduling.calendar_users import directory_of
from server.services.scheduling.originator import properties_of
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
    groups: tuple[int, ...] | None = None
    """The ids of the groups here through which an organizer elsewhere invites the recipient; None: it says nothing of
    that."""
    grants: Grants | None = None
    """The grants on the recipient's inbox that may concern the sender; None: those of the mailbox."""


@value
class Item:
    """An item of an inbox."""

    message: Message
    properties: Mapping[str, str]


@value
class Reception:
    """What letters about one UID do in the home of a recipient."""

    held: Mailbox
    """The recipient's."""
    letters: Sequence[Letter]
    statuses: tuple[str, ...]
    """SCHEDULE-STATUS of the recipient for the sender of each letter."""
    messages: Sequence[Message] = ()
    """Those that the recipient takes."""
    received: tuple[Received, ...] = ()
    """What each of them did, and then the answer of the server, if it gives one."""
    items: Sequence[Item] = ()
    """What they leave in the inbox."""
    own: SchedulingObject | None = None
    """An event of the recipient's own that has the UID."""
    before: SchedulingObject | None = None
    """The recipient's object before the letters."""
    after: SchedulingObject | None = None
    """The recipient's object with them; None without one."""
    known: memory.Known = memory.Known()
    """What the recipient's home knows afterwards."""
    sends_link: bool = False
    """Whether the organizer gets a link to check in."""
    is_settled: bool = False
    """Whether the server answers for a room, and nothing of the meeting waits for a delegate of it."""
    is_located: bool = False
    """Whether LOCATION of an organizer's meeting follows the answer of a room."""

    @property
    def mailbox(self) -> Mailbox:
        """The recipient's, in which an event of their own is not what the letters are about."""
        return self.held if self.own is None else replace(self.held, object=None, collection=None)


async def reception_of(
    storage: Storage,
    objects: Objects,
    mailbox: Mailbox,
    letters: Sequence[Letter],
    directory: Directory,
    language: Language = "en",
    *,
    rooms_in_location: bool = False,
) -> Reception:
    """What letters about one UID do in the home of a recipient, in the order in which they take effect.

    The server's answer is decided here, and nothing is written. `language` is that of what a room says with it.
    `rooms_in_location` is as in `server.itip.change.Change`.

    No state of the recipient raises an error.
    """
    inbox = mailbox.inbox
    if inbox is None:
        return Reception(mailbox, letters, (NO_CALENDAR_USER,) * len(letters))
    before, own = None if mailbox.object is None else objects.scheduling_object(mailbox.object.text or ""), None
    if before is not None and not any(each.first("ORGANIZER") for each in before.components):
        own, before = before, None
    after, known = before, memory.read(mailbox.state)
    statuses: list[str] = []
    messages: list[Message] = []
    results: list[Received] = []
    items: list[Item] = []
    for letter in letters:
        if not _is_taken(letter, mailbox, inbox):
            statuses.append(NO_AUTHORITY)
            continue
        try:
            done, left, changed, learnt = _received(letter, after, known, directory)
        except InvalidData:
            statuses.append(NOT_ALLOWED)
            continue
        statuses.append(next((each.status for each in done if each.status != DELIVERED), DELIVERED))
        if letter.is_new:
            results = [replace(each, messages=()) for each in results]  # returned to a meeting that is deleted
        after, known = changed, learnt
        messages += letter.messages
        results += done
        items += left
    taken = Reception(mailbox, letters, tuple(statuses), messages, tuple(results), items, own, before, after, known)
    if rooms_in_location:
        taken = await _located(storage, taken)
    return await _with_answer(storage, taken, directory, language)


async def _located(storage: Storage, taken: Reception) -> Reception:
    """What letters do, with LOCATION of an organizer's object as answers of rooms have it."""
    before, after = taken.before, taken.after
    of_room = any(each.method is Method.REPLY and each.sender.cutype == "ROOM" for each in taken.messages)
    if not of_room or after is None or after is before:
        return taken
    # The directory of the letters need not have those who answer nothing.
    located = with_rooms_in_location(before, after, await directory_of(storage, addresses(after)))
    return taken if located.text == after.text else replace(taken, after=located, is_located=True)


async def _with_answer(storage: Storage, taken: Reception, directory: Directory, language: Language) -> Reception:
    """What letters do, with the answer that the server gives for the recipient."""
    recipient = Recipient(taken.mailbox, taken.before, taken.after, taken.known)
    sender, now = _sender(taken.letters), taken.letters[-1].now
    given = await given_answer(storage, recipient, taken.messages, sender, directory, now, language)
    if given is None:
        return taken
    items = taken.items if given.leaves_items else []
    if given.forwards:
        items = [replace(each, properties={**each.properties, **APPROVAL}) for each in items]
    results = taken.received
    if given.reply is not None:
        results = (*results, Received(Outcome.APPLIED, messages=(given.reply,)))
    user = taken.messages[0].recipient
    return replace(
        taken,
        received=results,
        items=items,
        after=given.object,
        known=given.known,
        sends_link=given.sends_link,
        is_settled=not items and is_settled(taken.held, given.object, user, directory),
    )


def with_answers_of_others(reception: Reception, messages: Sequence[Message], directory: Directory) -> Reception:
    """A reception with quiet messages that take effect after it, and that tell of the answers of others."""
    after, known, letter = reception.after, reception.known, reception.letters[-1]
    for message in messages:
        result = receive(message, after, directory, letter.now, memory=known.memory, resets=letter.resets)
        after, known = result.object or after, replace(known, memory=result.memory or known.memory)
    return replace(reception, after=after, known=known)


def _sender(letters: Sequence[Letter]) -> Principal | None:
    """In whose name the last letter of an organizer was sent."""
    return next((letter.sender for letter in reversed(letters) if letter.sender is not None), None)


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
    if letter.groups is not None and any(each.object is not None for each in received):
        known = replace(known, groups=InvitedGroups(letter.groups))
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


def _privilege(message: Message) -> Privilege:
    """The privilege on the inbox that a message needs (RFC 6638 §6.1, Appendix A)."""
    if message.method in FROM_ATTENDEES:
        return Privilege.SCHEDULE_DELIVER_REPLY
    return Privilege.SCHEDULE_DELIVER_INVITE
