"""From an HTTP request to an answer: front end, sign-in, route, and the one place where errors become answers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from aiohttp import web

from server.domain.changes import Cause
from server.domain.errors import (
    AccessDenied,
    KoyomiError,
    SignInDelayed,
    SignInRequired,
    TooManyRequests,
    Unavailable,
)
from server.domain.privileges import Privilege
from server.http import unread
from server.http.answer import Answer
from server.http.errors import Refused, translate
from server.http.front_end import FrontEnd
from server.http.paths import UrlPath
from server.http.request_log import OTHER, Entry, Logged, RequestLog
from server.http.sending import send
from server.http.sign_in import Verifier
from server.http.wire import Wire

_log = structlog.get_logger(__name__)

NoteRefusal = Callable[[Cause, int | None, Privilege, str], Awaitable[None]]
"""Called when a person lacks a privilege, with the id of the principal whose resource it is, as far as it is known, and
the method. Raises nothing."""


class Dispatcher:
    """Answers requests. One for each worker."""

    def __init__(
        self,
        front_ends: Sequence[FrontEnd[Any]],
        verifier: Verifier,
        log: RequestLog,
        *,
        prefix: str = "",
        gzip: bool = True,
        hsts_seconds: int = 0,
        note_refusal: NoteRefusal | None = None,
    ) -> None:
        """The first of `front_ends` that takes a path answers; the last one takes all, and what is no path.

        `prefix` is the path under which a proxy shows this server. `hsts_seconds`: how long browsers that came by TLS
        are to come by no other way.
        """
        self._front_ends = front_ends
        self._verifier = verifier
        self._log = log
        self._prefix = prefix
        self._gzip = gzip
        self._note_refusal = note_refusal
        self._hsts = f"max-age={hsts_seconds}" if hsts_seconds else ""

    async def __call__(self, http: web.BaseRequest) -> web.StreamResponse:
        """aiohttp's handler: answers a request, and never raises for what a client sends."""
        request_id = secrets.token_hex(6)
        with self._log.open(http, request_id) as entry:
            wire = Wire(http, self._verifier, request_id, entry.trace)
            response = await self._respond(wire, entry)
        if wire.is_unread and not wire.is_signed_in:
            await unread.discard(http, response)
        return response

    async def _respond(self, wire: Wire, entry: Entry) -> web.StreamResponse:
        http, front_end = wire.http, self._front_ends[-1]
        try:
            try:
                # OPTIONS * is about the server as a whole (RFC 9110 §9.3.7).
                whole = wire.target == "*" and wire.method == "OPTIONS"
                path = UrlPath.parse("/" if whole else wire.target, self._prefix)
                for front_end in self._front_ends:
                    if front_end.takes(path):
                        break
                wire.door = front_end.door
                request = entry.request = front_end.open(wire, path)
                answer = await _answer(front_end, wire, request)
            except KoyomiError as error:
                self._log.refused(translate(error).label)
                if isinstance(error, AccessDenied):
                    await self._note(error, wire.method, entry.request)
                answer = _refuse(front_end, wire, entry.request, error)
        except ConnectionError:
            # The client has gone, and what is answered reaches nobody. Raised, aiohttp logs it as a failure of ours.
            return web.Response(status=400)
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("request_failed", method=wire.method)
            failure = KoyomiError("The server failed to answer. The failure was logged.")
            answer = front_end.refuse(failure, None)
        answer.headers["X-Request-Id"] = entry.request_id
        # A browser must not interpret stored texts, or input quoted in errors, as a page.
        answer.headers["X-Content-Type-Options"] = "nosniff"
        if self._hsts and wire.is_encrypted:
            answer.headers["Strict-Transport-Security"] = self._hsts
        response = await send(http, answer, gzip=self._gzip, close=wire.leaves_doubt)
        if http.transport is not None and not http.transport.is_closing():
            entry.status, entry.sent = answer.status, response.body_length or len(answer.body)
        return response

    async def _note(self, error: AccessDenied, method: str, request: Logged | None) -> None:
        cause = None if request is None else request.cause
        if self._note_refusal is not None and request is not None and cause is not None:
            method = method if method in self._log.methods else OTHER
            await self._note_refusal(cause, request.concerned, error.privilege, method)


async def _answer(front_end: FrontEnd[Any], wire: Wire, request: Logged) -> Answer:
    """The answer to a request. Nothing reads the body before the sign-in."""
    route = front_end.routes.find(wire.method, front_end.kind_of(request), wire.headers)
    if not route.open:
        await wire.sign_in()
    if not route.takes_body and wire.has_body:
        raise Refused(415, f"A body of {wire.method} is not understood.")
    return await route.handler(request)


def _refuse(front_end: FrontEnd[Any], wire: Wire, request: Logged | None, error: KoyomiError) -> Answer:
    """The answer to a domain error, with the headers that belong to its status."""
    if not isinstance(error, SignInRequired):
        answer = front_end.refuse(error, request)
        if isinstance(error, SignInDelayed | TooManyRequests | Unavailable):
            answer.headers["Retry-After"] = str(error.retry_after)
        return answer
    challenge = wire.challenge
    if challenge is None:
        return front_end.refuse(Refused(403, "Signing in needs TLS here."), request)
    answer = front_end.refuse(error, request)
    answer.headers["WWW-Authenticate"] = challenge
    return answer
