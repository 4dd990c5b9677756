"""Mails about check-ins to the organizer of a booking: the link, and that the room was released.

They have no calendar part, which apps would take for a change of the meeting.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime

from server.calendar.zones import Zone
from server.imip.catalogue import CATALOGUE, Language
from server.imip.catalogue.check_ins import CHECK_IN_TEXTS
from server.imip.composing import MAX_SUBJECT, Person, mailbox_of, plain_words, policy_for
from server.imip.description import Describer, Zones, period_in_words, shortened, shown
from server.itip.calendar_users import Directory
from server.itip.scheduling_object import SchedulingObject


@dataclass(frozen=True, slots=True)
class CheckInMail:
    """What such a mail is composed of."""

    copy: SchedulingObject
    """The room's copy of the meeting."""
    room: str
    """The name of the room."""
    times: tuple[datetime, datetime] | None
    """Those of the instance in UTC; None: unknown."""
    zone: Zone
    """Of the room."""
    link: str | None
    """None: the room was released."""
    opens: timedelta
    """How long before its start a booking can be checked in."""
    grace: timedelta | None
    """How long it waits for that; None: it is not released."""
    sender: Person
    recipient: Person
    message_id: str
    sent_at: datetime
    """In UTC."""
    language: Language


def compose_check_in_mail(mail: CheckInMail) -> bytes:
    """The mail, with CRLF. The same for the same values."""
    texts, own, copy = CATALOGUE[mail.language], CHECK_IN_TEXTS[mail.language], mail.copy
    main = copy.master or (copy.components[0] if copy.components else None)
    describer = Describer(texts, Zones(mail.zone, None), Directory())
    summary = texts.untitled if main is None else describer.summary(main)
    room = shown(mail.room)
    when = [] if mail.times is None else [f"{texts.when}{texts.colon}{period_in_words(texts, *mail.times, mail.zone)}"]
    before = mail.opens // timedelta(minutes=1)
    if mail.link is None:
        subject, said = own.released_subject, [own.released.format(room=room)]
    else:
        subject = own.link_subject
        if mail.grace is None:
            said = [own.link_until.format(room=room, before=before)]
        else:
            said = [own.link.format(room=room, before=before, after=mail.grace // timedelta(minutes=1))]
        if copy.series is not None and copy.series.recurs:
            said.append(own.link_series)
        said += ["", mail.link]
    made = EmailMessage(policy_for(mail.sender, mail.recipient))
    made["From"] = mailbox_of(mail.sender)
    made["To"] = mailbox_of(mail.recipient)
    made["Subject"] = plain_words(shortened(subject.format(room=room, summary=summary), MAX_SUBJECT))
    made["Date"] = format_datetime(mail.sent_at)
    made["Message-ID"] = mail.message_id
    made["Auto-Submitted"] = "auto-generated"
    made.set_content("\n".join([summary, *when, "", *said]) + "\n", charset="utf-8", cte="quoted-printable")
    made["Content-Language"] = mail.language
    return made.as_bytes()
