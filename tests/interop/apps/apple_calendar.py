"""Apple Calendar (macOS, CalendarAgent; iOS sends the same as dataaccessd).

Facts: Apple's documents of its extensions (calendarserver-schedulingchanges, privatecomments, icalendar-maskuids), the
requests that `tests/integration/dav/test_client_habits.py` repeats, and RFC 6638, which Apple's people wrote for it.

- Homes are synchronised: a sync-collection of the home says which calendars have changed.
- Scheduling objects are written and deleted with If-Schedule-Tag-Match, others with If-Match.
- A meeting is moved to another calendar by MOVE.
- The inbox is read: each message is shown with its CS:schedule-changes, and deleted when the user has seen it.
- "Delete and don't notify" is a DELETE with `Schedule-Reply: F`.
- Who types a place is offered rooms: CS:calendarserver-principal-search on the folder of principals with the context
  `location`, and `resource` for equipment, a token for each word (the forms of
  `tests/integration/dav/test_principal_search.py`). The room becomes an attendee with CUTYPE=ROOM, and its name
  LOCATION.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from tests.interop.apps.app import App, Calendar, Item
from tests.interop.apps.connection import Reply
from tests.interop.apps.meeting import FoundRoom, Lines, mail_address, name_of, with_parameter, with_value

LISTED = (
    "D:displayname", "D:resourcetype", "D:current-user-privilege-set", "D:owner", "D:sync-token", "S:getctag",
    "I:calendar-color", "I:calendar-order", "C:supported-calendar-component-set", "C:schedule-calendar-transp",
    "C:schedule-default-calendar-URL", "D:supported-report-set",
)  # fmt: skip


class AppleCalendar(App):
    agent = "macOS/14.5 (23F79) CalendarAgent/1021"
    product = "-//Apple Inc.//macOS 14.5//EN"

    def discover(self) -> None:
        (root,) = self.propfind("/", "D:current-user-principal").rows.values()
        (principal,) = root.hrefs("D:current-user-principal")
        self.principal = principal
        (row,) = self.propfind(
            principal, "C:calendar-home-set", "C:calendar-user-address-set", "C:schedule-inbox-URL",
            "C:schedule-outbox-URL", "D:displayname", "S:email-address-set", "D:supported-report-set",
        ).rows.values()  # fmt: skip
        assert f"mailto:{self.email}" in row.hrefs("C:calendar-user-address-set")
        (self.home,) = row.hrefs("C:calendar-home-set")
        (self.inbox_href,) = row.hrefs("C:schedule-inbox-URL")
        (self.outbox_href,) = row.hrefs("C:schedule-outbox-URL")
        options = self.request("OPTIONS", principal)
        assert {"calendar-auto-schedule", "calendarserver-home-sync"} <= set(options.headers["DAV"].split(", "))
        self.changed: dict[str, list[str]] = {}
        """What the messages of the inbox did: the elements of CS:action, by href."""
        self.last_changes: list[str] = []
        """The same of those that were seen last."""

    def sync(self) -> None:
        whole = self.propfind(self.home, *LISTED, depth="1")
        self.keep_calendars(whole)
        for calendar in self.calendars.values():
            if whole.rows[calendar.href].text("D:sync-token") != calendar.state:
                changed = self.changes(calendar, "D:getcontenttype", "D:getetag")
                self._get(calendar, changed)
        self._read_inbox()

    def _get(self, calendar: Calendar, hrefs: list[str]) -> None:
        names = ("D:getetag", "C:schedule-tag", "S:created-by", "S:updated-by")
        self.take(calendar, self.multiget(calendar.href, hrefs, *names))

    def _read_inbox(self) -> None:
        listed = self.propfind(self.inbox_href, "D:getetag", "D:getcontenttype", "D:resourcetype", depth="1").rows
        known = {
            href: row.text("D:getetag") for href, row in listed.items() if not row.has("D:resourcetype", "D:collection")
        }
        self.inbox = {href: item for href, item in self.inbox.items() if known.get(href) == item.etag}
        new = [href for href in known if href not in self.inbox]
        for href, row in self.multiget(self.inbox_href, new, "D:getetag", "S:schedule-changes").items():
            self.inbox[href] = Item(row.text("D:getetag"), row.text("C:calendar-data"))
            self.changed[href] = row.children("S:schedule-changes", "S:action")

    def see_messages(self) -> list[str]:
        """Show the messages of the inbox and delete them; gives their texts."""
        self.sync()
        texts = [item.text for item in self.inbox.values()]
        self.last_changes = [name for href in self.inbox for name in self.changed.pop(href)]
        for href in list(self.inbox):
            assert self.request("DELETE", href).status == 204
            del self.inbox[href]
        return texts

    def conditions(self, item: Item) -> dict[str, str]:
        return {"If-Schedule-Tag-Match": item.tag} if item.tag else {"If-Match": item.etag}

    def fetch(self, calendar: Calendar, href: str, reply: Reply) -> None:
        item = calendar.items[href]
        item.etag, item.tag = reply.headers.get("ETag", ""), reply.headers.get("Schedule-Tag", item.tag)
        if not item.etag:
            self._get(calendar, [href])

    def file_name(self, uid: str) -> str:
        return f"{uid.upper()}.ics"

    def move(self, uid: str, calendar: str) -> None:
        old, href, item = self.find(uid)
        target = f"{self.calendars[calendar].href}{href.rpartition('/')[2]}"
        headers = {"Destination": self.account.url + target, "Overwrite": "F", **self.conditions(item)}
        reply = self.request("MOVE", href, headers=headers)
        assert reply.status == 201, reply
        del old.items[href]
        self.calendars[calendar].items[target] = item
        self.fetch(self.calendars[calendar], target, reply)

    def delete_silently(self, uid: str) -> int:
        """Delete an invitation, and don't notify."""
        return self.delete(uid, headers={"Schedule-Reply": "F"})

    def delete(self, uid: str, *, calendar_not: str = "", headers: Mapping[str, str] | None = None) -> int:
        return super().delete(uid, calendar_not=calendar_not, headers={"Schedule-Reply": "T", **(headers or {})})

    def find_rooms(self, typed: str, context: str = "location") -> list[FoundRoom]:
        (row,) = self.propfind(self.principal, "D:principal-collection-set").rows.values()
        (folder,) = row.hrefs("D:principal-collection-set")
        tokens = "".join(f"<S:search-token>{escape(word)}</S:search-token>" for word in typed.split())
        wanted = (
            "D:displayname", "D:principal-URL", "D:resource-id", "C:calendar-user-address-set", "C:calendar-user-type",
            "S:email-address-set", "S:first-name", "S:last-name", "S:record-type",
        )  # fmt: skip
        inner = (
            f"{tokens}<S:limit><S:nresults>50</S:nresults></S:limit><D:prop>{''.join(f'<{name}/>' for name in wanted)}"
        )
        found = self.report(
            folder, "S:calendarserver-principal-search", f"{inner}</D:prop>", "0", f' context="{context}"'
        )
        rooms = [row for row in found.rows.values() if row.text("C:calendar-user-type") in ("ROOM", "RESOURCE")]
        addresses = [
            next(each for each in row.hrefs("C:calendar-user-address-set") if each.startswith("mailto:"))
            for row in rooms
        ]
        return [
            FoundRoom(row.text("D:displayname"), mail_address(address))
            for row, address in zip(rooms, addresses, strict=True)
        ]

    def written(self, event: Lines) -> Lines:
        event = [
            with_parameter(line, "EMAIL", mail_address(line)) if name_of(line) in ("ORGANIZER", "ATTENDEE") else line
            for line in event
        ]
        event = with_value(event, "X-APPLE-TRAVEL-ADVISORY-BEHAVIOR", "X-APPLE-TRAVEL-ADVISORY-BEHAVIOR:AUTOMATIC")
        return with_value(event, "X-APPLE-CREATOR-IDENTITY", "X-APPLE-CREATOR-IDENTITY:com.apple.calendar")
