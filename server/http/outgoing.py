"""The only HTTP client of Koyomi: requests to servers that people or administrators name.

A host is resolved once for a request. If one of its addresses is refused, the host is. Connections go to the checked
addresses only; a later answer of the DNS cannot change them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from server.domain.errors import OutgoingFailed, OutgoingRefused, OutgoingTimedOut, OutgoingTooLarge
from server.http.addresses import is_allowed
from server.http.rules import Rules

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""From a host name and a port to its IP addresses. Raises `OSError` where there are none."""

_CHUNK: Final = 1 << 16
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OWN_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "host", "accept-encoding"})
_FOR_OTHERS: Final = frozenset({"accept", "accept-language", "user-agent", "if-none-match", "if-modified-since"})
"""Headers that another origin is sent too, when it is redirected to."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The Authorization header, and for whom it is."""

    authorization: str = field(repr=False)
    origin: str
    """A URL of the server as it is configured: no other scheme, host or port is sent the header."""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer, after redirects."""

    url: str
    """Where it came from in the end."""
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    """Decompressed."""


class _Pinned(AbstractResolver):
    """Gives aiohttp the checked addresses of one host, and nothing else."""

    def __init__(self, host: str, addresses: list[str]) -> None:
        self._host = host
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host != self._host:
            raise OSError("another host than the one that was checked")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


async def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


@cache
def _verified() -> ssl.SSLContext:
    return ssl.create_default_context()


async def request(
    method: str,
    url: str,
    rules: Rules,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    credentials: Credentials | None = None,
    resolve: Resolve = look_up,
    tls: ssl.SSLContext | None = None,
) -> Response:
    """Make a request and follow its redirects.

    `headers` hold neither credentials nor what the client itself sets. A redirect to another origin (RFC 6454 §4) is
    followed without credentials and with the headers of content negotiation only; they do not come back afterwards. It
    is refused for a request with a body, and from https to http. Raises `OutgoingRefused`, and `OutgoingFailed` or one
    of its subclasses.
    """
    sent = CIMultiDict(headers or {})
    if wrong := sorted(name for name in sent if name.lower() in _OWN_HEADERS):
        raise ValueError(f"not for a caller to set: {', '.join(wrong)}")
    sent.setdefault("User-Agent", "Koyomi")
    target = _parsed(url)
    if credentials is not None and _parsed(credentials.origin).origin() == target.origin():
        sent["Authorization"] = credentials.authorization
    pins: dict[tuple[str, int], list[str]] = {}
    try:
        async with asyncio.timeout(rules.timeout):
            for _ in range(rules.max_redirects + 1):
                host, port = target.raw_host or "", target.port or 0
                if (host, port) not in pins:
                    pins[host, port] = await _checked(host, port, rules, resolve)
                got = await _ask(method, target, rules, sent, body, _Pinned(host, pins[host, port]), tls or _verified())
                if isinstance(got, Response):
                    return got
                status, location = got
                before, target = target, _next(target, location)
                if status == 303 or (status in {301, 302} and method == "POST"):
                    method, body = ("HEAD" if method == "HEAD" else "GET"), None
                    sent.popall("Content-Type", None)
                if before.origin() != target.origin():
                    if body is not None or (before.scheme, target.scheme) == ("https", "http"):
                        raise OutgoingRefused("The other server redirects to where this request must not be sent.")
                    sent = CIMultiDict((name, value) for name, value in sent.items() if name.lower() in _FOR_OTHERS)
    except TimeoutError:
        raise OutgoingTimedOut from None
    except aiohttp.ClientConnectorCertificateError as error:
        raise OutgoingFailed(f"The certificate of {target.host} is not accepted: {error.certificate_error}") from None
    except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
        raise OutgoingFailed(f"The server {target.host} cannot be asked: {error or type(error).__name__}") from None
    raise OutgoingFailed(f"There are more than {rules.max_redirects} redirects.")


def _parsed(url: str) -> URL:
    try:
        made = URL(url)
        port = made.port
    except ValueError:
        raise OutgoingRefused("This is no URL.") from None
    return _acceptable(made, port)


def _next(target: URL, location: str) -> URL:
    try:
        made = target.join(URL(location))
        port = made.port
    except ValueError:
        raise OutgoingFailed("The other server redirects to what is no URL.") from None
    return _acceptable(made, port)


def _acceptable(url: URL, port: int | None) -> URL:
    if url.scheme not in {"http", "https"}:
        raise OutgoingRefused("Only http and https URLs are asked.")
    if url.raw_user is not None or url.raw_password is not None:
        raise OutgoingRefused("A URL with a name or password in it is not asked.")
    if not url.raw_host or not port:
        raise OutgoingRefused("This URL has no host or port.")
    return url.with_fragment(None)


async def _checked(host: str, port: int, rules: Rules, resolve: Resolve) -> list[str]:
    """The addresses of a host, all of which may be connected to. Raises `OutgoingRefused`."""
    try:
        addresses = [str(ip_address(host))]
    except ValueError:
        addresses = await resolve(host, port)
    if not addresses:
        raise OutgoingFailed(f"The host {host} has no address.")
    by_name = host.lower().rstrip(".") in rules.hosts
    for each in addresses:
        if not is_allowed(ip_address(each), rules.networks, by_name=by_name):
            raise OutgoingRefused(f"The host {host} is in a network that is not allowed.")
    return addresses


async def _ask(
    method: str,
    url: URL,
    rules: Rules,
    headers: CIMultiDict[str],
    body: bytes | None,
    resolver: _Pinned,
    tls: ssl.SSLContext,
) -> Response | tuple[int, str]:
    """One request: the answer, or the status and Location of a redirect."""
    limits = aiohttp.ClientTimeout(total=None, connect=rules.connect_timeout, sock_connect=rules.connect_timeout)
    connector = aiohttp.TCPConnector(resolver=resolver, ssl=tls, use_dns_cache=False, force_close=True)
    async with (
        aiohttp.ClientSession(
            connector=connector,
            timeout=limits,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        ) as session,
        session.request(
            method, url, headers={**headers, "Accept-Encoding": "gzip"}, data=body, allow_redirects=False
        ) as answer,
    ):
        if answer.status in _REDIRECTS and "Location" in answer.headers:
            answer.close()
            return answer.status, answer.headers["Location"]
        return Response(str(url), answer.status, answer.headers, await _read(answer, rules.max_size))


async def _read(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, decompressed in bounded steps."""
    coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"identity", "gzip", "x-gzip"}:
        raise OutgoingFailed("The other server's answer has a content coding that was not asked for.")
    inflate = None if coding == "identity" or answer.method == "HEAD" else zlib.decompressobj(16 + zlib.MAX_WBITS)
    body, received = bytearray(), 0
    async for chunk in answer.content.iter_chunked(_CHUNK):
        received += len(chunk)
        if received > most:
            raise OutgoingTooLarge
        while chunk:
            made, chunk = (chunk, b"") if inflate is None else _step(inflate, chunk)
            body += made
            if len(body) > most:
                raise OutgoingTooLarge
            await asyncio.sleep(0)  # others have their turn between the steps of a large answer
    if inflate is not None and received and not inflate.eof:
        raise OutgoingFailed("The other server's answer ends too early.")
    return bytes(body)


def _step(inflate: zlib._Decompress, chunk: bytes) -> tuple[bytes, bytes]:
    """At most `_CHUNK` bytes of output, and the input that is left."""
    if inflate.eof:
        raise OutgoingFailed("The other server's answer has something after its end.")
    made = inflate.decompress(chunk, _CHUNK)
    return made, inflate.unconsumed_tail or inflate.unused_data
