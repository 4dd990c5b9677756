"""Those who book one room queue, and none of them gets what another has."""

from __future__ import annotations

import asyncio

import pytest

from server.booking.policy import as_json, parse_policy
from server.domain.errors import AlreadyReserved
from server.domain.rooms import Room
from server.services.scheduling.room_turns import AMONG_WORKERS, RoomTurns
from server.storage.queues import Queue
from tests.unit.services.test_auto_schedule import ROOM, answers, copies
from tests.unit.services.test_implicit_scheduling import ANNA, meeting
from tests.unit.services.world import World, event

TOLERANT = {"conflict_percentage_allowed": 100, "max_conflict_instances": 20}
"""A policy that declines single instances of a series."""
PEOPLE = [f"p{number}" for number in range(12)]


@pytest.fixture
async def world() -> World:
    made = World()
    await made.add("anna", *PEOPLE)
    await made.add("hall", "yard", kind="room", auto_schedule={"mode": "automatic"})
    return made


async def test_of_many_who_book_at_once_one_gets_the_room(world: World) -> None:
    async def book(name: str) -> str:
        text = meeting(ROOM, uid=name, start="20260401T090000Z").replace(ANNA, ANNA.replace("anna", name))
        await world.invite(name, f"{name}/calendar/{name}.ics", text)
        return answers(await world.text(name, f"{name}/calendar/{name}.ics"))[0]

    found = await asyncio.gather(*map(book, PEOPLE))
    assert sorted(found) == ["ACCEPTED", *["DECLINED"] * 11]
    assert sum("PARTSTAT=ACCEPTED:urn:x-uid:id-hall" in copy for copy in await copies(world, "hall")) == 1


async def test_who_finds_the_time_taken_decides_anew_in_the_queue_of_all_workers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[tuple[Queue, object]] = []
    turn = world.storage.turn

    def noted(queue: Queue, key: int | tuple[int, ...], patience: float) -> object:
        queued.append((queue, key))
        return turn(queue, key, patience)

    monkeypatch.setattr(world.storage, "turn", noted)

    async def rival() -> None:
        await world.put("cli", "hall/calendar/a.ics", event("a", start="20260401T090000Z"))

    world.memory.tables.rivals.append(rival)
    await world.invite("anna", "anna/calendar/m.ics", meeting(ROOM, start="20260401T090000Z"))
    assert answers(await world.text("anna", "anna/calendar/m.ics")) == ["DECLINED"]
    assert queued == [(Queue.ROOM, (world.ids["hall"],))]


async def test_the_organizer_and_the_room_say_the_same_when_somebody_books_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_times = world.storage.taken_times

    async def overtaken(*args: object, **more: object) -> object:
        found = await taken_times(*args, **more)  # type: ignore[arg-type]
        if not await world.names("hall/calendar"):
            await world.put("cli", "hall/calendar/a.ics", event("a", start="20260401T090000Z"))
        return found

    monkeypatch.setattr(world.storage, "taken_times", overtaken)
    await world.invite("anna", "anna/calendar/m.ics", meeting(ROOM, start="20260401T090000Z"))
    assert answers(await world.text("anna", "anna/calendar/m.ics")) == ["DECLINED"]
    (copy,) = [each for each in await copies(world, "hall") if "ATTENDEE" in each]
    assert answers(copy)[0].startswith("DECLINED")


async def test_what_takes_a_room_without_inviting_it_is_refused(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(ROOM, start="20260401T090000Z"))
    with pytest.raises(AlreadyReserved):
        await world.invite("cli", "hall/calendar/b.ics", event("b", start="20260401T093000Z"))


async def test_rooms_are_queued_for_in_one_order(world: World) -> None:
    turns = RoomTurns(world.storage)
    order: list[str] = []

    async def book(name: str, first: int, second: int) -> None:
        async with turns.of([first]) as booking:
            await asyncio.sleep(0)
            await booking.conflicted(second)
            order.append(name)
            await asyncio.sleep(0.01)
            order.append(name)

    async with asyncio.timeout(AMONG_WORKERS):
        await asyncio.gather(book("a", 1, 2), book("b", 2, 1))
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


async def test_who_got_no_turn_queues_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.services.scheduling.room_turns.AMONG_WORKERS", 0.01)
    async with RoomTurns(world.storage).of([1]) as booking:
        async with world.storage.turn(Queue.ROOM, 1, 0.0):
            await booking.conflicted(1)
        assert not world.memory.tables.queues[Queue.ROOM, 1].locked()
        await booking.conflicted(1)
        assert world.memory.tables.queues[Queue.ROOM, 1].locked()


async def test_a_request_leaves_a_room_to_jobs_whose_times_others_take_all_the_time(world: World) -> None:
    await world.add("tent", kind="room", room=Room(0, policy=as_json(parse_policy(TOLERANT))))
    taken = iter(range(1, 12))

    async def rival() -> None:
        hour = next(taken)
        await world.put("cli", f"tent/calendar/{hour}.ics", event(f"t{hour}", start=f"20260401T{hour:02}0000Z"))
        if hour < 11:
            world.memory.tables.rivals.append(rival)

    world.memory.tables.rivals.append(rival)
    tent = "urn:x-uid:id-tent"
    text = meeting(tent, start="20260401T010000Z").replace("SUMMARY", "RRULE:FREQ=HOURLY;COUNT=20\r\nSUMMARY")
    await world.invite("anna", "anna/calendar/m.ics", text)
    assert answers(await world.text("anna", "anna/calendar/m.ics"), tent) == [""]
    await world.run_jobs()
    assert sorted(answers(await world.text("anna", "anna/calendar/m.ics"), tent)) == [*["ACCEPTED"] * 9, "DECLINED"]


async def test_who_queued_already_only_waits_a_moment(world: World) -> None:
    async with RoomTurns(world.storage).of([1]) as booking:
        await booking.conflicted(1)
        await booking.conflicted(1)
        assert world.memory.tables.queues[Queue.ROOM, 1].locked()
    assert not world.memory.tables.queues[Queue.ROOM, 1].locked()
