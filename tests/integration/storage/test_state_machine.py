"""Any order of writes leaves what a simple model says, and every client that syncs ends equal to the server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain.changes import ObjectState, PropertyChanges
from server.domain.errors import AlreadyExists, NotFound, UidConflict, WriteConflict
from server.domain.objects import NewCollection, Target
from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.storage.conftest import Person, make_person
from tests.integration.storage.values import CAUSE, LIMITS, content

COLLECTIONS = st.sampled_from(["calendar", "tasks", "new"])
NAMES = st.sampled_from(["a", "b", "c"])
UIDS = st.sampled_from(["u1", "u2", "u3"])
SIZES = st.integers(0, 3)

STEPS = st.one_of(
    st.tuples(st.just("put"), COLLECTIONS, NAMES, UIDS, SIZES),
    st.tuples(st.just("delete"), COLLECTIONS, NAMES),
    st.tuples(st.just("set"), COLLECTIONS, NAMES, SIZES),
    st.tuples(st.just("describe"), COLLECTIONS, SIZES),
    st.tuples(st.just("move"), COLLECTIONS, NAMES, COLLECTIONS, NAMES),
    st.tuples(st.just("copy"), COLLECTIONS, NAMES, COLLECTIONS, NAMES),
    st.tuples(st.just("make"), COLLECTIONS),
    st.tuples(st.just("remove"), COLLECTIONS),
    st.tuples(st.just("rename"), COLLECTIONS, COLLECTIONS),
    st.tuples(st.just("sync"), st.integers(1, 3)),
)


SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
Members = dict[str, tuple[str, str]]


@dataclass
class Model:
    """What must be stored: by collection and name the UID and text."""

    collections: dict[str, Members] = field(default_factory=lambda: {"calendar": {}, "tasks": {}})

    def make(self, name):
        if name in self.collections:
            return "AlreadyExists"
        self.collections[name] = {}
        return "done"

    def remove(self, name):
        return "absent" if self.collections.pop(name, None) is None else "done"

    def rename(self, old, new):
        if old not in self.collections or old == new:
            return "absent"
        self.collections[new] = self.collections.pop(old)
        return "done"

    def put(self, collection, name, uid, size):
        members = self.collections.get(collection)
        if members is None:
            return "absent"
        if uid in {held for other, (held, _) in members.items() if other != name}:
            return "UidConflict"
        members[name] = (uid, uid * size)
        return "done"

    def delete(self, collection, name):
        members = self.collections.get(collection, {})
        return "absent" if members.pop(name, None) is None else "done"

    def set(self, collection, name, size):
        return "done" if name in self.collections.get(collection, {}) else "absent"

    def describe(self, collection, size):
        return "done" if collection in self.collections else "absent"

    def move(self, source, name, destination, new):
        result = self.copy(source, name, destination, new, moving=True)
        if result == "done":
            del self.collections[source][name]
        return result

    def copy(self, source, name, destination, new, *, moving=False):
        found = self.collections.get(source, {}).get(name)
        members = self.collections.get(destination)
        if found is None or members is None or (source, name) == (destination, new):
            return "absent"
        spared = {new, name} if moving and source == destination else {new}
        if found[0] in {held for other, (held, _) in members.items() if other not in spared}:
            return "UidConflict"
        members[new] = found
        return "done"


def properties(size):
    return PropertyChanges({"{x}y": f"<y>{'é' * size}</y>" if size else None})


PROPERTY_BYTES = """
    select (
        select coalesce(sum(octet_length(c.properties::text)), 0) from collection c
        where c.home_id = $1 and c.deleted_at is null
    ) + (
        select coalesce(sum(octet_length(o.properties::text)), 0)
        from object o join collection c on c.home_id = o.home_id and c.id = o.collection_id
        where o.home_id = $1 and o.deleted_at is null and c.deleted_at is null
    )
