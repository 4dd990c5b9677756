"""Homes and their collections."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from server.domain.changes import PropertyChanges
from server.domain.errors import AlreadyExists, TooManyCollections, WriteConflict
from server.domain.objects import NewCollection, Target
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.changes import collection_copies
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.storage.values import CAUSE, LIMITS, content, state

COLOR = "{http://apple.com/ns/ical/}calendar-color"


async def shown(storage, person, kind="calendar"):
    home = await person.home(kind)
    return [(item.name, item.kind, item.components) for item in await storage.collections(home, person.id)]


async def home_changes(storage, person, after):
    home = await person.home()
    _, found = await storage.home_changes(home, person.id, after)
    assert [item.binding_revision for item in found] == sorted(item.binding_revision for item in found)
    return [(item.name, item.deleted_revision is not None) for item in found]


@pytest.mark.parametrize("kind", ["individual", "room", "resource", "group"])
async def test_homes_from_the_start(storage, new_person, kind):
    person = await new_person(kind)
    found = await storage.resolve(None, Target(person.uid, "uid", "calendar"))
    if kind == "group":
        assert found.owner is not None
        assert found.home is None
        return
    assert await shown(storage, person) == [
        ("calendar", "calendar", ("VEVENT",)),
        ("inbox", "inbox", ()),
        ("notification", "notification", ()),
        ("outbox", "outbox", ()),
        ("tasks", "calendar", ("VTODO",)),
    ]
    books = (await storage.resolve(None, Target(person.uid, "uid", "addressbook"))).home
    assert (books is not None) == (kind == "individual")
    if books is not None:
        assert await shown(storage, person, "addressbook") == [("addressbook", "addressbook", ())]


async def test_what_a_path_names(storage, person, new_person):
    other = await new_person()
    calendar = await person.collection()
    await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    by_name = await storage.resolve(
        other.id, Target(person.name.upper(), "individual", "calendar", "calendar", "a.ics")
    )
    by_id = await storage.resolve(other.id, Target(person.uid, "uid", "calendar", "calendar", "a.ics"))
    assert by_name == by_id
    assert by_id.viewer.id == other.id
    assert by_id.owner.id == person.id
    assert by_id.object.text is None
    own = await storage.resolve(person.id, Target(person.uid, "uid", "calendar", "calendar", "a.ics"))
    assert own.viewer is own.owner
    assert (await storage.resolve(person.id, None)).viewer == own.viewer
    assert (await storage.resolve(None, None)).viewer is None
    for target, missing in [
        (Target(person.name, "room"), "owner"),
        (Target("nobody", "uid"), "owner"),
        (Target(person.uid, "uid", "calendar", "none"), "collection"),
        (Target(person.uid, "uid", "calendar", "Calendar"), "collection"),
        (Target(person.uid, "uid", "calendar", "calendar", "A.ics"), "object"),
        (Target(person.uid, "uid", "addressbook", "calendar", "a.ics"), "collection"),
    ]:
        assert getattr(await storage.resolve(person.id, target), missing) is None


async def test_addresses_and_roles_come_with_the_principal(storage, person):
    await storage.database.fetch(
        "insert into principal_address values ($1, 1, $2, $2), ($1, 0, $3, $3)",
        person.id,
        f"{person.name}@b.example",
        f"{person.name}@a.example",
    )
    await storage.database.fetch("update principal set roles = '{admin}', disabled_at = now() where id = $1", person.id)
    found = (await storage.resolve(person.id, None)).viewer
    assert found.emails == (f"{person.name}@a.example", f"{person.name}@b.example")
    assert found.is_admin
    assert found.disabled


async def test_a_new_collection_is_what_was_asked_for(storage, person):
    home = await person.home()
    new = NewCollection(
        "work", "calendar", ("VEVENT", "VTODO"), "BEGIN:VCALENDAR", "https://x.example/", {COLOR: "<c/>"}
    )
    made = await storage.create_collection(home, new, LIMITS, CAUSE)
    assert made == await person.collection("work")
    assert made.components == ("VEVENT", "VTODO")
    assert (made.timezone, made.source, made.properties) == ("BEGIN:VCALENDAR", "https://x.example/", {COLOR: "<c/>"})
    assert made.revision == home.revision + 1
    with pytest.raises(AlreadyExists):
        await storage.create_collection(home, new, LIMITS, CAUSE)
    with pytest.raises(TooManyCollections):
        await storage.create_collection(home, replace(new, name="x"), replace(LIMITS, max_collections=6), CAUSE)
    await storage.create_collection(home, replace(new, name="x"), replace(LIMITS, max_collections=7), CAUSE)
    assert (await person.home()).revision == home.revision + 2


async def test_a_name_bound_anew_ends_infinite_tokens_only(storage, person):
    home = await person.home()
    new = NewCollection("work", "calendar")
    first = await storage.create_collection(home, new, LIMITS, CAUSE)
    assert (await person.home()).infinite_sync_floor == 0
    written = await storage.put_object(first, "a.ics", content("u1"), None, LIMITS, CAUSE)
    before = (await person.home()).revision
    deleted = await storage.delete_collection(home, first, CAUSE)
    assert await home_changes(storage, person, before) == [("work", True)]
    assert (await person.home()).used_bytes == 0
    second = await storage.create_collection(home, new, LIMITS, CAUSE)
    after = await person.home()
    assert (after.sync_floor, after.infinite_sync_floor) == (0, deleted)
    assert second.id != first.id
    assert second.incarnation != first.incarnation
    assert await home_changes(storage, person, deleted) == [("work", False)]
    assert await storage.members(second, ("name",), after=None, limit=5) == []
    # The members of the one that was deleted stay, for restoring.
    assert await person.value("select count(*) from object where home_id = $1 and deleted_revision is null") == 1
    with pytest.raises(WriteConflict):
        await storage.delete_collection(home, first, CAUSE)
    assert written.revision < deleted


async def test_a_changed_member_changes_its_collection_in_the_home(storage, person):
    calendar, token = await person.collection(), (await person.home()).revision
    written = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    assert await home_changes(storage, person, token) == [("calendar", False)]
    assert (await person.collection()).binding_revision == written.revision
    await storage.set_collection_properties(
        await person.home(),
        await person.collection("tasks"),
        PropertyChanges({COLOR: "<c/>"}),
        person.id,
        LIMITS,
        CAUSE,
    )
    assert await home_changes(storage, person, written.revision) == [("tasks", False)]


async def test_properties_of_a_collection(storage, person):
    home, calendar = await person.home(), await person.collection()
    written = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    one = await storage.set_collection_properties(
        home,
        calendar,
        PropertyChanges({COLOR: "<c/>", "{x}y": "<y/>"}, timezone="TZ", source="s"),
        person.id,
        LIMITS,
        CAUSE,
    )
    found = await person.collection()
    assert found.revision == one == written.revision + 1
    assert (found.properties, found.timezone, found.source) == ({COLOR: "<c/>", "{x}y": "<y/>"}, "TZ", "s")
    assert found.incarnation == calendar.incarnation
    assert await storage.members_changed(found, ("name",), after=written.revision, up_to=one, limit=5) == []
    await storage.set_collection_properties(
        home, calendar, PropertyChanges({COLOR: None}, timezone="", source=None), person.id, LIMITS, CAUSE
    )
    found = await person.collection()
    assert (found.properties, found.timezone, found.source) == ({"{x}y": "<y/>"}, None, "s")


async def test_properties_in_a_view_of_ones_own(storage, person, new_person):
    delegate, stranger = await new_person(), await new_person()
    home, calendar = await person.home(), await person.collection()
    await storage.set_collection_properties(
        home, calendar, PropertyChanges({COLOR: "<red/>", "{x}y": "<one/>"}), person.id, LIMITS, CAUSE
    )
    before = await person.home()
    revision = await storage.set_collection_properties(
        home, calendar, PropertyChanges({COLOR: "<blue/>", "{x}y": "<two/>"}), delegate.id, LIMITS, CAUSE
    )

    async def seen(viewer):
        target = Target(person.uid, "uid", "calendar", "calendar")
        return (await storage.resolve(viewer.id, target)).collection

    assert (await seen(delegate)).properties == {COLOR: "<blue/>", "{x}y": "<two/>"}
    assert (await seen(person)).properties == (await seen(stranger)).properties == {COLOR: "<red/>", "{x}y": "<two/>"}
    # What is only the delegate's moves only the delegate's tag.
    own = (await seen(person)).revision
    alone = await storage.set_collection_properties(
        home, calendar, PropertyChanges({COLOR: "<green/>"}), delegate.id, LIMITS, CAUSE
    )
    assert (await seen(person)).revision == (await seen(stranger)).revision == own
    assert (await seen(delegate)).revision == (await seen(delegate)).binding_revision == alone
    listed = {item.name: item for item in await storage.collections(home, delegate.id)}
    assert listed["calendar"] == await seen(delegate)
    assert before.revision < revision < alone
    await storage.set_collection_properties(home, calendar, PropertyChanges({COLOR: None}), delegate.id, LIMITS, CAUSE)
    assert (await seen(delegate)).properties == (await seen(person)).properties


async def test_a_moved_collection_keeps_its_members(storage, person):
    home, calendar = await person.home(), await person.collection()
    written = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    revision = await storage.move_collection(home, calendar, "new name", None, CAUSE)
    moved = await person.collection("new name")
    assert (moved.id, moved.binding_revision) == (calendar.id, revision)
    assert moved.incarnation != calendar.incarnation
    assert (await person.home()).infinite_sync_floor == revision
    assert await home_changes(storage, person, written.revision) == [("calendar", True), ("new name", False)]
    assert [row[0] for row in await storage.members(moved, ("name",), after=None, limit=5)] == ["a.ics"]
    # Over another, and back again.
    tasks = await person.collection("tasks")
    with pytest.raises(WriteConflict):
        await storage.move_collection(home, moved, "tasks", None, CAUSE)
    await storage.move_collection(home, moved, "tasks", tasks, CAUSE)
    assert (await person.collection("tasks")).id == calendar.id
    await storage.move_collection(home, await person.collection("tasks"), "calendar", None, CAUSE)
    assert (await person.collection()).id == calendar.id
    assert [name for name, *_ in await shown(storage, person)] == ["calendar", "inbox", "notification", "outbox"]


async def test_the_last_address_book_is_replaced(storage, person):
    home, book = await person.home("addressbook"), await person.collection("addressbook", "addressbook")
    await storage.put_object(book, "a.vcf", content("u1", occurrences=None, component="VCARD"), None, LIMITS, CAUSE)
    with pytest.raises(WriteConflict):
        await storage.delete_collection(home, book, CAUSE)
    await storage.delete_collection(home, book, CAUSE, replacement=NewCollection("addressbook", "addressbook"))
    replaced = await person.collection("addressbook", "addressbook")
    assert replaced.id != book.id
    assert replaced.member_count == 0
    assert (await person.home("addressbook")).used_bytes == 0
    assert (await person.home("addressbook")).infinite_sync_floor == replaced.revision - 1


async def test_two_deletions_leave_an_address_book(storage, person):
    home = await person.home("addressbook")
    await storage.create_collection(home, NewCollection("more", "addressbook"), LIMITS, CAUSE)
    books = await storage.collections(home, person.id)
    results = await asyncio.gather(
        *(storage.delete_collection(home, book, CAUSE) for book in books), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["WriteConflict", "int"]
    assert len(await storage.collections(home, person.id)) == 1


async def test_properties_of_a_home(storage, person):
    home = await person.home()
    revision = await storage.set_home_properties(home, PropertyChanges({"{x}y": "<y/>", "{x}z": "<z/>"}), LIMITS, CAUSE)
    found = await person.home()
    assert (found.revision, found.properties) == (revision, {"{x}y": "<y/>", "{x}z": "<z/>"})
    await storage.set_home_properties(home, PropertyChanges({"{x}y": None}), LIMITS, CAUSE)
    assert (await person.home()).properties == {"{x}z": "<z/>"}


async def share(storage, calendar, sharee, name, rights="write"):
    """Bind a collection in another's home, as sharing will."""
    home = await sharee.home()
    await storage.database.fetch(
        "with h as (update home set revision = revision + 1, collection_count = collection_count + 1 where id = $1 "
        "returning revision) insert into binding (home_id, name, collection_home_id, collection_id, rights, "
        "created_revision, revision) select $1, $2, $3, $4, $5, revision, revision from h",
        home.id,
        name,
        calendar.home_id,
        calendar.id,
        rights,
    )


