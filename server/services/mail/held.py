"""Messages by mail that have no effect until somebody accepts them: they lie in an inbox, marked by a property."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from secrets import token_hex
from xml.sax.saxutils import quoteattr, unescape

from server.domain.changes import Cause, ChangeSet, Delete, Put
from server.domain.errors import NotFound, WriteConflict
from server.domain.objects import Collection
from server.domain.values import value
from server.itip.calendar_users import addresses
from server.itip.messages import FROM_ATTENDEES, Message, Method
from server.itip.participants import organizer
from server.itip.scheduling_object import read_object
from server.services.changing import change
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.intent import Services
from server.services.scheduling.single_messages import Post, post
from server.storage.incoming_mail import HELD, HeldItem, IncomingMail
from server.storage.scheduling import Mailbox

MAX_HELD = 100
"""Items of an inbox that are held. Further messages are passed over, so that strangers cannot fill it."""
KEPT_FOR = timedelta(days=30)
"""How long an item is held. Then it is removed."""

_ATTRIBUTE = re.compile(r' (\w+)="([^"]*)"')


class Reason(StrEnum):
    """Why a message is held."""

    UNTRUSTED = "untrusted"
    """It is not certain that it comes from the organizer or attendee whom it names."""
    UNKNOWN_SENDER = "unknown-sender"
    """It is an invitation of somebody whom the recipient does not know."""
    NOT_INVITED = "not-invited"
    """It answers for somebody whom the organizer has not invited."""


@value
class Held:
    """What the property of a held item says."""

    reason: Reason
    sender: str
    """The address in From; empty where there is not exactly one."""
    party: str
    """The calendar user address of the organizer or attendee that the message names."""
    groups: tuple[int, ...] = ()
    """The ids of the groups through which an organizer invites the recipient."""


def written(held: Held) -> str:
    """The property of a held item."""
    values = {"reason": str(held.reason), "sender": _printable(held.sender), "party": _printable(held.party)}
    if held.groups:
        values["groups"] = " ".join(map(str, held.groups))
    attributes = "".join(f" {name}={quoteattr(each, {chr(34): '&quot;'})}" for name, each in values.items())
    return f'<held xmlns="urn:koyomi:mail"{attributes}/>'


def _printable(text: str) -> str:
    """A text without what XML cannot have."""
    return "".join(filter(str.isprintable, text))[:1000]


def read(text: str) -> Held:
    """What the property says."""
    found = {name: unescape(each, {"&quot;": '"'}) for name, each in _ATTRIBUTE.findall(text)}
    reasons = {each.value: each for each in Reason}
    reason, groups = reasons.get(found.get("reason", ""), Reason.UNTRUSTED), found.get("groups", "").split()
    ids = tuple(int(each) for each in groups if each.isdecimal())
    return Held(reason, found.get("sender", ""), found.get("party", ""), ids)


class HeldMessages:
    """Holds messages, and accepts, drops and forgets them."""

    def __init__(
        self, services: Services, incoming: IncomingMail, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._services, self._incoming, self._now = services, incoming, now

    async def hold(self, cause: Cause, mailbox: Mailbox, text: str, held: Held) -> bool:
        """Lay a message into an inbox, with the mark that it is held; False where too many are.

        Raises `InvalidData` for what cannot be stored, `QuotaExceeded`, `TooManyMembers` and `WriteConflict`.
        """
        inbox = mailbox.inbox
        if inbox is None or await self._incoming.held_in(inbox) >= MAX_HELD:
            return False
        content = await self._services.objects.content(inbox, text.encode(), None, mailbox.addresses)
        put = Put(inbox, f"{token_hex(16)}.ics", content, None, properties={HELD: written(held)})
        await self._apply(cause, put)
        return True

    async def accept(self, cause: Cause, item: HeldItem) -> str:
        """Let a held message take effect as if it were trusted; returns the SCHEDULE-STATUS of its recipient.

        Raises `NotFound` if it is gone, and `TooManyConflicts`.
        """
        return await change(partial(self._inbox, item), partial(self._accept, cause, item))

    async def drop(self, cause: Cause, item: HeldItem) -> None:
        """Remove a held message. Raises `NotFound` if it is gone, and `TooManyConflicts`."""
        await change(partial(self._inbox, item), lambda inbox: self._apply(cause, _deletion(inbox, item)))

    async def forget(self, cause: Cause) -> int:
        """Remove what has been held for `KEPT_FOR`; returns the number of items."""
        count, place = 0, (0, 0)
        while page := await self._incoming.held_items(place):
            for item in page:
                place = item.home_id, item.state.id
                if self._now() - item.created_at < KEPT_FOR:
                    continue
                try:
                    await self._apply(cause, _deletion(await self._inbox(item), item))
                except (NotFound, WriteConflict):
                    continue
                count += 1
        return count

    async def _inbox(self, item: HeldItem) -> Collection:
        found = await self._services.storage.inboxes(item.owner.id, [item.owner.id])
        if not found or found[0].inbox is None or await self._incoming.held_item(item.state.id) is None:
            raise NotFound
        return found[0].inbox

    async def _accept(self, cause: Cause, item: HeldItem, inbox: Collection) -> str:
        text = read_object(item.text)
        own, held = address_of(item.owner), read(item.held)
        party = held.party
        directory = await directory_of(self._services.storage, addresses(text) | {own, party})
        method = Method(text.method)
        sender = directory.user(party)
        if method not in FROM_ATTENDEES:
            sender = organizer(text, directory) or sender
        message = Message(method, sender, directory.user(own), text)
        sent = Post(message, None, directory, self._now(), held.groups or None)
        return await post(self._services, cause, sent, also=(_deletion(inbox, item),))

    async def _apply(self, cause: Cause, write: Put | Delete) -> None:
        graced = frozenset({write.collection.home_id})
        await self._services.storage.apply(ChangeSet((write,), self._services.limits, cause, graced=graced))


def _deletion(inbox: Collection, item: HeldItem) -> Delete:
    return Delete(inbox, item.name, item.state)
