"""A notice to a delegate of what has arrived in somebody's inbox: a mail in words, without a calendar part.

Calendar apps would put a calendar part into the delegate's own calendar, or answer in the delegate's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from server.imip.catalogue import CATALOGUE, Language
from server.imip.composing import MAX_SUBJECT, Person, mailbox_of, plain_words, policy_for, zone_of
from server.imip.description import Describer, Zones, shortened, shown
from server.imip.occasion import occasion_of
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.messages import Method
from server.itip.scheduling_object import SchedulingObject


@dataclass(frozen=True, slots=True)
class Notice:
    """What a notice is composed of."""

    method: Method
    message: SchedulingObject
    """The item of the inbox."""
    directory: Directory
    """Of the addresses in it."""
    owner: str
    """The name of the owner of the inbox."""
    sender: Person
    recipient: Person
    message_id: str
    sent_at: datetime
    """In UTC."""
    language: Language
    timezone: str | None
    """CALDAV:calendar-timezone of the owner: the zone of floating times."""


def compose_notice(notice: Notice) -> bytes:
    """The mail, with CRLF. The same for the same notice."""
    texts, message = CATALOGUE[notice.language], notice.message
    describer = Describer(texts, Zones(zone_of(notice.timezone), None), notice.directory)
    occasion = occasion_of(notice.method, message, None, CalendarUser("", ""))
    owner = shown(notice.owner)
    main = message.master or (message.components[0] if message.components else None)
    summary = texts.untitled if main is None else describer.summary(main)
    facts = [] if main is None else describer.facts(message, main)
    description = "" if main is None else describer.description(main)
    subject = texts.notice_subject.format(owner=owner, subject=texts.subjects[occasion].format(summary=summary))
    lines = [texts.notice.format(owner=owner), "", summary, ""]
    lines += [f"{each.label}{texts.colon}{each.value}" for each in facts]
    if description:
        lines += ["", description]
    mail = EmailMessage(policy_for(notice.sender, notice.recipient))
    mail["From"] = mailbox_of(notice.sender)
    mail["To"] = mailbox_of(notice.recipient)
    mail["Subject"] = plain_words(shortened(subject, MAX_SUBJECT))
    mail["Date"] = format_datetime(notice.sent_at)
    mail["Message-ID"] = notice.message_id
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join(lines) + "\n", charset="utf-8", cte="quoted-printable")
    mail["Content-Language"] = notice.language
    return mail.as_bytes()
