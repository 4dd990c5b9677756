"""A person with homes, and short ways to ask for what they have."""

from __future__ import annotations

from dataclasses import dataclass

from server.domain.principals import PrincipalKind
from tests.integration.dav.client import Client, Reply
from tests.integration.dav.multistatus import Multistatus, Response

NAMESPACES = (
    'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:A="urn:ietf:params:xml:ns:carddav" '
    'xmlns:S="http://calendarserver.org/ns/" xmlns:I="http://apple.com/ns/ical/" xmlns:X="http://example.com/ns/"'
)
"""Declarations for the bodies that the tests write themselves."""


def xml(name: str, inner: str = "") -> str:
    """A body whose root element declares `NAMESPACES`."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n<{name} {NAMESPACES}>{inner}</{name}>'


def event(uid: str, summary: str = "Meeting", *lines: str) -> str:
    """A calendar object with one event in UTC."""
    return calendar(
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T000000Z",
        "DTSTART:20260601T090000Z",
        "DTEND:20260601T100000Z",
        f"SUMMARY:{summary}",
        *lines,
        "END:VEVENT",
    )


def task(uid: str, *lines: str) -> str:
    """A calendar object with one task."""
    return calendar("BEGIN:VTODO", f"UID:{uid}", "DTSTAMP:20260101T000000Z", "SUMMARY:Task", *lines, "END:VTODO")


def calendar(*lines: str) -> str:
    """An iCalendar stream."""
    head = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Example Corp.//CalDAV Client//EN")
    return "\r\n".join((*head, *lines, "END:VCALENDAR", ""))


def card(uid: str, name: str = "Cyrus Daboo", *lines: str) -> str:
    """A vCard 3.0."""
    parts = ("BEGIN:VCARD", "VERSION:3.0", f"UID:{uid}", f"FN:{name}", f"N:{name};;;;", *lines, "END:VCARD", "")
    return "\r\n".join(parts)


@dataclass(frozen=True, slots=True)
class Person:
    http: Client
    id: int
    uid: str
    name: str
    kind: PrincipalKind = "individual"

    # -- URLs ---------------------------------------------------------------------------------------------------------

    @property
    def principal(self) -> str:
        return f"/principals/__uids__/{self.uid}/"

    @property
    def home(self) -> str:
        return f"/calendars/__uids__/{self.uid}/"

    @property
    def calendar(self) -> str:
        return f"{self.home}calendar/"

    @property
    def tasks(self) -> str:
        return f"{self.home}tasks/"

    @property
    def books(self) -> str:
        return f"/addressbooks/__uids__/{self.uid}/"

    @property
    def book(self) -> str:
        return f"{self.books}addressbook/"

    # -- requests -----------------------------------------------------------------------------------------------------

    async def put(self, path: str, text: str | bytes, **headers: str) -> Reply:
        """PUT of a calendar object or a card."""
        media = "text/vcard" if path.startswith("/addressbooks/") else "text/calendar"
        return await self.http("PUT", path, text, **({"Content_Type": f"{media}; charset=utf-8"} | headers))

    async def has(self, path: str, text: str | bytes, **headers: str) -> str:
        """PUT that makes or changes something; gives the ETag."""
        reply = await self.put(path, text, **headers)
        assert reply.status in (201, 204), reply.body
        if "ETag" not in reply.headers:  # scheduling changed the text (RFC 4791 §5.3.4)
            reply = await self.http("GET", path)
        return reply.etag

    async def propfind(self, path: str, *names: str, depth: str = "0", **headers: str) -> Multistatus:
        """PROPFIND of properties with the prefixes of `NAMESPACES`."""
        prop = "".join(f"<{name}/>" for name in names)
        body = xml("D:propfind", f"<D:prop>{prop}</D:prop>")
        return (await self.http("PROPFIND", path, body, Depth=depth, **headers)).multistatus

    async def prop(self, path: str, name: str) -> str:
        """The meaning of one property's value, which must be there."""
        (value,) = (await self.propfind(path, name)).only.found.values()
        return value

    async def proppatch(self, path: str, inner: str, **headers: str) -> Reply:
        """PROPPATCH with these DAV:set and DAV:remove elements."""
        return await self.http("PROPPATCH", path, xml("D:propertyupdate", inner), **headers)

    async def set(self, path: str, props: str) -> Response:
        """PROPPATCH that sets these property elements; gives the outcome."""
        reply = await self.proppatch(path, f"<D:set><D:prop>{props}</D:prop></D:set>")
        return reply.multistatus.only

    async def invite_elsewhere(self) -> None:
        """Make another calendar the default calendar, so that `calendar` can be deleted (RFC 6638 §4.3)."""
        other = f"{self.home}invitations/"
        assert (await self.http("MKCALENDAR", other)).status == 201
        name = "C:schedule-default-calendar-URL"
        assert set((await self.set(f"{self.home}inbox/", f"<{name}><D:href>{other}</D:href></{name}>")).props) == {200}

    async def report(self, path: str, name: str, inner: str, depth: str = "1", **headers: str) -> Reply:
        """REPORT with a body whose root declares `NAMESPACES`."""
        return await self.http("REPORT", path, xml(name, inner), **({"Depth": depth} | headers))

    async def sync(
        self, path: str, token: str = "", *, level: str = "1", limit: int | None = None, props: str = "<D:getetag/>"
    ) -> Multistatus:
        """sync-collection."""
        bound = "" if limit is None else f"<D:limit><D:nresults>{limit}</D:nresults></D:limit>"
        body = (
            f"<D:sync-token>{token}</D:sync-token><D:sync-level>{level}</D:sync-level>{bound}<D:prop>{props}</D:prop>"
        )
        return (await self.report(path, "D:sync-collection", body, "0")).multistatus

    async def names(self, path: str) -> list[str]:
        """The hrefs of the members of a collection, without the collection's own."""
        found = (await self.propfind(path, "D:resourcetype", depth="1")).hrefs
        assert found[0] == path
        return found[1:]

    async def exists(self, path: str) -> bool:
        reply = await self.http("HEAD", path)
        assert reply.status in (200, 404), reply.status
        return reply.status == 200
