"""Discovery as a client does it, from an address and a login: requests to the running server, through its proxy."""

from __future__ import annotations

import base64
import email.utils
import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from lxml import etree

from server.diagnosis.findings import Finding, ok, problem, warning
from server.diagnosis.installation import expiry

_PATIENCE = 15.0
_HOPS = 5
_LIMIT = 1 << 20
_DAV = "{DAV:}"
_HOMES = {
    "caldav": ("calendar", "{urn:ietf:params:xml:ns:caldav}calendar-home-set"),
    "carddav": ("address-book", "{urn:ietf:params:xml:ns:carddav}addressbook-home-set"),
}
_PROPFIND = (
    "<propfind xmlns='DAV:'><prop><current-user-principal/><resourcetype/>"
    "<C:calendar-home-set xmlns:C='urn:ietf:params:xml:ns:caldav'/>"
    "<C:addressbook-home-set xmlns:C='urn:ietf:params:xml:ns:carddav'/></prop></propfind>"
)
_NEEDED = ("PROPFIND", "REPORT", "PROPPATCH", "PUT", "DELETE")


@dataclass(frozen=True, slots=True)
class Login:
    """As whom to ask."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class _Reply:
    url: str
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    certificate_until: datetime | None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace").strip()[:200]

    def hrefs(self, name: str) -> list[str]:
        """The hrefs in a property of the first response."""
        try:
            root = etree.fromstring(self.body, etree.XMLParser(resolve_entities=False, no_network=True))
        except etree.XMLSyntaxError:
            return []
        return [str(found.text).strip() for found in root.iterfind(f".//{name}/{_DAV}href") if found.text]


class _Failed(Exception):
    """The server could not be asked."""


def _ask(url: str, method: str, login: Login | None, depth: str = "0") -> _Reply:
    parts = urlsplit(url)
    headers = {"Depth": depth, "Content-Type": "application/xml", "User-Agent": "Koyomi doctor", "Connection": "close"}
    if login is not None:
        pair = f"{login.name}:{login.password}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=_PATIENCE)
        try:
            connection.connect()
            until = _until(connection.sock)
            connection.request(method, parts.path or "/", _PROPFIND if method == "PROPFIND" else None, headers)
            answer = connection.getresponse()
            return _Reply(url, answer.status, answer.headers, answer.read(_LIMIT), until)
        finally:
            connection.close()
    except ssl.SSLCertVerificationError as error:
        raise _Failed(f"its certificate is not accepted: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise _Failed(f"TLS fails: {error.reason or error}") from None
    except socket.gaierror as error:
        raise _Failed(f"its name is not found: {error.strerror}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Failed(f"it does not answer: {error or type(error).__name__}") from None


def _until(connected: Any) -> datetime | None:
    found = connected.getpeercert() if isinstance(connected, ssl.SSLSocket) else None
    if not found:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)


def look(base: str, login: Login | None) -> Iterator[Finding]:
    """Ask as clients do. `base` is the URL that they are given, with the path prefix if there is one."""
    base = base.rstrip("/")
    subject = f"server at {base}"
    try:
        reply = _ask(base + "/", "PROPFIND", None)
    except _Failed as error:
        yield problem(subject, str(error), "start it, or name the address that clients use with --url")
        return
    if reply.certificate_until is not None:
        yield expiry(f"certificate of {base}", None, reply.certificate_until)
    yield from _clock(reply)
    yield from _challenge(subject, reply)
    principals: set[str] = set()
    for service in _HOMES:
        yield from _well_known(base, service, login, principals)
    if login is not None:
        yield from _homes(base, login, principals)
    else:
        yield warning("discovery", "principal and homes were not looked at", "name a person with --user")


def _clock(reply: _Reply) -> Iterator[Finding]:
    try:
        theirs = email.utils.parsedate_to_datetime(reply.headers.get("Date", ""))
    except (TypeError, ValueError):
        return
    apart = abs((datetime.now(UTC) - theirs).total_seconds())
    if apart > 60:
        yield problem("clocks", f"this machine's and the server's differ by {apart:.0f} s", "run NTP on both")


def _challenge(subject: str, reply: _Reply) -> Iterator[Finding]:
    """The answer to a client that has not signed in."""
    if reply.status == 401 and "basic" in reply.headers.get("WWW-Authenticate", "").lower():
        yield ok(subject, "answers, and asks for a password")
    elif reply.status == 403 and "TLS" in reply.text:
        yield problem(
            subject,
            "does not ask for passwords, since it does not see that there is TLS",
            "set network.trusted_proxies to the address from which the proxy comes",
        )
    elif reply.status in (404, 405, 501):
        yield problem(
            subject,
            f"answers PROPFIND with {reply.status}: another server or a proxy answers here",
            f"let the proxy hand on all methods ({', '.join(_NEEDED)}, …) and all paths",
        )
    elif reply.status in (502, 503, 504):
        yield problem(subject, f"answers {reply.status}", "look whether koyomi serve runs, and at its log")
    else:
        yield problem(subject, f"answers {reply.status} to who has not signed in, not 401", "look at the proxy")


def _well_known(base: str, service: str, login: Login | None, principals: set[str]) -> Iterator[Finding]:
    """RFC 6764 §5: from the root of the host, whatever the prefix is."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(base))
    url = f"{origin}/.well-known/{service}"
    subject, start = f"/.well-known/{service}", url
    for _ in range(_HOPS):
        try:
            reply = _ask(url, "PROPFIND", login)
        except _Failed as error:
            yield problem(subject, f"leads to {url}: {error}", "look at the proxy and network.external_url")
            return
        if reply.status not in (301, 302, 303, 307, 308):
            break
        target = urljoin(url, reply.headers.get("Location", ""))
        if urlsplit(target)[:2] != urlsplit(origin)[:2]:
            yield problem(
                subject,
                f"leads away, to {target}",
                "let the proxy hand on Host, and not rewrite Location",
            )
            return
        url = target
    if url == start and reply.status == 404:
        prefix = urlsplit(base).path
        mend = f"let the proxy hand on {subject} too" + (f", beside {prefix}/" if prefix else "")
        yield problem(subject, "is not found: clients need the whole URL", mend)
    elif url.rstrip("/") != base:
        yield problem(
            subject, f"leads to {url}, not to {base}/", "set network.external_url to the URL that clients use"
        )
    elif login is not None and reply.status == 207:
        principals.update(urljoin(url, href) for href in reply.hrefs(f"{_DAV}current-user-principal"))
        yield ok(subject, f"leads to {url}")
    elif reply.status == 401 and login is None:
        yield ok(subject, f"leads to {url}")
    elif reply.status == 401:
        yield problem(subject, "the login is not accepted", "koyomi user passwd NAME")
    else:
        yield problem(subject, f"{url} answers {reply.status}", "look at the proxy")