"""


@dataclass
class Server:
    """The same steps on the storage, each based on what is read first."""

    storage: PostgresStorage
    person: Person

    async def perform(self, step):
        kind, *arguments = step
        try:
            return await getattr(self, kind)(*arguments)
        except (AlreadyExists, NotFound, UidConflict, WriteConflict) as error:
            return type(error).__name__

    async def collection(self, name):
        target = Target(self.person.uid, "uid", "calendar", name)
        return (await self.storage.resolve(self.person.id, target)).collection

    async def member(self, collection, name):
        found = await self.storage.members_named([(collection, name)], ("id", "revision"))
        row = found.get((collection.id, name))
        return None if row is None else ObjectState(*row)

    async def make(self, name):
        home = await self.person.home()
        await self.storage.create_collection(home, NewCollection(name, "calendar"), LIMITS, CAUSE)
        return "done"

    async def remove(self, name):
        collection = await self.collection(name)
        if collection is None:
            return "absent"
        await self.storage.delete_collection(await self.person.home(), collection, CAUSE)
        return "done"

    async def rename(self, old, new):
        collection, replaced = await self.collection(old), await self.collection(new)
        if collection is None or old == new:
            return "absent"
        await self.storage.move_collection(await self.person.home(), collection, new, replaced, CAUSE)
        return "done"

    async def put(self, name, member, uid, size):
        collection = await self.collection(name)
        if collection is None:
            return "absent"
        before = await self.member(collection, member)
        new = content(uid, uid * size, occurrences=size)
        await self.storage.put_object(collection, member, new, before, LIMITS, CAUSE)
        return "done"

    async def delete(self, name, member):
        collection = await self.collection(name)
        before = None if collection is None else await self.member(collection, member)
        if before is None:
            return "absent"
        await self.storage.delete_object(collection, member, before, CAUSE)
        return "done"

    async def set(self, name, member, size):
        """Size 0 removes the property."""
        collection = await self.collection(name)
        before = None if collection is None else await self.member(collection, member)
        if before is None:
            return "absent"
        await self.storage.set_object_properties(collection, member, before, properties(size), CAUSE)
        return "done"

    async def describe(self, name, size):
        collection = await self.collection(name)
        if collection is None:
            return "absent"
        home = await self.person.home()
        changes = properties(size)
        await self.storage.set_collection_properties(home, collection, changes, self.person.id, LIMITS, CAUSE)
        return "done"

    async def move(self, *arguments):
        return await self.transfer(self.storage.move_object, *arguments)

    async def copy(self, *arguments):
        return await self.transfer(self.storage.copy_object, *arguments)

    async def transfer(self, act, source_name, name, destination_name, new):
        source, destination = await self.collection(source_name), await self.collection(destination_name)
        if source is None or destination is None or (source.id, name) == (destination.id, new):
            return "absent"
        moving, replaced = await self.member(source, name), await self.member(destination, new)
        if moving is None:
            return "absent"
        await act(source, name, moving, destination, new, replaced, LIMITS, CAUSE)
        return "done"


@dataclass
class Client:
    """What one client knows: by collection and incarnation the token and the ETags."""

    server: Server
    tokens: dict[tuple[int, int], int] = field(default_factory=dict)
    etags: dict[tuple[int, int], dict[str, str]] = field(default_factory=dict)

    async def sync(self, limit):
        """Sync every collection in pages; gives the ETags by names."""
        person, storage = self.server.person, self.server.storage
        known = {}
        for collection in await storage.collections(await person.home(), person.id):
            key = (collection.id, collection.incarnation)
            token, etags = self.tokens.get(key, 0), self.etags.setdefault(key, {})
            while rows := await storage.members_changed(
                collection,
                ("name", "etag", "deleted_revision", "revision"),
                after=token,
                up_to=collection.revision,
                limit=limit,
            ):
                for name, etag, deleted, revision in rows:
                    token = revision
                    if deleted is None:
                        etags[name] = etag
                    else:
                        etags.pop(name, None)
            self.tokens[key] = token
            known[collection.name] = etags
        return known

    async def assert_equal(self, limit):
        """Sync, and compare with what is stored."""
        person, storage = self.server.person, self.server.storage
        known = await self.sync(limit)
        home = await person.home()
        stored = {}
        for collection in await storage.collections(home, person.id):
            rows = await storage.members(collection, ("name", "uid", "text", "etag"), after=None, limit=100)
            assert known[collection.name] == {name: etag for name, _, _, etag in rows}
            assert collection.member_count == len(rows)
            assert collection.revision <= home.revision
            if collection.kind == "calendar":
                stored[collection.name] = {name: (uid, text) for name, uid, text, _ in rows}
        texts = sum(len(text) for members in stored.values() for _, text in members.values())
        assert home.used_bytes == texts + await person.value(PROPERTY_BYTES)
        return stored


@SETTINGS
@given(steps=st.lists(STEPS, min_size=5, max_size=25))
async def test_any_order_of_writes(storage, steps):
    server, model = Server(storage, await make_person(storage)), Model()
    client = Client(server)
    for step in steps:
        if step[0] == "sync":
            await client.sync(step[1])
        else:
            kind, *arguments = step
            assert await server.perform(step) == getattr(model, kind)(*arguments)
    assert await client.assert_equal(2) == model.collections


@SETTINGS
@given(writers=st.lists(st.lists(STEPS, min_size=3, max_size=12), min_size=2, max_size=4))
async def test_any_orders_of_writes_at_the_same_time(storage, writers):
    """Whatever becomes of each write, clients that synced in the middle end equal to the server."""
    server = Server(storage, await make_person(storage))

    async def work(steps):
        client = Client(server)
        for step in steps:
            if step[0] == "sync":
                await client.sync(step[1])
            else:
                await server.perform(step)
        return client

    for client in await asyncio.gather(*map(work, writers)):
        await client.assert_equal(2)
