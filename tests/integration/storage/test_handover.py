"""What a person had goes over to somebody else when they are deleted."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import pytest_asyncio

from server.domain.changes import PropertyChanges
from server.domain.contents import ObjectView, Views
from server.domain.errors import InvalidPrincipal, NotFound
from server.domain.grants import Ace
from server.domain.objects import NewCollection
from server.domain.privileges import Privilege
from server.jobs.running import handovers
from server.services.principals import changes as principals
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.changes import handover as handing_over
from storage_plugins.postgres.changes import handover_copies
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.jobs import PostgresJobs
from storage_plugins.postgres.upkeep.deleted import deleted_collections, deleted_objects, restore_collection
from storage_plugins.postgres.upkeep.pruning import prune_tombstones
from tests.integration.storage.conftest import Person, assert_consistent, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.sequenced import pass_on
from tests.integration.storage.test_maintenance import DAY, age
from tests.integration.storage.values import ACTOR, CAUSE, LIMITS, content, etag_of, state

DISPLAYNAME = "{DAV:}displayname"


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database):
    """A storage on a database of its own: what is purged is looked for in whole tables."""
    async with MemberStorage(database, notify=False) as opened:
        yield opened
        await assert_consistent(opened)


@pytest.fixture
def directory(storage):
    return PostgresDirectory(storage.database)


@pytest.fixture
def access(storage):
    return PostgresAccess(storage)


async def names(storage, person: Person, kind="calendar") -> set[str]:
    """The calendars, or address books, that a home shows."""
    found = await storage.collections(await person.home(kind), person.id)
    return {each.name for each in found if each.kind == kind}


async def texts(storage, collection) -> dict[str, str]:
    rows = await storage.database.fetch(
        "select name, text from object where home_id = $1 and collection_id = $2 and deleted_revision is null",
        collection.home_id,
        collection.id,
    )
    return {row[0]: row[1] for row in rows}


async def put(storage, collection, name, *, uid=None, expected=None, occurrences=1):
    text = content(uid or name, occurrences=occurrences)
    views = Views(text.etag, None, None) if collection.views else None
    return await storage.put_object(collection, name, text, expected, LIMITS, CAUSE, views)


async def share(access, home, collection, principal_id, rights):
    """Share a calendar in which nobody has anything personal."""
    await access.render_views(home, collection, lambda stored: Views(etag_of(stored.text.encode()), None, None))
    await access.share(home, collection, principal_id, rights, CAUSE)


async def rows_of(storage, principal_id: int) -> int:
    """Rows that are left of a person's homes."""
    tables = await storage.database.fetch(
        "select table_name from information_schema.columns where column_name = 'home_id' and table_schema = 'public' "
        "and table_name not like 'journal%' and table_name <> 'outbox'"
    )
    left = 0
    for (table,) in tables:
        left += await storage.database.fetchval(
            f"select count(*) from {table} where home_id not in (select id from home)"  # noqa: S608
        )
    assert await storage.database.fetchval("select count(*) from principal where id = $1", principal_id) == 0
    return left


