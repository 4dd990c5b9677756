"""Clients that go away in the middle of something are no failures of the server."""

from __future__ import annotations

import asyncio
import logging

import pytest

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