async def test_a_shared_collection_is_one_under_two_names(storage, person, new_person):
    sharee = await new_person()
    calendar = await person.collection()
    await share(storage, calendar, sharee, "theirs")
    theirs = await sharee.collection("theirs")
    assert (theirs.home_id, theirs.id, theirs.rights) == (calendar.home_id, calendar.id, "write")
    written = await storage.put_object(theirs, "a.ics", content("u1"), None, LIMITS, CAUSE)
    await storage.put_object(calendar, "a.ics", content("u1", "new"), state(written), LIMITS, CAUSE)
    assert (await sharee.collection("theirs")).revision == (await person.collection()).revision
    assert (await person.home()).used_bytes == 3
    assert (await sharee.home()).used_bytes == 0
    before = (await person.collection()).revision
    revision = await storage.set_collection_properties(
        await sharee.home(), theirs, PropertyChanges({COLOR: "<c/>"}), sharee.id, LIMITS, CAUSE
    )
    assert (await person.collection()).revision == before
    assert (await sharee.collection("theirs")).binding_revision == revision == (await sharee.home()).revision
    await storage.set_collection_properties(
        await sharee.home(), theirs, PropertyChanges({"{x}y": "<y/>"}), sharee.id, LIMITS, CAUSE
    )
    assert (await person.collection()).properties == {"{x}y": "<y/>"}
    assert (await person.collection()).revision > before
    await storage.delete_collection(await sharee.home(), await sharee.collection("theirs"), CAUSE)
    assert (await person.collection()).member_count == 1
    with pytest.raises(WriteConflict):
        await storage.put_object(theirs, "b.ics", content("u2"), None, LIMITS, CAUSE)


