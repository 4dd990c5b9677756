"""Sharing, access control lists, delegates, and what front ends read of them."""

from __future__ import annotations

from functools import partial

import pytest

from server.domain.errors import AccessDenied, BadRequest, NotFound
from server.domain.grants import Ace
from server.domain.principal_search import PrincipalSearch, Term
from server.domain.privileges import Privilege
from server.events.sharees import plan
from server.storage.directory import RelationChange
from tests.unit.services.world import ALARM, CONTACTS, INSTALLATION, World, event


async def gather(world: World, *members: str) -> None:
    change = RelationChange(world.ids["team"], frozenset(world.ids[name] for name in members))
    await world.directory.write_relations([change], INSTALLATION.cause)


async def pass_on(world: World) -> None:
    while True:
        await plan(world.access, world.memory.journal)
        if not await world.access.fan_out():
            return


async def test_a_shared_calendar_appears_in_the_home(world: World) -> None:
    path = await world.share("anna/calendar", "ben", "read")
    with pytest.raises(AccessDenied):
        await world.put("ben", f"{path}/a", event("a"))
    assert await world.share("anna/calendar", "ben", "write") == path
    await world.put("ben", f"{path}/a", event("a"))
    assert await world.names("anna/calendar") == ["a"]
    await world.sharing.unshare(INSTALLATION, "anna/calendar", "ben")
    assert await world.shown("ben", "anna/calendar") == ""
    with pytest.raises(NotFound):
        await world.sharing.unshare(INSTALLATION, "anna/calendar", "ben")


async def test_an_address_book(world: World) -> None:
    path = await world.share(f"{CONTACTS}anna/addressbook", "ben", "read")
    assert (await world.find("ben", path)).collection is not None
    with pytest.raises(BadRequest):
        await world.sharing.share(INSTALLATION, "anna/addressbook", "ben", "free-busy")


async def test_what_is_not_shared(world: World) -> None:
    path = await world.share("anna/calendar", "ben")
    for place, whom, error in (
        ("calendar", "ben", BadRequest),
        ("anna/absent", "ben", NotFound),
        ("anna/calendar", "nobody", NotFound),
        ("anna/calendar", "anna", BadRequest),
        ("anna/inbox", "ben", BadRequest),
        (path, "cleo", BadRequest),
    ):
        with pytest.raises(error):
            await world.sharing.share(INSTALLATION, place, whom, "read")
    with pytest.raises(AccessDenied):
        await world.sharing.share(await world.actor("ben"), "anna/calendar", "cleo", "read")
    await world.sharing.share(await world.actor("anna"), "anna/calendar", "cleo", "read")


async def test_the_shares_of_a_calendar(world: World) -> None:
    await world.share("anna/calendar", "ben")
    await world.sharing.share(INSTALLATION, "anna/calendar", "cleo", "free-busy")
    shares = await world.sharing.shares(await world.actor("anna"), "anna/calendar")
    assert {(share.whom.name, share.rights) for share in shares} == {("ben", "write"), ("cleo", "free-busy")}
    with pytest.raises(AccessDenied):
        await world.sharing.shares(await world.actor("ben"), "anna/calendar")


async def test_a_group_and_who_joins_it_later(world: World) -> None:
    await gather(world, "ben")
    await world.sharing.share(INSTALLATION, "anna/calendar", "team", "write")
    assert await world.shown("ben", "anna/calendar") != ""
    assert await world.shown("cleo", "anna/calendar") == ""
    await gather(world, "cleo")
    await pass_on(world)
    assert await world.shown("ben", "anna/calendar") == ""
    assert await world.shown("cleo", "anna/calendar") != ""


async def test_an_object_that_is_put_while_a_calendar_is_shared_first(world: World) -> None:
    """The sharing is repeated until all objects are rendered for sharees."""
    await world.put("anna", "anna/calendar/a", event("a", *ALARM))
    world.meanwhile(partial(world.put, "anna", "anna/calendar/b", event("b", *ALARM)))
    path = await world.share("anna/calendar", "ben")
    for name in ("a", "b"):
        text = await world.text("ben", f"{path}/{name}")
        assert text is not None
        assert "VALARM" not in text


