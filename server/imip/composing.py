"""A scheduling message as a mail (RFC 6047): text, HTML and calendar as alternatives, and the calendar as attachment.

All that people wrote goes through `server.imip.description` (for the eye) or `server.imip.calendar_text` (for calendar
apps), so that no title, name or link becomes markup or a header. A mail composed again is the same, byte by byte.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP, SMTPUTF8, EmailPolicy
from email.utils import format_datetime
from html import escape

from server.calendar.component import parse_calendar
from server.calendar.vtimezone import zone_of_component
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.errors import InvalidData
from server.imip.calendar_text import Writer
from server.imip.catalogue import CATALOGUE, Language
from server.imip.catalogue.texts import Texts
from server.imip.description import Describer, Fact, Zones, is_link, shortened, shown
from server.imip.occasion import ASKS, Occasion, occasion_of
from server.itip.calendar_users import Directory
from server.itip.messages import FROM_ATTENDEES, Method
from server.itip.room_locations import naming_rooms_without_address
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

MAX_SUBJECT = 200
"""Characters of a subject."""


@dataclass(frozen=True, slots=True)
class Person:
    """A sender or recipient."""

    address: str
    """The mail address."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a mail is composed of."""

    method: Method
    message: SchedulingObject
    before: SchedulingObject | None
    """The meeting as the recipient knows it; None where they do not."""
    directory: Directory
    """Of the addresses in both."""
    sender: Person
    recipient: Person
    reply_to: str | None
    """The tagged address for answers; None: they go to the sender."""
    organizer: str | None
    """The address to put into ORGANIZER; None: the organizer's own."""
    message_id: str
    sent_at: datetime
    """In UTC."""
    language: Language
    timezone: str | None
    """CALDAV:calendar-timezone of the sender: the zone of floating times."""


def compose(draft: Draft) -> bytes:
    """The mail, with CRLF.

    :raises InvalidData: for a message without times that can be read.
    """
    draft = _naming_rooms(draft)
    texts = CATALOGUE[draft.language]
    zone = zone_of(draft.timezone)
    writer = Writer(draft.message, draft.method, draft.directory, zone, draft.sent_at, draft.organizer)
    calendar = writer.text().encode()
    describer = Describer(texts, _zones(draft, zone), draft.directory)
    occasion = occasion_of(
        draft.method, draft.message, draft.before, draft.directory.user(f"mailto:{draft.sender.address}")
    )
    content = _content(draft, occasion, texts, describer)
    mail = EmailMessage(policy_for(draft.sender, draft.recipient))
    mail["From"] = mailbox_of(draft.sender)
    mail["To"] = mailbox_of(draft.recipient)
    if draft.reply_to is not None:
        mail["Reply-To"] = mailbox_of(Person(draft.reply_to, draft.sender.name))
    subject = texts.subjects[occasion].format(summary=content.summary)
    mail["Subject"] = plain_words(shortened(subject, MAX_SUBJECT))
    mail["Date"] = format_datetime(draft.sent_at)
    mail["Message-ID"] = draft.message_id
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_plain(content, texts), charset="utf-8", cte="quoted-printable")
    mail.add_alternative(_html(content, texts, draft.language), subtype="html", charset="utf-8", cte="quoted-printable")
    part = MIMEPart(SMTP)
    part.set_content(calendar, "text", "calendar", cte="base64")
    part.set_param("method", str(draft.method))
    part.set_param("charset", "utf-8")
    mail.attach(part)  # type: ignore[arg-type]
    mail.add_attachment(calendar, "application", "ics", cte="base64", filename="invite.ics")
    mail["Content-Language"] = draft.language
    digest = hashlib.sha256(draft.message_id.encode()).hexdigest()[:32]
    mail.set_boundary(f"=_mixed_{digest}")
    mail.get_payload(0).set_boundary(f"=_alternative_{digest}")  # type: ignore[union-attr]
    return mail.as_bytes()


def _naming_rooms(draft: Draft) -> Draft:
    """The draft with the rooms without address in LOCATION, as far as the organizer writes it."""
    if draft.method in FROM_ATTENDEES:
        return draft
    before = draft.before and naming_rooms_without_address(draft.before, draft.directory)
    return replace(draft, message=naming_rooms_without_address(draft.message, draft.directory), before=before)


def zone_of(timezone: str | None) -> Zone:
    """The zone of a calendar-timezone; UTC without one, or where it cannot be read."""
    if timezone:
        try:
            for component in parse_calendar(timezone).components:
                if component.name == "VTIMEZONE":
                    return zone_of_component(component)
        except InvalidData:
            pass
    return UTC_ZONE