async def test_everything_goes_over_under_free_names(storage, directory):
    ada, bob = await make_person(storage), await make_person(storage)
    work = await storage.create_collection(
        await ada.home(), NewCollection("work", "calendar", properties={DISPLAYNAME: "<d>A &amp; B</d>"}), LIMITS, CAUSE
    )
    for number in range(3):
        await put(storage, await ada.collection(), f"{number}.ics", occurrences=4)
    kept = await put(storage, work, "kept.ics")
    await storage.put_object(await bob.collection(), "0.ics", content("bobs"), None, LIMITS, CAUSE)
    card = content("card", occurrences=None, component="VCARD")
    book = await ada.collection("addressbook", "addressbook")
    await storage.put_object(book, "c.vcf", card, None, LIMITS, CAUSE)

    told = []
    await principals.hand_over(
        ACTOR, directory, ada.name, bob.name, tell=lambda each: told.append((each.home, each.name, each.members))
    )

    assert sorted(told) == [
        ("addressbook", "addressbook", 1),
        ("calendar", "calendar", 3),
        ("calendar", "tasks", 0),
        ("calendar", "work", 1),
    ]
    assert await names(storage, bob) == {"calendar", "tasks", "calendar-2", "tasks-2", "work"}
    assert await names(storage, bob, "addressbook") == {"addressbook", "addressbook-2"}
    taken = await bob.collection("calendar-2")
    assert set(await texts(storage, taken)) == {"0.ics", "1.ics", "2.ics"}
    assert taken.rights == "owner"
    title = ada.name.title()
    assert taken.properties[DISPLAYNAME] == f'<displayname xmlns="DAV:">calendar ({title})</displayname>'
    taken = await bob.collection("work")
    assert taken.properties[DISPLAYNAME] == f"<d>A &amp; B ({title})</d>"
    assert taken.id == work.id, "with the same DAV:resource-id"
    home = await bob.home()
    assert await storage.database.fetchval("select id from object where name = 'kept.ics'") == kept.id
    assert await storage.database.fetchval("select count(*) from occurrence where home_id = $1", home.id) == 14
    assert await storage.database.fetchval("select count(*) from alarm where home_id = $1", home.id) == 5
    revisions = await storage.database.fetch(
        "select revision from object where home_id = $1 union all select revision from binding where home_id = $1",
        home.id,
    )
    assert max(row[0] for row in revisions) <= home.revision
    assert home.infinite_sync_floor > 0, "tokens of infinite depth have not seen the members"
    with pytest.raises(NotFound):
        await principals.find(ACTOR, directory, ada.uid, deleted=True)
    assert await rows_of(storage, ada.id) == 0
    assert await job_of(storage) == []


async def test_what_changes_while_it_is_copied_is_copied_again(storage, directory):
    ada, bob = await make_person(storage), await make_person(storage)
    calendar = await ada.collection()
    tasks = await ada.collection("tasks")
    written = {name: await put(storage, calendar, name) for name in "abcdefg"}
    for one in await directory.handovers(ada.id, bob.id):
        if one.name == "calendar":
            async for _ in handing_over.hand_over(storage.database, one, "Ada", CAUSE, batch=4):
                break
    assert await names(storage, bob) == {"calendar", "tasks"}, "half of it is not shown"
    await assert_consistent(storage)
    # In what was copied, in what was not, and both.
    await put(storage, calendar, "a", expected=state(written["a"]), occurrences=7)
    await storage.delete_object(calendar, "b", state(written["b"]), CAUSE)
    await storage.delete_object(calendar, "g", state(written["g"]), CAUSE)
    await put(storage, calendar, "z", uid="b")
    await storage.delete_object(calendar, "c", state(written["c"]), CAUSE)
    await put(storage, calendar, "c", uid="another")
    await storage.move_object(calendar, "d", state(written["d"]), tasks, "d", None, LIMITS, CAUSE)
    await storage.move_object(calendar, "e", state(written["e"]), calendar, "y", None, LIMITS, CAUSE)
    await storage.set_object_properties(
        calendar, "f", state(written["f"]), PropertyChanges({"{x}note": "<note/>"}), CAUSE
    )
    before = {name: await texts(storage, await ada.collection(name)) for name in ("calendar", "tasks")}

    await principals.hand_over(ACTOR, directory, ada.name, bob.name)

    for name, found in before.items():
        assert await texts(storage, await bob.collection(f"{name}-2")) == found
    home = await bob.home()
    counted = "select count(*) from occurrence where home_id = $1"
    assert await storage.database.fetchval(counted, home.id) == 7 + len("zcdyf")
    (note,) = await storage.database.fetch("select properties from object where name = 'f'")
    assert note[0] == {"{x}note": "<note/>"}
    assert {each.name for each in await deleted_objects(storage.database, bob.id, 30)} == {"b", "c", "g"}
    assert await rows_of(storage, ada.id) == 0


