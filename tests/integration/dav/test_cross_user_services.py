"""Every kind of user against the services: they refuse what the protocol refuses, whatever front end calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from server.domain.actors import Actor
from server.domain.changes import PropertyChanges
from server.domain.errors import AccessDenied, SignInRequired
from server.domain.grants import Ace
from server.domain.limits import Limits
from server.domain.objects import NewCollection, Target
from server.domain.privileges import DELIVERING, Privilege
from server.services.collections import Collections
from server.services.granting import Granting
from server.services.lookup import Found, Lookup
from server.services.member_transfers import transfer
from server.services.objects import Objects
from server.services.principals.people import People
from server.services.reading import Reading
from server.services.sharing import Sharing
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.conftest import Served, make_person
from tests.integration.dav.cross_user import DELEGATES, MARK, MAY, USERS, World, open_world
from tests.integration.dav.person import Person, event
from tests.integration.dav.sharing import ACTOR, CAUSE

BUSY = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
"""A window with what the events of the world take."""
NOTE = PropertyChanges({"{http://example.com/ns/}note": "<x:note xmlns:x='http://example.com/ns/'>1</x:note>"})


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def world(served: Served) -> AsyncIterator[World]:
    async with open_world(served) as found:
        yield found


@dataclass
class Desk:
    """What a user asks services for."""

    world: World
    user: str
    actor: Actor

    def __post_init__(self) -> None:
        storage = self.world.served.storage
        access, limits = PostgresAccess(storage), Limits()
        self.lookup = Lookup(storage)
        self.objects, self.collections = Objects(storage, limits), Collections(storage, limits)
        directory = PostgresDirectory(storage.database)
        self.granting, self.sharing = Granting(access), Sharing(storage, directory, access)
        self.reading, self.people = Reading(storage, page_size=100), People(directory, access)

    async def find(self, need: Privilege, *names: str, or_need: Privilege = Privilege.READ) -> Found:
        return await self.lookup.find(
            self.actor, Target(self.world.owner.uid, "uid", "calendar", *names), need, or_need=or_need
        )

    async def list_members(self) -> None:
        found = await self.find(Privilege.READ, "shared")
        assert [page async for page in self.reading.pages(found, ("name", "text"))]

    async def read_event(self) -> None:
        assert await self.reading.member(await self.find(Privilege.READ, "shared", "1.ics"), ("name", "text"))

    async def read_busy_time(self) -> None:
        found = await self.find(Privilege.READ_FREE_BUSY, "shared")
        assert await self.reading.busy_periods([found], *BUSY, ())

    async def list_collections(self) -> None:
        assert await self.reading.collections(self.actor, await self.find(Privilege.READ))

    async def read_access_list(self) -> None:
        found = await self.find(Privilege.READ_ACL, "shared")
        assert (await self.people.access_list([found])).entries
        await self.people.administrators(found)

    async def put(self, name: str, uid: str) -> None:
        found = await self.find(Privilege.BIND, "shared", name, or_need=Privilege.WRITE_CONTENT)
        await self.objects.put(self.actor, found, event(uid, "Changed").encode())

    async def copy(self) -> None:
        source = await self.find(Privilege.READ, "shared", "1.ics")
        person = self.world.users.get(self.user, self.world.owner)
        target = Target(person.uid, "uid", "calendar", "calendar", "copied.ics")
        own = await self.lookup.find(self.actor, target, Privilege.BIND)
        await transfer(self.objects, self.actor, source, own, keep=True)

    async def rename(self) -> None:
        source = await self.find(Privilege.UNBIND, self.user)
        target = await self.find(Privilege.BIND, f"{self.user}-renamed")
        await self.collections.move(self.actor, source, target)

    async def set_delegates(self) -> None:
        need = Privilege.WRITE_PROPERTIES
        found = await self.lookup.find(self.actor, Target(self.world.owner.uid, "uid"), need)
        readers = frozenset({self.world.users["delegate-read"].id})
        await self.granting.set_delegates(self.actor, found, "read", readers)

    async def set_acl(self) -> None:
        found = await self.find(Privilege.WRITE_ACL, "shared")
        assert found.collection is not None
        kept = (
            ("acl-read", Privilege.READ),
            ("acl-free-busy", Privilege.READ_FREE_BUSY),
            ("acl-bind", Privilege.BIND),
        )
        aces = [Ace(found.collection.id, self.world.users[name].id, True, (held,)) for name, held in kept]
        await self.granting.set_acl(self.actor, found, aces)

    async def share(self) -> None:
        await self.sharing.share(
            self.actor, f"{self.world.owner.name}/shared", self.world.users["sharee-read"].name, "read"
        )


async def _set_properties(desk: Desk) -> None:
    await desk.collections.set_properties(desk.actor, await desk.find(Privilege.WRITE_PROPERTIES, "shared"), NOTE)


async def _set_properties_of_event(desk: Desk) -> None:
    found = await desk.find(Privilege.WRITE_PROPERTIES, "shared", "1.ics")
    await desk.objects.set_properties(desk.actor, found, NOTE)


async def _delete_event(desk: Desk) -> None:
    await desk.objects.delete(desk.actor, await desk.find(Privilege.UNBIND, "shared", f"{desk.user}.ics"))


async def _create_calendar(desk: Desk) -> None:
    name = f"of-{desk.user}"
    await desk.collections.create(desk.actor, await desk.find(Privilege.BIND, name), NewCollection(name, "calendar"))


async def _delete_calendar(desk: Desk) -> None:
    await desk.collections.delete(desk.actor, await desk.find(Privilege.UNBIND, desk.user))


SERVICES: Mapping[str, Callable[[Desk], Awaitable[None]]] = {
    "read the calendar": lambda desk: desk.list_members(),
    "read an event": lambda desk: desk.read_event(),
    "read when its owner is busy": lambda desk: desk.read_busy_time(),
    "read the home": lambda desk: desk.list_collections(),
    "set properties of the calendar": _set_properties,
    "create an event": lambda desk: desk.put(f"{desk.user}-new.ics", f"by-{desk.user}"),
    "replace an event": lambda desk: desk.put("1.ics", f"{MARK}-shared"),
    "set properties of an event": _set_properties_of_event,
    "copy an event": lambda desk: desk.copy(),
    "delete an event": _delete_event,
    "read the access control list": lambda desk: desk.read_access_list(),
    "set the access control list": lambda desk: desk.set_acl(),
    "set the delegates": lambda desk: desk.set_delegates(),
    "create a calendar": _create_calendar,
    "rename a calendar": lambda desk: desk.rename(),
    "delete a calendar": _delete_calendar,
    "share the calendar": lambda desk: desk.share(),
}


async def actor(world: World, person: Person) -> Actor:
    principal = (await world.served.storage.resolve(person.id, None)).viewer
    assert principal is not None
    return Actor(principal, "test")


async def prepare(world: World, user: str, what: str) -> None:
    await world.owner.put(f"{world.shared}{user}.ics", event(f"for-{user}"))
    if what in ("rename a calendar", "delete a calendar"):
        await world.owner.http(
            "MKCALENDAR", f"{world.owner.home}{user}/"
        )  # unless it is there, since nobody could delete it


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("what", MAY)
async def test_who_may_do_what(world: World, user: str, what: str) -> None:
    await prepare(world, user, what)
    desk = Desk(world, user, await actor(world, world.users[user]))
    if user in MAY[what]:
        await SERVICES[what](desk)
    else:
        with pytest.raises(AccessDenied):
            await SERVICES[what](desk)


@pytest.mark.parametrize("user", ["owner", "installation"])
@pytest.mark.parametrize("what", MAY)
async def test_owners_and_the_installation_may_do_all(world: World, user: str, what: str) -> None:
    await prepare(world, user, what)
    who = ACTOR if user == "installation" else await actor(world, world.owner)
    await SERVICES[what](Desk(world, user, who))


@pytest.mark.parametrize("user", [name for name in USERS if name not in DELEGATES])
@pytest.mark.parametrize("need", Privilege)
async def test_what_is_hidden_is_found_like_what_is_not_there(world: World, user: str, need: Privilege) -> None:
    desk = Desk(world, user, await actor(world, world.users[user]))
    inbox = () if need in DELIVERING else (("inbox",),)  # everybody has one, and all may deliver to it
    for names in (("hidden",), ("none",), ("hidden", "1.ics"), ("hidden", "none.ics"), ("none", "1.ics"), *inbox):
        with pytest.raises(AccessDenied) as raised:
            await desk.find(need, *names, or_need=need)
        assert (raised.value.href, raised.value.privilege) == ("", need)


@pytest.mark.parametrize("user", [name for name in USERS if name not in DELEGATES])
async def test_all_may_deliver_to_an_inbox_and_nothing_else(world: World, user: str) -> None:
    desk = Desk(world, user, await actor(world, world.users[user]))
    found = await desk.find(Privilege.SCHEDULE_DELIVER_INVITE, "inbox", or_need=Privilege.SCHEDULE_DELIVER_INVITE)
    assert found.privileges == DELIVERING


async def test_who_is_disabled_finds_nothing(world: World) -> None:
    person = await make_person(world.served)
    who = await actor(world, person)
    directory = PostgresDirectory(world.served.storage.database)
    await directory.write_principals([PrincipalChange(person.id, disabled=True)], CAUSE)
    with pytest.raises(SignInRequired):
        await Lookup(world.served.storage).find(who, Target(person.uid, "uid", "calendar"), Privilege.READ)
    person.http.close()
