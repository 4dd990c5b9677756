"""A client that is not signed in has no body received, decompressed or parsed, on any method and path."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.auth.passwords import PasswordHasher
from server.dav.core import xml
from server.domain.changes import Cause
from server.http import codings, unread, wire
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav import person as bodies
from tests.integration.dav.client import Client, Connection, Reply, basic
from tests.integration.dav.conftest import NewPerson, Served, make_person
from tests.integration.dav.person import Person, event
from tests.integration.dav.statements import Statements

METHODS = (
    "OPTIONS",
    "GET",
    "HEAD",
    "PROPFIND",
    "PROPPATCH",
    "REPORT",
    "PUT",
    "POST",
    "DELETE",
    "COPY",
    "MOVE",
    "MKCOL",
    "MKCALENDAR",
    "ACL",
    "LOCK",
    "PATCH",
    "SEARCH",
)
HOME, BOOKS = "/calendars/__uids__/uid-unsigned/", "/addressbooks/__uids__/uid-unsigned/"
PATHS = (
    "/",
    "/principals/",
    "/principals/__uids__/uid-unsigned/",
    HOME,
    f"{HOME}calendar/",
    f"{HOME}calendar/;add-member",
    f"{HOME}calendar/1.ics",
    f"{HOME}new/",
    f"{BOOKS}addressbook/1.vcf",
    "/nowhere/at/all/",
    "/metrics",
)
OPEN = ("/.well-known/caldav", "/.well-known/carddav", "/healthz", "/readyz")
INVENTED = b"".join(b"<a%d/>" % number for number in range(20_000))
LENGTH = "Content-Length: {}\r\n"
BODIES: dict[str, tuple[str, bytes]] = {
    "malformed XML": (LENGTH.format(7), b"<broken"),
    "invented names": (LENGTH.format(len(INVENTED) + 7), b"<r>" + INVENTED + b"</r>"),
    "gzip bomb": (
        f"Content-Encoding: gzip\r\n{LENGTH.format(len(gzip.compress(bytes(9_000_000))))}",
        gzip.compress(bytes(9_000_000)),
    ),
    "unknown coding": (f"Content-Encoding: x-none\r\n{LENGTH.format(3)}", b"abc"),
    "huge": (LENGTH.format(10**12), b"x" * 1000),
    "slow": (LENGTH.format(1000), b""),
    "slow chunks": ("Transfer-Encoding: chunked\r\n", b"5\r\n<a>"),
    "awaited": (f"Expect: 100-continue\r\n{LENGTH.format(1000)}", b""),
}
"""Framing headers and the bytes that are sent of the body: of slow ones the rest never comes."""


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def owner(served: Served) -> AsyncIterator[Person]:
    made = await make_person(served, "unsigned")
    yield made
    made.http.close()


async def ask(served: Served, method: str, path: str, body: str, *headers: str) -> tuple[Reply, Connection]:
    framing, content = BODIES[body]
    fields = "".join(f"{line}\r\n" for line in headers) + framing
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nDepth: 0\r\n{fields}\r\n"
    connection = await Connection.open(served.port)
    await connection.send(head.encode() + content)
    async with asyncio.timeout(30):
        return await connection.reply(method), connection


@pytest.mark.parametrize("credentials", ["none", "wrong", "malformed"])
@pytest.mark.parametrize("body", BODIES)
async def test_the_answer_does_not_wait_for_a_body(
    served: Served, owner: Person, monkeypatch: pytest.MonkeyPatch, body: str, credentials: str
) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("a body was processed")

    monkeypatch.setattr(wire, "decode", read)
    monkeypatch.setattr(codings, "decode", read)
    monkeypatch.setattr(xml, "parse_body", read)
    header = {
        "none": (),
        "wrong": (f"Authorization: {basic('unsigned', 'wrong')}",),
        "malformed": ("Authorization: x",),
    }
    for method, path in itertools.product(METHODS, PATHS):
        reply, connection = await ask(served, method, path, body, *header[credentials])
        if path == "/metrics" and method not in ("GET", "HEAD"):
            assert reply.status == 405
            connection.close()
            continue
        assert reply.status == 401, (method, path, reply.status, reply.body)
        assert reply.interim == []
        assert "WWW-Authenticate" in reply.headers
        connection.close()


@pytest.mark.parametrize("body", BODIES)
async def test_paths_that_need_no_sign_in_read_no_body(served: Served, body: str) -> None:
    for method, path in itertools.product(("GET", "PROPFIND", "PUT", "REPORT"), OPEN):
        reply, connection = await ask(served, method, path, body)
        assert reply.status in (200, 301, 405), (method, path, reply.status)
        assert reply.interim == []
        connection.close()


async def test_a_short_unread_body_is_discarded_and_the_connection_kept(served: Served) -> None:
    connection = await Connection.open(served.port)
    for size in (1, 1000, unread.MAX_DISCARDED):
        head = f"PUT {HOME}calendar/1.ics HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
        await connection.send(head)
        reply = await connection.reply("PUT")  # the answer comes first
        assert reply.status == 401
        assert reply.headers.get("Connection", "").lower() != "close"
        await connection.send(b"x" * size)
    connection.close()


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_long_unread_body_closes_the_connection(served: Served, framing: str) -> None:
    """The answer arrives although the client goes on sending."""
    connection = await Connection.open(served.port)
    header = "Content-Length: 1000000000" if framing == "length" else "Transfer-Encoding: chunked"
    await connection.send(f"PUT {HOME}calendar/1.ics HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n".encode())
    piece = b"x" * 10_000 if framing == "length" else b"2710\r\n" + b"x" * 10_000 + b"\r\n"
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            await connection.send(piece)
            sent += len(piece)

    flooding = asyncio.create_task(flood())
    reply = await connection.reply("PUT")
    assert reply.status == 401
    assert await connection.at_end()
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(30):
            await flooding
    assert sent < 100_000_000  # what the buffers of the system and the server take
    connection.close()


async def test_a_stale_sign_in_has_no_body_parsed(served: Served, new_person: NewPerson) -> None:
    """Credentials that the worker remembers no longer count when the database says so, whatever the method."""
    hasher = PasswordHasher()
    someone = await new_person(password_hash=await hasher.hash("right"))
    hasher.close()
    client = served.client(Authorization=basic(someone.name, "right"))
    directory = PostgresDirectory(served.storage.database)
    for method in ("PROPFIND", "REPORT", "MKCOL", "MKCALENDAR", "PROPPATCH", "ACL", "PUT", "POST"):
        await directory.write_principals([PrincipalChange(someone.id, disabled=False)], Cause(None, "test"))
        path = f"{someone.calendar}1.ics" if method == "PUT" else someone.calendar
        assert (await client("OPTIONS", path)).status in (200, 404)
        await directory.write_principals([PrincipalChange(someone.id, disabled=True)], Cause(None, "test"))
        assert (await client(method, path, b"<broken")).status == 401, method
    client.close()


async def test_a_sign_in_that_is_remembered_costs_no_statement(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    statements = Statements(monkeypatch)
    find = bodies.xml("D:propfind", "<D:prop><D:displayname/></D:prop>")
    multiget = f"<D:prop><C:calendar-data/></D:prop><D:href>{path}</D:href>"
    sent = {
        "GET": (await person.http("GET", path), 1),
        "PROPFIND": (await person.http("PROPFIND", person.calendar, find, Depth="0"), 1),
        "PROPPATCH": (await person.proppatch(person.calendar, "<D:set><D:prop><X:a/></D:prop></D:set>"), 2),
        "PUT": (await person.put(path, event("1", "Changed")), 2),
        "REPORT": (await person.report(person.calendar, "C:calendar-multiget", multiget), 2),
        "MKCALENDAR": (await person.http("MKCALENDAR", f"{person.home}new/"), 2),
        "MKCOL": (await person.http("MKCOL", person.calendar), 1),
    }
    for method, (reply, allowed) in sent.items():
        assert reply.status < 500
        assert statements.of(reply) <= allowed, method


@pytest.mark.parametrize(("count", "wrapped"), [(22_000, True), (180_000, True), (180_000, False)])
async def test_many_invented_names_delay_nobody(person: Person, served: Served, count: int, wrapped: bool) -> None:
    """Others wait a small part of the time that the request itself takes; the best of five, for other work pauses them
    as well. A request shorter than 50 ms counts as that long, since pauses of some milliseconds are the machine's."""
    invented = b"".join(b"<b%d/>" % number for number in range(count))
    inner = b"<ignored>" + invented + b"</ignored>" if wrapped else invented
    body = b'<D:propfind xmlns:D="DAV:"><D:prop/>' + inner + b"</D:propfind>"
    waits: list[float] = []

    async def ticking() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            last, before = time.perf_counter(), last
            waits.append(last - before)

    client = Client(served.port, person.http.headers)
    assert (await client("PROPFIND", person.calendar, Depth="0")).status == 207
    shares = []
    for _ in range(5):
        waits.clear()
        watch = asyncio.create_task(ticking())
        began = time.perf_counter()
        reply = await client("PROPFIND", person.calendar, body, Depth="0")
        took = time.perf_counter() - began
        watch.cancel()
        assert reply.status == (207 if wrapped else 400)
        shares.append(max(waits) / max(took, 0.05))
    assert min(shares) < 1 / 3
    client.close()
