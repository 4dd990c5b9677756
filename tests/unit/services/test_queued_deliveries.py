"""What requests leave to jobs, and what the jobs do with it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server.domain.changes import ChangeSet, Written
from server.domain.errors import Unavailable, WriteConflict
from server.services.scheduling import dispatches, sending, shared_sets
from server.services.scheduling.dispatches import DELIVERIES, REDELIVERIES, REFRESHES
from server.services.scheduling.settings import SchedulingSettings
from tests.unit.services import world as worlds
from tests.unit.services.test_implicit_scheduling import answer, copies, items, line_of, meeting
from tests.unit.services.world import NOW, World

SMALL = SchedulingSettings(direct_recipients=2, direct_refreshes=1, max_refreshed=6)
PEOPLE = ("ben", "cleo", "dora", "emil", "fay")


def address(name: str) -> str:
    return f"urn:x-uid:id-{name}"


async def small(**settings: Any) -> World:
    """An installation whose requests deliver to two recipients."""
    found = World(scheduling=replace_settings(settings))
    await found.add("anna", *PEOPLE)
    return found


def replace_settings(settings: dict[str, Any]) -> SchedulingSettings:
    return SMALL.model_copy(update=settings)


async def statuses(world: World) -> list[str]:
    """SCHEDULE-STATUS of all attendees, as the organizer sees them."""
    text = await world.text("anna", "anna/calendar/m.ics")
    return [
        "".join(re.findall("SCHEDULE-STATUS=([0-9.]+)", line_of(text, "ATTENDEE", address(name)))) for name in PEOPLE
    ]


async def invite_all(world: World, **fields: str) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(*map(address, PEOPLE), **fields))


def kinds(world: World) -> list[str]:
    return [job.kind for job in world.memory.tables.jobs]


async def test_jobs_deliver_to_those_beyond_the_first() -> None:
    world = await small()
    await invite_all(world)
    assert await statuses(world) == ["1.2", "1.2", "1.0", "1.0", "1.0"]
    assert [len(await copies(world, name)) for name in PEOPLE] == [1, 1, 0, 0, 0]
    before = await world.member("anna", "anna/calendar/m.ics")
    await world.run_jobs()
    assert await statuses(world) == ["1.2"] * 5
    for name in PEOPLE:
        assert len(await copies(world, name)) == 1
        assert await items(world, name) == ["REQUEST"]
    after = await world.member("anna", "anna/calendar/m.ics")
    assert before is not None
    assert after is not None
    assert after.schedule_tag == before.schedule_tag
    assert kinds(world) == []


async def test_texts_are_kept_until_all_have_them() -> None:
    world = await small()
    await invite_all(world)
    ((row, _),) = world.memory.tables.dispatches.values()
    assert [bool(text) for _, _, text in row.state["messages"]] == [True]
    await world.run_jobs()
    ((row, _),) = world.memory.tables.dispatches.values()
    assert (row.waiting, row.failing, [text for _, _, text in row.state["messages"]]) == (False, False, [""])
    assert [each["status"] for each in row.state["recipients"]] == ["1.2"] * 3


async def test_what_comes_later_waits_behind_what_waits() -> None:
    """A change with few recipients does not overtake one with many."""
    world = await small()
    await invite_all(world)
    await world.invite("anna", "anna/calendar/m.ics", meeting(address("ben"), address("emil"), summary="Other"))
    assert [text for name in PEOPLE for text in await copies(world, name) if "SUMMARY:Other" in text] == []
    await world.run_jobs()
    for name in ("ben", "emil"):
        (copy,) = await copies(world, name)
        assert "SUMMARY:Other" in copy
        assert await items(world, name) == ["REQUEST", "REQUEST"]
    for name in ("cleo", "dora", "fay"):
        (copy,) = await copies(world, name)
        assert "STATUS:CANCELLED" in copy
        assert await items(world, name) == ["CANCEL", "REQUEST"]


async def test_a_meeting_that_is_deleted_meanwhile_is_cancelled_everywhere() -> None:
    world = await small()
    await invite_all(world)
    await world.cancel("anna", "anna/calendar/m.ics")
    await world.run_jobs()
    for name in PEOPLE:
        (copy,) = await copies(world, name)
        assert "STATUS:CANCELLED" in copy
        assert await items(world, name) == ["CANCEL", "REQUEST"]


async def test_a_meeting_made_anew_with_the_uid_of_a_deleted_one_reaches_all() -> None:
    world = await small(direct_recipients=0)
    await invite_all(world)
    await invite_all(world, summary="Second")
    await world.cancel("anna", "anna/calendar/m.ics")
    await invite_all(world, summary="Third")
    for name in PEOPLE:
        (copy,) = await copies(world, name)
        assert "SUMMARY:Third" in copy
        assert "STATUS:CANCELLED" not in copy


Apply = Callable[[ChangeSet], Awaitable[tuple[Written, ...]]]


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("at", range(4))
async def test_a_job_that_dies_anywhere_loses_and_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch, at: int, committed: bool
) -> None:
    monkeypatch.setattr("server.services.scheduling.queued.MAX_RECIPIENTS", 2)
    world = await small(direct_recipients=0)
    world.by_jobs = False
    await invite_all(world)
    apply, count = world.storage.apply, 0

    async def dying(changes: ChangeSet) -> tuple[Written, ...]:
        nonlocal count
        count += 1
        if count - 1 != at:
            return await apply(changes)
        if committed:
            await apply(changes)
        raise Unavailable

    monkeypatch.setattr(world.storage, "apply", dying)
    jobs = list(world.memory.tables.jobs)
    try:
        await world.run_jobs()
    except Unavailable:
        world.memory.tables.jobs[:] = jobs
        await world.run_jobs()
    assert await statuses(world) == ["1.2"] * 5
    for name in PEOPLE:
        assert len(await copies(world, name)) == 1
        assert await items(world, name) == ["REQUEST"]


async def test_a_home_without_room_gets_the_message_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await small()
    await world.add("gus", quota_bytes=0)
    await world.invite("anna", "anna/calendar/m.ics", meeting(address("gus"), address("ben")))
    own = await world.text("anna", "anna/calendar/m.ics")
    assert "SCHEDULE-STATUS=5.1" in line_of(own, "ATTENDEE", address("gus"))
    assert "SCHEDULE-STATUS=1.2" in line_of(own, "ATTENDEE", address("ben"))
    (job,) = world.memory.tables.jobs
    assert (job.kind, job.delay) == (REDELIVERIES, timedelta(minutes=1))
    await world.run_jobs(retries=True)
    (job,) = world.memory.tables.jobs
    assert job.kind == REDELIVERIES
    assert await copies(world, "gus") == []
    row = world.memory.tables.principals[world.ids["gus"]]
    world.memory.tables.principals[row.id] = replace(row, quota_bytes=None)
    await world.run_jobs(retries=True)
    assert len(await copies(world, "gus")) == 1
    assert await items(world, "gus") == ["REQUEST"]
    own = await world.text("anna", "anna/calendar/m.ics")
    assert "SCHEDULE-STATUS=1.2" in line_of(own, "ATTENDEE", address("gus"))
    assert kinds(world) == []


async def test_after_a_day_it_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await small()
    await world.add("gus", quota_bytes=0)
    await world.invite("anna", "anna/calendar/m.ics", meeting(address("gus")))
    pauses = []
    for hours in (0.5, 3, 24):
        (job,) = world.memory.tables.jobs
        pauses.append(job.delay)
        monkeypatch.setattr(world.queued, "_now", lambda hours=hours: NOW + timedelta(hours=hours))
        await world.run_jobs(retries=True)
    assert pauses == [dispatches.FIRST_PAUSE, timedelta(minutes=30), dispatches.LONGEST_PAUSE]
    assert kinds(world) == []
    ((row, _),) = world.memory.tables.dispatches.values()
    assert (row.waiting, row.failing, row.state["recipients"][0]["status"]) == (False, False, "5.1")


async def test_an_answer_that_never_arrived_comes_after_the_next_change(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await small()
    await world.invite("anna", "anna/calendar/m.ics", meeting(address("ben"), address("cleo")))
    row = world.memory.tables.principals[world.ids["anna"]]
    world.memory.tables.principals[row.id] = replace(row, quota_bytes=0)
    await answer(world, "ben", address("ben"), "ACCEPTED")
    monkeypatch.setattr(world.queued, "_now", lambda: NOW + timedelta(hours=24))
    await world.run_jobs(retries=True)
    assert kinds(world) == []
    world.memory.tables.principals[row.id] = replace(row, quota_bytes=None)
    await world.invite("anna", "anna/calendar/m.ics", meeting(address("ben"), address("cleo"), summary="Other"))
    await world.run_jobs()
    own = await world.text("anna", "anna/calendar/m.ics")
    for text in (own, *await copies(world, "ben"), *await copies(world, "cleo")):
        assert "SUMMARY:Other" in text
        assert "PARTSTAT=ACCEPTED" in line_of(text, "ATTENDEE", address("ben"))


async def test_a_change_that_never_arrived_comes_after_the_next_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await small()
    await world.invite("anna", "anna/calendar/m.ics", meeting(address("ben"), address("cleo")))
    row = world.memory.tables.principals[world.ids["ben"]]
    world.memory.tables.principals[row.id] = replace(row, quota_bytes=0)
    moved = meeting(address("ben"), address("cleo")).replace("T090000Z", "T080000Z")
    await world.invite("anna", "anna/calendar/m.ics", moved)
    monkeypatch.setattr(world.queued, "_now", lambda: NOW + timedelta(hours=24))
    await world.run_jobs(retries=True)
    world.memory.tables.principals[row.id] = replace(row, quota_bytes=None)
    (copy,) = await copies(world, "ben")
    assert "T090000Z" in copy
    await answer(world, "ben", address("ben"), "ACCEPTED")
    await world.run_jobs()
    (copy,) = await copies(world, "ben")
    own = await world.text("anna", "anna/calendar/m.ics")
    for text in (own, copy):
        assert "T080000Z" in text
        assert "PARTSTAT=ACCEPTED" not in line_of(text, "ATTENDEE", address("ben"))


async def test_an_old_message_that_comes_late_restores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new meeting could not be delivered; a change of it could, before the first message is tried again."""
    world = await small()
    await world.add("gus", quota_bytes=0)
    await world.invite("anna", "anna/calendar/m.ics", meeting(address("gus")))
    row = world.memory.tables.principals[world.ids["gus"]]
    world.memory.tables.principals[row.id] = replace(row, quota_bytes=None)
    monkeypatch.setattr(world.scheduling, "_now", lambda: NOW + timedelta(seconds=5))
    await world.invite("anna", "anna/calendar/m.ics", meeting(address("gus"), summary="Other"))
    await world.run_jobs(retries=True)
    (copy,) = await copies(world, "gus")
    assert "SUMMARY:Other" in copy
    assert await items(world, "gus") == ["REQUEST"]


