"""For whom a delegate makes a change, and the trace context of the request, stand with every change."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from server.domain.changes import Cause, ChangeSet, PropertyChanges, Put, Unchanged
from server.domain.contents import ObjectView, Views
from server.domain.errors import WriteConflict
from server.domain.grants import Ace
from server.domain.objects import NewCollection
from server.domain.privileges import Privilege
from server.storage.directory import PrincipalChange, RelationChange
from server.storage.reads import SharedObject
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.changes import collection_copies
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.storage import PostgresStorage
from storage_plugins.postgres.upkeep.deleted import deleted_collections, restore_collection
from tests.integration.storage.conftest import Person, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.sequenced import sequence
from tests.integration.storage.values import CAUSE, LIMITS, content, etag_of, state

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WHOM = 4711
COLOR = PropertyChanges({"{x}color": "<color/>"})
_requests = itertools.count(1)


@dataclass(frozen=True)
class Scene:
    """Where the changes are made."""

    storage: MemberStorage
    person: Person
    other: Person
    cause: Cause

    @property
    def access(self) -> PostgresAccess:
        return PostgresAccess(self.storage)

    @property
    def directory(self) -> PostgresDirectory:
        return PostgresDirectory(self.storage.database)

    async def put(self, collection, name: str = "a", cause: Cause = CAUSE, **more):
        return await self.storage.put_object(collection, name, content(name), None, LIMITS, cause, **more)

    async def share(self, cause: Cause = CAUSE) -> None:
        calendar = await self.person.collection()
        await self.access.render_views(await self.person.home(), calendar, neutral)
        await self.access.share(await self.person.home(), calendar, self.other.id, "write", cause)


def neutral(stored: SharedObject) -> Views:
    return Views(etag_of(stored.text.encode()), None, None)


async def rows(storage: PostgresStorage, request_id: str) -> list[tuple[int | None, str | None]]:
    """What the entries of a request say."""
    await sequence(storage.database)
    found = await storage.database.fetch(
        "select distinct acting_for, trace from journal where request_id = $1", request_id
    )
    return [tuple(row) for row in found]


async def put(scene: Scene) -> None:
    await scene.put(await scene.person.collection(), cause=scene.cause)


async def put_if_unchanged(scene: Scene) -> None:
    calendar = await scene.person.collection()
    states = [Unchanged(calendar.home_id, calendar.id, calendar.revision, scene.person.id)]
    await scene.put(calendar, cause=scene.cause, unchanged=states)


async def put_many(scene: Scene) -> None:
    calendars = await scene.person.collection(), await scene.other.collection()
    writes = tuple(Put(calendar, name, content(name), None) for calendar in calendars for name in ("a", "b"))
    await scene.storage.apply(ChangeSet(writes, LIMITS, scene.cause))


async def put_many_with_properties(scene: Scene) -> None:
    calendar = await scene.person.collection()
    writes = tuple(Put(calendar, name, content(name), None, properties={"{x}a": "<a/>"}) for name in ("a", "b"))
    await scene.storage.apply(ChangeSet(writes, LIMITS, scene.cause))


async def delete(scene: Scene) -> None:
    calendar = await scene.person.collection()
    written = await scene.put(calendar)
    await scene.storage.delete_object(calendar, "a", state(written), scene.cause)


async def move(scene: Scene) -> None:
    calendar, tasks = await scene.person.collection(), await scene.person.collection("tasks")
    written = await scene.put(calendar)
    await scene.storage.move_object(calendar, "a", state(written), tasks, "b", None, LIMITS, scene.cause)


async def copy(scene: Scene) -> None:
    calendar, tasks = await scene.person.collection(), await scene.person.collection("tasks")
    written = await scene.put(calendar)
    await scene.storage.copy_object(calendar, "a", state(written), tasks, "b", None, LIMITS, scene.cause)


async def set_personal(scene: Scene) -> None:
    await scene.share()
    calendar = await scene.person.collection()
    written = await scene.put(calendar, views=Views(content("a").etag, None, None))
    home = await scene.other.home()
    (shown,) = [item for item in await scene.storage.collections(home, scene.other.id) if item.id == calendar.id]
    view = ObjectView(scene.other.id, etag_of(b"mine"), "mine", 4, "")
    await scene.storage.put_view(shown, "a", view, state(written), 0, LIMITS, scene.cause)


async def set_properties(scene: Scene) -> None:
    calendar = await scene.person.collection()
    written = await scene.put(calendar)
    await scene.storage.set_object_properties(calendar, "a", state(written), COLOR, scene.cause)


async def create_collection(scene: Scene) -> None:
    home = await scene.person.home()
    await scene.storage.create_collection(home, NewCollection("work", "calendar"), LIMITS, scene.cause)


async def set_collection_properties(scene: Scene) -> None:
    home, calendar = await scene.person.home(), await scene.person.collection()
    await scene.storage.set_collection_properties(home, calendar, COLOR, scene.person.id, LIMITS, scene.cause)


async def set_home_properties(scene: Scene) -> None:
    await scene.storage.set_home_properties(await scene.person.home(), COLOR, LIMITS, scene.cause)


async def delete_collection(scene: Scene) -> None:
    home, calendar = await scene.person.home(), await scene.person.collection()
    await scene.storage.delete_collection(home, calendar, scene.cause)


async def move_collection(scene: Scene) -> None:
    home, calendar = await scene.person.home(), await scene.person.collection()
    await scene.storage.move_collection(home, calendar, "moved", None, scene.cause)


async def copy_collection(scene: Scene) -> None:
    home, calendar = await scene.person.home(), await scene.person.collection()
    await scene.put(calendar)
    await scene.storage.copy_collection(home, calendar, "copy", None, LIMITS, scene.cause, with_members=True)


async def restore(scene: Scene) -> None:
    await delete_collection(replace(scene, cause=CAUSE))
    (deleted,) = await deleted_collections(scene.storage.database, scene.person.id, 30)
    await restore_collection(scene.storage.database, deleted, "restored", 30, scene.cause)


async def set_acl(scene: Scene) -> None:
    home, calendar = await scene.person.home(), await scene.person.collection()
    await scene.access.set_acl(home, calendar, [Ace(calendar.id, "all", True, (Privilege.READ,))], scene.cause)


async def share(scene: Scene) -> None:
    await scene.share(scene.cause)
    await sequence(scene.storage.database)
    (row,) = await scene.storage.database.fetch(
        "select acting_for, trace from journal where request_id = $1 and kind = 'binding'", scene.cause.request_id
    )
    assert tuple(row) == (WHOM, TRACE)


async def set_delegates(scene: Scene) -> None:
    await scene.access.set_delegates(scene.person.id, "write", frozenset({scene.other.id}), scene.cause)


async def change_principal(scene: Scene) -> None:
    await scene.directory.write_principals([PrincipalChange(scene.person.id, display_name="New")], scene.cause)


async def change_relations(scene: Scene) -> None:
    group = await make_person(scene.storage, "group")
    await scene.directory.write_relations([RelationChange(group.id, frozenset({scene.other.id}))], scene.cause)


async def delete_principal(scene: Scene) -> None:
    await scene.directory.delete_principal(scene.person.id, scene.cause, purge=True)


async def hand_over(scene: Scene) -> None:
    await scene.put(await scene.person.collection())
    for handover in await scene.directory.handovers(scene.person.id, scene.other.id):
        async for _ in scene.directory.hand_over(handover, "Somebody", scene.cause):
            pass


CHANGES = (
    put,
    put_if_unchanged,
    put_many,
    put_many_with_properties,
    delete,
    move,
    copy,
    set_personal,
    set_properties,
    create_collection,
    set_collection_properties,
    set_home_properties,
    delete_collection,
    move_collection,
    copy_collection,
    restore,
    set_acl,
    share,
    set_delegates,
    change_principal,
    change_relations,
    delete_principal,
    hand_over,
)


@pytest_asyncio.fixture(loop_scope="session")
async def scene(storage, person, new_person) -> Scene:
    cause = Cause(person.id, "caldav", f"cause-{next(_requests)}", WHOM, TRACE)
    return Scene(storage, person, await new_person(), cause)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_every_change_is_recorded_with_its_cause(scene: Scene, change: Callable[[Scene], Awaitable[None]]):
    await change(scene)
    request_id = scene.cause.request_id
    assert await rows(scene.storage, request_id) == [(WHOM, TRACE)]


async def test_a_copy_set_by_set_is_recorded_with_its_cause(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """The copy ends in a transaction of its own, long after the request's first."""
    monkeypatch.setattr(collection_copies, "SET_MEMBERS", 2)
    home, calendar = await scene.person.home(), await scene.person.collection()
    for number in range(5):
        await scene.put(calendar, f"{number}")
    await scene.storage.copy_collection(home, calendar, "copy", None, LIMITS, scene.cause, with_members=True)
    assert await rows(scene.storage, scene.cause.request_id) == [(WHOM, TRACE)]


async def test_the_next_change_on_a_connection_is_recorded_by_itself(scene: Scene):
    """What a transaction was told ends with it, whether it succeeds or not."""
    await put(scene)
    with pytest.raises(WriteConflict):
        await put(scene)
    plain = replace(CAUSE, request_id=f"{scene.cause.request_id}-plain")
    await scene.put(await scene.person.collection(), "plain", plain)
    assert await rows(scene.storage, plain.request_id) == [(None, None)]
    half = replace(scene.cause, request_id=f"{scene.cause.request_id}-half", trace="")
    await scene.put(await scene.person.collection(), "half", half)
    assert await rows(scene.storage, half.request_id) == [(WHOM, None)]
