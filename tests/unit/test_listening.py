"""Accepting connections while the system refuses them."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import tempfile
from collections.abc import Callable

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from server.process import listening
from server.process.listening import Acceptor, Counts, SharedAcceptor

Started = Callable[[socket.socket], SharedAcceptor | Acceptor]


def shared(listener: socket.socket) -> SharedAcceptor:
    acceptor = SharedAcceptor([listener], _Answering)
    acceptor.start()
    return acceptor


def http(listener: socket.socket) -> Acceptor:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(text="Hello")

    with tempfile.TemporaryFile(buffering=0) as file:
        acceptor = Acceptor([listener], web.Server(answer), Counts(file.fileno(), 1), 0)
    acceptor.start()
    return acceptor


class _Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(b"Hello")


@pytest.mark.parametrize("started", [shared, http])
async def test_a_connection_that_found_no_descriptor_is_accepted_later(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_SHORTAGE_SECONDS", 0.01)
    loop = asyncio.get_running_loop()
    (listener,) = listening.open_listeners("127.0.0.1", 0)
    acceptor = started(listener)
    client = socket.socket()
    client.setblocking(False)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with capture_logs() as logged:
        next_one = os.dup(client.fileno())
        os.close(next_one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, before[1]))
        try:
            await loop.sock_connect(client, listener.getsockname())
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            while not logged:
                await asyncio.sleep(0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert b"Hello" in await asyncio.wait_for(loop.sock_recv(client, 1000), 30)
    assert logged[0]["event"] == "connections_refused"
    client.close()
    if (closing := acceptor.close()) is not None:
        await closing
