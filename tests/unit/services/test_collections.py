"""Making, naming, copying and deleting collections, and their properties."""

from __future__ import annotations

import pytest

from server.domain.changes import PropertyChanges, Unchanged
from server.domain.errors import (
    AccessDenied,
    AlreadyExists,
    BadRequest,
    DefaultCalendarNeeded,
    NotFound,
    ParentMissing,
    PermanentCollection,
    QuotaExceeded,
    SameResource,
    TooManyCollections,
    WriteConflict,
)
from server.domain.limits import Limits
from server.domain.objects import Collection, NewCollection
from server.services.collections import DEFAULT_ADDRESS_BOOK
from tests.unit.services.world import CONTACTS, World, card, event

NAME = "{DAV:}displayname"
DEAD = "{x}y"


async def create(world: World, who: str, path: str, **properties: str) -> Collection:
    found = await world.find(who, path)
    new = NewCollection(found.name, "calendar", properties=properties)
    return await world.collections.create(await world.actor(who), found, new)


async def shown(world: World, path: str) -> list[str]:
    found = await world.reading.collections(await world.actor("cli"), await world.find("cli", path))
    return [each.name for each in found]


async def describe(world: World, who: str, path: str, changes: PropertyChanges) -> int:
    return await world.collections.set_properties(await world.actor(who), await world.find(who, path), changes)


async def seen(world: World, who: str, path: str) -> dict[str, str]:
    collection = (await world.find(who, path)).collection
    assert collection is not None
    return dict(collection.properties)


async def test_a_new_calendar(world: World) -> None:
    made = await create(world, "anna", "anna/new", **{DEAD: "<y/>"})
    assert (await world.find("anna", "anna/new")).collection == made
    assert made.properties == {DEAD: "<y/>"}
    with pytest.raises(AlreadyExists):
        await create(world, "anna", "anna/new")
    with pytest.raises(AccessDenied):
        await create(world, "ben", "anna/other")
    with pytest.raises(NotFound):
        await create(world, "root", "team/new")


async def test_limits_of_a_home() -> None:
    world = World(Limits(max_collections=4, quota_bytes=100))
    await world.add("anna")
    with pytest.raises(QuotaExceeded):
        await create(world, "anna", "anna/new", **{DEAD: f"<y>{'x' * 100}</y>"})
    await create(world, "anna", "anna/new")
    with pytest.raises(TooManyCollections):
        await create(world, "anna", "anna/more")


async def test_properties_that_all_share_and_those_of_one_person(world: World) -> None:
    path = await world.share("anna/calendar", "ben")
    await describe(world, "anna", "anna/calendar", PropertyChanges({NAME: "<displayname>Anna</displayname>"}))
    await describe(world, "ben", path, PropertyChanges({NAME: "<displayname>Mine</displayname>", DEAD: "<y/>"}))
    assert await seen(world, "anna", "anna/calendar") == {NAME: "<displayname>Anna</displayname>", DEAD: "<y/>"}
    ben = await seen(world, "ben", path)
    assert (ben[NAME], ben[DEAD]) == ("<displayname>Mine</displayname>", "<y/>")
    await describe(world, "ben", path, PropertyChanges({DEAD: None}))
    assert DEAD not in await seen(world, "anna", "anna/calendar")


async def test_readers_set_only_what_is_their_own(world: World) -> None:
    path = await world.share("anna/calendar", "ben", "read")
    await describe(world, "ben", path, PropertyChanges({NAME: "<displayname>Mine</displayname>"}))
    for changes in (PropertyChanges({DEAD: "<y/>"}), PropertyChanges(timezone="x"), PropertyChanges(source="x")):
        with pytest.raises(AccessDenied):
            await describe(world, "ben", path, changes)


async def test_own_properties_are_bounded() -> None:
    world = World(Limits(max_personal_properties_size=400))
    await world.add("anna", "ben")
    path = await world.share("anna/calendar", "ben", "read")
    with pytest.raises(QuotaExceeded):
        await describe(world, "ben", path, PropertyChanges({NAME: "x" * 400}))


async def test_properties_of_a_home(world: World) -> None:
    actor, found = await world.actor("anna"), await world.find("anna", "anna")
    revision = await world.collections.set_home_properties(actor, found, PropertyChanges({DEAD: "<y/>"}))
    home = (await world.find("anna", "anna")).home
    assert home is not None
    assert (home.revision, home.properties) == (revision, {DEAD: "<y/>"})
    await world.granting.set_delegates(
        actor, await world.principal("anna", "anna"), "read", frozenset({world.ids["ben"]})
    )
    with pytest.raises(AccessDenied):
        await world.collections.set_home_properties(
            await world.actor("ben"), await world.find("ben", "anna"), PropertyChanges()
        )


