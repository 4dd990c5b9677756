"""The connection of an app: its requests, and what their answers mean."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lxml import etree

from tests.interop.conftest import Account

NAMESPACES = {
    "D": "DAV:",
    "C": "urn:ietf:params:xml:ns:caldav",
    "S": "http://calendarserver.org/ns/",
    "I": "http://apple.com/ns/ical/",
    "A": "urn:ietf:params:xml:ns:carddav",
}
XML = "application/xml; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the server."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True, slots=True)
class Row:
    """A response of a multistatus: the properties that were found, or None where the resource is gone."""

    props: dict[str, etree._Element] | None

    def text(self, name: str) -> str:
        """The text of a property, as `D:getetag`; empty without it."""
        found = (self.props or {}).get(name)
        return "" if found is None else "".join(map(str, found.itertext()))

    def has(self, name: str, child: str) -> bool:
        """Whether a property has a child element."""
        found = (self.props or {}).get(name)
        return found is not None and found.find(child, NAMESPACES) is not None

    def children(self, name: str, path: str) -> list[str]:
        """The names of the elements in an element below a property, without their namespace."""
        found = (self.props or {}).get(name)
        inner = None if found is None else found.find(path, NAMESPACES)
        return [] if inner is None else [etree.QName(each).localname for each in inner]

    def hrefs(self, name: str) -> list[str]:
        """The hrefs in a property."""
        found = (self.props or {}).get(name)
        return [] if found is None else [href.text or "" for href in found.iter("{DAV:}href")]


@dataclass(frozen=True, slots=True)
class Multistatus:
    rows: dict[str, Row]
    token: str


class Connection:
    """A connection that signs in with each request."""

    def __init__(self, account: Account, agent: str) -> None:
        address = urlsplit(account.url)
        assert address.hostname is not None
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        login = base64.b64encode(f"{account.name}:{account.password}".encode()).decode()
        self._headers = {"User-Agent": agent, "Authorization": f"Basic {login}"}

    def request(
        self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request. No request of an app may end in a 5xx."""
        sent = {**self._headers, **(headers or {})}
        self._connection.request(method, path, None if body is None else body.encode(), sent)
        answer = self._connection.getresponse()
        reply = Reply(answer.status, dict(answer.getheaders()), answer.read())
        assert reply.status < 500, (method, path, reply)
        return reply

    def put(self, href: str, text: str, headers: Mapping[str, str]) -> Reply:
        """PUT of a calendar object."""
        return self.request("PUT", href, text, {"Content-Type": "text/calendar; charset=utf-8", **headers})

    def propfind(self, path: str, *names: str, depth: str = "0") -> Multistatus:
        """PROPFIND of properties, as `D:getetag`."""
        body = document("D:propfind", f"<D:prop>{''.join(f'<{name}/>' for name in names)}</D:prop>")
        return self._multistatus(self.request("PROPFIND", path, body, {"Depth": depth, "Content-Type": XML}))

    def report(self, path: str, name: str, inner: str, depth: str = "1", attributes: str = "") -> Multistatus:
        """A report."""
        body = document(name, inner, attributes)
        return self._multistatus(self.request("REPORT", path, body, {"Depth": depth, "Content-Type": XML}))

    def multiget(self, path: str, hrefs: list[str], *names: str, depth: str = "1") -> dict[str, Row]:
        """The objects at some hrefs that there are (RFC 4791 §7.9)."""
        if not hrefs:
            return {}
        prop = "".join(f"<{name}/>" for name in (*names, "C:calendar-data"))
        inner = f"<D:prop>{prop}</D:prop>{''.join(f'<D:href>{href}</D:href>' for href in hrefs)}"
        found = self.report(path, "C:calendar-multiget", inner, depth)
        return {href: row for href, row in found.rows.items() if row.props is not None}

    def cards(self, path: str, hrefs: list[str], depth: str = "1", version: str = "") -> list[str]:
        """The cards at some hrefs (RFC 6352 §8.7), in the version that is asked for."""
        asked = f' content-type="text/vcard" version="{version}"' if version else ""
        inner = f"<D:prop><D:getetag/><A:address-data{asked}/></D:prop>" + "".join(
            f"<D:href>{href}</D:href>" for href in hrefs
        )
        found = self.report(path, "A:addressbook-multiget", inner, depth) if hrefs else Multistatus({}, "")
        return [row.text("A:address-data") for row in found.rows.values() if row.props is not None]

    def _multistatus(self, reply: Reply) -> Multistatus:
        assert reply.status == 207, reply
        root = etree.fromstring(reply.body)
        rows = {}
        for response in root.iterfind("D:response", NAMESPACES):
            if response.find("D:status", NAMESPACES) is not None:
                rows[response.findtext("D:href", "", NAMESPACES)] = Row(None)
                continue
            props: dict[str, etree._Element] = {}
            for part in response.iterfind("D:propstat", NAMESPACES):
                if " 200 " in part.findtext("D:status", "", NAMESPACES):
                    props |= {_short(str(each.tag)): each for each in part.iterfind("D:prop/*", NAMESPACES)}
            rows[response.findtext("D:href", "", NAMESPACES)] = Row(props)
        return Multistatus(rows, root.findtext("D:sync-token", "", NAMESPACES))


def document(name: str, inner: str, attributes: str = "") -> str:
    """A body with the namespaces declared."""
    declarations = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} {declarations}{attributes}>{inner}</{name}>'


def _short(tag: str) -> str:
    namespace, _, name = tag[1:].partition("}")
    return next((f"{prefix}:{name}" for prefix, uri in NAMESPACES.items() if uri == namespace), name)