def _homes(base: str, login: Login, principals: set[str]) -> Iterator[Finding]:
    if len(principals) != 1:
        yield problem("principal", "it was not found", "mend the above first")
        return
    (principal,) = principals
    try:
        if not principal.startswith(base + "/"):
            # Another server is not sent the password.
            yield problem(
                "principal", f"{principal} does not lie below {base}/", "look at the proxy and network.external_url"
            )
            return
        found = _ask(principal, "PROPFIND", login)
        if found.status != 207:
            yield problem(
                "principal", f"{principal} answers {found.status}", "look at the proxy and network.external_url"
            )
            return
        yield ok("principal", principal)
        for name, home in _HOMES.values():
            hrefs = found.hrefs(home)
            if not hrefs:
                yield problem(f"{name} home", "the principal has none", "koyomi db check")
                continue
            url = urljoin(principal, hrefs[0])
            if not url.startswith(base + "/"):
                yield problem(
                    f"{name} home", f"{url} does not lie below {base}/", "look at the proxy and network.external_url"
                )
                continue
            listing = _ask(url, "PROPFIND", login, "1")
            if listing.status == 207:
                yield ok(f"{name} home", url)
            else:
                yield problem(
                    f"{name} home", f"{url} answers {listing.status}", "look at the proxy and network.external_url"
                )
            if listing.status == 207:
                yield from _methods(url, login)
    except _Failed as error:
        yield problem("principal", str(error))


def _methods(home: str, login: Login) -> Iterator[Finding]:
    """Whether a proxy lets the methods through that clients need; asked in a home."""
    allowed = {each.strip() for each in _ask(home, "OPTIONS", login).headers.get("Allow", "").split(",")}
    needed = {"PROPFIND", "REPORT", "PROPPATCH"}
    if not needed <= allowed:
        missing = ", ".join(sorted(needed - allowed))
        yield problem("methods", f"OPTIONS of {home} lacks {missing}", "let the proxy hand on OPTIONS and all methods")
