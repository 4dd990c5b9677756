"""Connections of clients: aiohttp's, except for bytes that are not HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, InvalidURLError

from server.observe.metrics import Metrics

MAX_HEADER = 32 * 1024
"""Bytes of a request line or of one header field."""
KEEP_ALIVE = 75.0
"""Seconds that a connection is kept open on which no whole head of a request comes."""
_SHOWN = 200
"""Characters of what is said about a malformed request."""

log = structlog.get_logger()


class Connections(web.Server):
    """Makes the protocol of each connection, and knows those that are open."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], metrics: Metrics) -> None:
        super().__init__(
            handler,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEP_ALIVE,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
        )
        self._metrics = metrics

    def __call__(self) -> web.RequestHandler:
        """The protocol of a connection that was accepted."""
        return _Connection(self, self._metrics, **self._kwargs)


class _Connection(web.RequestHandler):
    """One connection. What cannot be read as HTTP is answered with 400 and counted, without a traceback in the log."""

    __slots__ = ("_metrics",)

    def __init__(self, connections: Connections, metrics: Metrics, **options: Any) -> None:
        super().__init__(connections, loop=connections._loop, **options)
        self._metrics = metrics

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no request, which ends the connection."""
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        self._metrics.malformed.inc()
        # Whose it is and of what kind; not what it says.
        log.info("request_malformed", address=request.remote, error=type(exc).__name__)
        reason = "its target is not a URL" if isinstance(exc, InvalidURLError) else (message or "").partition("\n")[0]
        text = f"This is not a well-formed HTTP request: {reason[:_SHOWN].rstrip(' :')}.\n"
        response = web.Response(
            status=status, text=text.encode("ascii", "replace").decode(), headers={"X-Content-Type-Options": "nosniff"}
        )
        response.force_close()
        return response