@pytest.mark.parametrize("after", range(1, 9))
async def test_it_is_ended_after_it_was_broken_off(storage, directory, monkeypatch, after):
    ada, bob = await make_person(storage), await make_person(storage)
    for name in "abcde":
        await put(storage, await ada.collection(), name)
    monkeypatch.setattr(handing_over, "BATCH", 2)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(storage.database, "transaction", killed_after(storage, after))
        await principals.hand_over(ACTOR, directory, ada.name, bob.name)
    await assert_consistent(storage)
    assert (await directory.principal(ada.name)).disabled_at is not None
    await principals.hand_over(ACTOR, directory, ada.name, bob.name)
    assert await names(storage, bob) == {"calendar", "tasks", "calendar-2", "tasks-2"}
    assert set(await texts(storage, await bob.collection("calendar-2"))) == set("abcde")
    assert await rows_of(storage, ada.id) == 0


class Killed(Exception):
    """The process that hands over is gone."""


def killed_after(storage, transactions):
    """A way to begin transactions that ends after some."""
    begin, begun = storage.database.transaction, itertools.count()

    def transaction():
        if next(begun) >= transactions:
            raise Killed
        return begin()

    return transaction


def job_of(storage):
    return PostgresJobs(storage.database).jobs("handovers", None, 9)


async def run_job(storage):
    """Let a worker take the job, as if it were due, and run it."""
    await storage.database.fetch("update job set not_before = now()")
    queue = PostgresJobs(storage.database)
    taken = await queue.take(["handovers"])
    await handovers(storage.database).handler(taken)
    assert await queue.finish(taken, None)


@pytest.mark.parametrize("after", [1, 3, 6, 8, 10, 12, 14, 16])
async def test_a_server_goes_on_where_the_command_was_broken_off(storage, directory, monkeypatch, after):
    ada, bob = await make_person(storage), await make_person(storage)
    for name in "abcde":
        await put(storage, await ada.collection(), name)
    monkeypatch.setattr(handing_over, "BATCH", 2)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(storage.database, "transaction", killed_after(storage, after))
        await principals.hand_over(ACTOR, directory, ada.name, bob.name)
    if not (await directory.principal(ada.uid)).deleted:  # else it is being removed
        await assert_consistent(storage)
    assert await PostgresJobs(storage.database).take(["handovers"]) is None, "somebody may be at it"
    await run_job(storage)
    assert await names(storage, bob) == {"calendar", "tasks", "calendar-2", "tasks-2"}
    assert set(await texts(storage, await bob.collection("calendar-2"))) == set("abcde")
    assert await rows_of(storage, ada.id) == 0
    assert await job_of(storage) == []


async def test_the_job_shows_how_far_it_has_come(storage, directory, monkeypatch):
    ada, bob = await make_person(storage), await make_person(storage)
    for name in "abcde":
        await put(storage, await ada.collection(), name)
    monkeypatch.setattr(handing_over, "BATCH", 2)
    await directory.begin_handover(ada.id, bob.id, CAUSE)
    seen = []
    for one in await directory.handovers(ada.id, bob.id):
        async for _ in directory.hand_over(one, "Ada", CAUSE):
            (job,) = await job_of(storage)
            seen.append((job.state, job.done, job.total))
    assert [done for _, done, _ in seen if done] == [2, 4, 5, 5, 5, 5]
    assert {(state, total) for state, _, total in seen} == {("queued", 5)}
    await principals.hand_over(ACTOR, directory, ada.name, bob.name)
    assert await job_of(storage) == []


async def test_a_job_for_one_is_not_begun_for_another(storage, directory):
    ada, bob, eve = [await make_person(storage) for _ in range(3)]
    await directory.begin_handover(ada.id, bob.id, CAUSE)
    with pytest.raises(InvalidPrincipal, match="somebody else"):
        await principals.hand_over(ACTOR, directory, ada.name, eve.name)
    await directory.begin_handover(ada.id, bob.id, CAUSE)
    assert [dict(job.payload) for job in await job_of(storage)] == [{"person": ada.id, "to": bob.id}]
    await principals.delete(ACTOR, directory, bob.name, purge=True)
    await principals.hand_over(ACTOR, directory, ada.name, eve.name)
    assert await job_of(storage) == []


