"""Calendar programs of people elsewhere: they read the mails that they get, and answer as Google and Exchange do."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

import icalendar


@dataclass(frozen=True, slots=True)
class Answer:
    """A mail with an answer."""

    data: bytes
    """Without what the mail server in front writes."""
    to: str
    sender: str


@dataclass
class Program:
    """The calendar of somebody elsewhere."""

    address: str
    write: Callable[[str, EmailMessage, Any, str], Answer]
    """Writes the answer to a mail: the own address, the mail, its event, PARTSTAT."""
    events: dict[str, Any] = field(default_factory=dict)
    """The last event by UID; of a cancelled one none."""
    last: EmailMessage | None = None

    def read(self, data: bytes) -> None:
        """Take a mail into the calendar."""
        mail: EmailMessage = message_from_bytes(data, policy=policy.default)  # type: ignore[assignment]
        (part,) = [
            each for each in mail.walk() if each.get_content_type() == "text/calendar" and not each.get_filename()
        ]
        text = part.get_payload(decode=True)
        assert isinstance(text, bytes)
        found = icalendar.Calendar.from_ical(text.decode())
        (event,) = found.walk("VEVENT")
        assert part.get_param("method") == str(found["METHOD"])
        uid, self.last = str(event["UID"]), mail
        assert _sequence(event) >= _sequence(self.events.get(uid, event))
        if str(found["METHOD"]) == "CANCEL":
            del self.events[uid]
        else:
            self.events[uid] = event

    def answer(self, uid: str, partstat: str) -> Answer:
        """Answer the last mail."""
        assert self.last is not None
        return self.write(self.address, self.last, self.events[uid], partstat)


def google(address: str, mail: EmailMessage, event: Any, partstat: str) -> Answer:
    """As Google Calendar: to the organizer, with ORGANIZER, the calendar twice, in UTC."""
    organizer = str(event["ORGANIZER"])
    calendar = _folded(
        "BEGIN:VCALENDAR",
        "PRODID:-//Google Inc//Google Calendar 70.9054//EN",
        "VERSION:2.0",
        "CALSCALE:GREGORIAN",
        "METHOD:REPLY",
        "BEGIN:VEVENT",
        f"DTSTART:{event['DTSTART'].to_ical().decode()}",
        f"DTSTAMP:{event['DTSTAMP'].to_ical().decode()}",
        f"ORGANIZER;CN=Organizer:{organizer}",
        f"UID:{event['UID']}",
        f"ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT={partstat};CN={address};X-NUM-GUESTS=0:mailto:{address}",
        f"SEQUENCE:{_sequence(event)}",
        "STATUS:CONFIRMED",
        "END:VEVENT",
        "END:VCALENDAR",
    )
    made = EmailMessage(policy=policy.SMTP)
    made["From"], made["To"], made["Message-ID"] = (
        address,
        organizer[7:],
        f"<{_sequence(event)}-{partstat}@google.example>",
    )
    made.set_content("An answer.")
    made.add_alternative(calendar, subtype="calendar", params={"method": "REPLY"})
    made.add_attachment(calendar.encode(), maintype="application", subtype="ics", filename="invite.ics")
    return Answer(made.as_bytes(), organizer[7:], address)


def exchange(address: str, mail: EmailMessage, event: Any, partstat: str) -> Answer:
    """As Exchange: to Reply-To, without ORGANIZER, in base64, with MAILTO in upper case and a Windows time zone."""
    lines = (
        "BEGIN:VCALENDAR",
        "METHOD:REPLY",
        "PRODID:Microsoft Exchange Server 2010",
        "VERSION:2.0",
        "BEGIN:VEVENT",
        f"ATTENDEE;PARTSTAT={partstat};CN=Dora Berger:MAILTO:{address.upper()}",
        "COMMENT;LANGUAGE=de-DE:\\n",
        f"UID:{event['UID']}",
        "SUMMARY;LANGUAGE=de-DE:Zugesagt",
        "DTSTART;TZID=W. Europe Standard Time:20990601T100000",
        f"DTSTAMP:{event['DTSTAMP'].to_ical().decode()}",
        f"SEQUENCE:{_sequence(event)}",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    )
    to = parseaddr(str(mail["Reply-To"] or mail["From"]))[1]
    head = (
        f"From: Dora Berger <{address}>",
        f"To: {to}",
        f"Message-ID: <{_sequence(event)}-{partstat}@contoso.example>",
        "MIME-Version: 1.0",
        'Content-Type: text/calendar; charset="utf-8"; method=REPLY',
        "Content-Transfer-Encoding: base64",
        "",
        base64.encodebytes("\r\n".join(lines).encode()).decode().replace("\n", "\r\n"),
    )
    return Answer("\r\n".join(head).encode(), to, address)


def bounce(mail: bytes) -> bytes:
    """The report of a mail server that knows nobody of this address."""
    lines = (
        "From: MAILER-DAEMON@mx.nowhere.example",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b",
        "",
        "--b",
        "Content-Type: text/plain",
        "",
        "There is nobody of this name.",
        "--b",
        "Content-Type: message/delivery-status",
        "",
        "Reporting-MTA: dns; mx.nowhere.example",
        "",
        "Final-Recipient: rfc822; nobody@nowhere.example",
        "Action: failed",
        "Status: 5.1.1",
        "--b",
        "Content-Type: message/rfc822",
        "",
        "",
    )
    return "\r\n".join(lines).encode() + mail + b"\r\n--b--\r\n"


def _folded(*lines: str) -> str:
    return "".join(f"{line[:70]}\r\n {line[70:]}\r\n" if len(line) > 70 else f"{line}\r\n" for line in lines)


def _sequence(event: Any) -> int:
    return int(event.get("SEQUENCE", 0))
