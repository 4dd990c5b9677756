"""Clients that go away in the middle of something are no failures of the server."""

from __future__ import annotations

import asyncio
import logging

import pytest

from server.http import wire
from tests.integration.dav.client import Connection
from tests.integration.dav.person import Person, event


@pytest.mark.parametrize("reset", [False, True])
async def test_a_client_that_goes_away_in_a_body(person: Person, caplog: pytest.LogCaptureFixture, reset: bool) -> None:
    path = f"{person.calendar}half.ics"
    message = person.http.message("PUT", path, event("half"), Content_Type="text/calendar")
    connection = await Connection.open(person.http.port)
    await connection.send(message[:-10])
    await asyncio.sleep(0.05)
    if reset:
        connection.writer.transport.abort()
    else:
        connection.close()
    assert not await person.exists(path)
    await asyncio.sleep(0.05)
    assert not await person.exists(path)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_body_that_does_not_come_is_not_waited_for(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PATIENCE", 0.2)
    path = f"{person.calendar}late.ics"
    message = person.http.message("PUT", path, event("late"), Content_Type="text/calendar")
    connection = await Connection.open(person.http.port)
    await connection.send(message[:-10])
    reply = await connection.reply("PUT")
    reply.refused(408)
    assert reply.headers["Connection"] == "close"
    assert not await person.exists(path)
    connection.close()


async def test_a_body_that_comes_slowly_is_taken(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes in all, as long as it goes on."""
    monkeypatch.setattr(wire, "PATIENCE", 2.0)
    monkeypatch.setattr(wire, "PIECE", 1000)
    path = f"{person.calendar}slow.ics"
    message = person.http.message("PUT", path, event("slow", "x" * 14_000), Content_Type="text/calendar")
    connection = await Connection.open(person.http.port)
    for start in range(0, len(message), 1500):
        await connection.send(message[start : start + 1500])
        await asyncio.sleep(0.25)
    assert (await connection.reply("PUT")).status == 201
    connection.close()


async def test_what_is_no_http_is_a_line_in_the_log_without_its_content(
    person: Person, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for data in (
        b"secret\r\n\r\n",
        b"GET http://[secret HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + b"secret" * 10_000 + b" HTTP/1.1\r\n\r\n",
    ):
        connection = await Connection.open(person.http.port)
        await connection.send(data)
        reply = await connection.reply()
        reply.refused(400)
        assert reply.text.startswith("This is not a well-formed HTTP request: ")
        assert len(reply.text) < 300
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert await connection.at_end()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    out, err = capsys.readouterr()
    assert "secret" not in out + err
    assert (out + err).count("request_malformed") == 3