async def test_an_access_control_list(world: World) -> None:
    found = await world.find("anna", "anna/calendar")
    assert found.collection is not None
    aces = [Ace(found.collection.id, world.ids["ben"], True, (Privilege.READ,))]
    await world.granting.set_acl(await world.actor("anna"), found, aces)
    assert (await world.find("ben", "anna/calendar")).collection is not None
    with pytest.raises(AccessDenied):
        await world.find("cleo", "anna/calendar")
    (listed,) = (await world.people.access_list([await world.find("anna", "anna/calendar")])).entries
    assert getattr(listed.whom, "name", None) == "ben"
    with pytest.raises(AccessDenied):
        await world.people.access_list([await world.find("ben", "anna/calendar")])
    with pytest.raises(AccessDenied):
        await world.granting.set_acl(await world.actor("ben"), await world.find("ben", "anna/calendar"), [])
    path = await world.share("anna/calendar", "ben")
    with pytest.raises(AccessDenied):
        await world.granting.set_acl(await world.actor("root"), await world.find("root", path), [])


async def test_delegates(world: World) -> None:
    anna = await world.principal("anna", "anna")
    await gather(world, "cleo")
    chosen = frozenset({world.ids["ben"], world.ids["team"]})
    await world.granting.set_delegates(await world.actor("anna"), anna, "write", chosen)
    await world.put("ben", "anna/calendar/a", event("a"))
    await world.put("cleo", "anna/calendar/a", event("a", "SUMMARY:by cleo"))
    listed = await world.people.delegates([anna])
    assert [each.principal.name for each in listed[world.ids["anna"]]] == ["ben", "team"]
    cleo = await world.principal("cleo", "cleo")
    for through_groups, expected in ((True, ["anna"]), (False, [])):
        acts_for = await world.people.delegators([cleo], through_groups=through_groups)
        assert [each.principal.name for each in acts_for[world.ids["cleo"]]] == expected
    with pytest.raises(AccessDenied):
        await world.granting.set_delegates(
            await world.actor("ben"), await world.principal("ben", "anna"), "write", frozenset()
        )
    await world.granting.set_delegates(await world.actor("anna"), anna, "write", frozenset())
    with pytest.raises(AccessDenied):
        await world.find("ben", "anna/calendar")


async def test_groups_in_groups(world: World) -> None:
    await world.add("all", kind="group")
    change = RelationChange(world.ids["all"], frozenset({world.ids["team"]}))
    await world.directory.write_relations([change], INSTALLATION.cause)
    await gather(world, "ben")
    ben, whole = await world.principal("anna", "ben"), await world.principal("anna", "all")
    for read, found, expected in (
        (world.people.groups_of, ben, ["team"]),
        (world.people.all_groups_of, ben, ["all", "team"]),
        (world.people.members_of, whole, ["team"]),
        (world.people.all_members_of, whole, ["ben", "team"]),
    ):
        ((_, listed),) = (await read([found])).items()
        assert [each.name for each in listed] == expected


async def test_finding_principals(world: World) -> None:
    actor = await world.actor("anna")
    found = await world.people.principals_at(actor, ["id-ben"], [("group", "TEAM"), ("individual", "team")])
    assert [each.owner.name for each in found if each.owner] == ["ben", "team"]
    search = PrincipalSearch(((Term("name", "n"),),), ("individual",))
    assert [each.owner.name for each in await world.people.search(actor, search, 10) if each.owner] == ["anna", "ben"]
    assert len(await world.people.search(actor, search, 1)) == 1
    assert (await world.people.named(actor, "BEN")).owner == found[0].owner
    with pytest.raises(NotFound):
        await world.people.named(actor, "nobody")
    administrators = await world.people.administrators(await world.principal("root", "root"))
    assert [each.name for each in administrators] == ["root"]


async def test_the_grants_of_a_home(world: World) -> None:
    """Those on all its collections; a shared calendar has its list in the home of its owner."""
    path = await world.share("ben/calendar", "anna")
    await world.share("anna/tasks", "cleo", "read")
    found = await world.people.access_list([await world.find("anna", "anna"), await world.find("anna", "anna/tasks")])
    assert [share.whom.name for share in found.shares] == ["cleo"]
    assert (await world.people.access_list([await world.find("root", path)])).shares == ()
    with pytest.raises(AccessDenied):
        await world.people.access_list([await world.find("anna", path)])
