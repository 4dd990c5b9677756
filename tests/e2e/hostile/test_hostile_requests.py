"""What no honest client sends, in numbers, against a whole server: refused with a reason, and nobody else notices.

`KOYOMI_HOSTILE_REQUESTS` is how many are sent; `many_requests` sends more, and tells how far it is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.hostile.corpus import TEMPLATES
from tests.e2e.hostile.many_requests import run, server_for
from tests.e2e.hostile.message import Message
from tests.e2e.hostile.mutation import MUTATIONS, Recipe, Step
from tests.e2e.hostile.sending import Line, Reply, Tally, judge, read_reply
from tests.e2e.hostile.siege import VICTIM, Siege
from tests.e2e.http_connection import Connection
from tests.server_process import ServerProcess, running

REQUESTS = int(os.environ.get("KOYOMI_HOSTILE_REQUESTS", "20000"))
HALVES = 100
REFUSED = {
    # the attackers have no right
    "outlook: victim's": 403,
    "plain: victim's": 403,
    "plain: deletion of the victim's": 403,
    "library: copy over the victim's": 403,
    "plain: victim's event": 403,
    "plain: victim's card": 403,
    # kinds of components that calendars do not take
    "ios: availability": 403,
    "apple: free-busy": 403,
    # there is no such tag
    "davx5: changed event": 412,
}
"""Requests of the corpus that are answered with a refusal."""


@pytest.fixture(scope="module")
def server(server_folder: Path) -> Iterator[ServerProcess]:
    made = server_for(server_folder / "hostile", server_folder / "hostile.log")
    with running(made):
        yield made


@pytest.fixture(scope="module")
async def prepared(server: ServerProcess) -> Siege:
    siege = Siege(server)
    await siege.prepare()
    return siege


async def test_unmutated_requests_are_what_the_server_understands(prepared: Siege) -> None:
    """Otherwise their mutations would all fail in the same place."""
    places = prepared.people[0]
    refused = {}
    for number, template in enumerate(TEMPLATES):
        tally = Tally()
        line = Line(prepared.server.port, places, tally)
        await line.send([Recipe(number, ())])
        line.close()
        assert tally.failures == []
        (status,) = tally.statuses
        if status >= 400:
            refused[template.name] = status
    assert refused == REFUSED


def test_mutated_requests(server: ServerProcess) -> None:
    said: list[str] = []
    found = run(Siege(server), REQUESTS, 1, said.append)
    print(*said, sep="\n")
    assert not found, "\n".join(found)


async def test_half_requests_keep_nobody_waiting(prepared: Siege) -> None:
    """Heads and bodies that are begun and never ended, on many connections at once, and some byte by byte."""
    port, places = prepared.server.port, prepared.people[1]
    put = next(number for number, each in enumerate(TEMPLATES) if each.name == "apple: event")
    data = Recipe(put, ()).message(places).encode()
    head = data.index(b"\r\n\r\n") + 4
    prepared.victims_before = await prepared.victims()
    halves = []
    for number in range(HALVES):
        for cut in (number % head, head, len(data) - 1 - number % 50):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data[:cut])
            halves.append(writer)
    reader, slow = await asyncio.open_connection("127.0.0.1", port)
    for byte in data:
        slow.write(bytes((byte,)))
        await slow.drain()
    assert (await read_reply(reader, b"PUT")).status in (201, 204)
    slow.close()
    others = [Connection(port, VICTIM, VICTIM) for _ in range(8)]
    for _ in range(10):
        for http in others:
            assert (
                await http.request("GET", f"/calendars/users/{VICTIM}/calendar/secret.ics", timeout=60)
            ).status == 200
    # The workers write down once a second how many connections are open.
    async with asyncio.timeout(60):
        while await _connections(prepared) < len(halves):
            await asyncio.sleep(0.2)
    for http in others:
        http.drop()
    for writer in halves:
        writer.close()
    async with asyncio.timeout(60):
        while await _connections(prepared) >= len(halves):
            await asyncio.sleep(0.2)
    assert await prepared.victims_differences() == []


async def _connections(siege: Siege) -> float:
    """Connections that were open when the workers last wrote them down."""
    return sum(value for (name, _), value in (await siege.metrics()).items() if name == "koyomi_connections")


@pytest.mark.parametrize(
    ("status", "body", "right"),
    [
        (207, b"<D:multistatus/>", True),
        (207, b"<D:status>HTTP/1.1 500 Internal Server Error</D:status>", False),
        (404, b"There is nothing at this path.\n", True),
        (404, b"", False),
        (400, b"no", False),
        (403, b'<?xml version="1.0"?><D:error xmlns:D="DAV:"><D:need-privileges/></D:error>', True),
        (403, b'<?xml version="1.0"?><D:error xmlns:D="DAV:"></D:error>', False),
        (500, b"The server failed to answer.", False),
        (503, b"Too many others write at the same time.", True),
        (501, b"There is no such method.", False),
        (400, b"x y z " * 10_000, False),
    ],
)
def test_answers_are_judged(status: int, body: bytes, right: bool) -> None:
    message = Message("test", "none", b"GET", b"/", [])
    assert (judge(message, Reply(status, {}, body)) is None) is right


def test_every_mutation_changes_some_request(prepared: Siege) -> None:
    places = prepared.people[0]
    idle = {
        name
        for name in MUTATIONS
        if all(
            Recipe(number, (Step(name, seed),)).message(places).encode() == Recipe(number, ()).message(places).encode()
            for number in range(0, len(TEMPLATES), 3)
            for seed in range(3)
        )
    }
    assert idle == set()