async def test_answers_refresh_many_copies_by_one_job() -> None:
    world = await small()
    await invite_all(world)
    await world.run_jobs()
    await answer(world, "ben", address("ben"), "ACCEPTED")
    await answer(world, "cleo", address("cleo"), "DECLINED")
    (job,) = world.memory.tables.jobs
    assert (job.kind, job.delay) == (REFRESHES, timedelta(seconds=2))
    assert "PARTSTAT=ACCEPTED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", address("ben"))
    await world.run_jobs()
    for name in PEOPLE:
        (copy,) = await copies(world, name)
        assert "PARTSTAT=ACCEPTED" in line_of(copy, "ATTENDEE", address("ben"))
        assert "PARTSTAT=DECLINED" in line_of(copy, "ATTENDEE", address("cleo"))
        assert await items(world, name) == ["REQUEST"]


async def test_copies_of_very_many_are_not_refreshed() -> None:
    world = await small(max_refreshed=3)
    await invite_all(world)
    await world.run_jobs()
    await answer(world, "ben", address("ben"), "ACCEPTED")
    assert kinds(world) == []
    (copy,) = await copies(world, "cleo")
    assert "PARTSTAT=ACCEPTED" not in line_of(copy, "ATTENDEE", address("ben"))


async def test_answers_that_wait_are_merged_in_one_write() -> None:
    world = await small(direct_recipients=0)
    await invite_all(world)
    world.by_jobs = False
    before = await world.member("anna", "anna/calendar/m.ics")
    for name in PEOPLE:
        await answer(world, name, address(name), "ACCEPTED")
        (copy,) = await copies(world, name)
        assert "SCHEDULE-STATUS=1.0" in line_of(copy, "ORGANIZER", address("anna"))
    assert kinds(world) == [DELIVERIES]
    applied = []
    apply = world.storage.apply

    async def counted(changes: ChangeSet) -> tuple[Written, ...]:
        applied.append([write.collection.home_id for write in changes.writes])
        return await apply(changes)

    world.storage.apply = counted  # type: ignore[method-assign]
    await world.run_jobs()
    after = await world.member("anna", "anna/calendar/m.ics")
    assert before is not None
    assert after is not None
    organizer = (await world.find("anna", "anna/calendar")).home
    assert organizer is not None
    assert [homes.count(organizer.id) for homes in applied][0] == 1 + len(PEOPLE), "the object, and items in the inbox"
    for name in PEOPLE:
        assert "PARTSTAT=ACCEPTED" in line_of(after.text, "ATTENDEE", address(name))
        (copy,) = await copies(world, name)
        assert "SCHEDULE-STATUS=1.2" in line_of(copy, "ORGANIZER", address("anna"))
        for other in PEOPLE:
            assert "PARTSTAT=ACCEPTED" in line_of(copy, "ATTENDEE", address(other))
    assert after.schedule_tag == before.schedule_tag