async def test_a_job_of_somebody_who_is_gone_is_over(storage, directory):
    ada, bob = await make_person(storage), await make_person(storage)
    await directory.begin_handover(ada.id, bob.id, CAUSE)
    await storage.database.fetch("update job set lock_key = null, queueing_key = null where kind = 'handovers'")
    await principals.hand_over(ACTOR, directory, ada.name, bob.name)
    await run_job(storage)


@pytest.mark.parametrize("bound", ["SET_BYTES", "SET_OCCURRENCES"])
async def test_a_batch_is_bounded_in_bytes_and_occurrences(storage, directory, monkeypatch, bound):
    ada, bob = await make_person(storage), await make_person(storage)
    for name in "abc":
        await put(storage, await ada.collection(), name, occurrences=3)
    monkeypatch.setattr(handover_copies, bound, 5)
    one = next(each for each in await directory.handovers(ada.id, bob.id) if each.name == "calendar")
    assert [members async for members in directory.hand_over(one, "Ada", CAUSE)] == [1, 1, 1, 0]


async def test_objects_are_copied_together_with_their_occurrences(storage, directory):
    """Computing occurrences anew takes the object's lock: a copy waits for it, and holds it."""
    ada, bob = await make_person(storage), await make_person(storage)
    written = await put(storage, await ada.collection(), "a.ics")
    await put(storage, await ada.collection(), "b.ics")
    home_id = (await ada.home()).id
    one = next(each for each in await directory.handovers(ada.id, bob.id) if each.name == "calendar")
    async with storage.database.transaction() as connection:
        await connection.execute(
            "select from object where home_id = $1 and id = $2 for no key update", home_id, written.id
        )
        copying = asyncio.create_task(anext(directory.hand_over(one, "Ada", CAUSE)))
        done, _ = await asyncio.wait([copying], timeout=1)
        assert not done
    assert await copying == 2


async def test_begun_with_one_it_is_not_ended_with_another(storage, directory):
    ada, bob, eve = [await make_person(storage) for _ in range(3)]
    await put(storage, await ada.collection(), "a")
    one = next(each for each in await directory.handovers(ada.id, bob.id) if each.name == "calendar")
    async for _ in directory.hand_over(one, "Ada", CAUSE):
        break
    with pytest.raises(InvalidPrincipal, match="somebody else"):
        await principals.hand_over(ACTOR, directory, ada.name, eve.name)
    assert (await directory.principal(ada.name)).disabled_at is None
    with pytest.raises(InvalidPrincipal, match="somebody else"):
        await principals.delete(ACTOR, directory, ada.name, purge=True)
    # But when the other is deleted.
    await principals.delete(ACTOR, directory, bob.name, purge=True)
    await principals.hand_over(ACTOR, directory, ada.name, eve.name)
    assert set(await texts(storage, await eve.collection("calendar-2"))) == {"a"}


async def test_only_to_somebody_else_who_is_there(storage, directory):
    ada, room = await make_person(storage), await make_person(storage, "room")
    for whom in (ada.name, room.name, "nobody"):
        with pytest.raises((InvalidPrincipal, NotFound)):
            await principals.hand_over(ACTOR, directory, ada.name, whom)
    assert (await directory.principal(ada.name)).disabled_at is None


