"""Sends mutated requests over many connections, and judges what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.e2e.hostile.message import Message, Places
from tests.e2e.hostile.mutation import Recipe

PIPELINED = 4
"""Requests that are sent before the first of them is answered."""
PATIENCE = 60.0
"""Seconds after which an answer that has not come is a hang."""
LOOSE_PATIENCE = 0.25
"""Seconds for which an answer is waited for that may never come."""
OVERLOAD = frozenset({503, 507})
UNKNOWN_METHOD = 501
_KNOWN = frozenset(
    b"GET HEAD PUT POST DELETE OPTIONS PROPFIND PROPPATCH REPORT MKCOL MKCALENDAR COPY MOVE ACL "
    b"LOCK UNLOCK PATCH TRACE CONNECT SEARCH BIND".split()
)
_INNER_FAILURE = re.compile(rb"HTTP/1\.1 5(?!07)\d\d")
_MARKUP = re.compile(rb"<(\w+:)?error[^>/]*(/>|>\s*</)")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    seconds: float = 0.0


@dataclass(slots=True)
class Tally:
    """What came of all requests."""

    sent: int = 0
    bytes_sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    """Loose ones without an answer."""
    failures: list[tuple[Recipe, str, str]] = field(default_factory=list)
    """Recipe, whose, and what was wrong."""
    slowest: list[tuple[float, str, Recipe]] = field(default_factory=list)
    """Seconds, whose, recipe."""

    def took(self, seconds: float, whose: str, recipe: Recipe) -> None:
        if len(self.slowest) < 20 or seconds > self.slowest[-1][0]:
            self.slowest.append((seconds, whose, recipe))
            self.slowest.sort(key=lambda each: -each[0])
            del self.slowest[20:]


def judge(message: Message, reply: Reply) -> str | None:
    """What is wrong with an answer."""
    status = reply.status
    if status >= 500:
        if status in OVERLOAD or (status == UNKNOWN_METHOD and message.method not in _KNOWN):
            return None if reply.body or message.method == b"HEAD" else f"{status} without a word"
        return f"{status}: {reply.body[:300]!r}"
    body = reply.body
    if reply.headers.get(b"content-encoding") == b"gzip" and body:
        try:
            body = zlib.decompress(body, wbits=31)
        except zlib.error:
            return f"{status} with a body that is no gzip"
    if status >= 400:
        if b"HEAD" in message.method or (message.loose and message.wire is not None and b"HEAD " in message.wire[:200]):
            return None
        if not body.strip():
            return f"{status} without a reason"
        if len(body) > 20_000:
            return f"{status} with {len(body)} bytes"
        if body.startswith(b"<?xml"):
            if _MARKUP.search(body):
                return f"{status} with an error that names nothing: {body[:300]!r}"
        elif len(body.split()) < 3:
            return f"{status} with a reason that says nothing: {body[:300]!r}"
    elif status == 207 and (found := _INNER_FAILURE.search(body)):
        return f"207 with {found[0]!r}: {body[max(0, found.start() - 300) : found.end()]!r}"
    return None


async def read_reply(reader: asyncio.StreamReader, method: bytes) -> Reply:
    """One answer. Raises `EOFError` where the connection ends before it."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        status = int(first.split(b" ", 2)[1])
        if status >= 200:
            break
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    if method == b"HEAD" or status in (204, 304):
        return Reply(status, headers, b"")
    if headers.get(b"transfer-encoding") == b"chunked":
        parts = []
        while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readuntil(b"\r\n")
        return Reply(status, headers, b"".join(parts))
    if b"content-length" in headers:
        return Reply(status, headers, await reader.readexactly(int(headers[b"content-length"])))
    return Reply(status, headers, await reader.read())


