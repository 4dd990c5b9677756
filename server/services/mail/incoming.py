"""Scheduling messages that arrive by mail (RFC 6047): whom they come from, whom they concern, and what becomes of them.

A message takes effect if it comes from the organizer or attendee whom it names. That is so if the mail server in front
has found that the mail is from this address (`server.imip.authentication_results`), or if it arrives at an address with
a tag that only this attendee knows (`server.imip.tags`). Others are held (`server.services.mail.held`), or passed over.

Nobody acts by mail for an address whose calendar is here. Who acts for another, by SENT-BY or since From differs, needs
the consent of the recipient (`server.services.mail.senders`).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial

import structlog

from server.domain.changes import Cause
from server.domain.errors import (
    DatabaseError,
    KoyomiError,
    QuotaExceeded,
    ResourceTooLarge,
    TooManyMembers,
    Unavailable,
)
from server.domain.scheduling import SCHEDULED
from server.domain.values import value
from server.imip.authentication_results import is_authentic
from server.imip.bounces import failure_in
from server.imip.group_members import Through, members_of, with_member
from server.imip.mail import Mail, read_mail
from server.imip.parsing import messages_in, with_organizer
from server.imip.parties import attendee_of, is_delegate, lines_of, tagged_attendee, with_parties
from server.imip.tags import BounceTag, ReplyTag, Tags
from server.itip.calendar_users import CalendarUser, Directory, addresses
from server.itip.lines import Line
from server.itip.message_text import read_message
from server.itip.messages import FROM_ATTENDEES, Message, Method
from server.itip.participants import all_attendees, attendee_line, organizer
from server.itip.reception import DELIVERED
from server.itip.scheduling_object import SchedulingObject, read_object
from server.observe.incoming_mail_counts import IncomingMailCounts
from server.process.computing import computed
from server.services.changing import change
from server.services.contents import LARGE
from server.services.mail.held import Held, HeldMessages, Reason
from server.services.mail.incoming_settings import IncomingMailSettings
from server.services.mail.senders import ACTS_FOR_OTHERS, senders_in
from server.services.mail.settings import MailSettings
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.groups import groups_of, people_in
from server.services.scheduling.intent import Services
from server.services.scheduling.single_messages import Post, post
from server.storage.incoming_mail import IncomingMail
from server.storage.scheduling import Mailbox

ORIGIN = "mail"
"""The origin of changes that arrive by mail."""

log = structlog.get_logger()


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
class Arrived:
    """A mail with its envelope."""

    data: bytes
    sender: str
    """MAIL FROM; empty for the null sender."""
    recipients: tuple[str, ...]
    """RCPT TO."""


@value
class _Source:
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


class IncomingMails:
    """Receives mails."""

    def __init__(
        self,
        services: Services,
        incoming: IncomingMail,
        settings: IncomingMailSettings,
        tags: Tags | None,
        secret: bytes,
        *,
        bounced: Callable[[BounceTag, str, str], Awaitable[None]] | None = None,
        is_own: Callable[[str], bool] = lambda _: False,
        counts: IncomingMailCounts | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        :param tags: None where the installation has no mail address.
        :param secret: under which addresses of senders are counted.
        :param bounced: called with the SCHEDULE-STATUS and the status of the report of a mail of ours that came back.
        :param is_own: whether a Message-ID is one of ours.
        """
        self._services, self._incoming, self._settings = services, incoming, settings
        self._tags, self._secret, self._bounced, self._is_own = tags, secret, bounced, is_own
        self._counts, self._now = counts, now
        self.held = HeldMessages(services, incoming, now)

    async def receive(self, arrived: Arrived) -> tuple[Outcome, ...]:
        """Take a mail. What it holds never raises an error.

        Raises `Unavailable`, `DatabaseError` and `TooManyConflicts`: then the mail is to be delivered again.
        """
        try:
            mail = read_mail(arrived.data)
        except ResourceTooLarge:
            return self._ended("", [Outcome.UNREADABLE])
        return self._ended(mail.message_id, await self._received(arrived, mail))

    def _ended(self, message_id: str, outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
        if set(outcomes) != {Outcome.NO_CALENDAR}:
            log.info("mail_received", message_id=message_id[:200], outcomes=[str(each) for each in outcomes])
        if self._counts is not None:
            self._counts.received(outcomes)
        return tuple(outcomes)

    async def _received(self, arrived: Arrived, mail: Mail) -> Sequence[Outcome]:
        read = [] if self._tags is None else [self._tags.read(each) for each in arrived.recipients]
        bounced = next((each for each in read if isinstance(each, BounceTag)), None)
        if bounced is not None:
            return [await self._returned(bounced, mail)]
        if not arrived.sender.strip("<> "):
            return [Outcome.NULL_SENDER]
        if self._is_own(mail.message_id):
            return [Outcome.OWN]
        found = await computed(messages_in, mail) if len(arrived.data) >= LARGE else messages_in(mail)
        if not found.messages:
            return [Outcome.UNREADABLE if found.problems else Outcome.NO_CALENDAR]
        fields = mail.header.all("authentication-results")
        source = _Source(
            mail.sender,
            is_authentic(fields, self._settings.authserv_id, mail.sender),
            tuple(each for each in read if isinstance(each, ReplyTag)),
            tuple(f"mailto:{''.join(filter(str.isprintable, each)).strip('<> ')}" for each in arrived.recipients),
            Cause(None, ORIGIN, mail.message_id[:200]),
        )
        # Who is not authentic may be anybody, and uses up nothing of the sender whose name they use.
        counted = repr(source.tags or (source.authentic, mail.sender)).encode()
        digest = hmac.digest(self._secret, counted, "sha256")[:16]
        if not await self._incoming.count_messages(digest, len(found.messages), self._settings.messages_per_hour):
            return [Outcome.LIMITED]
        outcomes: list[Outcome] = []
        for text in found.messages:
            try:
                outcomes += await self._message(text, source)
            except (Unavailable, DatabaseError):
                raise
            except (QuotaExceeded, TooManyMembers):
                outcomes.append(Outcome.FULL)
            except KoyomiError as error:
                log.info("mail_unreadable", message_id=mail.message_id[:200], reason=error.message)
                outcomes.append(Outcome.UNREADABLE)
        return outcomes

    async def _returned(self, tag: BounceTag, mail: Mail) -> Outcome:
        failed = failure_in(mail)
        if failed is None or self._bounced is None:
            return Outcome.NULL_SENDER
        await self._bounced(tag, *failed)
        return Outcome.BOUNCED

    async def _message(self, text: str, source: _Source) -> Sequence[Outcome]:
        """Raises `InvalidData`."""
        found = await computed(read_object, text) if len(text) >= LARGE else read_object(text)
        method = Method(found.method)
        if method is Method.PUBLISH or found.name not in SCHEDULED:
            return [Outcome.NO_CALENDAR]
        if method in FROM_ATTENDEES:
            return [await self._answer(found, source)]
        if source.authentic and source.sender is not None:
            found = read_object(with_organizer(text, source.sender))
        return await self._invitation(found, source)

    # -- to attendees -------------------------------------------------------------------------------------------------

    async def _invitation(self, found: SchedulingObject, source: _Source) -> Sequence[Outcome]:
        """A message of an organizer, to each recipient."""
        directory = await self._directory(found, source)
        own = organizer(found, directory)
        if own is None:
            return [Outcome.UNREADABLE]
        if own.is_here:
            return [Outcome.LOCAL]
        invited = {key: user for key, user in all_attendees(found, directory).items() if user.is_here}
        named = {user.key for user in map(directory.user, source.recipients) if user.is_here}
        people = {key: user for key, user in invited.items() if not user.is_group and (not named or key in named)}
        members: Through | None = {}
        groups = [user for user in invited.values() if user.is_group]
        if groups:
            known = groups_of((await self._services.storage.group_members(sorted(map(_id, groups)), 0, ""))[0])
            directory = Directory([*directory.users, *people_in(known)])
            members = members_of([each.key for each in groups], known, own, self._services.max_attendees)
        outcomes = [await self._invited(found, own, each, (), source, directory) for each in people.values()]
        for key, (user, through) in (members or {}).items():
            # Mail servers may have put the members in the place of the group.
            if key not in invited and (not named or key in named or not named.isdisjoint(through)):
                outcomes.append(await self._invited(found, own, user, through, source, directory))
        return outcomes or [Outcome.NOT_CONCERNED if members is not None else Outcome.REFUSED]

    async def _invited(
        self,
        found: SchedulingObject,
        own: CalendarUser,
        recipient: CalendarUser,
        groups: Collection[str],
        source: _Source,
        directory: Directory,
    ) -> Outcome:
        """A message of an organizer, to a recipient, whom it may name by groups alone."""

        async def decide(mailbox: Mailbox | None) -> Outcome:
            if mailbox is None or mailbox.inbox is None:
                return Outcome.NOT_CONCERNED
            stored = None if mailbox.object is None else mailbox.object.text or ""
            copy = None if stored is None else self._services.objects.scheduling_object(stored)
            text = (with_member(found, recipient, groups, copy, directory) if groups else found).text
            message = read_message(text, own, recipient, directory)
            if not self._is_from(own, lines_of(found, "ORGANIZER"), source, mailbox, directory):
                return await self._hold(source, mailbox, message, Reason.UNTRUSTED)
            if copy is not None:
                organizes = organizer(copy, directory)
                if organizes is None or organizes.key != own.key:
                    return Outcome.REFUSED
            elif not await self._is_welcome(own, mailbox):
                if message.method not in (Method.REQUEST, Method.ADD):
                    return Outcome.NOT_CONCERNED
                return await self._hold(source, mailbox, message, Reason.UNKNOWN_SENDER)
            return await self._post(message, source, directory)

        return await change(partial(self._mailbox, recipient, found.uid), decide)

    async def _is_welcome(self, sender: CalendarUser, mailbox: Mailbox) -> bool:
        """Whether the invitations of an organizer elsewhere are put into the recipient's calendar."""
        if self._settings.invitations != "known":
            return self._settings.invitations == "all"
        kind, _, address = sender.key.partition(":")
        if kind != "mailto":
            return kind == "principal"  # somebody of the organisation whose calendar is elsewhere
        if address.rpartition("@")[2] in self._settings.domains:
            return True
        return await self._incoming.knows_sender(mailbox.principal_id, address)

    # -- to organizers ------------------------------------------------------------------------------------------------

    async def _answer(self, found: SchedulingObject, source: _Source) -> Outcome:
        """A message of an attendee, to the organizer."""
        tag, directory = self._tag_of(found, source), await self._directory(found, source)
        if tag is not None:
            owner = await self._incoming.owner_of_home(tag.home_id)
            candidates = [] if owner is None else [address_of(owner)]
        else:
            stated = organizer(found, directory)
            candidates = list(source.recipients) if stated is None else [stated.address]
        directory = await self._directory(found, source, candidates)
        users = {user.key: user for user in map(directory.user, candidates) if user.is_here}
        for recipient in users.values():
            outcome = await change(
                partial(self._mailbox, recipient, found.uid), partial(self._answered, found, source, tag, recipient)
            )
            if outcome is not Outcome.NOT_CONCERNED:
                return outcome
        return Outcome.NOT_CONCERNED

    def _tag_of(self, found: SchedulingObject, source: _Source) -> ReplyTag | None:
        """The tag of the envelope, or of ORGANIZER, that is about the meeting."""
        if self._tags is None:
            return None
        stated = [line.value.strip() for line in lines_of(found, "ORGANIZER")[:1]]
        in_text = [self._tags.read(each[7:]) for each in stated if each.lower().startswith("mailto:")]
        tags = [*source.tags, *(each for each in in_text if isinstance(each, ReplyTag))]
        return next((each for each in tags if self._tags.is_about(each, found.uid)), None)

    async def _answered(
        self,
        found: SchedulingObject,
        source: _Source,
        tag: ReplyTag | None,
        recipient: CalendarUser,
        mailbox: Mailbox | None,
    ) -> Outcome:
        if mailbox is None or mailbox.inbox is None or mailbox.object is None:
            return Outcome.NOT_CONCERNED
        meeting = self._services.objects.scheduling_object(mailbox.object.text or "")
        directory = await self._directory(found, source, [recipient.address, *addresses(meeting)])
        recipient = directory.user(recipient.address)
        organizes = organizer(meeting, directory)
        if organizes is None or organizes.key != recipient.key:
            return Outcome.NOT_CONCERNED
        if tag is None or self._tags is None:
            attendee = attendee_of(found, source.address, directory)
        else:
            attendee = tagged_attendee(self._tags, tag, found, meeting, directory)
            if attendee is not None:
                found = with_parties(found, attendee, recipient, directory)
        if attendee is None:
            return Outcome.NOT_CONCERNED
        if attendee.is_here:
            return Outcome.LOCAL
        message = read_message(found.text, attendee, recipient, directory)
        own = [line for each in message.object.components if (line := attendee_line(each, attendee, directory))]
        if tag is None and not self._is_from(attendee, own, source, mailbox, directory):
            return await self._hold(source, mailbox, message, Reason.UNTRUSTED)
        if len({address for line in own for address in line.params.get("DELEGATED-TO", [])}) > 1:
            return Outcome.REFUSED  # each delegate elsewhere would get a mail
        if attendee.key not in all_attendees(meeting, directory) and not is_delegate(meeting, attendee, directory):
            return await self._hold(source, mailbox, message, Reason.NOT_INVITED)
        return await self._post(message, source, directory)

    # -- to both ------------------------------------------------------------------------------------------------------

    def _is_from(
        self, party: CalendarUser, lines: Sequence[Line], source: _Source, mailbox: Mailbox, directory: Directory
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

    async def _hold(self, source: _Source, mailbox: Mailbox, message: Message, reason: Reason) -> Outcome:
        held = Held(reason, source.sender or "", message.sender.address)
        done = await self.held.hold(source.cause, mailbox, message.text, held)
        return Outcome.HELD if done else Outcome.FULL

    async def _post(self, message: Message, source: _Source, directory: Directory) -> Outcome:
        status = await post(self._services, source.cause, Post(message, None, directory, self._now()))
        return Outcome.APPLIED if status == DELIVERED else Outcome.REFUSED

    async def _mailbox(self, user: CalendarUser, uid: str) -> Mailbox | None:
        if user.principal_id is None:
            return None
        found = await self._services.storage.mailboxes(user.principal_id, [user.principal_id], uid)
        return found[0] if found else None

    async def _directory(self, found: SchedulingObject, source: _Source, more: Iterable[str] = ()) -> Directory:
        named = {*addresses(found), *source.recipients, source.address, *more} - {""}
        return await directory_of(self._services.storage, named)


def _id(user: CalendarUser) -> int:
    assert user.principal_id is not None
    return user.principal_id


async def receiving(
    services: Services, incoming: IncomingMail, settings: MailSettings, counts: IncomingMailCounts | None = None
) -> IncomingMails:
    """What receives mails by the settings of an installation."""
    secret = await services.storage.mail_secret()
    tags = Tags(secret, settings.address) if settings.address else None

    async def bounced(tag: BounceTag, status: str, reported: str) -> None:
        await services.storage.mail_failed(tag.home_id, tag.mail_id, status, reported)

    is_own = Tags(secret, settings.address).is_ours
    return IncomingMails(
        services, incoming, settings.incoming, tags, secret, bounced=bounced, is_own=is_own, counts=counts
    )
