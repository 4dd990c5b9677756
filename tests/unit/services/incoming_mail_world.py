"""An installation in memory that receives mails: anna and ben here, dora and gus elsewhere."""

from __future__ import annotations

import re

from server.domain.changes import PropertyChanges
from server.imip.tags import Tags
from server.services.mail.incoming import Arrived, IncomingMails
from server.services.mail.incoming_effects import Outcome
from server.services.mail.incoming_settings import IncomingMailSettings
from server.storage.incoming_mail import HELD
from tests.unit.services.memory_storage.incoming_mail import MemoryIncomingMail
from tests.unit.services.world import INSTALLATION, NOW, World, calendar, event

ANNA, BEN, DORA, GUS = (
    f"{name}@{domain}"
    for name, domain in (
        ("anna", "example.com"),
        ("ben", "example.com"),
        ("dora", "contoso.example"),
        ("gus", "gmail.example"),
    )
)
HERE = "mx.example.com"
SECRET = b"s" * 32
TAGS = Tags(SECRET, "calendar@example.com")
MEETING = "anna/calendar/m.ics"


def line(name: str, address: str, parameters: str = "") -> str:
    return f"{name}{parameters}:mailto:{address}"


def meeting(*attendees: str, by: str = ANNA, uid: str = "m", more: tuple[str, ...] = ()) -> str:
    people = [line("ATTENDEE", by, ";PARTSTAT=ACCEPTED"), *(line("ATTENDEE", each) for each in attendees)]
    return event(uid, "SUMMARY:Plan", line("ORGANIZER", by), *people, *more)


def message(
    method: str, *people: str, uid: str = "m", dtstamp: str = "20260302T000000Z", more: tuple[str, ...] = ()
) -> str:
    """A message about an event, with lines of ORGANIZER and ATTENDEE."""
    body = (f"UID:{uid}", f"DTSTAMP:{dtstamp}", "DTSTART:20260301T090000Z", "DURATION:PT1H", "SUMMARY:Plan")
    return calendar(f"METHOD:{method}", "BEGIN:VEVENT", *body, *people, *more, "END:VEVENT")


def reply(attendee: str = DORA, partstat: str = "ACCEPTED", organizer: str | None = ANNA, **more: object) -> str:
    people = [] if organizer is None else [line("ORGANIZER", organizer)]
    return message("REPLY", *people, line("ATTENDEE", attendee, f";PARTSTAT={partstat}"), **more)  # type: ignore[arg-type]


def request(*attendees: str, by: str = DORA, method: str = "REQUEST", parameters: str = "", **more: object) -> str:
    people = (line("ORGANIZER", by, parameters), *(line("ATTENDEE", each, ";RSVP=TRUE") for each in attendees))
    return message(method, *people, **more)  # type: ignore[arg-type]


def mail(text: str, sender: str = DORA, results: str | None = None, message_id: str = "<1@contoso.example>") -> bytes:
    """A mail with a calendar. Without results it is authentic; with an empty text nobody has looked."""
    domain = sender.rpartition("@")[2]
    found = f"dmarc=pass header.from={domain}" if results is None else results
    head = [f"Authentication-Results: {HERE}; {found}"] if found else []
    head += [f"From: <{sender}>", f"Message-ID: {message_id}", "MIME-Version: 1.0"]
    head += ["Content-Type: text/calendar; charset=utf-8"]
    return "\r\n".join([*head, "", text]).encode()


class MailWorld(World):
    """With mail."""

    def __init__(self, settings: IncomingMailSettings | None = None) -> None:
        super().__init__()
        self.incoming = MemoryIncomingMail(self.memory.tables)
        self.bounces: list[tuple[str, str]] = []
        self.mails = self.receiver(settings or IncomingMailSettings(authserv_id=HERE, invitations="all"))

    def receiver(self, settings: IncomingMailSettings) -> IncomingMails:
        async def bounced(_: object, status: str, reported: str) -> None:
            self.bounces.append((status, reported))

        return IncomingMails(
            self.scheduling,
            self.incoming,
            settings,
            TAGS,
            SECRET,
            bounced=bounced,
            is_own=lambda message_id: message_id.endswith("@own.example>"),
            now=lambda: NOW,
        )

    async def populated(self) -> MailWorld:
        await self.add("anna", addresses=(ANNA,))
        await self.add("ben", addresses=(BEN, "ben.b@example.com"))
        return self

    async def deliver(self, data: bytes, *recipients: str, sender: str = "x@contoso.example") -> tuple[Outcome, ...]:
        return await self.mails.receive(Arrived(data, sender, recipients))

    async def receive(self, text: str, to: str = ANNA, sender: str = DORA, results: str | None = None) -> Outcome:
        (outcome,) = await self.deliver(mail(text, sender, results), to)
        return outcome

    async def partstat(self, address: str, path: str = MEETING) -> str:
        """The answer of somebody in a meeting; empty of those who are not in it."""
        text = (await self.text("cli", path) or "").replace("\r\n ", "")
        lines = [each for each in text.splitlines() if each.startswith("ATTENDEE") and each.lower().endswith(address)]
        if not lines:
            return ""
        found = re.search("PARTSTAT=([A-Z-]+)", lines[0])
        return found[1] if found else "NEEDS-ACTION"

    async def copies(self, who: str) -> list[str]:
        """The texts in somebody's calendar."""
        return [await self.text("cli", f"{who}/calendar/{each}") or "" for each in await self.names(f"{who}/calendar")]

    async def items(self, who: str) -> list[tuple[str, str]]:
        """METHOD and mark of the items in somebody's inbox."""
        found = []
        for name in await self.names(f"{who}/inbox"):
            member = await self.member("cli", f"{who}/inbox/{name}")
            assert member is not None
            method = re.search("METHOD:([A-Z]+)", member.text or "")
            reason = re.search('reason="([^"]*)"', member.properties.get(HELD, ""))
            found.append((method[1] if method else "", reason[1] if reason else ""))
        return sorted(found)

    async def put_by(self, who: str, path: str, text: str) -> None:
        """Store what an app puts, and send what follows to people here."""
        await self.invite(who, path, text)

    def tagged(self, attendee: str = DORA, uid: str = "m", who: str = "anna") -> str:
        home = self.memory.tables.home(self.ids[who], "calendar")
        assert home is not None
        return TAGS.reply_address(home.id, uid, f"mailto:{attendee}")

    async def set_inbox_property(self, who: str, name: str, value: str) -> None:
        found = await self.find("cli", f"{who}/inbox")
        await self.collections.set_properties(INSTALLATION, found, PropertyChanges({name: value}))
