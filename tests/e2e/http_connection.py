"""HTTP/1.1 as a client speaks it that wants to know exactly what happened: nothing is repeated, nothing is hidden."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_TIMEOUT = 60.0
"""Seconds; whatever takes longer counts as a hang."""


class Broken(Exception):
    """The connection ended before the whole answer was there: whether the request was carried out is unknown."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that arrived whole."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass
class Connection:
    """One connection of one person, opened when it is needed and kept as long as the server keeps it."""

    port: int
    name: str
    password: str
    host: str = "127.0.0.1"
    receive_buffer: int | None = None
    """Bytes that the system keeps for us while we do not read; its own choice if None."""
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None, repr=False)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Reply:
        """Send a request and read the answer to its end. Raises `Broken`, and `TimeoutError` for a hang."""
        try:
            async with asyncio.timeout(timeout):
                await self.send(method, path, body, headers)
                return await self.receive(method)
        except BaseException as error:
            self.drop()
            if isinstance(error, (OSError, EOFError)) and not isinstance(error, TimeoutError):
                raise Broken(f"{method} {path}: {error!r}") from error
            raise

    async def send(
        self, method: str, path: str, body: bytes | str = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a request without waiting for the answer."""
        body = body.encode() if isinstance(body, str) else body
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}", f"Authorization: {self.authorization}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body or method in ("PUT", "POST"):
            lines.append(f"Content-Length: {len(body)}")
        _, writer = await self.open()
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    async def receive(self, method: str) -> Reply:
        """Read the answer to the request that was sent."""
        reader, _ = await self.open()
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        status = int(first.split(" ", 2)[1])
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = b""
        if method == "HEAD" or status in (204, 304):
            pass
        elif headers.get("transfer-encoding") == "chunked":
            body = await _chunks(reader)
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close":
            self.drop()
        return Reply(status, headers, body)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The streams; connects first if there are none."""
        if self._streams is None:
            self._streams = await self._connect()
        return self._streams

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.receive_buffer is None:
            return await asyncio.open_connection(self.host, self.port, limit=1 << 20)
        ours = socket.socket()
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        await asyncio.get_running_loop().sock_connect(ours, (self.host, self.port))
        return await asyncio.open_connection(sock=ours, limit=self.receive_buffer)

    @property
    def authorization(self) -> str:
        """The value of the header that signs in."""
        return "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode()).decode()

    @property
    def local_port(self) -> int:
        """Our end's port, by which the worker that holds the other end is known."""
        assert self._streams is not None
        return int(self._streams[1].get_extra_info("sockname")[1])

    def drop(self) -> None:
        """Close the connection; the next request opens another, which another worker may accept."""
        if self._streams is not None:
            with contextlib.suppress(OSError):
                self._streams[1].close()
            self._streams = None


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body; raises `asyncio.IncompleteReadError` (an `EOFError`) when its last chunk does not come."""
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readuntil(b"\r\n")
    return b"".join(parts)
