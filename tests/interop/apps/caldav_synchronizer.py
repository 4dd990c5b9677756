"""CalDAV Synchronizer, the add-in for Outlook.

Facts: how it behaves, and what its manual says of its options.

- Objects are listed by a calendar-query with their ETags; changed ones are fetched by multigets of depth 0 in chunks.
- A new object is PUT with `If-None-Match: *`, a changed one with If-Match. Without an ETag in the answer that is asked
  for by PROPFIND.
- UIDs come from Outlook's GlobalAppointmentID: upper-case hexadecimal.
- Outlook keeps what it sent: what the server made of it is fetched only when it changes again.
- Components are written anew from Outlook's item: lines of people in its own form, SEQUENCE raised by each change, also
  of an attendee.
- What is accepted or tentative is busy in Outlook: TRANSP:OPAQUE.
- The option "Set SCHEDULE-AGENT=CLIENT", which is on at first, adds it to ORGANIZER and ATTENDEEs: Outlook mails.
- Contacts of an address book whose URL is in a profile are listed by PROPFIND with their ETags, and fetched by
  multigets in chunks. A contact with a mail address is invited; a room becomes LOCATION, too.
- A meeting that is dragged to another folder is a new object in one profile and a deleted one in another.
"""

from __future__ import annotations

from tests.interop.apps.app import ROOMS, App, Calendar, Item
from tests.interop.apps.connection import Reply
from tests.interop.apps.meeting import (
    FoundRoom,
    Lines,
    mail_address,
    name_of,
    offered,
    own_lines,
    parameter,
    value_of,
    with_value,
)
from tests.interop.conftest import Account

QUERY = (
    "<D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name='VCALENDAR'><C:comp-filter name='VEVENT'>"
    "<C:time-range start='20260101T000000Z' end='20290101T000000Z'/></C:comp-filter></C:comp-filter></C:filter>"
)
TOGETHER = 100


class CalDavSynchronizer(App):
    agent = "CalDavSynchronizer/4.4"
    product = "-//github.com/rianjs/ical.net//NONSGML ical.net 2.2//EN"

    def __init__(self, account: Account, *, mails: bool = True) -> None:
        self.mails = mails
        """Whether the option "Set SCHEDULE-AGENT=CLIENT" is on."""
        super().__init__(account)

    def discover(self) -> None:
        (root,) = self.propfind("/", "D:current-user-principal").rows.values()
        (principal,) = root.hrefs("D:current-user-principal")
        (row,) = self.propfind(principal, "C:calendar-home-set").rows.values()
        (self.home,) = row.hrefs("C:calendar-home-set")

    def sync(self) -> None:
        self.keep_calendars(
            self.propfind(
                self.home, "D:resourcetype", "D:displayname", "I:calendar-color",
                "C:supported-calendar-component-set", "D:current-user-privilege-set", depth="1",
            )
        )  # fmt: skip
        for calendar in self.calendars.values():
            self._get(calendar, self.compare(calendar, QUERY))

    def _get(self, calendar: Calendar, hrefs: list[str]) -> None:
        for start in range(0, len(hrefs), TOGETHER):
            chunk = hrefs[start : start + TOGETHER]
            self.take(calendar, self.multiget(calendar.href, chunk, "D:getetag", "D:displayname", depth="0"))

    def conditions(self, item: Item) -> dict[str, str]:
        return {"If-Match": item.etag}

    def fetch(self, calendar: Calendar, href: str, reply: Reply) -> None:
        etag = reply.headers.get("ETag")
        if etag is None:
            (row,) = self.propfind(href, "D:getetag").rows.values()
            etag = row.text("D:getetag")
        calendar.items[href].etag = etag

    def find_rooms(self, typed: str) -> list[FoundRoom]:
        rows = self.propfind(ROOMS, "D:getetag", "D:getcontenttype", "D:resourcetype", depth="1").rows
        hrefs = [href for href, row in rows.items() if not row.has("D:resourcetype", "D:collection")]
        chunks = [hrefs[start : start + TOGETHER] for start in range(0, len(hrefs), TOGETHER)]
        return offered([card for chunk in chunks for card in self.cards(ROOMS, chunk, "0")], typed)

    def answered(self, event: Lines, partstat: str) -> Lines:
        event = super().answered(event, partstat)
        return event if partstat == "DECLINED" else with_value(event, "TRANSP", "TRANSP:OPAQUE")

    def raised(self, event: Lines) -> Lines:
        sequence = int(value_of(own_lines(event), "SEQUENCE") or 0) + 1
        return with_value(event, "SEQUENCE", f"SEQUENCE:{sequence}")

    def written(self, event: Lines) -> Lines:
        event = with_value(event, "X-MICROSOFT-CDO-BUSYSTATUS", "X-MICROSOFT-CDO-BUSYSTATUS:BUSY")
        return [self._line(line) for line in with_value(event, "PRIORITY", "PRIORITY:5")]

    def _line(self, line: str) -> str:
        agent = ";SCHEDULE-AGENT=CLIENT" if self.mails else ""
        name = parameter(line, "CN") or mail_address(line)
        if name_of(line) == "ORGANIZER":
            return f'ORGANIZER;CN="{name}"{agent}:mailto:{mail_address(line)}'
        if name_of(line) != "ATTENDEE":
            return line
        partstat = parameter(line, "PARTSTAT") or "NEEDS-ACTION"
        role = parameter(line, "ROLE") or "REQ-PARTICIPANT"
        return f'ATTENDEE;CN="{name}";CUTYPE=INDIVIDUAL;PARTSTAT={partstat};ROLE={role};RSVP=TRUE{agent}:mailto:' + (
            mail_address(line)
        )