class Line:
    """One connection of an attacker, opened anew whenever the server has closed it."""

    def __init__(self, port: int, places: Places, tally: Tally) -> None:
        self.port = port
        self.places = places
        self.tally = tally
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, recipes: Iterable[Recipe]) -> None:
        """Send the requests, several at a time where nothing speaks against it."""
        waiting: list[tuple[Recipe, Message]] = []
        for recipe in recipes:
            message = recipe.message(self.places)
            if message.loose:
                await self._loosely(recipe, message)
            elif message.alone:
                await self._flush(waiting)
                await self._flush([(recipe, message)])
            else:
                waiting.append((recipe, message))
                if len(waiting) >= PIPELINED:
                    await self._flush(waiting)
        await self._flush(waiting)

    async def _flush(self, waiting: list[tuple[Recipe, Message]]) -> None:
        """Send what waits, together, and read the answers in order; a closed connection is opened again."""
        pending = list(waiting)
        waiting.clear()
        fruitless = 0
        while pending:
            answered = 0
            began = time.perf_counter()
            try:
                async with asyncio.timeout(PATIENCE):
                    fresh = self._streams is None
                    reader, writer = await self._open()
                    writer.write(b"".join(message.encode() for _, message in pending))
                    for recipe, message in pending:
                        reply = await read_reply(reader, message.method)
                        answered += 1
                        self._note(recipe, message, reply, time.perf_counter() - began)
                        if reply.headers.get(b"connection", b"").lower() == b"close":
                            self.close()
                            break
            except TimeoutError:
                self.close()
                self._fail(pending[answered][0], f"no answer within {PATIENCE:g} s")
                answered += 1
            except (EOFError, OSError, ValueError, RuntimeError, asyncio.LimitOverrunError) as error:
                # RuntimeError: uvloop, of a connection that was closed meanwhile
                self.close()
                if not answered and fresh:
                    fruitless += 1
                if fruitless >= 2:
                    self._fail(pending[answered][0], f"no answer: {error!r}")
                    answered += 1
                    fruitless = 0
            pending = pending[answered:]

    async def _loosely(self, recipe: Recipe, message: Message) -> None:
        """Send on a connection of its own and take what comes within a moment."""
        data = message.encode()
        replies = 0
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
            try:
                writer.write(data)
                async with asyncio.timeout(LOOSE_PATIENCE):
                    while True:
                        reply = await read_reply(reader, message.method)
                        if replies:
                            self._judge(recipe, message, reply)
                        else:
                            self._note(recipe, message, reply, 0.0)
                        replies += 1
                        if reply.headers.get(b"connection", b"").lower() == b"close":
                            break
            finally:
                writer.close()
        except (TimeoutError, EOFError, OSError, ValueError, RuntimeError, asyncio.LimitOverrunError):
            pass
        if not replies:
            self.tally.sent += 1
            self.tally.unanswered += 1

    def _note(self, recipe: Recipe, message: Message, reply: Reply, seconds: float) -> None:
        tally = self.tally
        tally.sent += 1
        tally.bytes_sent += len(message.body)
        tally.statuses[reply.status] += 1
        if seconds > 0.1:
            tally.took(seconds, self.places.name, recipe)
        self._judge(recipe, message, reply)

    def _judge(self, recipe: Recipe, message: Message, reply: Reply) -> None:
        wrong = judge(message, reply)
        if wrong is not None:
            self._fail(recipe, wrong)

    def _fail(self, recipe: Recipe, wrong: str) -> None:
        self.tally.failures.append((recipe, self.places.name, wrong))

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        return self._streams

    def close(self) -> None:
        if self._streams is not None:
            with contextlib.suppress(OSError):
                self._streams[1].close()
            self._streams = None


async def shortened(recipe: Recipe, port: int, places: Places) -> tuple[Recipe, str] | None:
    """A recipe without the steps that a failure does not need, and the failure; None where it does not fail again."""

    async def failure(tried: Recipe) -> str | None:
        tally = Tally()
        line = Line(port, places, tally)
        await line.send([tried])
        line.close()
        return tally.failures[0][2] if tally.failures else None

    wrong = await failure(recipe)
    if wrong is None:
        return None
    number = 0
    while number < len(recipe.steps):
        shorter = recipe.without(number)
        found = await failure(shorter)
        if found is not None:
            recipe, wrong = shorter, found
        else:
            number += 1
    return recipe, wrong


def divided(recipes: Sequence[Recipe], lines: int) -> list[Sequence[Recipe]]:
    """The recipes for each of a number of connections."""
    return [recipes[number::lines] for number in range(lines)]
