"""Which messages of a change are mailed, and the SCHEDULE-STATUS of their recipients (RFC 6638 §3.2.9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta

from server.domain.mails import NewMail, NewMails
from server.domain.objects import Collection, Home
from server.domain.values import value
from server.imip.addresses import mail_address
from server.imip.past import is_over
from server.itip.calendar_users import Directory
from server.itip.messages import Message, Method
from server.itip.participants import DECLINED, all_attendees, attendee_line, partstat
from server.itip.scheduling_object import SchedulingObject
from server.services.mail.settings import MailSettings

PENDING = "1.0"
"""SCHEDULE-STATUS: the mail is still to be sent."""
SENT = "1.1"
"""SCHEDULE-STATUS: a mail server took the mail; whether it arrives is not known."""
NOT_SENT = "5.1"
"""SCHEDULE-STATUS: the mail could not be delivered."""
NO_WAY = "5.2"
"""SCHEDULE-STATUS: no mail may be sent to the address, or in the sender's name."""

CLIENT_SENDS = "{urn:koyomi:mail}client-sends"
"""A property of a calendar, or of a calendar home for all of its calendars: with any content, the owner's app sends
mails itself, and this server sends none for what lies there."""
CLIENT_SENDS_ELEMENT = '<client-sends xmlns="urn:koyomi:mail"/>'


@value
class Outgoing:
    """What of some messages goes by mail."""

    mails: tuple[NewMails, ...] = ()
    """None or one."""
    statuses: Mapping[str, str] = field(default_factory=dict)
    """SCHEDULE-STATUS by the key of the recipient; there is none for those of whom nothing changes."""


NOTHING = Outgoing()


def client_sends(home: Home, collection: Collection | None) -> bool:
    """Whether the app of a home's owner sends the mails for what lies in a calendar."""
    return CLIENT_SENDS in home.properties or (collection is not None and CLIENT_SENDS in collection.properties)


class OutgoingMails:
    """Decides by the settings."""

    def __init__(
        self,
        settings: MailSettings = MailSettings(),  # noqa: B008 - a value
        restored_at: datetime | None = None,
    ) -> None:
        self._settings = settings
        self.restored_at = restored_at
        """When a backup was last restored; None: never."""
        self.language = settings.language
        """That of mails, and of what rooms say with their answers."""

    def of(
        self,
        home: Home,
        collection: Collection | None,
        messages: Sequence[Message],
        meeting: int,
        now: datetime,
        before: SchedulingObject | None = None,
        directory: Directory | None = None,
    ) -> Outgoing:
        """What of messages to people elsewhere is mailed in the name of a home's owner.

        :param collection: where the sender's object lies.
        :param messages: of one change; those to people here do not count, nor those that only refresh copies.
        :param before: the organizer's object before the change.
        """
        sent = [each for each in messages if not each.recipient.is_here and not each.quiet]
        if not sent or client_sends(home, collection):
            return NOTHING
        statuses: dict[str, str] = {}
        mails: list[NewMail] = []
        texts: list[str] = []
        places: dict[int, int] = {}
        invited = {} if before is None else all_attendees(before, directory or Directory())
        over: dict[int, bool] = {}

        def place(of: SchedulingObject) -> int:
            if id(of) not in places:
                places[id(of)] = len(texts)
                texts.append(of.text)
            return places[id(of)]

        def ended(of: SchedulingObject) -> bool:
            if id(of) not in over:
                over[id(of)] = is_over(of, now)
            return over[id(of)]

        for message in sent:
            key = message.recipient.key
            address = mail_address(message.recipient.address)
            known = before if key in invited else None
            if address is None or not self._settings.allows(address):
                statuses[key] = NO_WAY
            elif not ended(message.object) or (known is not None and not ended(known)):
                shown = None if known is None or message.method is not Method.REQUEST else place(known)
                statuses[key] = PENDING
                instances = tuple(each.instance for each in message.object.components)
                mail = NewMail(
                    str(message.method), key, address, instances, place(message.object), shown, self._delay(message)
                )
                mails.append(mail)
        if not mails:
            return Outgoing((), statuses)
        return Outgoing((NewMails(home.id, sent[0].uid, meeting, tuple(texts), tuple(mails)),), statuses)

    def _delay(self, message: Message) -> timedelta:
        """How long a message waits, because apps move meetings by deleting them first."""
        if message.method is not Method.REPLY:
            return timedelta(0)
        directory = Directory([message.sender])
        lines = [attendee_line(each, message.sender, directory) for each in message.object.components]
        declined = all(line is not None and partstat(line) == DECLINED for line in lines)
        return timedelta(seconds=self._settings.decline_delay if declined else 0)


def withdrawing(home: Home, uid: str, meeting: int) -> NewMails:
    """Drops answers about a UID that decline and wait: the meeting has come back."""
    return NewMails(home.id, uid, meeting, withdraws=True)