async def test_an_answer_does_not_wait_for_an_organizer_whose_object_changes_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await small()
    await invite_all(world)
    await world.run_jobs()
    monkeypatch.setattr(sending, "PATIENCE", 0)

    async def rival() -> None:
        found = await world.find("anna", "anna/calendar/m.ics", text=True)
        assert found.object is not None
        text = (found.object.text or "").replace("SUMMARY:Plan", "SUMMARY:Plan\r\nX-MINE:1")
        await world.objects.put(await world.actor("anna"), found, text.encode())

    world.meanwhile(rival)
    await answer(world, "ben", address("ben"), "ACCEPTED")
    assert DELIVERIES in kinds(world)
    (copy,) = await copies(world, "ben")
    assert "SCHEDULE-STATUS=1.0" in line_of(copy, "ORGANIZER", address("anna"))
    await world.run_jobs()
    assert "PARTSTAT=ACCEPTED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", address("ben"))


async def test_a_conflict_about_the_owners_object_is_the_callers() -> None:
    world = await small()
    await invite_all(world)
    await world.run_jobs()
    found = await world.find("anna", "anna/calendar/m.ics")
    await invite_all(world, summary="Other")
    with pytest.raises(WriteConflict):
        await world.scheduling.delete(await world.actor("anna"), found, worlds.Sent())


