"""Bodies of requests that are answered without reading them: those of clients that are not signed in."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

MAX_DISCARDED = 64 * 1024
"""Bytes of an unread body that are received and dropped to keep the connection; a longer one closes it."""
DISCARD_SECONDS = 5.0
"""Seconds in which they must arrive."""
CLOSE_SECONDS = 1.0
"""Seconds from the end of the answer until a connection closes that still receives data."""


async def discard(http: web.BaseRequest, response: web.StreamResponse) -> None:
    """Send the answer, then drop the body that was not read; one longer than `MAX_DISCARDED` closes the connection."""
    content, left = http.content, MAX_DISCARDED
    with contextlib.suppress(ConnectionError, TimeoutError, web.RequestPayloadError, ValueError):
        await response.prepare(http)
        await response.write_eof()
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0 and not content.is_eof():
                left -= len(await content.readany())
    transport = http.transport
    if content.is_eof() or transport is None:
        return
    response.force_close()
    # A close with unread data resets the connection, and the client may lose the answer: it first gets time to read it.
    with contextlib.suppress(OSError, RuntimeError):
        if transport.can_write_eof():
            transport.write_eof()
    await asyncio.sleep(CLOSE_SECONDS)
    transport.close()
