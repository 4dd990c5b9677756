"""Sending answers: compressed for those who accept it, whole or in chunks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct

import structlog
from aiohttp import hdrs, web

from server.http.answer import Answer
from server.http.codings import accepts_gzip

GZIP_FROM = 1024
"""Bytes from which an answer is compressed for those who accept it."""

_log = structlog.get_logger(__name__)


async def send(http: web.BaseRequest, answer: Answer, *, gzip: bool, close: bool) -> web.StreamResponse:
    """The response, which aiohttp sends; one in chunks has been sent already.

    `gzip`: whether it may be compressed. `close`: whether the connection ends with it.
    """
    compress = gzip and accepts_gzip(http.headers.get("Accept-Encoding", ""))
    if answer.stream is not None:
        return await _stream(http, answer, compress)
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


async def _stream(http: web.BaseRequest, answer: Answer, compress: bool) -> web.StreamResponse:
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
