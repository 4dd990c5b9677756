"""What the deletion of a calendar sends, by a job that can be interrupted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from server.domain.changes import Cause, ChangeSet, Written
from server.domain.errors import Unavailable
from server.domain.objects import NewCollection
from server.domain.scheduling import SchedulingRole
from server.services.scheduling.removals import REMOVALS
from server.services.scheduling.settings import SchedulingSettings
from tests.unit.services.test_copied_and_moved_meetings import role
from tests.unit.services.test_implicit_scheduling import ANNA, BEN, CLEO, copies, items, line_of, meeting
from tests.unit.services.test_moves_by_put import new_calendar, place
from tests.unit.services.world import World, event


async def delete_calendar(world: World, who: str, path: str) -> None:
    await world.collections.delete(await world.actor(who), await world.find(who, path))


async def busy_calendar(world: World) -> None:
    """A calendar of Ben with a meeting of his, one that Anna invites him to, and a plain event."""
    await new_calendar(world, "ben")
    own = meeting(ANNA, CLEO, uid="own").replace(f"ORGANIZER:{ANNA}", f"ORGANIZER:{BEN}")
    await world.invite("ben", "ben/work/own.ics", own)
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO))
    text = await world.text("ben", await place(world, "ben")) or ""
    await world.invite("ben", "ben/work/m.ics", text)
    await world.invite("ben", "ben/work/plain.ics", event("plain"))


async def sent(world: World) -> tuple[list[str], ...]:
    return tuple([await items(world, who) for who in ("anna", "ben", "cleo")])


async def test_meetings_are_cancelled_and_declined(world: World) -> None:
    await busy_calendar(world)
    before = await sent(world)
    await delete_calendar(world, "ben", "ben/work")
    assert await sent(world) == before
    (job,) = world.memory.tables.jobs
    assert (job.kind, job.delay) == (REMOVALS, timedelta(minutes=10))
    await world.run_jobs()
    anna, ben, cleo = before
    assert await sent(world) == (sorted([*anna, "CANCEL", "REPLY"]), ben, sorted([*cleo, "CANCEL"]))
    assert "PARTSTAT=DECLINED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)
    assert "STATUS:CANCELLED" in "".join(await copies(world, "cleo"))
    names = {"own.ics", "m.ics"}
    rows = [row for row in world.memory.tables.objects.values() if row.name in names and row.deleted_revision is None]
    removed = [row for row in rows if world.memory.tables.live_collection(row.collection_id) is None]
    assert {row.name for row in removed} == names
    assert {row.content.scheduling.role for row in removed} == {SchedulingRole.NONE}
    # Who declined and deleted gets nothing back until asked anew.
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN, CLEO, summary="Other"))
    assert await copies(world, "ben") == []


async def test_the_delay_is_a_setting(world: World) -> None:
    now = World(scheduling=SchedulingSettings(removal_delay=0))
    await now.add("anna", "ben", "cleo")
    await busy_calendar(now)
    await delete_calendar(now, "ben", "ben/work")
    assert now.memory.tables.jobs[0].delay == timedelta(0)


async def test_an_interrupted_job_goes_on_and_sends_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await busy_calendar(world)
    before = await sent(world)
    await delete_calendar(world, "ben", "ben/work")
    (job,) = world.memory.tables.jobs
    apply, left = world.storage.apply, [1]

    async def interrupted(changes: ChangeSet) -> tuple[Written, ...]:
        left[0] -= 1
        if left[0] < 0:
            raise Unavailable
        return await apply(changes)

    monkeypatch.setattr(world.storage, "apply", interrupted)
    with pytest.raises(Unavailable):
        await world.run_jobs()
    monkeypatch.undo()
    world.memory.tables.jobs.append(job)
    await world.run_jobs()
    world.memory.tables.jobs.append(job)
    await world.run_jobs()
    anna, ben, cleo = before
    assert await sent(world) == (sorted([*anna, "CANCEL", "REPLY"]), ben, sorted([*cleo, "CANCEL"]))


async def test_a_meeting_that_is_put_elsewhere_meanwhile_is_not_cancelled(world: World) -> None:
    await busy_calendar(world)
    text = await world.text("ben", "ben/work/own.ics") or ""
    await delete_calendar(world, "ben", "ben/work")
    await world.invite("ben", "ben/calendar/own.ics", text)
    await world.run_jobs()
    assert await role(world, "ben/calendar/own.ics") is SchedulingRole.ORGANIZER
    assert "CANCEL" not in await items(world, "cleo")
    assert "PARTSTAT=DECLINED" in line_of(await world.text("anna", "anna/calendar/m.ics"), "ATTENDEE", BEN)


@pytest.mark.parametrize("method", ["copy", "move"])
async def test_a_calendar_that_another_replaces_is_deleted_too(world: World, method: str) -> None:
    await busy_calendar(world)
    ben = await world.actor("ben")
    new = NewCollection("new", "calendar", ("VEVENT",))
    await world.collections.create(ben, await world.find("ben", "ben/new"), new)
    found, target = await world.find("ben", "ben/new"), await world.find("ben", "ben/work")
    if method == "copy":
        await world.collections.copy(ben, found, target, with_members=True)
    else:
        await world.collections.move(ben, found, target)
    await world.run_jobs()
    assert "CANCEL" in await items(world, "cleo")


async def test_calendars_without_meetings_and_those_of_others_send_nothing(world: World) -> None:
    await new_calendar(world, "ben")
    await delete_calendar(world, "ben", "ben/work")
    assert world.memory.tables.jobs == []
    await busy_calendar(world)
    shown = await world.share("ben/work", "cleo")
    await delete_calendar(world, "cleo", shown)
    assert world.memory.tables.jobs == []


async def test_the_job_asks_again_who_may_send_in_the_name_of_the_owner(world: World) -> None:
    await busy_calendar(world)
    found = await world.find("cli", "ben/work")
    assert found.collection is not None
    await delete_calendar(world, "ben", "ben/work")
    ids = found.collection.home_id, found.collection.id
    assert await world.removals.send(*ids, Cause(world.ids["cleo"], "jobs")) == 0
    assert await world.removals.send(*ids, Cause(world.ids["ben"], "jobs")) == 2
