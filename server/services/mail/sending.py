"""The jobs of mail: one sends a mail, another writes what became of mails into the sender's object.

The mail server is spoken to outside of any transaction. If the process dies between its answer and the statement that
marks the mail as sent, the next run sends the mail once more, with the same Message-ID; nothing else is sent twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from prometheus_client import CollectorRegistry

from server.domain.changes import Cause, ChangeSet
from server.domain.errors import (
    AddressNotSupported,
    InvalidData,
    MailDelayed,
    MailRefused,
    NotFound,
    TooManyInstances,
    WriteConflict,
)
from server.domain.limits import Limits
from server.imip.addresses import mail_address, own_address
from server.imip.composing import Draft, Person, compose
from server.imip.tags import Tags
from server.itip.calendar_users import Directory, addresses
from server.itip.messages import FROM_ATTENDEES, Method
from server.itip.scheduling_object import SchedulingObject, read_object
from server.observe.mail_counts import MailCounts
from server.process.computing import computed
from server.services.changing import change
from server.services.contents import LARGE
from server.services.mail.outgoing import NO_WAY, NOT_SENT, PENDING, SENT
from server.services.mail.settings import MailSettings
from server.services.mail.transport import Mail, Transport
from server.services.objects import Objects, write_limits
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.stating import stated
from server.storage import Storage
from server.storage.mails import MailLimits, MailOutcome, OutgoingMail

TRIED_FOR = timedelta(hours=24)
"""How long a mail that a mail server does not take is tried again."""

log = structlog.get_logger()


class MailJobs:
    """The handlers of these jobs."""

    def __init__(
        self,
        storage: Storage,
        objects: Objects,
        limits: Limits,
        settings: MailSettings,
        transport: Transport,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        counts: MailCounts | None = None,
    ) -> None:
        self._storage, self._objects, self._limits = storage, objects, write_limits(limits)
        self._settings, self._transport, self._now = settings, transport, now
        self._counts = counts or MailCounts(CollectorRegistry())

    async def send(self, home_id: int, mail_id: int) -> None:
        """Send a mail, unless a newer one has taken its place. Raises `MailDelayed`: it is to be tried again later."""
        limits = MailLimits(self._settings.recipients_per_hour, self._settings.recipients_per_day)
        mail = await self._storage.begin_mail(home_id, mail_id, limits)
        if mail is None:
            return
        if mail == "limited":
            self._counts.count("limited")
            log.error("mail_limit_reached", home=home_id, mail=mail_id)
            await self._storage.mail_failed(home_id, mail_id, NOT_SENT, "TooManyRecipients")
            return
        try:
            made = await self._mail(mail)
        except (InvalidData, TooManyInstances) as error:
            self._counts.count("invalid")
            log.error("mail_not_composed", home=home_id, mail=mail_id, error=type(error).__name__)
            await self._storage.mail_failed(home_id, mail_id, NOT_SENT, type(error).__name__)
            return
        if made is None:
            await self._storage.mail_failed(home_id, mail_id, NO_WAY, "NoSenderAddress")
            return
        try:
            await self._transport.send(made)
        except AddressNotSupported as error:
            self._counts.count("refused")
            log.warning("mail_refused", home=home_id, mail=mail_id)
            await self._storage.mail_failed(home_id, mail_id, NO_WAY, error.message)
        except MailRefused as error:
            self._counts.count("refused")
            log.warning("mail_refused", home=home_id, mail=mail_id)
            await self._storage.mail_failed(home_id, mail_id, NOT_SENT, error.message)
        except MailDelayed as error:
            if self._now() - mail.first_tried_at < TRIED_FOR:
                self._counts.count("delayed")
                await self._storage.mail_delayed(home_id, mail_id, error.message)
                raise
            self._counts.count("given_up")
            log.error("mail_given_up", home=home_id, mail=mail_id)
            await self._storage.mail_failed(home_id, mail_id, NOT_SENT, error.message)
        else:
            self._counts.count("sent")
            log.info("mail_sent", home=home_id, mail=mail_id)
            await self._storage.mail_sent(home_id, mail_id, SENT)

    async def _mail(self, mail: OutgoingMail) -> Mail | None:
        """What is sent; None where the sender has no mail address."""
        message = read_object(mail.text)
        before = None if mail.before is None else read_object(mail.before)
        directory = await directory_of(self._storage, addresses(message, before) | {address_of(mail.sender)})
        by = _address(mail, message, directory)
        if by is None:
            return None
        mailboxes = await self._storage.mailboxes(mail.sender.id, [mail.sender.id], mail.uid)
        timezone = next((each.timezone for box in mailboxes for each in box.calendars if each.timezone), None)
        installation = self._settings.address or by
        tags = Tags(await self._storage.mail_secret(), installation)
        answered = Method(mail.method) not in FROM_ATTENDEES and bool(self._settings.address)
        reply_to = tags.reply_address(mail.home_id, mail.uid, mail.recipient) if answered else None
        draft = Draft(
            method=Method(mail.method),
            message=message,
            before=before,
            directory=directory,
            sender=Person(by, mail.sender.display_name),
            recipient=Person(mail.address, _name(message, mail.recipient, directory)),
            reply_to=reply_to,
            organizer=reply_to if self._settings.tagged_organizer else None,
            message_id=tags.message_id(mail.home_id, mail.id),
            sent_at=mail.created_at,
            language=self._settings.language,
            timezone=timezone,
        )
        large = len(mail.text) + len(mail.before or "") >= LARGE
        composed = await computed(compose, draft) if large else compose(draft)
        envelope = tags.bounce_address(mail.home_id, mail.id) if self._settings.address else by
        return Mail(f"{mail.home_id}-{mail.id}", envelope, mail.address, composed, not f"{by}{mail.address}".isascii())

    # -- outcomes -----------------------------------------------------------------------------------------------------

    async def state(self, home_id: int, meeting: int) -> None:
        """Write what became of the mails about a meeting into the sender's object."""
        while await change(partial(self._storage.mail_outcomes, home_id, meeting), partial(self._state, home_id)):
            pass

    async def _state(self, home_id: int, outcomes: Sequence[MailOutcome]) -> bool:
        """Write outcomes of one UID; returns whether there were any."""
        if not outcomes:
            return False
        sender, uid = outcomes[0].sender, outcomes[0].uid
        outcomes = [each for each in outcomes if each.uid == uid]
        mailboxes = await self._storage.mailboxes(sender, [sender], uid)
        mailbox = mailboxes[0] if mailboxes else None
        text = None if mailbox is None or mailbox.object is None else mailbox.object.text
        named = frozenset() if text is None else addresses(read_object(text))
        directory = await directory_of(self._storage, named)
        ended = {directory.key(each.recipient): each.status for each in outcomes}
        write = await stated(self._objects, mailbox, ended, directory, (PENDING, SENT))
        if write is not None:
            cause = Cause(None, "jobs", acting_for=sender)
            try:
                await self._storage.apply(ChangeSet((write,), self._limits, cause))
            except NotFound:
                raise WriteConflict from None
        await self._storage.outcomes_stated(home_id, outcomes)
        return True


def _address(mail: OutgoingMail, message: SchedulingObject, directory: Directory) -> str | None:
    """The mail address in whose name a mail is sent: the one in the message if the sender still has it.

    One that only SMTPUTF8 takes is used where there is no other.
    """
    own = directory.key(address_of(mail.sender))
    emails = [address for address in map(mail_address, mail.sender.emails) if address is not None]
    known = {each.lower() for each in emails}
    for component in message.components:
        for line in component.lines:
            if line.name in ("ORGANIZER", "ATTENDEE") and directory.key(line.value) == own:
                address = mail_address(line.value)
                if address is not None and address.isascii() and address.lower() in known:
                    return address
    return own_address(emails)


def _name(message: SchedulingObject, recipient: str, directory: Directory) -> str:
    """The name that a message has for its recipient; empty without one."""
    key = directory.key(recipient)
    for component in message.components:
        for line in component.lines:
            if line.name in ("ORGANIZER", "ATTENDEE") and directory.key(line.value) == key:
                return line.parameter("CN") or ""
    return ""