async def test_a_copy_holds_the_home_only_at_its_end(storage, person):
    """Occurrences are copied before: a writer in the home does not wait, and one of a copied object does."""
    home, calendar = await person.home(), await person.collection()
    written = await storage.put_object(calendar, "a", content("a", occurrences=5), None, LIMITS, CAUSE)
    with pytest.raises(LookupError):
        async with storage.database.transaction() as connection:
            arguments = home.id, calendar.home_id, calendar.id, [written.id], [written.revision]
            await connection.fetchrow(collection_copies._COPY_PARTS, *arguments)
            await storage.put_object(calendar, "b", content("b"), None, LIMITS, CAUSE)
            again = asyncio.create_task(
                storage.put_object(calendar, "a", content("a", "new", occurrences=2), state(written), LIMITS, CAUSE)
            )
            done, _ = await asyncio.wait([again], timeout=0.5)
            assert not done
            raise LookupError
    await again
    await storage.copy_collection(home, calendar, "copy", None, LIMITS, CAUSE, with_members=True)
    copy = await person.collection("copy")
    assert (copy.member_count, copy.revision) == (2, (await person.home()).revision)


async def test_a_write_rests_on_the_binding_of_its_own_home(storage, person, new_person):
    """Not on a binding of somebody else with the same name and incarnation."""
    sharee, other = await new_person(), await new_person()
    calendar = await person.collection()
    for whom in (sharee, other):
        await share(storage, calendar, whom, "theirs")
    home, theirs = await sharee.home(), await sharee.collection("theirs")
    members = [await storage.put_object(theirs, name, content(name), None, LIMITS, CAUSE) for name in "abc"]
    own = await sharee.collection()
    await storage.delete_collection(home, theirs, CAUSE)
    changes = PropertyChanges({"{x}y": "<y/>"})
    for write in (
        storage.put_object(theirs, "d", content("d"), None, LIMITS, CAUSE),
        storage.put_object(theirs, "a", content("a", "new"), state(members[0]), LIMITS, CAUSE),
        storage.delete_object(theirs, "a", state(members[0]), CAUSE),
        storage.set_object_properties(theirs, "a", state(members[0]), changes, CAUSE),
        storage.move_object(theirs, "a", state(members[0]), own, "a", None, LIMITS, CAUSE),
        storage.copy_object(theirs, "a", state(members[0]), own, "a", None, LIMITS, CAUSE),
        storage.set_collection_properties(home, theirs, changes, sharee.id, LIMITS, CAUSE),
        storage.copy_collection(home, theirs, "copy", None, LIMITS, CAUSE, with_members=True),
    ):
        with pytest.raises(WriteConflict):
            await write
    assert (await other.collection("theirs")).member_count == 3
    await storage.delete_object(await other.collection("theirs"), "a", state(members[0]), CAUSE)


