"""DAVx5 on Android, with any calendar app of the phone.

Facts: how it behaves, and what its manual says.

- Calendars are compared with the phone by CS:getctag or the sync-token, then by a calendar-query with a time-range (the
  setting "past event time limit" has a value at first), then multigets of at most ten.
- A changed object is PUT with If-Schedule-Tag-Match if it has a Schedule-Tag, else with If-Match. A 412 means that the
  server has won: the change is given up, and the object is fetched again.
- Deletions go before changes. The inbox is not read.
- A component is written anew from the phone's database: parameters that the database does not know, as
  SCHEDULE-STATUS, RSVP and CN of ORGANIZER, are lost; unknown properties are kept.
- Address books are those of CARDDAV:addressbook-home-set, read-only ones, too. A book is synchronised by
  sync-collection and multigets of at most ten cards, in vCard 4.0 where CARDDAV:supported-address-data has it. The
  phone offers its contacts as attendees, who are written with CUTYPE=INDIVIDUAL.
- Of a series to which the person is invited on one day only, the phone keeps an event without RECURRENCE-ID.
- Android moves no events between calendars: an app that offers it makes a new event, with another UID, and deletes the
  old one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tests.interop.apps.app import App, Calendar, Item
from tests.interop.apps.connection import NAMESPACES, Reply
from tests.interop.apps.meeting import (
    FoundRoom,
    Lines,
    components,
    each_event,
    fold,
    mail_address,
    name_of,
    offered,
    parameter,
    unfold,
    value_of,
    with_value,
)

QUERY = (
    "<D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name='VCALENDAR'><C:comp-filter name='VEVENT'>"
    "<C:time-range start='20260601T000000Z'/></C:comp-filter></C:comp-filter></C:filter>"
)
TOGETHER = 10


class DAVx5(App):
    agent = "DAVx5/4.4.8-ose (dav4jvm; okhttp/4.12.0) Android/14"
    product = "DAVx5/4.4.8-ose ical4j/3.2.19"

    def discover(self) -> None:
        (root,) = self.propfind("/", "D:current-user-principal", "C:calendar-home-set", "D:resourcetype").rows.values()
        (principal,) = root.hrefs("D:current-user-principal")
        self.principal = principal
        (row,) = self.propfind(
            principal, "D:displayname", "C:calendar-home-set", "D:group-membership", "D:resourcetype"
        ).rows.values()
        (self.home,) = row.hrefs("C:calendar-home-set")

    def find_rooms(self, typed: str) -> list[FoundRoom]:
        (row,) = self.propfind(self.principal, "A:addressbook-home-set", "D:displayname").rows.values()
        cards: list[str] = []
        for home in row.hrefs("A:addressbook-home-set"):
            names = ("D:resourcetype", "D:displayname", "D:current-user-privilege-set", "A:addressbook-description")
            for href, book in self.propfind(home, *names, depth="1").rows.items():
                if book.has("D:resourcetype", "A:addressbook"):
                    cards += self._cards(href)
        return offered(cards, typed)

    def _cards(self, book: str) -> list[str]:
        asked = ("A:supported-address-data", "D:supported-report-set", "S:getctag", "D:sync-token")
        (row,) = self.propfind(book, *asked).rows.values()
        types = (row.props or {})["A:supported-address-data"].iterfind("A:address-data-type", NAMESPACES)
        version = "4.0" if any(each.get("version") == "4.0" for each in types) else ""
        inner = "<D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>"
        hrefs = list(self.report(book, "D:sync-collection", inner, "0").rows)
        chunks = [hrefs[start : start + TOGETHER] for start in range(0, len(hrefs), TOGETHER)]
        return [card for chunk in chunks for card in self.cards(book, chunk, version=version)]

    def sync(self) -> None:
        self.keep_calendars(
            self.propfind(
                self.home, "D:resourcetype", "D:displayname", "D:current-user-privilege-set", "D:owner",
                "I:calendar-color", "C:supported-calendar-component-set", "D:sync-token", depth="1",
            )
        )  # fmt: skip
        for calendar in self.calendars.values():
            (row,) = self.propfind(calendar.href, "D:supported-report-set", "S:getctag", "D:sync-token").rows.values()
            if row.text("D:sync-token") != calendar.state:
                calendar.state = row.text("D:sync-token")
                self._get(calendar, self.compare(calendar, QUERY))

    def _get(self, calendar: Calendar, hrefs: list[str]) -> None:
        for start in range(0, len(hrefs), TOGETHER):
            names = ("D:getcontenttype", "D:getetag", "C:schedule-tag")
            self.take(calendar, self.multiget(calendar.href, hrefs[start : start + TOGETHER], *names))

    def conditions(self, item: Item) -> dict[str, str]:
        return {"If-Schedule-Tag-Match": item.tag} if item.tag else {"If-Match": item.etag}

    def fetch(self, calendar: Calendar, href: str, reply: Reply) -> None:
        # Without an ETag in the answer the next synchronisation finds another one, and fetches the object.
        item = calendar.items[href]
        item.etag, item.tag = reply.headers.get("ETag", ""), reply.headers.get("Schedule-Tag", "")
        calendar.state = ""

    def change(self, uid: str, edit: Callable[[Lines], Lines], *, significant: bool = True) -> int:
        status = super().change(uid, edit)  # SEQUENCE rises with every change
        if status == 412:
            calendar, href, _ = self.find(uid)
            calendar.state = ""
            calendar.items[href].etag = ""
        return status

    def move(self, uid: str, calendar: str) -> None:
        """A new event, with a UID of its own, and a deletion."""
        _, _, item = self.find(uid)
        text = fold(each_event(unfold(item.text), lambda event: with_value(event, "UID", f"UID:new-{uid}")))
        assert self.add(calendar, f"new-{uid}", text) == 201
        self.delete(uid)

    def written(self, event: Lines) -> Lines:
        return [self._line(line) for line in event]

    def put(self, href: str, text: str, headers: Mapping[str, str]) -> Reply:
        events = components(unfold(text))
        if len(events) == 1 and value_of(events[0], "RECURRENCE-ID"):
            text = fold(line for line in unfold(text) if name_of(line) != "RECURRENCE-ID")
        return super().put(href, text, headers)

    def _line(self, line: str) -> str:
        if name_of(line) == "ORGANIZER":
            return f"ORGANIZER:mailto:{mail_address(line)}"
        if name_of(line) != "ATTENDEE":
            return line
        role = parameter(line, "ROLE") or "REQ-PARTICIPANT"
        partstat = parameter(line, "PARTSTAT") or "NEEDS-ACTION"
        cn = parameter(line, "CN")
        name = f";CN={cn}" if re.fullmatch(r"[\w .@-]+", cn) else ""
        return f"ATTENDEE;CUTYPE=INDIVIDUAL;ROLE={role};PARTSTAT={partstat}{name}:mailto:{mail_address(line)}"
