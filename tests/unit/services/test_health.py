from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from server.domain.errors import DatabaseError, Unavailable
from server.services import health
from server.services.health import Figures, Health
from server.storage.business import BusinessFigures
from server.storage.health import Backlog
from server.storage.jobs import KindCounts

BACKLOG = Backlog(3, 2.5, {}, {})
BUSINESS = BusinessFigures(2, 1, 0, {})


class Database:
    """Answers, fails or hangs."""

    def __init__(self, *, failure: Exception | None = None, hangs: bool = False, current: bool = True) -> None:
        self.failure = failure
        self.hangs = hangs
        self.current = current
        self.asked = 0

    async def answers(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure

    async def ready(self) -> bool:
        return self.current

    async def backlog(self) -> Backlog:
        await self.answers()
        return BACKLOG

    async def figures(self) -> BusinessFigures:
        return BUSINESS

    async def counts(self) -> Sequence[KindCounts]:
        await self.answers()
        return []


def health_of(database: Database) -> Health:
    return Health(database, database, database)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("database", "obstacle"),
    [
        (Database(), None),
        (Database(current=False), "The tables are not those of this version: run koyomi db upgrade."),
        (Database(failure=Unavailable()), "The database does not answer within 0.05 seconds."),
        (Database(hangs=True), "The database does not answer within 0.05 seconds."),
        (Database(failure=DatabaseError()), "The database refuses connections."),
    ],
)
async def test_obstacles(monkeypatch: pytest.MonkeyPatch, database: Database, obstacle: str | None) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    assert await health_of(database).obstacle() == obstacle


async def test_many_who_ask_at_once_cost_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REMEMBERED", 1000.0)
    database = Database(current=False)
    state = health_of(database)
    assert set(await asyncio.gather(*(state.obstacle() for _ in range(20)))) == {await state.obstacle()}
    assert database.asked == 1


async def test_an_obstacle_that_is_gone_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REMEMBERED", -1.0)
    database = Database(failure=Unavailable())
    state = health_of(database)
    assert await state.obstacle() is not None
    database.failure = None
    assert await state.obstacle() is None


@pytest.mark.parametrize("database", [Database(failure=Unavailable()), Database(failure=DatabaseError())])
async def test_there_are_no_figures_without_an_answer(database: Database) -> None:
    assert await health_of(database).figures() is None


async def test_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await health_of(Database()).figures() == Figures(BACKLOG, BUSINESS, [])
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    assert await health_of(Database(hangs=True)).figures() is None
