"""Putting back what somebody deleted."""

from __future__ import annotations

from functools import partial

import pytest

from server.domain.errors import AlreadyExists, NotFound
from server.services.restoring import restore_object
from tests.unit.services.world import INSTALLATION, World, event, target_of


async def restore(world: World, path: str, text: str, **properties: str) -> str:
    return await restore_object(
        world.lookup, world.scheduling, INSTALLATION, target_of(path), 7, text, properties or None
    )


async def test_an_object_gets_its_name_and_properties_back(world: World) -> None:
    assert await restore(world, "anna/calendar/a.ics", event("a"), **{"{x}y": "<y/>"}) == "a.ics"
    member = await world.member("anna", "anna/calendar/a.ics")
    assert member is not None
    assert (member.text, member.properties) == (event("a"), {"{x}y": "<y/>"})


async def test_a_name_that_was_taken_meanwhile(world: World) -> None:
    await world.put("anna", "anna/calendar/a.ics", event("b"))
    assert await restore(world, "anna/calendar/a.ics", event("a")) == "a-restored-7.ics"
    with pytest.raises(AlreadyExists, match="as a-restored-7.ics"):
        await restore(world, "anna/calendar/a.ics", event("a"))


async def test_a_name_that_is_taken_while_it_is_restored(world: World) -> None:
    world.meanwhile(partial(world.put, "anna", "anna/calendar/a.ics", event("b")))
    assert await restore(world, "anna/calendar/a.ics", event("a")) == "a-restored-7.ics"
    assert await world.names("anna/calendar") == ["a-restored-7.ics", "a.ics"]


async def test_an_object_that_is_there_under_another_name(world: World) -> None:
    await world.put("anna", "anna/calendar/b.ics", event("a"))
    with pytest.raises(AlreadyExists, match=r"as b\.ics"):
        await restore(world, "anna/calendar/a.ics", event("a"))


async def test_a_calendar_that_is_gone(world: World) -> None:
    with pytest.raises(NotFound, match="restore it first"):
        await restore(world, "anna/absent/a.ics", event("a"))
