"""What the apps have in common: what they keep of calendars, and what their users do with meetings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from xml.sax.saxutils import escape

from lxml import etree

from tests.interop.apps.connection import NAMESPACES, XML, Connection, Multistatus, Reply, Row, document
from tests.interop.apps.meeting import (
    FoundRoom,
    Lines,
    Meeting,
    each_event,
    fold,
    instance,
    mail_address,
    name_of,
    own_lines,
    seen,
    uid_of,
    unfold,
    value_of,
    with_answer,
    with_value,
)
from tests.interop.conftest import Account

STAMP = "20270101T080000Z"
ROOMS = "/addressbooks/__uids__/koyomi-directory/addressbook/"
"""The path of the address book of rooms, which its user gives an app that knows no directories."""


@dataclass
class Item:
    """A calendar object, or a message of the inbox, as an app keeps it."""

    etag: str
    text: str
    tag: str = ""
    """Schedule-Tag, of apps that keep it."""


@dataclass
class Calendar:
    """A calendar of the account."""

    href: str
    state: str = ""
    """What tells the app whether there is news: a ctag or a sync-token."""
    items: dict[str, Item] = field(default_factory=dict)
    """By href."""


class App(Connection, ABC):
    """An app with an account.

    `sync` brings news. The other public methods are what its user does: they edit the text that the app has, which may
    be out of date, and send it as the app does.
    """

    agent: ClassVar[str]
    product: ClassVar[str]

    def __init__(self, account: Account) -> None:
        self.account = account
        self.email = account.email
        super().__init__(account, self.agent)
        self.calendars: dict[str, Calendar] = {}
        """Those for events, by the last part of their URL."""
        self.inbox_href = self.outbox_href = ""
        self.inbox: dict[str, Item] = {}
        """Of apps that look there: the messages."""
        self.discover()

    # -- what each app does in its own way -----------------------------------------------------------------------------

    @abstractmethod
    def discover(self) -> None:
        """Find the calendars from the address of the server."""

    @abstractmethod
    def sync(self) -> None:
        """Get what has changed."""

    @abstractmethod
    def conditions(self, item: Item) -> dict[str, str]:
        """The conditions of a request that changes or deletes an object."""

    @abstractmethod
    def fetch(self, calendar: Calendar, href: str, reply: Reply) -> None:
        """Get an object that was written, as far as the answer to its PUT makes that necessary."""

    @abstractmethod
    def find_rooms(self, typed: str) -> list[FoundRoom]:
        """The rooms that the app offers for what its user types."""

    def written(self, event: Lines) -> Lines:
        """A component as this app spells it."""
        return event

    # -- what a user does ----------------------------------------------------------------------------------------------

    def invite(self, uid: str, *attendees: str, calendar: str = "calendar", lines: Lines | None = None) -> None:
        """Make a meeting."""
        event = [
            "BEGIN:VEVENT", f"UID:{uid}", f"DTSTAMP:{STAMP}", "DTSTART;TZID=Europe/Berlin:20270906T100000",
            "DTEND;TZID=Europe/Berlin:20270906T110000", "SUMMARY:Plan", *(lines or []),
            f"ORGANIZER;CN={self.account.name}:mailto:{self.email}",
            f"ATTENDEE;CN={self.account.name};PARTSTAT=ACCEPTED;ROLE=CHAIR:mailto:{self.email}",
            *(f"ATTENDEE;CN={each};PARTSTAT=NEEDS-ACTION;RSVP=TRUE;ROLE=REQ-PARTICIPANT:mailto:{each}"
              for each in attendees),
            "END:VEVENT",
        ]  # fmt: skip
        head = ["BEGIN:VCALENDAR", f"PRODID:{self.product}", "VERSION:2.0"]
        self.add(calendar, uid, fold([*head, *BERLIN, *self.written(event), "END:VCALENDAR"]))

    def answer(self, uid: str, partstat: str, on: str = "") -> int:
        """Answer an invitation, or that to one instance: `on` is its RECURRENCE-ID. Gives the status."""
        if on:
            return self.change(uid, lambda event: [*event, *self.answered(instance(event, on), partstat)])
        return self.change(uid, lambda event: self.answered(event, partstat))

    def answered(self, event: Lines, partstat: str) -> Lines:
        """A component with the user's answer."""
        return with_answer(event, self.email, partstat)

    def set_property(self, uid: str, name: str, line: str | None) -> int:
        """Change a property of all components."""
        return self.change(uid, lambda event: with_value(event, name, line))

    def change(self, uid: str, edit: Callable[[Lines], Lines], *, significant: bool = True) -> int:
        """Change a meeting, from the text that the app has; gives the status. What is refused stays as it was.

        `significant`: the app of an organizer raises SEQUENCE.
        """
        calendar, href, item = self.find(uid)

        def changed(event: Lines) -> Lines:
            return self.written(self.raised(edit(event)) if significant else edit(event))

        lines = each_event(unfold(item.text), changed)
        head = [f"PRODID:{self.product}" if name_of(line) == "PRODID" else line for line in lines]
        reply = self.put(href, fold(head), self.conditions(item))
        if reply.status in (200, 201, 204):
            item.text = fold(head)
            self.fetch(calendar, href, reply)
        return reply.status

    def raised(self, event: Lines) -> Lines:
        """The component with SEQUENCE raised, as organizers' apps do when they change something."""
        organizer = next((mail_address(line) for line in own_lines(event) if name_of(line) == "ORGANIZER"), "")
        if organizer != self.email:
            return event
        return with_value(event, "SEQUENCE", f"SEQUENCE:{int(value_of(own_lines(event), 'SEQUENCE') or 0) + 1}")

    def add(self, calendar: str, uid: str, text: str) -> int:
        """Put a new object under a name of the app's own; gives the status."""
        where = self.calendars[calendar]
        href = f"{where.href}{self.file_name(uid)}"
        reply = self.put(href, text, {"If-None-Match": "*"})
        if reply.status == 201:
            where.items[href] = Item("", text)
            self.fetch(where, href, reply)
        return reply.status

    def make_calendar(self, name: str) -> None:
        """Make a calendar for events, which the app shows from then on."""
        href = f"{self.account.home()}{name}/"
        kinds = '<C:supported-calendar-component-set><C:comp name="VEVENT"/></C:supported-calendar-component-set>'
        body = document("C:mkcalendar", f"<D:set><D:prop><D:displayname>{name}</D:displayname>{kinds}</D:prop></D:set>")
        assert self.request("MKCALENDAR", href, body, {"Content-Type": XML}).status == 201
        self.sync()

    def file_name(self, uid: str) -> str:
        """The name of an object that the app makes."""
        return f"{uid}.ics"

    def move(self, uid: str, calendar: str) -> None:
        """Move a meeting to another calendar: a new object there, and the old one is deleted."""
        _, _, item = self.find(uid)
        assert self.add(calendar, uid, item.text) == 201
        assert self.delete(uid, calendar_not=calendar) in (204, 404)

    def delete(self, uid: str, *, calendar_not: str = "", headers: Mapping[str, str] | None = None) -> int:
        """Delete a meeting; gives the status."""
        calendar, href, item = self.find(uid, calendar_not)
        status = self.request("DELETE", href, headers={**self.conditions(item), **(headers or {})}).status
        if status in (200, 204, 404):
            del calendar.items[href]
        return status

    def ask_busy(self, *people: str, hidden: str = "") -> dict[str, list[str]]:
        """Ask when others are busy on the day of the meetings (RFC 6638 §5): FREEBUSY lines by mail address.

        `hidden` is the UID of a meeting that is being changed, which does not count.
        """
        head = ["BEGIN:VCALENDAR", f"PRODID:{self.product}", "VERSION:2.0", "METHOD:REQUEST", "BEGIN:VFREEBUSY"]
        times = [
            f"UID:when-{self.account.name}",
            f"DTSTAMP:{STAMP}",
            "DTSTART:20270906T000000Z",
            "DTEND:20270907T000000Z",
        ]
        asked = [f"ORGANIZER:mailto:{self.email}", *(f"ATTENDEE:mailto:{each}" for each in people)]
        asked += [f"X-CALENDARSERVER-MASK-UID:{hidden}"] if hidden else []
        lines = [*head, *times, *asked, "END:VFREEBUSY", "END:VCALENDAR"]
        # Both headers are of a draft that the standard has replaced: apps still send them.
        headers = {"Originator": f"mailto:{self.email}", "Recipient": ", ".join(f"mailto:{each}" for each in people)}
        headers["Content-Type"] = "text/calendar; charset=utf-8"
        reply = self.request("POST", self.outbox_href, fold(lines), headers)
        assert reply.status == 200, reply
        found: dict[str, list[str]] = {}
        for response in etree.fromstring(reply.body).iterfind("C:response", NAMESPACES):
            assert response.findtext("C:request-status", "", NAMESPACES).startswith("2.0"), reply.text
            address = mail_address(response.findtext("C:recipient/D:href", "", NAMESPACES))
            text = response.findtext("C:calendar-data", "", NAMESPACES)
            found[address] = [line for line in unfold(text) if name_of(line) == "FREEBUSY"]
        return found

    # -- what a user sees ----------------------------------------------------------------------------------------------

    def find(self, uid: str, calendar_not: str = "") -> tuple[Calendar, str, Item]:
        """Where a meeting is, as far as the app knows."""
        found = [
            (calendar, href, item)
            for name, calendar in self.calendars.items()
            for href, item in calendar.items.items()
            if uid_of(item.text) == uid and name != calendar_not
        ]
        assert len(found) == 1, (uid, [href for _, href, _ in found])
        return found[0]

    def sees(self, uid: str) -> Meeting | None:
        """What the app shows of a meeting, when it has asked for news; None where it has none."""
        self.sync()
        if not self.places(uid):
            return None
        return seen(self.find(uid)[2].text)

    def found(self, uid: str) -> tuple[Calendar, str, Item]:
        """Where a meeting is, when the app has asked for news."""
        self.sync()
        return self.find(uid)

    def shown(self, uid: str) -> Meeting:
        """What the app shows of a meeting that it must have."""
        found = self.sees(uid)
        assert found is not None, f"{self.account.name} has no {uid}"
        return found

    def places(self, uid: str) -> list[str]:
        """The calendars that the app shows a meeting in."""
        return [
            name
            for name, calendar in self.calendars.items()
            for item in calendar.items.values()
            if uid_of(item.text) == uid
        ]

    # -- news ----------------------------------------------------------------------------------------------------------

    def changes(self, calendar: Calendar, *names: str, depth: str = "1") -> list[str]:
        """The hrefs that have changed by sync-collection (RFC 6578); what is gone is forgotten."""
        prop = "".join(f"<{name}/>" for name in names)
        token = f"<D:sync-token>{escape(calendar.state)}</D:sync-token>"
        inner = f"{token}<D:sync-level>1</D:sync-level><D:prop>{prop}</D:prop>"
        found = self.report(calendar.href, "D:sync-collection", inner, depth)
        calendar.state = found.token
        return self._changed(calendar, found, {href for href, row in found.rows.items() if row.props is None})

    def compare(self, calendar: Calendar, inner: str) -> list[str]:
        """The hrefs whose ETags have changed by a query of all; what is gone is forgotten."""
        found = self.report(calendar.href, "C:calendar-query", inner)
        return self._changed(calendar, found, set(calendar.items) - set(found.rows))

    def _changed(self, calendar: Calendar, found: Multistatus, gone: set[str]) -> list[str]:
        for href in gone & set(calendar.items):
            del calendar.items[href]
        known = {href: item.etag for href, item in calendar.items.items()}
        return [
            href for href, row in found.rows.items()
            if row.props is not None and href != calendar.href and row.text("D:getetag") != known.get(href)
        ]  # fmt: skip

    def take(self, calendar: Calendar, rows: Mapping[str, Row]) -> None:
        """Keep what a multiget found."""
        for href, row in rows.items():
            text, tag = row.text("C:calendar-data"), row.text("C:schedule-tag")
            calendar.items[href] = Item(row.text("D:getetag"), text, tag)

    def keep_calendars(self, found: Multistatus) -> None:
        """Keep the calendars for events of a listing of the home."""
        for href, row in found.rows.items():
            takes = (row.props or {}).get("C:supported-calendar-component-set")
            events = takes is None or any(each.get("name") == "VEVENT" for each in takes)
            if row.has("D:resourcetype", "C:calendar") and events:
                self.calendars.setdefault(href.rstrip("/").rpartition("/")[2], Calendar(href))


BERLIN = [
    "BEGIN:VTIMEZONE", "TZID:Europe/Berlin",
    "BEGIN:DAYLIGHT", "TZOFFSETFROM:+0100", "TZOFFSETTO:+0200", "TZNAME:CEST", "DTSTART:19700329T020000",
    "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3", "END:DAYLIGHT",
    "BEGIN:STANDARD", "TZOFFSETFROM:+0200", "TZOFFSETTO:+0100", "TZNAME:CET", "DTSTART:19701025T030000",
    "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10", "END:STANDARD", "END:VTIMEZONE",
]  # fmt: skip
