"""Scheduling messages that arrive by mail (RFC 6047): whom they come from, whom they concern, and what becomes of them.

A message takes effect if it comes from the organizer or attendee whom it names. That is so if the mail server in front
has found that the mail is from this address (`server.imip.authentication_results`), or if it arrives at an address with
a tag that only this attendee knows (`server.imip.tags`). Others are held (`server.services.mail.held`), or passed over.

`server.services.mail.incoming_invitations` takes the messages of organizers, `incoming_answers` those of attendees.

Nobody acts by mail for an address whose calendar is here. Who acts for another, by SENT-BY or since From differs, needs
the consent of the recipient (`server.services.mail.senders`).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

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
from server.imip.mail import Mail, read_mail
from server.imip.parsing import messages_in, with_organizer
from server.imip.tags import BounceTag, ReplyTag, Tags
from server.itip.messages import FROM_ATTENDEES, Method
from server.itip.scheduling_object import read_object
from server.observe.incoming_mail_counts import IncomingMailCounts
from server.process.computing import computed
from server.services.contents import LARGE
from server.services.mail.held import HeldMessages
from server.services.mail.incoming_answers import take_answer
from server.services.mail.incoming_effects import Effects, Outcome, Source
from server.services.mail.incoming_invitations import take_invitation
from server.services.mail.incoming_settings import IncomingMailSettings
from server.services.mail.settings import MailSettings
from server.services.scheduling.intent import Services
from server.storage.incoming_mail import IncomingMail

ORIGIN = "mail"
"""The origin of changes that arrive by mail."""

log = structlog.get_logger()


@value
class Arrived:
    """A mail with its envelope."""

    data: bytes
    sender: str
    """MAIL FROM; empty for the null sender."""
    recipients: tuple[str, ...]
    """RCPT TO."""


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
        :param secret: of the installation: addresses are kept as digests under it.
        :param bounced: called with the SCHEDULE-STATUS and the status of the report of a mail of ours that came back.
        :param is_own: whether a Message-ID is one of ours.
        """
        self._incoming, self._settings, self._counts = incoming, settings, counts
        self._tags, self._secret, self._bounced, self._is_own = tags, secret, bounced, is_own
        self.held = HeldMessages(services, incoming, now)
        self._effects = Effects(services, incoming, settings, tags, secret, self.held, now)

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
        for problem in found.problems:
            log.info("mail_unreadable", message_id=mail.message_id[:200], reason=problem)
        if not found.messages:
            return [Outcome.UNREADABLE if found.problems else Outcome.NO_CALENDAR]
        fields = mail.header.all("authentication-results")
        source = Source(
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

    async def _message(self, text: str, source: Source) -> Sequence[Outcome]:
        """Raises `InvalidData`."""
        found = await computed(read_object, text) if len(text) >= LARGE else read_object(text)
        method = Method(found.method)
        if method is Method.PUBLISH or found.name not in SCHEDULED:
            return [Outcome.NO_CALENDAR]
        if method in FROM_ATTENDEES:
            return [await take_answer(self._effects, found, source)]
        if source.authentic and source.sender is not None:
            found = read_object(with_organizer(text, source.sender))
        return await take_invitation(self._effects, found, source)


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