async def test_what_is_deleted_by_its_owner_is_gone_for_sharees(storage, person, new_person):
    sharee = await new_person()
    calendar = await person.collection()
    await share(storage, calendar, sharee, "theirs")
    await storage.delete_collection(await person.home(), calendar, CAUSE)
    found = await storage.resolve(sharee.id, Target(sharee.uid, "uid", "calendar", "theirs"))
    assert found.collection is None
    assert "theirs" not in [item.name for item in await storage.collections(await sharee.home(), sharee.id)]


async def test_a_changed_principal_is_seen_at_once_by_every_worker(storage, storage_dsn, person, new_person):
    """Workers keep principals; whatever changes one must show in the next request."""
    viewer = await new_person()
    async with PostgresStorage(storage_dsn, notify=False) as worker:
        directory = PostgresDirectory(storage.database)

        async def seen():
            found = await worker.resolve(viewer.id, Target(person.uid, "uid"))
            assert found.viewer.id == viewer.id
            return found.owner

        before = await seen()
        assert await seen() is before
        for change in (
            PrincipalChange(id=person.id, display_name="Renamed"),
            PrincipalChange(id=person.id, addresses=(f"{person.name}@new.example",)),
            PrincipalChange(id=person.id, addresses=()),
            PrincipalChange(id=person.id, roles=frozenset({"admin"})),
            PrincipalChange(id=person.id, disabled=True),
            PrincipalChange(id=person.id, password_hash="$argon2id$"),
        ):
            await directory.write_principals([change], CAUSE)
            after = await seen()
            assert after != before, change
            before = after
        assert before.display_name == "Renamed"
        assert before.is_admin
        assert before.disabled