async def test_who_shares_it_keeps_it(storage, directory, access):
    ada, bob, eve, dora = [await make_person(storage) for _ in range(4)]
    home, calendar = await ada.home(), await ada.collection()
    for _ in range(50):
        # The revisions of the new home begin below those of the old one.
        await storage.set_home_properties(home, PropertyChanges({"{x}y": "<y/>"}), LIMITS, CAUSE)
    first = await put(storage, calendar, "a")
    await share(access, home, calendar, eve.id, "write")
    await access.share(home, calendar, dora.id, "free-busy", CAUSE)
    await access.set_acl(home, await ada.collection(), [Ace(0, dora.id, True, (Privilege.READ,))], CAUSE)
    (shown,) = await names(storage, eve) - {"calendar", "tasks"}
    before = await eve.collection(shown)
    view = ObjectView(eve.id, "own", "own", 3, "")
    await storage.put_view(before, "a", view, state(first), 0, LIMITS, CAUSE)
    changes = PropertyChanges({DISPLAYNAME: "<displayname xmlns='DAV:'>Mine</displayname>"})
    await storage.set_collection_properties(await eve.home(), before, changes, eve.id, LIMITS, CAUSE)
    seen = (await eve.home()).revision

    await principals.hand_over(ACTOR, directory, ada.name, bob.name)

    after = await eve.collection(shown)
    assert after.rights == "write"
    assert after.incarnation > before.incarnation, "tokens of the other home's revisions end"
    assert after.properties[DISPLAYNAME] == "<displayname xmlns='DAV:'>Mine</displayname>"
    _, changed = await storage.home_changes(await eve.home(), eve.id, seen)
    assert [each.name for each in changed] == [shown]
    seen_by_eve = await storage.members(after, ("name", "text"), after=None, limit=9)
    assert [tuple(row) for row in seen_by_eve] == [("a", "own")]
    await put(storage, after, "b")
    later = await storage.members_changed(after, ("name",), after=after.revision, up_to=2**62, limit=9)
    assert [row[0] for row in later] == ["b"], "a token of now sees what comes"
    taken = await bob.collection("calendar-2")
    assert set(await texts(storage, taken)) == {"a", "b"}
    granted = await access.access_list(await bob.home(), taken)
    assert {(each.whom.id, each.rights) for each in granted.shares} == {(eve.id, "write"), (dora.id, "free-busy")}
    assert [entry.privileges for entry in granted.entries] == [(Privilege.READ,)]
    # The consumer finds everything as it should be.
    await pass_on(access)
    assert await names(storage, eve) == {"calendar", "tasks", shown}


async def test_a_sharee_finds_all_their_views_by_pages(storage, directory, access):
    """No two changes that a sharee synchronises have one revision: a page may end behind any of them."""
    ada, bob, eve = await make_person(storage), await make_person(storage), await make_person(storage)
    await share(access, await ada.home(), await ada.collection(), eve.id, "read")
    (shown,) = [each for each in await storage.collections(await eve.home(), eve.id) if each.rights == "read"]
    for name in ("a", "b", "c"):
        written = await put(storage, await ada.collection(), name)
        if name != "c":
            view = ObjectView(eve.id, f"own-{name}", "own", 3, "")
            await storage.put_view(shown, name, view, state(written), 0, LIMITS, CAUSE)
    await principals.hand_over(ACTOR, directory, ada.name, bob.name)
    (shown,) = [each for each in await storage.collections(await eve.home(), eve.id) if each.rights == "read"]
    found, after = {}, 0
    columns = ("name", "etag", "revision")
    while rows := await storage.members_changed(shown, columns, after=after, up_to=shown.revision, limit=1):
        found |= {row[0]: row[1] for row in rows}
        after = rows[-1][2]
    assert found == {"a": "own-a", "b": "own-b", "c": content("c").etag}


async def test_sharees_hear_of_a_deletion_just_before(storage, directory, access):
    ada, bob, eve = await make_person(storage), await make_person(storage), await make_person(storage)
    await share(access, await ada.home(), await ada.collection(), eve.id, "read")
    (shown,) = await names(storage, eve) - {"calendar", "tasks"}
    await pass_on(access)
    seen = (await eve.home()).revision
    await storage.delete_collection(await ada.home(), await ada.collection(), CAUSE)
    await principals.hand_over(ACTOR, directory, ada.name, bob.name)
    await pass_on(access)
    _, changed = await storage.home_changes(await eve.home(), eve.id, seen)
    assert [(each.name, each.deleted_revision is not None) for each in changed] == [(shown, True)]