def _zones(draft: Draft, zone: Zone) -> Zones:
    """The zones of the organizer and the recipient. An organizer who gets an answer has chosen the meeting's zone."""
    return Zones(zone, None if draft.method not in FROM_ATTENDEES else _own_zone(draft.message))


def _own_zone(message: SchedulingObject) -> Zone | None:
    for component in message.components:
        moment = message.moment(component, "DTSTART")
        if moment is not None and moment.zone is not None and moment.zone is not UTC_ZONE:
            return moment.zone
    return None


@dataclass(frozen=True, slots=True)
class _Content:
    """What people read."""

    intro: str
    summary: str
    changes: list[Fact]
    facts: list[Fact]
    description: str
    note: str
    """The last sentence; empty without one."""


def _content(draft: Draft, occasion: Occasion, texts: Texts, describer: Describer) -> _Content:
    message = draft.message
    main = _main(message)
    facts: list[Fact] = []
    description = ""
    if main is not None:
        description = describer.description(main)
        single = main is message.master or len(message.components) == 1
        facts = describer.facts(message, main) if single else []
    others = [each for each in message.components if each is not main] if facts else list(message.components)
    if others:
        facts.append(Fact(texts.instances, "; ".join(describer.days(message, others))))
    changes = [] if draft.before is None else describer.changes(draft.before, message)
    name = shown(draft.sender.name) or draft.sender.address
    return _Content(
        texts.intros[occasion].format(name=name),
        texts.untitled if main is None else describer.summary(main),
        changes,
        facts,
        description,
        texts.answer if occasion in ASKS else "",
    )


def _main(message: SchedulingObject) -> SchedulingComponent | None:
    return message.master or (message.components[0] if message.components else None)


def policy_for(*people: Person) -> EmailPolicy[EmailMessage]:
    """How a mail to and from some people is written: in ASCII, unless an address is not (RFC 6532)."""
    return SMTP if all(each.address.isascii() for each in people) else SMTPUTF8


def mailbox_of(person: Person) -> Address | str:
    """A name and address for a header."""
    name = plain_words(shortened(shown(person.name), 100))
    if person.address.isascii():
        return Address(name, addr_spec=person.address)
    # `Address` takes no other local parts than those in ASCII.
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{person.address}>' if name else person.address


def plain_words(text: str) -> str:
    """A text for a header without encoded words (RFC 2047), which the library would decode: to line ends, too."""
    return text.replace("=?", "= ?")


# -- what people read ----------------------------------------------------------------------------------------------


def _plain(content: _Content, texts: Texts) -> str:
    lines = [content.intro, "", content.summary]
    if content.changes:
        lines += ["", f"{texts.changes}:", *(f"- {each.label}{texts.colon}{each.value}" for each in content.changes)]
    lines += ["", *(f"{each.label}{texts.colon}{each.value}" for each in content.facts)]
    if content.description:
        lines += ["", content.description]
    if content.note:
        lines += ["", content.note]
    return "\n".join(lines) + "\n"


def _html(content: _Content, texts: Texts, language: str) -> str:
    changes = ""
    if content.changes:
        changes = f"<p><strong>{escape(texts.changes)}</strong></p>\n{_table(content.changes)}"
    paragraphs = "<br>\n".join(map(escape, content.description.split("\n"))) if content.description else ""
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head><meta charset="utf-8"></head>\n'
        '<body style="font-family: sans-serif; line-height: 1.4">\n'
        f"<p>{escape(content.intro)}</p>\n<h2>{escape(content.summary)}</h2>\n{changes}{_table(content.facts)}"
        f"{f'<p>{paragraphs}</p>{chr(10)}' if paragraphs else ''}"
        f"{f'<p>{escape(content.note)}</p>{chr(10)}' if content.note else ''}"
        "</body>\n</html>\n"
    )


def _table(facts: list[Fact]) -> str:
    rows = "".join(
        f'<tr><th align="left" valign="top">{escape(each.label)}</th><td>{_linked(each.value)}</td></tr>\n'
        for each in facts
    )
    return f'<table cellpadding="4">\n{rows}</table>\n' if rows else ""


def _linked(value: str) -> str:
    """A value as HTML; a link alone can be followed."""
    shown_value = escape(value)
    return f'<a href="{shown_value}" rel="noreferrer">{shown_value}</a>' if is_link(value) else shown_value
