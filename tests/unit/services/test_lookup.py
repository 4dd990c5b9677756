"""What a lookup finds, hides and refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.domain.actors import Actor
from server.domain.errors import AccessDenied, SignInRequired
from server.domain.privileges import Privilege
from server.services.lookup import principal_as_seen
from server.services.principals.changes import set_disabled
from tests.unit.services.world import INSTALLATION, World, event, target_of


async def test_the_owner_finds_everything(world: World) -> None:
    await world.put("anna", "anna/calendar/a", event("a"))
    found = await world.find("anna", "anna/calendar/a")
    assert found.object is not None
    assert found.object.text is None
    assert found.name == "a"
    assert Privilege.ALL in found.privileges
    absent = await world.find("anna", "anna/calendar/b")
    assert (absent.object, absent.name) == (None, "b")


async def test_others_do_not_learn_what_there_is(world: World) -> None:
    """The answer is the same for what exists and for what does not, and names the privilege that is needed."""
    await world.put("anna", "anna/calendar/a", event("a"))
    for path in ("anna", "anna/calendar", "anna/absent", "anna/calendar/a", "anna/calendar/absent"):
        with pytest.raises(AccessDenied) as raised:
            await world.find("ben", path, Privilege.WRITE_CONTENT)
        assert raised.value.privilege == Privilege.WRITE_CONTENT
    assert (await world.find("root", "anna/calendar/a")).object is not None
    assert (await world.find("cli", "anna/calendar/a")).object is not None


async def test_free_busy_shows_the_calendar_but_not_its_members(world: World) -> None:
    await world.put("anna", "anna/calendar/a", event("a"))
    await world.sharing.share(INSTALLATION, "anna/calendar", "ben", "free-busy")
    with pytest.raises(AccessDenied):
        await world.find("ben", "anna/calendar")
    found = await world.find("ben", "anna/calendar", Privilege.READ_FREE_BUSY)
    assert found.collection is not None
    with pytest.raises(AccessDenied):
        found.demand_sight(Privilege.READ)
    with pytest.raises(AccessDenied):
        found.require(Privilege.READ_FREE_BUSY, Privilege.READ)
    (await world.find("anna", "anna/calendar")).demand_sight(Privilege.READ)


async def test_who_may_not_sign_in_finds_nothing(world: World) -> None:
    actor = await world.actor("anna")
    await set_disabled(INSTALLATION, world.directory, "anna", True)
    with pytest.raises(SignInRequired):
        await world.lookup.find(actor, target_of("anna/calendar"), Privilege.READ)
    gone = Actor(replace(actor.principal, id=-1) if actor.principal else None, "caldav")
    with pytest.raises(SignInRequired):
        await world.lookup.find(gone, None, Privilege.READ)


async def test_a_sign_in_is_confirmed_by_what_was_read(world: World) -> None:
    actor, target = await world.actor("anna"), target_of("anna/calendar")
    known = await world.lookup.resolve(world.ids["anna"], target, text=False)
    world.memory.tables.homes.clear()
    found = await world.lookup.find(actor, target, Privilege.READ, known=known)
    assert found.collection == known.collection is not None


async def test_above_the_homes(world: World) -> None:
    fixed = await world.lookup.find(await world.actor("anna"), None, Privilege.READ)
    assert (fixed.target, fixed.name) == (None, "")
    assert Privilege.READ in fixed.privileges
    assert Privilege.WRITE_PROPERTIES not in fixed.privileges
    other = await world.principal("anna", "ben")
    assert other.owner is not None
    assert (other.owner.name, other.holder()) == ("ben", other)
    assert Privilege.WRITE_PROPERTIES not in other.privileges
    own = principal_as_seen(other.viewer, other.viewer) if other.viewer else other
    assert Privilege.WRITE_PROPERTIES in own.privileges


async def test_nobody_of_a_name(world: World) -> None:
    found = await world.find("anna", "nobody/calendar")
    assert (found.owner, found.home, found.privileges) == (None, None, frozenset())


async def test_the_holder_has_privileges_of_its_own(world: World) -> None:
    """A writer of a shared calendar may remove members of it, and nothing of the owner's home."""
    await world.put("anna", "anna/calendar/a", event("a"))
    path = await world.share("anna/calendar", "ben")
    member = await world.find("ben", "anna/calendar/a")
    assert member.holder().name == "calendar"
    assert Privilege.UNBIND in member.holder().privileges
    calendar = await world.find("ben", "anna/calendar")
    assert calendar.holder().privileges == frozenset()
    assert Privilege.UNBIND in (await world.find("ben", path)).holder().privileges
    home = calendar.holder()
    assert calendar.collection is not None
    assert home.child(calendar.collection).privileges == calendar.privileges


async def test_a_new_member(world: World) -> None:
    await world.put("anna", "anna/calendar/a", event("a"))
    found = (await world.find("anna", "anna/calendar/a")).new_member("b")
    assert (found.name, found.object) == ("b", None)
    await world.objects.put(await world.actor("anna"), found, event("b").encode())
    assert await world.names("anna/calendar") == ["a", "b"]
