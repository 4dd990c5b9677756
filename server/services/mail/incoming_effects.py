"""What becomes of a scheduling message by mail for one recipient: it takes effect, is held, or is passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from server.domain.changes import Cause
from server.domain.values import value
from server.imip.tags import ReplyTag, Tags
from server.itip.calendar_users import CalendarUser, Directory, addresses
from server.itip.lines import Line
from server.itip.messages import Message
from server.itip.reception import DELIVERED
from server.itip.scheduling_object import SchedulingObject
from server.services.mail.held import Held, HeldMessages, Reason
from server.services.mail.incoming_settings import IncomingMailSettings
from server.services.mail.senders import ACTS_FOR_OTHERS, senders_in
from server.services.scheduling.calendar_users import directory_of
from server.services.scheduling.intent import Services
from server.services.scheduling.single_messages import Post, post
from server.storage.incoming_mail import IncomingMail
from server.storage.scheduling import Mailbox


class Outcome(StrEnum):
    """What became of a mail, or of a message in it for one recipient."""

    APPLIED = "applied"
    """It took effect, or was older than what is known."""
    HELD = "held"
    """It lies in the inbox, marked."""
    FULL = "full"
    """It was to be held, but too many are, or the home has no space."""
    REFUSED = "refused"
    """The recipient does not take it: the UID belongs to another organizer or to an event of their own; or it is a
    group that the organizer may not expand, or that has too many members."""
    NO_CALENDAR = "no_calendar"
    """The mail has no scheduling message."""
    UNREADABLE = "unreadable"
    """The calendar in it is no scheduling message that can be read, or is too large."""
    LOCAL = "local"
    """It comes from, or acts for, an address whose calendar is here."""
    NOT_CONCERNED = "not_concerned"
    """It concerns nobody here: no recipient is invited, or the organizer has no such meeting."""
    LIMITED = "limited"
    """Its sender has sent too many in this hour."""
    OWN = "own"
    """This server has sent it."""
    NULL_SENDER = "null_sender"
    """It is an automatic answer without a bounce address."""
    BOUNCED = "bounced"
    """It reports that a mail of ours was not delivered."""


@value
class Source:
    """What is known of where a message comes from."""

    sender: str | None
    """The one address in From."""
    authentic: bool
    """Whether the mail is from there."""
    tags: tuple[ReplyTag, ...]
    recipients: tuple[str, ...]
    """Calendar user addresses of the envelope."""
    cause: Cause

    @property
    def address(self) -> str:
        """The sender's calendar user address; empty without one."""
        return "" if self.sender is None else f"mailto:{self.sender}"


@value
class Effects:
    """The services by which messages take effect."""

    services: Services
    incoming: IncomingMail
    settings: IncomingMailSettings
    tags: Tags | None
    """None where the installation has no mail address."""
    secret: bytes
    """Of the installation."""
    held: HeldMessages
    now: Callable[[], datetime]

    def is_from(
        self, party: CalendarUser, lines: Sequence[Line], source: Source, mailbox: Mailbox, directory: Directory
    ) -> bool:
        """Whether a message is from the organizer or attendee whom it names, or from who may act for them."""
        if not source.authentic:
            return False
        acting = {directory.key(source.address)}
        acting |= {directory.key(each) for line in lines for each in line.params.get("SENT-BY", [])}
        others = acting - {party.key}
        if not others or mailbox.inbox is None:
            return not others
        allowed = senders_in(mailbox.inbox.properties.get(ACTS_FOR_OTHERS, ""))
        return others <= {directory.key(f"mailto:{each}") for each in allowed}

    async def hold(
        self, source: Source, mailbox: Mailbox, message: Message, reason: Reason, groups: tuple[int, ...] = ()
    ) -> Outcome:
        """Put a message into the recipient's inbox, marked.

        :param groups: the ids of those through which an organizer invites the recipient.
        """
        held = Held(reason, source.sender or "", message.sender.address, groups)
        done = await self.held.hold(source.cause, mailbox, message.text, held)
        return Outcome.HELD if done else Outcome.FULL

    async def post(
        self, message: Message, source: Source, directory: Directory, groups: tuple[int, ...] | None = None
    ) -> Outcome:
        """Let a message take effect.

        :param directory: the calendar users of both.
        :param groups: as in `server.services.scheduling.letters.Letter`.
        """
        status = await post(self.services, source.cause, Post(message, None, directory, self.now(), groups))
        return Outcome.APPLIED if status == DELIVERED else Outcome.REFUSED

    async def mailbox(self, user: CalendarUser, uid: str) -> Mailbox | None:
        """The data of a recipient; None of somebody elsewhere."""
        if user.principal_id is None:
            return None
        found = await self.services.storage.mailboxes(user.principal_id, [user.principal_id], uid)
        return found[0] if found else None

    async def directory(self, found: SchedulingObject, source: Source, more: Iterable[str] = ()) -> Directory:
        """The calendar users that a message and its envelope name."""
        named = {*addresses(found), *source.recipients, source.address, *more} - {""}
        return await directory_of(self.services.storage, named)
