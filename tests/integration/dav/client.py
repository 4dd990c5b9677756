"""An HTTP client for the tests of the protocol: paths and bytes go out exactly as they are given."""

from __future__ import annotations

import asyncio
import re
import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree
from multidict import CIMultiDict

from tests.integration.dav.multistatus import Element, Multistatus, dav, read


@dataclass
class Reply:
    status: int
    headers: CIMultiDict[str]
    raw: bytes
    """The body as it came; `body` is without a content coding."""
    interim: list[int] = field(default_factory=list)
    """Statuses of interim responses (1xx) before it."""

    @property
    def body(self) -> bytes:
        if self.headers.get("Content-Encoding") == "gzip":
            return zlib.decompress(self.raw, wbits=31)
        return self.raw

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def etag(self) -> str:
        return self.headers["ETag"]

    @property
    def xml(self) -> Element:
        return etree.fromstring(self.body)

    @property
    def multistatus(self) -> Multistatus:
        assert self.status == 207, f"{self.status}: {self.body[:2000]!r}"
        assert self.headers["Content-Type"].startswith("application/xml")
        return read(self.xml)

    @property
    def precondition(self) -> Element:
        """The one element in DAV:error."""
        root = self.xml
        assert root.tag == dav("error")
        (found,) = root
        return found

    def refused(self, status: int, precondition: str | None = None) -> Element | None:
        """Asserts that this is a refusal, with this precondition in its body (given back) or a reason in words."""
        assert self.status == status, f"{self.status}: {self.body[:2000]!r}"
        if precondition is None:
            assert self.body.strip(), "no reason is given"
            return None
        assert self.headers["Content-Type"].startswith("application/xml")
        assert self.precondition.tag == precondition
        return self.precondition


class Connection:
    """One TCP connection, on which replies are read one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, method: str = "GET") -> Reply:
        """Reads a whole reply. Raises `EOFError` when the connection is closed before its end."""
        interim: list[int] = []
        while True:
            status, headers = await self._head()
            if status >= 200:
                break
            interim.append(status)
        return Reply(status, headers, await self._body(method, status, headers), interim)

    async def _head(self) -> tuple[int, CIMultiDict[str]]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        headers: CIMultiDict[str] = CIMultiDict()
        for line in lines:
            name, _, value = line.partition(":")
            headers.add(name, value.strip())
        return int(first.split(" ", 2)[1]), headers

    async def _body(self, method: str, status: int, headers: CIMultiDict[str]) -> bytes:
        if method == "HEAD" or status in (204, 304):
            return b""
        if headers.get("Transfer-Encoding", "").lower() != "chunked":
            return await self.reader.readexactly(int(headers.get("Content-Length", "0")))
        parts = []
        while size := int((await self.reader.readline()).split(b";")[0], 16):
            parts.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
        await self.reader.readline()
        return b"".join(parts)

    async def at_end(self) -> bool:
        """Whether the server closes the connection; it may send something more instead."""
        async with asyncio.timeout(30):
            return await self.reader.read(1) == b""

    def close(self) -> None:
        self.writer.close()


class Client:
    """Sends requests as one person, on a connection that is kept."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        """`headers` are sent with each request."""
        self.port = port
        self.headers = dict(headers)
        self._connection: Connection | None = None

    async def __call__(self, method: str, path: str, body: bytes | str = b"", /, **headers: str) -> Reply:
        """A request; names of headers have `_` for `-`, a header that is empty is not sent."""
        data = self.message(method, path, body, **headers)
        if self._connection is not None and self._connection.reader.at_eof():
            self.close()
        for attempt in range(2):
            kept = self._connection is not None
            if self._connection is None:
                self._connection = await Connection.open(self.port)
            try:
                await self._connection.send(data)
                reply = await self._connection.reply(method)
                break
            except BaseException as error:
                self.close()
                unanswered = isinstance(error, asyncio.IncompleteReadError) and not error.partial
                if not (kept and attempt == 0 and (unanswered or isinstance(error, ConnectionError))):
                    raise
        if reply.headers.get("Connection", "").lower() == "close":
            self.close()
        return reply

    def message(self, method: str, path: str, body: bytes | str = b"", /, **headers: str) -> bytes:
        """The bytes of a request. A header over several lines, as RFCs print it, is sent in one (RFC 9112 §5.2)."""
        content = body.encode() if isinstance(body, str) else body
        fields = {"Host": f"127.0.0.1:{self.port}", **self.headers}
        if content:
            fields["Content-Length"] = str(len(content))
            fields["Content-Type"] = 'application/xml; charset="utf-8"'
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        unfolded = {name: re.sub(r"\r\n\s+", " ", value) for name, value in fields.items() if value}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in unfolded.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + content

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def basic(name: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()
