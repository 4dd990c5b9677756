"""Turns of those who change one meeting: who waits, who leaves messages to jobs, and who starves no more."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from contextvars import Context
from copy import copy

import pytest

from server.domain.errors import WriteConflict
from server.services.changing import change
from server.services.objects import Put
from server.services.scheduling import change_deliveries, sending
from server.services.scheduling.dispatches import DELIVERIES, meeting_of
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.sent import Sent
from server.services.scheduling.turns import Turns
from server.storage.queues import Queue
from tests.unit.services.test_implicit_scheduling import BEN, CLEO, answer, copies, line_of, meeting, unfolded
from tests.unit.services.world import NOW, World

PATH = "anna/calendar/m.ics"
LONG = 30.0


async def invited(monkeypatch: pytest.MonkeyPatch, patience: float) -> tuple[World, int]:
    """A meeting of anna with ben and cleo, its number, and requests that wait so long."""
    world = World()
    await world.add("anna", "ben", "cleo")
    numbers: list[int] = []

    def noted(*args: object) -> int:
        numbers.append(meeting_of(*args))  # type: ignore[arg-type]
        return numbers[-1]

    monkeypatch.setattr(change_deliveries, "meeting_of", noted)
    monkeypatch.setattr(sending, "PATIENCE", patience)
    await world.invite("anna", PATH, meeting(BEN, CLEO))
    return world, numbers[0]


def kinds(world: World) -> list[str]:
    return [job.kind for job in world.memory.tables.jobs]


async def partstat(world: World, address: str) -> str:
    line = line_of(await world.text("anna", PATH), "ATTENDEE", address)
    return line.partition("PARTSTAT=")[2].partition(";")[0].partition(":")[0]


async def test_an_answer_waits_for_the_turn_of_another_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    world, number = await invited(monkeypatch, LONG)
    async with AsyncExitStack() as other_worker:
        assert await other_worker.enter_async_context(world.storage.turn(Queue.MEETING, number, LONG))
        answering = asyncio.create_task(answer(world, "ben", BEN, "ACCEPTED"))
        while not _waits(world, number):
            await asyncio.sleep(0)
        assert await partstat(world, BEN) == ""
    await answering
    assert await partstat(world, BEN) == "ACCEPTED"
    assert kinds(world) == []
    assert not world.memory.tables.queues[Queue.MEETING, number].locked()


def _waits(world: World, number: int) -> bool:
    return bool(getattr(world.memory.tables.queues[Queue.MEETING, number], "_waiters", None))


async def test_an_answer_that_waits_too_long_is_left_to_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    world, number = await invited(monkeypatch, 0.01)
    async with world.storage.turn(Queue.MEETING, number, LONG):
        await answer(world, "ben", BEN, "ACCEPTED")
    assert kinds(world) == [DELIVERIES]
    (own,) = await copies(world, "ben")
    assert "PARTSTAT=ACCEPTED" in line_of(own, "ATTENDEE", BEN)
    await world.run_jobs()
    assert await partstat(world, BEN) == "ACCEPTED"


async def test_who_meets_a_conflict_queues_among_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    world, number = await invited(monkeypatch, LONG)
    seen: list[bool] = []

    async def rival() -> None:
        found = await world.find("anna", PATH, text=True)
        assert found.object is not None
        text = unfolded(found.object.text).replace("SUMMARY:Plan", "SUMMARY:Plan\r\nX-MINE:1")
        await world.objects.put(await world.actor("anna"), found, text.encode())
        world.meanwhile(look)

    async def look() -> None:
        seen.append(world.memory.tables.queues[Queue.MEETING, number].locked())

    world.meanwhile(rival)
    await answer(world, "ben", BEN, "ACCEPTED")
    assert seen == [True]
    assert await partstat(world, BEN) == "ACCEPTED"
    assert kinds(world) == []
    assert not world.memory.tables.queues[Queue.MEETING, number].locked()


async def test_an_organizer_is_not_starved_by_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each of its reads another answer comes by another worker, which waits once the organizer has a turn."""
    world, _ = await invited(monkeypatch, 0.01)
    other = copy(world)
    other.scheduling = Scheduling(world.storage, world.objects, world.limits, now=lambda: NOW)
    actor, said, attempts = await world.actor("anna"), ["TENTATIVE", "DECLINED"] * 20, 0

    async def somebody_answers() -> None:
        answering = answer(other, "ben", BEN, said.pop())
        await asyncio.create_task(answering, context=Context())

    async def put(text: str) -> Put:
        nonlocal attempts
        attempts += 1
        world.meanwhile(somebody_answers)
        return await world.scheduling.put(actor, await world.find("anna", PATH), text.encode(), Sent())

    async def read() -> str:
        return unfolded(await world.text("anna", PATH)).replace("SUMMARY:Plan", "SUMMARY:Other")

    await change(read, put)
    assert attempts == 2
    assert "SUMMARY:Other" in unfolded(await world.text("anna", PATH))
    assert DELIVERIES in kinds(world)
    await world.run_jobs()
    assert await partstat(world, BEN) == "TENTATIVE"


async def test_who_has_a_turn_does_not_wait_for_it_again() -> None:
    world = World()
    turns, error = Turns(world.storage), WriteConflict()
    turns.repeat_in_turn(error, 7)
    assert error.turn is not None

    async def has_turn() -> bool:
        async with turns.in_worker(7, 0.01) as came:
            return came

    async with error.turn():
        assert turns.are_held(7)
        assert await has_turn()
        async with turns.of_all(7, 0.01) as came:
            assert came
        assert not await asyncio.create_task(has_turn(), context=Context())
    assert not turns.are_held(7)
    assert await has_turn()
