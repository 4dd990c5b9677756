"""Objects of shared calendars: what the owner and each sharee see, and what their writes change."""

from __future__ import annotations

from functools import partial

import pytest

from server.domain.errors import AccessDenied, InvalidCalendarData, PersonalOnly, QuotaExceeded, ResourceTooLarge
from server.domain.limits import Limits
from server.domain.occurrences import Busy
from server.services import views
from server.services.changing import change
from server.services.member_transfers import transfer
from tests.unit.services.world import ALARM, World, event


def own_alarm(minutes: int) -> tuple[str, ...]:
    return tuple(line.replace("PT15M", f"PT{minutes}M") for line in ALARM)


def beside(path: str, name: str) -> str:
    """The path of another name in the same collection."""
    return f"{path.rpartition('/')[0]}/{name}"


async def shared(world: World, *lines: str) -> tuple[str, str]:
    """The paths of anna's event for ben, who may write, and for cleo, who may read."""
    await world.put("anna", "anna/calendar/a", event("a", *lines))
    paths = await world.share("anna/calendar", "ben"), await world.share("anna/calendar", "cleo", "read")
    return f"{paths[0]}/a", f"{paths[1]}/a"


async def test_sharees_see_no_personal_parts_of_the_owner(world: World) -> None:
    ben, cleo = await shared(world, "TRANSP:TRANSPARENT", *ALARM)
    assert await world.text("anna", "anna/calendar/a") == event("a", "TRANSP:TRANSPARENT", *ALARM)
    for who, path in (("ben", ben), ("cleo", cleo), ("ben", "anna/calendar/a")):
        text = await world.text(who, path)
        assert text is not None
        assert "VALARM" not in text
        assert "TRANSPARENT" not in text


async def test_an_alarm_is_each_persons_own(world: World) -> None:
    """Writers and readers set one; the owner and others keep theirs, and hear of no change."""
    ben, cleo = await shared(world, *ALARM)
    before = (await world.find("anna", "anna/calendar")).collection
    for who, path, minutes in (("ben", ben, 5), ("cleo", cleo, 7)):
        put = await world.put(who, path, event("a", *own_alarm(minutes)))
        assert put.as_sent
        assert await world.text(who, path) == event("a", *own_alarm(minutes))
    assert await world.text("anna", "anna/calendar/a") == event("a", *ALARM)
    assert (await world.find("anna", "anna/calendar")).collection == before


async def test_a_shared_change_reaches_all_and_keeps_their_alarms(world: World) -> None:
    ben, cleo = await shared(world, *ALARM)
    await world.put("cleo", cleo, event("a", *own_alarm(7)))
    await world.put("ben", ben, event("a", "SUMMARY:by ben", *own_alarm(5)))
    for who, path, minutes in (("anna", "anna/calendar/a", 15), ("ben", ben, 5), ("cleo", cleo, 7)):
        text = await world.text(who, path)
        assert text is not None
        assert "SUMMARY:by ben" in text
        assert f"TRIGGER:-PT{minutes}M" in text
        assert text.count("BEGIN:VALARM") == 1


async def test_readers_change_their_own_parts_only(world: World) -> None:
    _, cleo = await shared(world)
    with pytest.raises(PersonalOnly):
        await world.put("cleo", cleo, event("a", "SUMMARY:by cleo"))
    with pytest.raises(AccessDenied):
        await world.put("cleo", f"{cleo}2", event("b"))
    with pytest.raises(AccessDenied):
        await world.delete("cleo", cleo)
    assert await world.names("anna/calendar") == ["a"]


async def test_a_new_event_of_a_sharee(world: World) -> None:
    """The owner gets what is shared of it; the alarm stays the sharee's."""
    ben, _ = await shared(world)
    await world.put("ben", beside(ben, "b"), event("b", *ALARM))
    assert await world.text("anna", "anna/calendar/b") == event("b")
    assert await world.text("ben", beside(ben, "b")) == event("b", *ALARM)


async def test_a_copy_out_of_a_shared_calendar_takes_what_the_person_sees(world: World) -> None:
    ben, _ = await shared(world, *ALARM)
    await world.put("ben", ben, event("a", *own_alarm(5)))
    found, target = await world.find("ben", ben), await world.find("ben", "ben/calendar/c")
    put = await transfer(world.objects, await world.actor("ben"), found, target, keep=True)
    member = await world.member("ben", "ben/calendar/c")
    assert member is not None
    assert member.text == event("a", *own_alarm(5))
    assert member.etag == put.etag
    found, target = await world.find("ben", "ben/calendar/c"), await world.find("ben", beside(ben, "d"))
    await world.delete("anna", "anna/calendar/a")
    await transfer(world.objects, await world.actor("ben"), found, target, keep=False)
    assert await world.text("anna", "anna/calendar/d") == event("a")
    assert await world.names("ben/calendar") == []


async def test_both_change_at_once(world: World) -> None:
    """The owner's write, decided before the sharee's alarm was stored, is repeated: no alarm is lost."""
    ben, _ = await shared(world)
    world.meanwhile(partial(world.put, "ben", ben, event("a", *own_alarm(5))))

    async def put(found: object) -> None:
        text = event("a", "SUMMARY:by anna").encode()
        await world.objects.put(await world.actor("anna"), found, text)  # type: ignore[arg-type]

    await change(partial(world.find, "anna", "anna/calendar/a"), put)
    text = await world.text("ben", ben)
    assert text is not None
    assert "by anna" in text
    assert "PT5M" in text


async def test_personal_parts_are_bounded() -> None:
    world = World(Limits(quota_bytes=8000))
    await world.add("anna", "ben", "cleo")
    ben, _ = await shared(world)
    with pytest.raises(ResourceTooLarge):
        await world.put("ben", ben, event("a", *ALARM * 4000))
    with pytest.raises(QuotaExceeded):
        await world.put("ben", ben, event("a", *ALARM * 60))
    assert await world.text("ben", ben) == event("a")


def test_a_view_says_what_makes_its_person_busy() -> None:
    rendered = views.views_of(event("a", "TRANSP:TRANSPARENT"), {7: views.decide(7, event("a"), None).view.personal})
    assert rendered.neutral_busy == (Busy.BUSY,)
    assert rendered.neutral_text == event("a")
    (view,) = rendered.views
    assert (view.principal_id, view.busy) == (7, (Busy.BUSY,))
    own = views.view_of(7, event("a"), "", (Busy.FREE,))
    assert (own.busy, own.text) == ((Busy.BUSY,), event("a"))


def test_an_object_without_personal_parts_needs_no_neutral_text() -> None:
    rendered = views.views_of(event("a"), {})
    assert (rendered.neutral_text, rendered.neutral_busy, rendered.views) == (None, None, ())


def test_the_alarms_of_a_text() -> None:
    (alarm,) = views.alarms_of(event("a", *ALARM))
    assert alarm.seconds == -15 * 60
    assert views.alarms_of(event("a")) == ()
    with pytest.raises(InvalidCalendarData):
        views.alarms_of("BEGIN:VALARM")
