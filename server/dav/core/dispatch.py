"""From an HTTP request to an answer: sign-in, the method's handler, and the one place where errors become answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import struct
from typing import TYPE_CHECKING, cast

import structlog
from aiohttp import StreamReader, hdrs, web

from server.dav.core import errors as translation
from server.dav.core.request import Request, Site
from server.dav.core.resource import Kind
from server.domain.errors import (
    BadRequest,
    KoyomiError,
    RequestTimedOut,
    ResourceTooLarge,
    SignInDelayed,
    SignInRequired,
    Unavailable,
)
from server.domain.objects import Target
from server.domain.resolution import Resolution
from server.http import unread
from server.http.answer import Answer, Headers
from server.http.codings import accepts_gzip, decode

if TYPE_CHECKING:
    from server.auth.authenticate import Authenticator, SignIn
    from server.dav.core.ledger import Entry, Ledger

GZIP_FROM = 1024
"""Bytes from which an answer is compressed for those who accept it."""
MAX_DRAIN = 1 << 20
"""Bytes of a refused body that are read to keep the connection of a client that is signed in."""
PATIENCE = 60.0
"""Seconds that a body may take, and again for every `PIECE` of it that has come."""
PIECE = 64 * 1024
"""Bytes."""

_log = structlog.get_logger(__name__)


class HttpWire:
    """A request as aiohttp gives it."""

    def __init__(self, http: web.BaseRequest, dispatcher: Dispatcher) -> None:
        self.http = http
        self.method = http.method
        self.headers = cast("Headers", http.headers)
        self.target = http.raw_path
        self._dispatcher = dispatcher
        self._body: bytes | None = None
        self._awaited = self.headers.get("Expect", "").lower() == "100-continue"
        self._late = False
        self._sign_in: SignIn | None = None

    @property
    def has_body(self) -> bool:
        """Whether a body comes, as far as the headers tell."""
        return self.http.body_exists and self.http.content_length != 0

    async def read(self, limit: int) -> bytes:
        """The body, read once however often it is asked for. Raises `ResourceTooLarge`, `BadRequest`."""
        if self._body is None:
            self._body = await self._read(limit)
        if len(self._body) > limit:
            raise ResourceTooLarge
        return self._body

    async def _read(self, limit: int) -> bytes:
        http = self.http
        length = http.content_length
        if length is not None and length > limit:
            raise ResourceTooLarge
        if not http.body_exists:
            return b""
        if self._awaited and http.transport is not None:
            self._awaited = False
            http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        content = http.content
        try:
            # Small ones mostly came with the headers: then nothing is waited for.
            body = content.read_nowait() if content.is_eof() else await _awaited_body(content, limit)
        except (web.RequestPayloadError, ValueError) as error:
            raise BadRequest("The body of the request is broken.") from error
        except TimeoutError:
            self._late = True
            raise RequestTimedOut from None
        if len(body) > limit:
            raise ResourceTooLarge
        codings = self.headers.get("Content-Encoding")
        return decode(body, codings, limit) if codings else body

    @property
    def leaves_doubt(self) -> bool:
        """Whether the connection has to close, because the rest of the body may still arrive.

        The client may send it although it got no 100 (Continue), it is too long to be discarded, or it came too late.
        """
        limit = MAX_DRAIN if self.is_signed_in else unread.MAX_DISCARDED
        return self.is_unread and (self._awaited or self._late or (self.http.content_length or 0) > limit)

    @property
    def is_unread(self) -> bool:
        """Whether a part of the body has not been received."""
        return not self.http.content.is_eof()

    @property
    def is_signed_in(self) -> bool:
        """Whether the request came with credentials that were accepted."""
        return self._sign_in is not None

    async def sign_in(self) -> None:
        """Verify the credentials; those in the cache cost no statement. Raises `SignInRequired`, `SignInDelayed`."""
        await self._authenticate()

    async def _authenticate(self) -> SignIn:
        self._sign_in = await self._dispatcher.authenticator.authenticate(
            self.headers, self.http.remote or None, tls=self.http.secure
        )
        return self._sign_in

    async def viewer(self, target: Target | None, *, text: bool) -> Resolution:
        """Runs the request's query as the person signed in; signs in again if the cached sign-in is stale."""
        authenticator = self._dispatcher.authenticator
        for _ in range(3):
            sign_in = self._sign_in or await self._authenticate()
            found = await self._dispatcher.site.lookup.resolve(sign_in.principal_id, target, text=text)
            if authenticator.still_holds(sign_in, found.viewer):
                return found
            self._sign_in = None
            authenticator.forget(sign_in)
        raise SignInRequired


