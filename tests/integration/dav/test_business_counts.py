"""What people do is counted for metrics, by a server with its jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from server.events import counting
from server.storage.business import BusinessFigures
from storage_plugins.postgres.business import PostgresBusiness
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.dav.conftest import Served, make_person, serving
from tests.integration.dav.person import calendar, event
from tests.integration.dav.test_implicit_scheduling import answer, meeting, settled

TASK = calendar("BEGIN:VTODO", "UID:t", "DTSTAMP:20260101T000000Z", "SUMMARY:Task", "END:VTODO")


@pytest_asyncio.fixture(loop_scope="session")
async def alone(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """A server on a database of its own, whose counts nobody else changes."""
    monkeypatch.setattr(counting, "PAUSE", 0.05)
    limits = DatabaseLimits(2, acquire_timeout=60.0, statement_timeout=60.0)
    async with PostgresStorage(database, limits) as storage, serving(database, storage) as running:
        async with asyncio.timeout(60):
            while not await storage.database.fetchval(
                "select exists (select from journal_position where consumer = 'business' and not anew)"
            ):
                await asyncio.sleep(0.05)
        yield running


async def test_events_meetings_answers_and_who_was_active(alone: Served) -> None:
    business = PostgresBusiness(alone.storage.database)
    assert await business.figures() == BusinessFigures(0, 0, 0, {"day": 0, "week": 0, "month": 0})
    ada, ben, cleo, idle = [await make_person(alone) for _ in range(4)]
    await ada.has(f"{ada.calendar}plain.ics", event("plain"))
    await ada.has(f"{ada.calendar}plain.ics", event("plain", "Changed"))
    await ada.has(f"{ada.home}tasks/t.ics", TASK)
    await ada.has(f"{ada.calendar}m.ics", meeting(ada, ben, cleo))
    await settled(alone)
    assert await answer(ben, "ACCEPTED") == 204
    assert await answer(cleo, "DECLINED") == 204
    await settled(alone)
    counted = BusinessFigures(2, 1, 2, {"day": 3, "week": 3, "month": 3})
    async with asyncio.timeout(60):
        while await business.figures() != counted:
            await asyncio.sleep(0.05)
    # Who has not come for two days was here this week.
    await alone.storage.database.fetch(
        "update active_person set last_at = last_at - interval '2 days' where principal_id = $1", cleo.id
    )
    assert (await business.figures()).active == {"day": 2, "week": 3, "month": 3}
    await idle.propfind(idle.home, "D:displayname")
    async with asyncio.timeout(60):
        while (await business.figures()).active["day"] != 3:
            await asyncio.sleep(0.05)
    assert replace(await business.figures(), active={}) == replace(counted, active={})