async def delete(world: World, who: str, path: str) -> int:
    return await world.collections.delete(await world.actor(who), await world.find(who, path))


async def test_a_deletion(world: World) -> None:
    await create(world, "anna", "anna/new")
    await world.put("anna", "anna/new/a", event("a"))
    await delete(world, "anna", "anna/new")
    assert "new" not in await shown(world, "anna")
    with pytest.raises(ParentMissing):
        await delete(world, "anna", "anna/new")
    again = await create(world, "anna", "anna/new")
    assert again.incarnation == 2
    assert await world.names("anna/new") == []


async def test_what_is_not_deleted(world: World) -> None:
    for path, error in (
        ("anna/inbox", PermanentCollection),
        ("anna/outbox", PermanentCollection),
        ("anna/calendar", DefaultCalendarNeeded),
    ):
        with pytest.raises(error):
            await delete(world, "anna", path)
    await world.share("anna/tasks", "ben")
    with pytest.raises(AccessDenied):
        await delete(world, "ben", "anna/tasks")


async def test_who_deletes_a_shared_calendar_from_their_home_ends_the_sharing(world: World) -> None:
    path = await world.share("anna/calendar", "ben")
    await delete(world, "ben", path)
    assert await world.shown("ben", "anna/calendar") == ""
    assert "calendar" in await shown(world, "anna")
    assert list(await world.sharing.shares(await world.actor("anna"), "anna/calendar")) == []


async def test_the_last_address_book_is_replaced(world: World) -> None:
    await world.put("anna", f"{CONTACTS}anna/addressbook/a", card("a"))
    await delete(world, "anna", f"{CONTACTS}anna/addressbook")
    assert await shown(world, f"{CONTACTS}anna") == [DEFAULT_ADDRESS_BOOK.name]
    assert await world.names(f"{CONTACTS}anna/addressbook") == []


async def move(world: World, who: str, path: str, to: str) -> int:
    actor, found, target = await world.actor(who), await world.find(who, path), await world.find(who, to)
    return await world.collections.move(actor, found, target)


async def copy(world: World, path: str, to: str, *, with_members: bool) -> int:
    actor, found, target = await world.actor("anna"), await world.find("anna", path), await world.find("anna", to)
    return await world.collections.copy(actor, found, target, with_members=with_members)


async def test_a_new_name(world: World) -> None:
    made = await create(world, "anna", "anna/new")
    await world.put("anna", "anna/new/a", event("a"))
    await move(world, "anna", "anna/new", "anna/renamed")
    found = (await world.find("anna", "anna/renamed")).collection
    assert found is not None
    assert (found.id, found.incarnation) == (made.id, made.incarnation + 1)
    assert await world.names("anna/renamed") == ["a"]
    assert (await world.find("anna", "anna/new")).collection is None


async def test_a_copy_with_and_without_members(world: World) -> None:
    await create(world, "anna", "anna/new", **{DEAD: "<y/>"})
    await world.put("anna", "anna/new/a", event("a"))
    await copy(world, "anna/new", "anna/empty", with_members=False)
    await copy(world, "anna/new", "anna/full", with_members=True)
    assert await world.names("anna/empty") == []
    assert await world.names("anna/full") == ["a"]
    assert await seen(world, "anna", "anna/full") == {DEAD: "<y/>"}
    await copy(world, "anna/full", "anna/empty", with_members=True)
    assert await world.names("anna/empty") == ["a"]


async def test_what_is_not_copied_or_moved(world: World) -> None:
    await create(world, "anna", "anna/new")
    for path, to, error in (
        ("anna/new", "anna/new", SameResource),
        ("anna/new", "anna/inbox", PermanentCollection),
        ("anna/inbox", "anna/other", PermanentCollection),
    ):
        with pytest.raises(error):
            await move(world, "anna", path, to)
        with pytest.raises(error):
            await copy(world, path, to, with_members=True)
    with pytest.raises(BadRequest):
        await move(world, "root", "anna/new", "ben/new")
    path = await world.share("anna/new", "ben")
    with pytest.raises(AccessDenied):
        await move(world, "ben", "anna/new", "anna/other")
    await move(world, "ben", path, "ben/mine")
    assert "mine" in await shown(world, "ben")


async def test_a_change_rests_on_states_that_were_read(world: World) -> None:
    found = await world.find("anna", "anna/calendar")
    assert found.collection is not None
    state = Unchanged(found.collection.home_id, found.collection.id, found.collection.revision, world.ids["anna"])
    await world.put("anna", "anna/calendar/a", event("a"))
    with pytest.raises(WriteConflict):
        await world.collections.delete(
            await world.actor("cli"), await world.find("cli", "anna/tasks"), unchanged=(state,)
        )
    assert "tasks" in await shown(world, "anna")