async def test_what_is_delivered_is_counted() -> None:
    world = await small()
    direct, jobs = world.scheduling.counts, world.queued.counts

    def counted(name: str, **labels: str) -> float:
        name = f"koyomi_scheduling_{name}_total"
        return sum(each.registry.get_sample_value(name, labels) or 0 for each in (direct, jobs))

    await invite_all(world)
    assert counted("messages", method="REQUEST", status="1.2") == 2
    assert counted("messages", method="REQUEST", status="1.0") == 3
    await world.run_jobs()
    assert counted("messages", method="REQUEST", status="1.2") == 5
    await answer(world, "ben", address("ben"), "ACCEPTED")
    assert (counted("merges"), counted("refreshes")) == (1, 0)
    await world.run_jobs()
    assert counted("refreshes") == 4


async def test_an_answer_to_a_deleted_meeting_is_none_to_another_of_its_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await small(direct_recipients=0)
    await invite_all(world)
    world.by_jobs = False
    await answer(world, "ben", address("ben"), "ACCEPTED")
    monkeypatch.setattr(world.scheduling, "_now", lambda: NOW + timedelta(seconds=5))
    await world.cancel("anna", "anna/calendar/m.ics")
    await invite_all(world, summary="Second")
    await world.run_jobs()
    assert "PARTSTAT" not in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", address("ben"))
    (copy,) = await copies(world, "ben")
    assert "SUMMARY:Second" in copy
    assert "PARTSTAT" not in line_of(copy, "ATTENDEE", address("ben"))


async def test_answers_of_many_at_once_are_left_to_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PATIENCE", 0)
    world = await small()
    await invite_all(world)
    await world.run_jobs()
    await asyncio.gather(*(answer(world, name, address(name), "ACCEPTED") for name in PEOPLE))
    assert kinds(world).count(DELIVERIES) == 1
    ((row, _),) = [each for each in world.memory.tables.dispatches.values() if each[0].waiting][:1]
    assert row.state["messages"][0][0] == "REPLY"
    await world.run_jobs()
    for name in PEOPLE:
        (copy,) = await copies(world, name)
        for other in PEOPLE:
            assert "PARTSTAT=ACCEPTED" in line_of(copy, "ATTENDEE", address(other))


async def test_a_job_makes_several_sets_of_what_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_sets, "MAX_BYTES", 1)
    world = await small(direct_recipients=0)
    world.by_jobs = False
    await invite_all(world)
    counted = []
    apply = world.storage.apply

    async def counting(changes: ChangeSet) -> tuple[Written, ...]:
        counted.append(len(changes.writes))
        return await apply(changes)

    monkeypatch.setattr(world.storage, "apply", counting)
    await world.run_jobs()
    assert counted == [2, 2, 2, 2, 3], "a copy and an item each, and at last what became of all"
    assert await statuses(world) == ["1.2"] * 5