async def _awaited_body(content: StreamReader, limit: int) -> bytes:
    """A body as it comes in, until it ends or is longer than `limit` bytes.

    Raises `ResourceTooLarge`, and `TimeoutError` where it stops coming.
    """
    parts = []
    size = counted = 0
    async with asyncio.timeout(PATIENCE) as patience:
        async for chunk in content.iter_any():
            size += len(chunk)
            if size > limit:
                raise ResourceTooLarge
            parts.append(chunk)
            if size - counted >= PIECE:
                counted = size
                patience.reschedule(asyncio.get_running_loop().time() + PATIENCE)
    return b"".join(parts)


class Dispatcher:
    """Answers requests. One for each worker."""

    def __init__(
        self, site: Site, authenticator: Authenticator, ledger: Ledger, *, gzip: bool = True, hsts_seconds: int = 0
    ) -> None:
        """`hsts_seconds`: how long browsers that came by TLS are to come by no other way."""
        self.site = site
        self.authenticator = authenticator
        self._ledger = ledger
        self._gzip = gzip
        self._hsts = f"max-age={hsts_seconds}" if hsts_seconds else ""

    async def __call__(self, http: web.BaseRequest) -> web.StreamResponse:
        """aiohttp's handler: answers a request, and never raises for what a client sends."""
        request_id = secrets.token_hex(6)
        wire = HttpWire(http, self)
        with self._ledger.open(http, request_id) as entry:
            response = await self._respond(http, wire, entry)
        if wire.is_unread and not wire.is_signed_in:
            await unread.discard(http, response)
        return response

    async def _respond(self, http: web.BaseRequest, wire: HttpWire, entry: Entry) -> web.StreamResponse:
        try:
            answer = await self._answer(wire, entry)
        except KoyomiError as error:
            self._ledger.refused(error)
            answer = self._refuse(http, entry.request, error)
        except ConnectionError:
            # The client has gone, and what is answered reaches nobody. Raised, aiohttp logs it as a failure of ours.
            return web.Response(status=400)
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("request_failed", method=http.method)
            answer = Answer(500, b"The server failed to answer. The failure was logged.\n")
        answer.headers["X-Request-Id"] = entry.request_id
        # A browser must not interpret stored texts, or input quoted in errors, as a page.
        answer.headers["X-Content-Type-Options"] = "nosniff"
        if self._hsts and self._is_encrypted(http):
            answer.headers["Strict-Transport-Security"] = self._hsts
        response = await self._send(http, answer, close=wire.leaves_doubt)
        if http.transport is not None and not http.transport.is_closing():
            entry.status, entry.sent = answer.status, response.body_length or len(answer.body)
        return response

    def _is_encrypted(self, http: web.BaseRequest) -> bool:
        addresses = self.authenticator.addresses
        return bool(addresses.encrypted(http.headers, http.remote or None, tls=http.secure))

    def _open(self, wire: HttpWire, entry: Entry) -> Request:
        request = entry.request = Request(wire, self.site)
        request.request_id, request.trace = entry.request_id, entry.trace
        return request

    async def _answer(self, wire: HttpWire, entry: Entry) -> Answer:
        """The answer to a request. Nothing reads the body before the sign-in."""
        request = self._open(wire, entry)
        method = self.site.registry.methods.get(request.method)
        open_to_all = self.site.registry.open_paths.get(request.path.href)
        if open_to_all is not None:
            return await open_to_all(request)
        await wire.sign_in()
        if method is None:
            await request.look_up(need="{DAV:}read")
            if request.method in _KNOWN:
                raise translation.Refused(405, message="This method is not offered here.")
            raise translation.Refused(501, message="There is no such method.")
        if request.method in _WITHOUT_BODY and request.wire.has_body:
            raise translation.Refused(415, message=f"A body of {request.method} is not understood (RFC 4918 §8.4).")
        return await method(request)

    def _refuse(self, http: web.BaseRequest, request: Request | None, error: KoyomiError) -> Answer:
        """The answer to a domain error."""
        row = translation.translate(error)
        card = request is not None and request.path.tree == "addressbooks"
        holder = ""
        if request is not None:
            holder = request.url((request.destination or request.path).parent().url)
        body = translation.body(error, card=card, collection_href=holder, prefix=self.site.prefix)
        answer = Answer(row.status)
        if body is not None:
            answer.body = body.encode("utf-8", "replace")
            answer.headers["Content-Type"] = "application/xml; charset=utf-8"
        else:
            answer.body = (translation.reason(error) + "\n").encode("utf-8", "replace")
            answer.headers["Content-Type"] = "text/plain; charset=utf-8"
        if isinstance(error, SignInRequired):
            headers = cast("Headers", http.headers)
            challenge = self.authenticator.challenge(headers, http.remote or None, tls=http.secure)
            if challenge is None:
                answer.status = 403
                answer.body = b"Signing in needs TLS here.\n"
            else:
                answer.headers["WWW-Authenticate"] = challenge
        elif isinstance(error, SignInDelayed | Unavailable):
            answer.headers["Retry-After"] = str(error.retry_after)
        if answer.status == 405 and request is not None:
            answer.headers["Allow"] = self._allow(request)
        return answer

    def _allow(self, request: Request) -> str:
        """What may be done instead, by the shape of the path."""
        segments = request.path.segments
        depth, card = len(segments), request.path.tree == "addressbooks"
        if depth < 3:
            kind = Kind.ROOT if depth == 0 else Kind.HOMES
        elif request.path.tree == "principals":
            kind = Kind.PRINCIPAL
        elif depth == 3:
            kind = Kind.ADDRESSBOOK_HOME if card else Kind.CALENDAR_HOME
        elif depth == 4 or request.path.add_member:
            kind = Kind.ADDRESSBOOK if card else _NAMED.get(segments[3], Kind.CALENDAR)
        else:
            kind = Kind.ADDRESS_OBJECT if card else Kind.CALENDAR_OBJECT
        return self.site.registry.allow[kind]

    async def _send(self, http: web.BaseRequest, answer: Answer, *, close: bool) -> web.StreamResponse:
        compress = self._gzip and accepts_gzip(http.headers.get("Accept-Encoding", ""))
        if answer.stream is None:
            response = web.Response(status=answer.status, body=answer.body or None, headers=answer.headers)
            if http.method == "HEAD":
                response.headers[hdrs.CONTENT_LENGTH] = str(len(answer.body))
                response.body = None
            elif compress and len(answer.body) >= GZIP_FROM:
                response.enable_compression(web.ContentCoding.gzip)
                response.headers.add("Vary", "Accept-Encoding")
            if close:
                response.force_close()
            return response
        return await self._stream(http, answer, compress)

    async def _stream(self, http: web.BaseRequest, answer: Answer, compress: bool) -> web.StreamResponse:
        """Sends chunks as they come; one that fails after the first byte breaks the connection."""
        assert answer.stream is not None
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        if compress:
            response.enable_compression(web.ContentCoding.gzip)
            response.headers.add("Vary", "Accept-Encoding")
        await response.prepare(http)
        if http.method == "HEAD":
            await response.write_eof()
            return response
        try:
            async for chunk in answer.stream:
                await response.write(chunk)
            await response.write_eof()
        except ConnectionError:
            # The client has gone. Raised further, aiohttp would log it as a failure of ours.
            return response
        except asyncio.CancelledError:
            raise
        except Exception as error:
            _log.warning("answer_broken_off", error=type(error).__name__)
            _reset(http)
        return response


def _reset(http: web.BaseRequest) -> None:
    """Break the connection in a way that nobody takes for the end of the answer.

    Where an answer has no chunks (HTTP/1.0, which proxies speak), the end of the connection is its end: only a reset
    tells that something is missing.
    """
    transport = http.transport
    if transport is None:
        return
    ours = transport.get_extra_info("socket")
    if ours is not None and ours.family != socket.AF_UNIX:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(ours.fileno())) as same:
            # To linger for no time: what is not sent yet is thrown away, and the peer gets a reset.
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


_NAMED = {"inbox": Kind.INBOX, "outbox": Kind.OUTBOX, "notification": Kind.NOTIFICATIONS}
"""Collections that every home has under this name."""
_WITHOUT_BODY = frozenset({"DELETE", "COPY", "MOVE"})
_KNOWN = frozenset(
    {"CONNECT", "TRACE", "PATCH", "LOCK", "UNLOCK", "SEARCH", "MKCOL", "MKCALENDAR", "POST", "ACL", "BIND", "UNBIND"}
)
"""Methods that exist elsewhere and are not offered."""
