"""A client that keeps a copy of a collection or home by RFC 6578, as its text says and no more."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from lxml import etree

from tests.e2e.http_connection import Connection, Reply

D = "{DAV:}"
CS = "{http://calendarserver.org/ns/}"
_PROPERTIES = f"<D:prop><D:getetag/><D:resource-id/><C:getctag xmlns:C='{CS[1:-1]}'/></D:prop>"
PROPFIND = f"<D:propfind xmlns:D='DAV:'>{_PROPERTIES}</D:propfind>"


class Unavailable(Exception):
    """The server asks to come again later."""


@dataclass(frozen=True, slots=True)
class Row:
    """A response of a multistatus."""

    href: str
    status: int | None
    """Of the resource as a whole; None where properties are given."""
    value: str
    """What tells one state of the resource from another: a member's ETag, a collection's resource-id and ctag."""


@dataclass(frozen=True, slots=True)
class Report:
    """A multistatus, read."""

    rows: tuple[Row, ...]
    token: str
    """Empty where there is none."""


def read_multistatus(body: bytes) -> Report:
    """The rows and the sync token of a multistatus."""
    root = etree.fromstring(body, etree.XMLParser(huge_tree=True))
    assert root.tag == D + "multistatus"
    rows = []
    for response in root.iterfind(D + "response"):
        href, status = response.findtext(D + "href"), response.findtext(D + "status")
        assert href is not None
        value = ""
        for part in response.iterfind(D + "propstat"):
            if " 200 " in (part.findtext(D + "status") or ""):
                found = part.find(D + "prop")
                assert found is not None
                values = {item.tag: "".join(item.itertext()) for item in found}
                value = " ".join(filter(None, (values.get(D + "resource-id"), values.get(CS + "getctag"))))
                value = values.get(D + "getetag", value) if not href.endswith("/") else value
        rows.append(Row(href, None if status is None else int(status.split()[1]), value))
    return Report(tuple(rows), root.findtext(D + "sync-token") or "")


@dataclass
class SyncClient:
    """What one client knows of `href`; at infinite depth, of what is in its collections too."""

    http: Connection
    href: str
    infinite: bool = False
    known: dict[str, str] = field(default_factory=dict)
    """Members by href: what `Row.value` says of them. Collections' hrefs end in a slash."""
    token: str = ""
    complete: bool = False
    """Whether the last report was not truncated: `known` is the state at the moment of that report."""
    restarts: int = 0
    """How often the server called the token invalid."""
    heard: Callable[[str, str], None] | None = None
    """Told of every member's href and ETag that arrives."""

    def forget(self) -> None:
        """Begin anew, as a client does that lost its data."""
        self.known, self.token, self.complete = {}, "", False

    async def sync(self, limit: int | None) -> Report | None:
        """One report; None when the collection is gone or the token was refused, and the client begins anew.

        Raises `Unavailable` for a 503, and what `Connection.request` raises.
        """
        nresults = "" if limit is None else f"<D:limit><D:nresults>{limit}</D:nresults></D:limit>"
        level = "infinite" if self.infinite else "1"
        body = (
            f"<D:sync-collection xmlns:D='DAV:'><D:sync-token>{self.token}</D:sync-token>"
            f"<D:sync-level>{level}</D:sync-level>{nresults}{_PROPERTIES}</D:sync-collection>"
        )
        reply = await self.http.request("REPORT", self.href, body, {"Depth": "0"})
        if reply.status == 404:
            self.forget()
            return None
        if refused(reply):
            assert self.token, "an empty token was refused"
            self.restarts += 1
            self.forget()
            return None
        if reply.status == 503:
            raise Unavailable
        assert reply.status == 207, (reply.status, reply.body)
        report = read_multistatus(reply.body)
        self._apply(report, limit)
        return report

    def _apply(self, report: Report, limit: int | None) -> None:
        initial = not self.token
        rows = [row for row in report.rows if not (row.href == self.href and row.status == 507)]
        truncated = len(rows) < len(report.rows)
        hrefs = [row.href for row in rows]
        assert len(set(hrefs)) == len(hrefs), f"a member was reported twice: {sorted(hrefs)}"
        assert report.token, "a report has no token"
        if truncated:
            assert limit is not None, "truncated without a limit"
            assert rows, "truncated without a row"
            assert report.token != self.token, "truncated without progress"
            assert report.rows[-1].status == 507, "what says that there is more is not last"
        if limit is not None:
            assert len(rows) <= limit, "more rows than asked for"
        for row in rows:
            assert re.match(re.escape(self.href) + ("." if self.infinite else "[^/]+/?$"), row.href), row
            if row.status is None:
                assert row.value, row
                self.known[row.href] = row.value
                if self.heard is not None and not row.href.endswith("/"):
                    self.heard(row.href, row.value)
                continue
            assert row.status == 404, row
            assert not initial, f"an initial synchronisation reports a removal: {row.href}"
            self.known.pop(row.href, None)
            if row.href.endswith("/"):
                self.known = {href: value for href, value in self.known.items() if not href.startswith(row.href)}
        self.token, self.complete = report.token, not truncated


def refused(reply: Reply) -> bool:
    """Whether a report was refused for its token."""
    return reply.status in (403, 409) and b"valid-sync-token" in reply.body


async def listing(http: Connection, href: str, *, infinite: bool) -> dict[str, str]:
    """What PROPFIND says that a client of `href` should know; empty when it is gone."""
    reply = await http.request("PROPFIND", href, PROPFIND, {"Depth": "1"})
    if reply.status == 404:
        return {}
    assert reply.status == 207, (reply.status, reply.body)
    rows = {row.href: row.value for row in read_multistatus(reply.body).rows if row.href != href}
    if infinite:
        for child in [href for href in rows if href.endswith("/")]:
            rows |= await listing(http, child, infinite=False)
    return rows
