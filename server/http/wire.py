"""The connection that a request came on: its head, who signed in on it, and its body, for those who did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, cast

from aiohttp import StreamReader, web

from server.domain.errors import BadRequest, RequestTimedOut, ResourceTooLarge, SignInRequired
from server.domain.principals import Principal
from server.domain.scopes import Door
from server.http import unread
from server.http.codings import decode
from server.http.headers import Headers
from server.http.sign_in import SignIn, Verifier

MAX_DRAIN = 1 << 20
"""Bytes of a refused body that are read to keep the connection of a client that is signed in."""
PATIENCE = 60.0
"""Seconds that a body may take, and again for every `PIECE` of it that has come."""
PIECE = 64 * 1024
"""Bytes."""


class Viewed(Protocol):
    """What a statement found, with the person whom it was asked for as the database has them now."""

    @property
    def viewer(self) -> Principal | None:
        """None where there is no such person any more."""


Found = TypeVar("Found", bound=Viewed)


class Wire:
    """A request as aiohttp gives it. The body is read only after the database has confirmed the sign-in."""

    def __init__(self, http: web.BaseRequest, verifier: Verifier, request_id: str, trace: str) -> None:
        self.http = http
        self.request_id = request_id
        self.trace = trace
        """The trace context (W3C Trace Context) of what happens for the request; empty for none."""
        self.method = http.method
        self.headers = cast("Headers", http.headers)
        self.door: Door = "apps"
        """What the front end of the request opens."""
        self.target = http.raw_path
        """The request target as sent."""
        self._verifier = verifier
        self._body: bytes | None = None
        self._awaited = self.headers.get("Expect", "").lower() == "100-continue"
        self._late = False
        self._sign_in: SignIn | None = None
        self._confirmed = False

    # -- who asks -----------------------------------------------------------------------------------------------------

    @property
    def peer(self) -> str | None:
        """The address at the other end of the connection; None for a Unix socket."""
        return self.http.remote or None

    @property
    def challenge(self) -> str | None:
        """The value of WWW-Authenticate; None where passwords are not asked for (no TLS, and not local)."""
        return self._verifier.challenge(self.headers, self.peer, tls=self.http.secure)

    @property
    def is_encrypted(self) -> bool:
        """Whether the client's own connection is known to be encrypted."""
        return bool(self._verifier.addresses.encrypted(self.headers, self.peer, tls=self.http.secure))

    @property
    def is_signed_in(self) -> bool:
        """Whether the request came with credentials that were accepted."""
        return self._sign_in is not None

    @property
    def signed_in(self) -> SignIn:
        """The credentials that were accepted. Raises `SignInRequired` before `sign_in`."""
        if self._sign_in is None:
            raise SignInRequired
        return self._sign_in

    async def sign_in(self) -> SignIn:
        """Verify the credentials; those in the cache cost no statement.

        Raises `SignInRequired`, `SignInDelayed`, `CredentialsRefused`.
        """
        self._sign_in = await self._verifier.authenticate(self.headers, self.peer, tls=self.http.secure, door=self.door)
        return self._sign_in

    async def confirmed(self, ask: Callable[[int], Awaitable[Found]]) -> Found:
        """What the request's statement finds for the person signed in, whom it confirms; again if the cache was stale.

        `ask` takes the principal's id. Raises `SignInRequired`, `SignInDelayed`.
        """
        for _ in range(3):
            sign_in = self._sign_in or await self.sign_in()
            found = await ask(sign_in.principal_id)
            if self._verifier.still_holds(sign_in, found.viewer):
                self._confirmed = True
                return found
            self._sign_in, self._confirmed = None, False
            self._verifier.forget(sign_in)
        raise SignInRequired

    # -- the body -----------------------------------------------------------------------------------------------------

    @property
    def has_body(self) -> bool:
        """Whether a body comes, as far as the headers tell."""
        return self.http.body_exists and self.http.content_length != 0

    @property
    def is_unread(self) -> bool:
        """Whether a part of the body has not been received."""
        return not self.http.content.is_eof()

    @property
    def leaves_doubt(self) -> bool:
        """Whether the connection has to close, because the rest of the body may still arrive.

        The client may send it although it got no 100 (Continue), it is too long to be discarded, or it came too late.
        """
        if not self.is_unread:
            return False
        limit = MAX_DRAIN if self.is_signed_in else unread.MAX_DISCARDED
        return self._awaited or self._late or (self.http.content_length or 0) > limit

    async def read(self, limit: int) -> bytes:
        """The body, read once however often it is asked for, of a person whose sign-in is `confirmed`.

        Raises `SignInRequired` for others, `ResourceTooLarge` for more than `limit` bytes, `BadRequest`,
        `RequestTimedOut`.
        """
        if not self._confirmed:
            raise SignInRequired
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