async def test_what_was_shared_with_the_new_owner_stays_where_it_was(storage, directory, access):
    ada, bob = await make_person(storage), await make_person(storage)
    await put(storage, await ada.collection(), "a")
    await share(access, await ada.home(), await ada.collection(), bob.id, "read")
    (shown,) = await names(storage, bob) - {"calendar", "tasks"}
    before = await bob.collection(shown)
    await principals.hand_over(ACTOR, directory, ada.name, bob.name)
    assert await names(storage, bob) == {"calendar", "tasks", "tasks-2", shown}
    after = await bob.collection(shown)
    assert after.rights == "owner"
    assert after.properties == before.properties
    assert set(await texts(storage, after)) == {"a"}
    assert (await access.access_list(await bob.home(), after)).shares == ()
    await put(storage, after, "b")
    changes = PropertyChanges({DISPLAYNAME: "<x>New</x>"})
    await storage.set_collection_properties(await bob.home(), after, changes, bob.id, LIMITS, CAUSE)
    assert (await bob.collection(shown)).properties[DISPLAYNAME] == "<x>New</x>"


async def test_what_was_deleted_can_be_restored_by_the_new_owner(storage, directory):
    ada, bob = await make_person(storage), await make_person(storage)
    home = await ada.home()
    old = await storage.create_collection(home, NewCollection("old", "calendar"), LIMITS, CAUSE)
    await put(storage, old, "in old")
    await storage.delete_collection(home, await ada.collection("old"), CAUSE)
    gone = await put(storage, await ada.collection(), "gone")
    await storage.delete_object(await ada.collection(), "gone", state(gone), CAUSE)
    await principals.hand_over(ACTOR, directory, ada.name, bob.name)
    (deleted,) = await deleted_collections(storage.database, bob.id, 30)
    assert (deleted.id, deleted.members) == (old.id, 1)
    (item,) = await deleted_objects(storage.database, bob.id, 30)
    assert (item.name, item.collection) == ("gone", "calendar-2")
    await restore_collection(storage.database, deleted, "old", 30, CAUSE)
    assert set(await texts(storage, await bob.collection("old"))) == {"in old"}


async def test_a_person_whose_data_were_kept_can_be_handed_over_later(storage, directory):
    ada, bob = await make_person(storage), await make_person(storage)
    await put(storage, await ada.collection(), "a")
    await principals.delete(ACTOR, directory, ada.name, purge=False)
    await principals.hand_over(ACTOR, directory, ada.uid, bob.name)
    assert set(await texts(storage, await bob.collection("calendar-2"))) == {"a"}


async def test_what_was_declined_hinders_neither_purging_nor_forgetting(storage, directory, access):
    ada, eve = await make_person(storage), await make_person(storage)
    home = await ada.home()
    for name in ("one", "two"):
        made = await storage.create_collection(home, NewCollection(name, "calendar"), LIMITS, CAUSE)
        await share(access, home, made, eve.id, "read")
    for name in await names(storage, eve) - {"calendar", "tasks"}:
        await storage.delete_collection(await eve.home(), await eve.collection(name), CAUSE)
    assert await storage.database.fetchval("select count(*) from share_declined") == 2
    await storage.delete_collection(home, await ada.collection("one"), CAUSE)
    await age(storage, 400)
    await prune_tombstones(storage.database, 100 * DAY)
    await age(storage, 1)
    await prune_tombstones(storage.database, 100 * DAY)
    assert await storage.database.fetchval("select count(*) from share_declined") == 1
    await principals.delete(ACTOR, directory, ada.name, purge=True)
    assert await rows_of(storage, ada.id) == 0


async def test_its_name_is_free_afterwards(storage, directory):
    ada, bob = await make_person(storage), await make_person(storage)
    await principals.hand_over(ACTOR, directory, ada.name, bob.name)
    change = PrincipalChange(kind="individual", name=ada.name, uid="new")
    await directory.write_principals([change], CAUSE)
