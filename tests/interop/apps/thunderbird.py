"""Thunderbird.

Facts: how its calendar behaves with servers that announce calendar-auto-schedule. It leaves scheduling to the server,
does not read the inbox, and knows no Schedule-Tag.

- Each calendar is added by itself: PROPFIND of the calendar, then of the principal.
- CS:getctag first; sync-collection with Depth 1; then a multiget.
- A new object is PUT with `If-None-Match: *` under its UID; a changed one with If-Match. After each PUT the object is
  fetched again by multiget, whatever the answer says.
- A meeting is moved to another calendar by a PUT of the new object, then a DELETE of the old one.
- ORGANIZER gets PARTSTAT and ROLE; X-MOZ-GENERATION counts the changes.
- "Prefer client-side email scheduling" adds SCHEDULE-AGENT=CLIENT to ORGANIZER and ATTENDEEs, and mails are sent.
- Attendees are offered from the address books of Thunderbird. One is added by its URL: sync-collection, then multigets.
  Busy times are asked for by a POST to the outbox. An attendee may be marked as a room: CUTYPE=ROOM.
- An invitation that came by mail is added as a new object, unless the app has found the UID.
"""

from __future__ import annotations

from tests.interop.apps.app import ROOMS, App, Calendar, Item
from tests.interop.apps.connection import Reply
from tests.interop.apps.meeting import (
    FoundRoom,
    Lines,
    each_event,
    fold,
    name_of,
    offered,
    own_lines,
    uid_of,
    unfold,
    value_of,
    with_parameter,
    with_value,
)
from tests.interop.conftest import Account


class Thunderbird(App):
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.9.1"
    product = "-//Mozilla.org/NONSGML Mozilla Calendar V1.1//EN"

    def __init__(self, account: Account, *, mails: bool = False) -> None:
        self.mails = mails
        """Whether "Prefer client-side email scheduling" is on."""
        self.overwrites = False
        """Whether the user has said that the app shall write over what it has not seen."""
        super().__init__(account)

    def discover(self) -> None:
        (row,) = self.propfind(
            self.account.home() + "calendar/", "D:resourcetype", "D:owner", "D:current-user-principal",
            "D:supported-report-set", "D:current-user-privilege-set", "C:supported-calendar-component-set", "S:getctag",
        ).rows.values()  # fmt: skip
        assert row.has("D:resourcetype", "C:calendar")
        (principal,) = row.hrefs("D:current-user-principal")
        tokens = self.request("OPTIONS", self.account.home()).headers["DAV"].split(", ")
        assert {"calendar-access", "calendar-auto-schedule"} <= set(tokens)
        (row,) = self.propfind(
            principal, "C:calendar-home-set", "C:calendar-user-address-set", "C:schedule-inbox-URL",
            "C:schedule-outbox-URL",
        ).rows.values()  # fmt: skip
        assert f"mailto:{self.email}" in row.hrefs("C:calendar-user-address-set")
        (self.home,) = row.hrefs("C:calendar-home-set")
        (self.outbox_href,) = row.hrefs("C:schedule-outbox-URL")
        self.ctags: dict[str, str] = {}

    def sync(self) -> None:
        self.keep_calendars(self.propfind(self.home, "D:resourcetype", "C:supported-calendar-component-set", depth="1"))
        for calendar in self.calendars.values():
            (row,) = self.propfind(calendar.href, "S:getctag").rows.values()
            if row.text("S:getctag") == self.ctags.get(calendar.href):
                continue
            self.ctags[calendar.href] = row.text("S:getctag")
            self._get(calendar, self.changes(calendar, "D:getcontenttype", "D:getetag"))

    def _get(self, calendar: Calendar, hrefs: list[str]) -> None:
        self.take(calendar, self.multiget(calendar.href, hrefs, "D:getetag"))

    def conditions(self, item: Item) -> dict[str, str]:
        return {} if self.overwrites else {"If-Match": item.etag}

    def fetch(self, calendar: Calendar, href: str, reply: Reply) -> None:
        self._get(calendar, [href])

    def find_rooms(self, typed: str) -> list[FoundRoom]:
        (row,) = self.propfind(ROOMS, "D:resourcetype", "D:displayname", "D:current-user-privilege-set").rows.values()
        assert row.has("D:resourcetype", "A:addressbook")
        inner = "<D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>"
        hrefs = list(self.report(ROOMS, "D:sync-collection", inner, "0").rows)
        return offered(self.cards(ROOMS, hrefs), typed)

    def accept_mail(self, text: str, partstat: str = "ACCEPTED") -> int:
        """Add an invitation that came by mail, answered, without asking for news before; gives the status."""
        lines = each_event(
            [line for line in unfold(text) if name_of(line) != "METHOD"],
            lambda event: self.written(self.answered(event, partstat)),
        )
        return self.add("calendar", uid_of(text), fold(lines))

    def written(self, event: Lines) -> Lines:
        generation = int(value_of(own_lines(event), "X-MOZ-GENERATION") or 0) + 1
        event = with_value(event, "X-MOZ-GENERATION", f"X-MOZ-GENERATION:{generation}")
        event = [
            with_parameter(with_parameter(line, "PARTSTAT", "ACCEPTED"), "ROLE", "CHAIR")
            if name_of(line) == "ORGANIZER"
            else line
            for line in event
        ]
        if not self.mails:
            return event
        return [
            with_parameter(line, "SCHEDULE-AGENT", "CLIENT") if name_of(line) in ("ORGANIZER", "ATTENDEE") else line
            for line in event
        ]
