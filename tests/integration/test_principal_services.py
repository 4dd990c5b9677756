"""Every kind of user against the services of principals: what each may read and change of somebody."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio

from server.domain.actors import Actor
from server.domain.errors import AccessDenied, NotFound
from server.domain.principal_search import PrincipalSearch, Term
from server.domain.privileges import Privilege
from server.services.lookup import principal_as_seen
from server.services.permissions import principal_of
from server.services.principals import changes as principals
from server.services.principals.loading import load_principals
from server.services.principals.people import People
from server.services.transfer.exporting import Exporter
from server.storage.directory import PrincipalChange, RelationChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.embedded.server import Cluster
from storage_plugins.postgres.storage import PostgresStorage
from tests.fixtures.postgres import create_database, drop_database
from tests.unit.auth.directory_in_memory import CountingHasher

INSTALLATION = Actor(None, "test")
PASSWORD = "a long password"
USERS = ("self", "admin", "delegate", "member", "stranger")
ADMINISTRATORS = frozenset({"admin"})
THEMSELVES = ADMINISTRATORS | {"self"}
ALL = frozenset(USERS)

MAY: Mapping[str, frozenset[str]] = {
    "find by the id": ALL,
    "find by the name": ALL,
    "search": ALL,
    "read the groups": ALL,
    "read the delegates": ALL,
    "read the record": THEMSELVES,
    "set the password": THEMSELVES,
    "add an app password": THEMSELVES,
    "list the app passwords": THEMSELVES,
    "revoke an app password": THEMSELVES,
    "add a person": ADMINISTRATORS,
    "disable": ADMINISTRATORS,
    "rename": ADMINISTRATORS,
    "delete": ADMINISTRATORS,
    "hand over": ADMINISTRATORS,
    "load principals": ADMINISTRATORS,
    "list everybody": ADMINISTRATORS,
}
"""Who may do what with a person, by any front end; the installation may do all of it."""

_numbers = itertools.count(1)


@dataclass
class Desk:
    """A person, and somebody who asks services for what concerns this person."""

    storage: PostgresStorage
    actor: Actor
    name: str
    id: int
    uid: str
    heir: str

    def __post_init__(self) -> None:
        self.directory = PostgresDirectory(self.storage.database)
        self.people = People(self.directory, PostgresAccess(self.storage))
        self.hasher = CountingHasher()

    async def find_by_id(self) -> None:
        (found,) = await self.people.principals_at(self.actor, [self.uid], [])
        assert principal_of(found).id == self.id

    async def find_by_name(self) -> None:
        assert principal_of(await self.people.named(self.actor, self.name)).id == self.id

    async def search(self) -> None:
        search = PrincipalSearch(((Term("uid", self.uid, "equals", False),),), ("individual",))
        (found,) = await self.people.search(self.actor, search, 10)
        assert principal_of(found).id == self.id

    async def read_groups(self) -> None:
        found = await self.people.principals_at(self.actor, [self.uid], [])
        assert await self.people.groups_of(found) == {self.id: []}

    async def read_delegates(self) -> None:
        found = await self.people.principals_at(self.actor, [self.uid], [])
        (delegation,) = (await self.people.delegates(found))[self.id]
        assert delegation.rights == "write"

    async def read_record(self) -> None:
        assert (await principals.find(self.actor, self.directory, self.name)).id == self.id

    async def set_password(self) -> None:
        await principals.set_password(self.actor, self.directory, self.hasher, self.name, "another password")

    async def add_app_password(self) -> None:
        made = await principals.add_app_password(self.actor, self.directory, self.hasher, self.name, "Phone")
        assert made.name == "Phone"

    async def list_app_passwords(self) -> None:
        listed = await principals.list_app_passwords(self.actor, self.directory, self.name)
        assert [each.name for each in listed] == ["Laptop"]

    async def revoke_app_password(self) -> None:
        await principals.revoke_app_password(self.actor, self.directory, self.name, "Laptop")

    async def add_person(self) -> None:
        name = f"added{next(_numbers)}"
        assert await principals.add_person(self.actor, self.directory, self.hasher, name, PASSWORD)

    async def disable(self) -> None:
        assert await principals.set_disabled(self.actor, self.directory, self.name, True)

    async def rename(self) -> None:
        await principals.rename(self.actor, self.directory, self.name, f"renamed{next(_numbers)}")

    async def delete(self) -> None:
        await principals.delete(self.actor, self.directory, self.name, purge=False)

    async def hand_over(self) -> None:
        await principals.hand_over(self.actor, self.directory, self.name, self.heir)

    async def load(self) -> None:
        document = {"principals": [{"id": self.uid, "kind": "individual", "name": self.name, "display_name": "X"}]}
        assert (await load_principals(self.actor, self.directory, self.hasher, document)).changed == 1

    async def list_everybody(self) -> None:
        exporter = Exporter(self.storage, self.directory, self.actor)
        assert self.id in [record.id async for record in exporter.everybody()]

    async def state(self) -> object:
        """What a refusal must leave as it is."""
        record = await self.directory.principal(self.uid)
        written = await self.storage.database.fetchval("select count(*) from outbox")
        return record, await self.directory.app_passwords(self.id), written


SERVICES: Mapping[str, Callable[[Desk], Awaitable[None]]] = {
    "find by the id": Desk.find_by_id,
    "find by the name": Desk.find_by_name,
    "search": Desk.search,
    "read the groups": Desk.read_groups,
    "read the delegates": Desk.read_delegates,
    "read the record": Desk.read_record,
    "set the password": Desk.set_password,
    "add an app password": Desk.add_app_password,
    "list the app passwords": Desk.list_app_passwords,
    "revoke an app password": Desk.revoke_app_password,
    "add a person": Desk.add_person,
    "disable": Desk.disable,
    "rename": Desk.rename,
    "delete": Desk.delete,
    "hand over": Desk.hand_over,
    "load principals": Desk.load,
    "list everybody": Desk.list_everybody,
}


@dataclass(frozen=True)
class Made:
    id: int
    name: str
    uid: str


async def person(storage: PostgresStorage, *roles: str) -> Made:
    name = f"person{next(_numbers)}"
    change = PrincipalChange(kind="individual", name=name, uid=f"uid-{name}", roles=frozenset(roles))
    (id_,) = await PostgresDirectory(storage.database).write_principals([change], INSTALLATION.cause)
    return Made(id_, name, f"uid-{name}")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def storage(cluster: Cluster, migrated_template: str) -> AsyncIterator[PostgresStorage]:
    name = await create_database(cluster, migrated_template)
    async with PostgresStorage(cluster.dsn(name), DatabaseLimits(connections=4), notify=False) as opened:
        yield opened
    await drop_database(cluster, name)


async def desk_of(storage: PostgresStorage, user: str) -> Desk:
    """Somebody who is asked for, and a user of a kind who asks."""
    whom = await person(storage)
    asking = whom if user == "self" else await person(storage, *(["admin"] if user == "admin" else []))
    helper = asking if user == "delegate" else await person(storage)
    directory = PostgresDirectory(storage.database)
    relations = [RelationChange(whom.id, delegates=frozenset({(helper.id, "write")}))]
    if user == "member":
        (group,) = await directory.write_principals(
            [PrincipalChange(kind="group", name=f"group{next(_numbers)}")], INSTALLATION.cause
        )
        relations += [RelationChange(group, members=frozenset({asking.id}))]
    await directory.write_relations(relations, INSTALLATION.cause)
    await principals.add_app_password(INSTALLATION, directory, CountingHasher(), whom.name, "Laptop")
    viewer = None if user == "installation" else (await storage.resolve(asking.id, None)).viewer
    return Desk(storage, Actor(viewer, "test"), whom.name, whom.id, whom.uid, (await person(storage)).name)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("what", MAY)
async def test_who_may_do_what(storage: PostgresStorage, user: str, what: str) -> None:
    desk = await desk_of(storage, user)
    if user in MAY[what]:
        await SERVICES[what](desk)
        return
    before = await desk.state()
    with pytest.raises(AccessDenied):
        await SERVICES[what](desk)
    assert await desk.state() == before


@pytest.mark.parametrize("what", MAY)
async def test_the_installation_may_do_all(storage: PostgresStorage, what: str) -> None:
    await SERVICES[what](await desk_of(storage, "installation"))


@pytest.mark.parametrize("user", ["delegate", "stranger"])
async def test_a_record_that_is_hidden_is_refused_like_one_that_is_not_there(
    storage: PostgresStorage, user: str
) -> None:
    desk = await desk_of(storage, user)
    with pytest.raises(AccessDenied):
        await principals.find(desk.actor, desk.directory, "nobody")
    with pytest.raises(NotFound):
        await principals.find(INSTALLATION, desk.directory, "nobody")


async def test_who_may_not_read_the_access_control_list_hears_of_no_administrator(storage: PostgresStorage) -> None:
    desk = await desk_of(storage, "stranger")
    assert desk.actor.principal is not None
    whom = (await storage.resolve(desk.id, None)).viewer
    assert whom is not None
    found = principal_as_seen(desk.actor.principal, whom)
    with pytest.raises(AccessDenied) as raised:
        await desk.people.administrators(found)
    assert raised.value.privilege is Privilege.READ_ACL
