"""Copies of collections that take many sets: hidden until they are complete, and completed by whoever is left."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from server.domain.changes import Cause, ObjectState, PropertyChanges
from server.domain.errors import (
    DatabaseError,
    NotFound,
    QuotaExceeded,
    TooManyCollections,
    Unavailable,
    WriteConflict,
)
from server.domain.limits import Limits
from server.domain.objects import NewCollection, Target
from server.domain.privileges import Privilege
from server.jobs.running import copies
from server.services.collections import Collections
from server.services.lookup import Lookup
from server.services.objects import UNCOUNTED
from server.storage.directory import PrincipalChange, RelationChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.changes import collection_copies, principal_removal
from storage_plugins.postgres.changes.collection_copies import drop_without_job
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.jobs import PostgresJobs
from storage_plugins.postgres.upkeep.rederivation import rederive
from tests.integration.storage.conftest import Person, assert_consistent, deadlocks, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.test_handover import rows_of, share
from tests.integration.storage.test_scheduling_roles import meeting
from tests.integration.storage.values import ACTOR, CAUSE, LIMITS, content, etag_of, read, state

MEMBERS = 10
LATER = timedelta(hours=1)


class Died(Exception):
    """The worker that made a copy is gone."""


class Mortal(MemberStorage):
    """A worker that dies before, or after, one of its sets."""

    sets = 0
    dies_at: float = -1.0
    """A whole number: before the set of this number; a half more: after it."""
    between = None
    """Called before each set of a copy."""

    async def apply(self, changes):
        if changes.copied is None:
            return await super().apply(changes)
        if self.sets == self.dies_at:
            raise Died
        if self.between is not None:
            await self.between(self.sets)
        written = await super().apply(changes)
        self.sets += 1
        if self.sets - 0.5 == self.dies_at:
            raise Died
        return written


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database, monkeypatch):
    """Sets of three members."""
    monkeypatch.setattr(collection_copies, "SET_MEMBERS", 3)
    async with Mortal(database, notify=False) as opened:
        yield opened
        opened.between, opened.dies_at = None, -1
        await assert_consistent(opened)
        assert await deadlocks(opened) == 0


@pytest_asyncio.fixture(loop_scope="session")
async def person(storage):
    return await make_person(storage)


async def filled(storage, person: Person):
    """A calendar with members that recur, ring and have properties, and one that was deleted."""
    calendar = await person.collection()
    for number in range(MEMBERS):
        made = await storage.put_object(
            calendar, f"{number}.ics", content(f"u{number}", occurrences=1 + number % 3), None, LIMITS, CAUSE
        )
        if number % 4 == 0:
            properties = PropertyChanges({"{x}y": f"<y>{number}</y>"})
            await storage.set_object_properties(calendar, f"{number}.ics", state(made), properties, CAUSE)
    gone = await storage.put_object(calendar, "gone.ics", content("gone"), None, LIMITS, CAUSE)
    await storage.delete_object(calendar, "gone.ics", state(gone), CAUSE)
    return await person.collection()


async def copy(storage, person: Person, limits=LIMITS, *, source="calendar", name="copy", replaced=None, cause=CAUSE):
    arguments = await person.home(), await person.collection(source), name, replaced, limits, cause
    return await storage.copy_collection(*arguments, with_members=True)


async def held(storage, collection):
    """What a collection holds: of each member all that is stored, without ids, times and revisions."""
    rows = await storage.database.fetch(
        """
        select o.name, o.uid, o.etag, o.text, o.size, o.properties, o.derived, o.time_key, o.span_start,
               (select array_agg((x.ordinal, x.range_start, x.busy) order by x.ordinal) from occurrence x
                where x.home_id = o.home_id and x.object_id = o.id and x.collection_id = o.collection_id) as times,
               (select array_agg((a.component, a.alarm, a.seconds)) from alarm a
                where a.home_id = o.home_id and a.object_id = o.id and a.collection_id = o.collection_id) as alarms
        from object o where o.home_id = $1 and o.collection_id = $2 and o.deleted_revision is null order by o.name
        """,
        collection.home_id,
        collection.id,
    )
    return [tuple(row) for row in rows]


async def names(storage, person: Person):
    return {one.name for one in await storage.collections(await person.home(), person.id) if one.kind == "calendar"}


async def left(storage):
    """Rows of copies and their jobs."""
    return [
        await storage.database.fetchval(f"select count(*) from {table}")  # noqa: S608
        for table in ("collection_copy", "job")
    ]


async def resume(storage, limits=LIMITS):
    """Let the job of a worker go on, as if it were due."""
    await storage.database.fetch("update job set not_before = now()")
    queue = PostgresJobs(storage.database)
    job = await queue.take(["copies"])
    assert job is not None
    values = replace(Limits(), quota_bytes=limits.quota_bytes, max_collections=limits.max_collections - UNCOUNTED)
    await copies(Collections(storage, values), Lookup(storage)).handler(job)
    assert await queue.finish(job, None)


async def test_a_large_copy_is_shown_when_it_is_complete(storage, person):
    calendar = await filled(storage, person)
    seen = []

    async def look(number):
        seen.append((number, await names(storage, person), await PostgresJobs(storage.database).jobs(None, None, 9)))
        await assert_consistent(storage)

    storage.between = look
    before = await person.home()
    revision = await copy(storage, person)
    assert [(number, shown) for number, shown, _ in seen] == [(n, {"calendar", "tasks"}) for n in range(4)]
    assert [(job.kind, job.state, job.done, job.total) for _, _, (job,) in seen] == [
        ("copies", "queued", done, MEMBERS) for done in (0, 3, 6, 9)
    ]
    target, home = await person.collection("copy"), await person.home()
    assert await held(storage, target) == await held(storage, calendar)
    assert (target.member_count, target.used_bytes) == (calendar.member_count, calendar.used_bytes)
    assert target.revision == revision == home.revision
    assert home.used_bytes - before.used_bytes == target.used_bytes + sum(
        len(f'{{"{{x}}y": "<y>{number}</y>"}}') for number in (0, 4, 8)
    )
    assert home.infinite_sync_floor == revision, "tokens of infinite depth have not seen the members"
    assert await left(storage) == [0, 0]
    kinds = await storage.database.fetch(
        "select kind from outbox where home_id = $1 and revision > $2", home.id, before.revision
    )
    assert [row[0] for row in kinds] == ["collection-copied"]


async def test_a_copy_of_one_set_leaves_tokens_of_infinite_depth(storage, person, monkeypatch):
    monkeypatch.setattr(collection_copies, "SET_MEMBERS", MEMBERS)
    calendar = await filled(storage, person)
    revision = await copy(storage, person)
    target, home = await person.collection("copy"), await person.home()
    assert await held(storage, target) == await held(storage, calendar)
    assert (storage.sets, home.infinite_sync_floor, home.revision, target.revision) == (0, 0, revision, revision)


@pytest.mark.parametrize(("bound", "sets"), [("SET_BYTES", 10), ("SET_OCCURRENCES", 6)])
async def test_a_set_is_bounded_in_bytes_and_occurrences(storage, person, monkeypatch, bound, sets):
    calendar = await filled(storage, person)
    monkeypatch.setattr(collection_copies, bound, 4)
    await copy(storage, person)
    assert storage.sets == sets
    assert await held(storage, await person.collection("copy")) == await held(storage, calendar)


@pytest.mark.parametrize("dies_at", [0, 0.5, 1, 2.5, 3.5])
async def test_the_job_goes_on_where_the_worker_died(storage, person, dies_at):
    calendar = await filled(storage, person)
    storage.dies_at = dies_at
    with pytest.raises(Died):
        await copy(storage, person)
    assert await names(storage, person) == {"calendar", "tasks"}
    await assert_consistent(storage)
    assert await PostgresJobs(storage.database).take(["copies"]) is None, "somebody may be at it"
    storage.dies_at = -1
    await resume(storage)
    assert storage.sets == 4, "no set is made twice"
    assert await held(storage, await person.collection("copy")) == await held(storage, calendar)
    assert await left(storage) == [0, 0]


async def test_a_worker_and_the_job_make_it_together(storage, person):
    calendar = await filled(storage, person)
    jobs = []

    async def look(number):
        if number == 1:
            storage.between = None
            jobs.append(asyncio.create_task(resume(storage)))
            await asyncio.sleep(0.05)

    storage.between = look
    assert await copy(storage, person) == (await person.collection("copy")).revision
    await asyncio.gather(*jobs)
    assert await held(storage, await person.collection("copy")) == await held(storage, calendar)
    assert await left(storage) == [0, 0]


async def test_what_changes_meanwhile_is_copied_as_it_is_at_the_end(storage, person):
    calendar = await filled(storage, person)
    home = await person.home()

    async def known(name):
        return ObjectState(*(await storage.members_named([(calendar, name)], ("id", "revision")))[calendar.id, name])

    async def change(number):
        if number == 1:
            await storage.put_object(
                calendar, "0.ics", content("u0", "x", occurrences=4), await known("0.ics"), LIMITS, CAUSE
            )
            await storage.delete_object(calendar, "1.ics", await known("1.ics"), CAUSE)
            await storage.move_object(
                calendar, "2.ics", await known("2.ics"), calendar, "moved.ics", None, LIMITS, CAUSE
            )
        if number == 2:
            # The name and the UID that two copied members had, on one that is new.
            await storage.delete_object(calendar, "4.ics", await known("4.ics"), CAUSE)
            await storage.put_object(calendar, "later.ics", content("u4"), None, LIMITS, CAUSE)
            await storage.put_object(calendar, "4.ics", content("other"), None, LIMITS, CAUSE)
        if number == 4:
            await storage.put_object(calendar, "new.ics", content("new"), None, LIMITS, CAUSE)
            properties = PropertyChanges({"{x}z": "<z/>"})
            await storage.set_object_properties(calendar, "new.ics", await known("new.ics"), properties, CAUSE)

    storage.between = change
    await copy(storage, person)
    target = await person.collection("copy")
    found = await held(storage, target)
    assert found == await held(storage, await person.collection())
    assert [row[0] for row in found if row[0] in ("1.ics", "2.ics", "moved.ics", "new.ics")] == ["moved.ics", "new.ics"]
    assert (await person.home()).kept_bytes >= home.kept_bytes
    trashed = "select count(*) from trash where home_id = $1 and collection_id = $2"
    assert await storage.database.fetchval(trashed, target.home_id, target.id) == 0


async def test_a_member_that_changes_just_before_it_is_copied(storage, person, monkeypatch):
    calendar = await filled(storage, person)
    read = storage._next

    async def read_and_change(*arguments):
        found = await read(*arguments)
        if found.members and storage.sets == 1:
            monkeypatch.setattr(storage, "_next", read)
            await storage.put_object(
                calendar, found.names[0], content("u3", "x", occurrences=2), found.members[0], LIMITS, CAUSE
            )
        return found

    monkeypatch.setattr(storage, "_next", read_and_change)
    await copy(storage, person)
    assert await held(storage, await person.collection("copy")) == await held(storage, calendar)


async def test_a_copy_replaces_what_has_its_name_at_the_end(storage, person):
    calendar = await filled(storage, person)
    tasks = await person.collection("tasks")
    await storage.put_object(tasks, "old", content("old"), None, LIMITS, CAUSE)
    seen = []

    async def look(_):
        seen.append((await person.collection("tasks")).id)

    storage.between = look
    await copy(storage, person, name="tasks", replaced=await person.collection("tasks"))
    assert seen == [tasks.id] * 4
    new = await person.collection("tasks")
    assert new.id != tasks.id
    assert new.incarnation > tasks.incarnation
    assert await held(storage, new) == await held(storage, calendar)


async def failing(storage, person, limits=LIMITS):
    """What prevents a copy after two sets, and the error."""
    calendar, home = await person.collection(), await person.home()
    yield QuotaExceeded, None, replace(limits, quota_bytes=home.used_bytes + calendar.used_bytes - 1)

    async def fill():
        big = content("big", "x" * 10_000)
        await storage.put_object(await person.collection("tasks"), "big", big, None, LIMITS, CAUSE)

    room = home.used_bytes + calendar.used_bytes + 9_000
    yield QuotaExceeded, fill, replace(limits, quota_bytes=room)

    async def take_name():
        await storage.create_collection(await person.home(), NewCollection("copy", "calendar"), LIMITS, CAUSE)

    yield WriteConflict, take_name, limits
    await storage.delete_collection(await person.home(), await person.collection("copy"), CAUSE)

    async def fill_home():
        await storage.create_collection(await person.home(), NewCollection("one more", "calendar"), LIMITS, CAUSE)

    shown = await storage.collections(home, person.id)
    yield TooManyCollections, fill_home, replace(limits, max_collections=len(shown) + 1)

    async def end():
        await storage.delete_collection(await person.home(), await person.collection(), CAUSE)

    yield NotFound, end, limits


@pytest.mark.parametrize("by_job", [False, True])
async def test_what_cannot_be_copied_is_removed_again(storage, person, by_job):
    await filled(storage, person)
    async for error, meanwhile, limits in failing(storage, person):
        storage.sets, storage.dies_at = 0, -1
        before = await left(storage), await names(storage, person)

        async def at_two(number, meanwhile=meanwhile):
            if number == 2 and meanwhile is not None:
                await meanwhile()

        storage.between = at_two
        if by_job and meanwhile is not None:
            storage.dies_at = 1
            with pytest.raises(Died):
                await copy(storage, person, limits)
            storage.dies_at = -1
            await resume(storage, limits)
        else:
            with pytest.raises(error):
                await copy(storage, person, limits)
        assert await left(storage) == before[0] == [0, 0]
        assert "copy" not in await names(storage, person) - before[1] or error is WriteConflict
        hidden = (
            "select count(*) from collection c where home_id = $1 and deleted_at is null and not exists "
            "(select from binding b where b.collection_home_id = c.home_id and b.collection_id = c.id)"
        )
        assert await person.value(hidden) == 0
        orphans = (
            "select count(*) from {} x where home_id = $1 and not exists "
            "(select from object o where o.home_id = x.home_id and o.id = x.object_id)"
        )
        for table in ("occurrence", "alarm"):
            assert await person.value(orphans.format(table)) == 0
        await assert_consistent(storage)


async def test_a_copy_whose_removal_was_broken_off_is_removed_by_the_job(storage, person, monkeypatch):
    await filled(storage, person)
    storage.dies_at = 3
    with pytest.raises(Died):
        await copy(storage, person)
    ids = await storage.database.fetchrow("select home_id, collection_id from collection_copy")
    assert await storage.database.fetchval(collection_copies._DROP, *ids, 3, timedelta(0))
    await assert_consistent(storage)
    await resume(storage)
    assert await left(storage) == [0, 0]
    assert await names(storage, person) == {"calendar", "tasks"}


async def test_a_copy_whose_job_was_dropped_is_removed(storage, person):
    await filled(storage, person)
    used = (await person.home()).used_bytes
    storage.dies_at = 2
    with pytest.raises(Died):
        await copy(storage, person)
    assert await drop_without_job(storage.database) == 0
    queue = PostgresJobs(storage.database)
    (job,) = await queue.jobs("copies", None, 9)
    await queue.drop([job.id])
    assert await drop_without_job(storage.database) == 1
    assert await left(storage) == [0, 0]
    assert (await person.home()).used_bytes == used


async def test_a_person_with_a_copy_under_way_is_removed(storage, person):
    await filled(storage, person)
    storage.dies_at = 2
    with pytest.raises(Died):
        await copy(storage, person)
    async with storage.database.transaction() as connection:
        await principal_removal.hide(connection, person.id, CAUSE)
    await principal_removal.purge(storage.database, person.id, CAUSE)
    assert await rows_of(storage, person.id) == 0
    await resume(storage)
    assert await left(storage) == [0, 0]


async def test_a_sharee_copies_what_they_see(storage, person):
    """The texts of their personal copies and the neutral ones; occurrences are computed anew for the new owner."""
    other = await make_person(storage)
    calendar = await filled(storage, person)
    await share(PostgresAccess(storage), await person.home(), calendar, other.id, "read")
    theirs = next(one for one in await storage.collections(await other.home(), other.id) if one.rights == "read")
    await copy(storage, other, source=theirs.name)
    target = await other.collection("copy")
    found, source = await held(storage, target), await held(storage, calendar)
    assert [row[:4] for row in found] == [row[:4] for row in source]
    assert all(etag_of(row[3].encode()) == row[2] for row in found)
    assert {row[6:8] for row in found} == {(0, "")}
    assert (await other.home()).used_bytes >= target.used_bytes == calendar.used_bytes


async def test_rights_that_end_meanwhile_end_the_copy(storage, person):
    other, access = await make_person(storage), PostgresAccess(storage)
    calendar, home = await filled(storage, person), await person.home()
    await share(access, home, calendar, other.id, "read")
    theirs = next(one for one in await storage.collections(await other.home(), other.id) if one.rights == "read")

    async def end(number):
        if number == 2:
            storage.between = None
            await access.share(home, calendar, other.id, None, CAUSE)

    storage.between = end
    with pytest.raises(WriteConflict):
        await copy(storage, other, source=theirs.name)
    assert await names(storage, other) == {"calendar", "tasks"}
    assert await left(storage) == [0, 0]


@pytest.mark.parametrize("lost", ["delegation", "account"])
async def test_the_job_copies_only_for_those_who_may_have_the_copy_still(storage, person, lost):
    """A delegate begins a copy, and the worker dies."""
    delegate, directory = await make_person(storage), PostgresDirectory(storage.database)
    granted = RelationChange(person.id, delegates=frozenset({(delegate.id, "write")}))
    calendar = await filled(storage, person)
    cause = Cause(delegate.id, "caldav", acting_for=person.id)
    for may in (True, False):
        await directory.write_relations([granted], CAUSE)
        storage.sets, storage.dies_at = 0, 2
        with pytest.raises(Died):
            await copy(storage, person, name=f"copy {may}", cause=cause)
        storage.dies_at = -1
        if not may and lost == "delegation":
            await directory.write_relations([RelationChange(person.id, delegates=frozenset())], CAUSE)
        elif not may:
            await directory.write_principals([PrincipalChange(delegate.id, disabled=True)], CAUSE)
        await resume(storage)
        assert await left(storage) == [0, 0]
    assert await names(storage, person) == {"calendar", "tasks", "copy True"}
    assert await held(storage, await person.collection("copy True")) == await held(storage, calendar)


async def test_workers_that_are_killed_lose_nothing_and_show_no_half(storage, person, database):
    """Backends are killed at any moment, while others write to the source and look at the home."""
    calendar = await filled(storage, person)
    dice, done = random.Random(3), asyncio.Event()

    async def kill():
        while not done.is_set():
            await asyncio.sleep(dice.uniform(0.02, 0.2))
            await storage.database.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'copiers' "
                "and datname = current_database()"
            )

    async def write():
        for number in range(60):
            await storage.put_object(calendar, f"w{number}", content(f"w{number}"), None, LIMITS, CAUSE)
            await asyncio.sleep(0.05)

    async def watch():
        while not done.is_set():
            for one in await storage.collections(await person.home(), person.id):
                if one.name.startswith("copy"):
                    assert one.member_count >= MEMBERS
            await asyncio.sleep(0.005)

    beside = [asyncio.create_task(act()) for act in (kill, write, watch)]
    async with MemberStorage(database, application="copiers", notify=False) as worker:
        for number in range(8):
            try:
                await copy(worker, person, name=f"copy{number}")
            except (Unavailable, DatabaseError):
                while rows := await storage.database.fetch("select home_id, collection_id from collection_copy"):
                    try:
                        await worker.resume_copy(*rows[0], LIMITS)
                    except (Unavailable, DatabaseError):
                        await asyncio.sleep(0.01)
    done.set()
    await asyncio.gather(*beside)
    shown = {name for name in await names(storage, person) if name.startswith("copy")}
    begun = await storage.database.fetchval(
        "select count(*) from outbox where home_id = $1 and kind = 'collection-copied'", calendar.home_id
    )
    assert len(shown) == begun > 0
    assert await left(storage) == [0, 0]


@pytest.mark.parametrize("dies_at", [-1, 1, 1.5])
async def test_meetings_are_copied_as_events_of_one_person(storage, person, dies_at):
    """With other UIDs; what was copied before the worker died, and what the job copies."""
    calendar = await filled(storage, person)
    own = f"urn:x-uid:{person.uid}"
    for number in range(4):
        text = meeting(f"m{number}", own, "mailto:guest@example.com").replace("DTSTART", "SUMMARY:É\r\nDTSTART")
        await storage.put_object(calendar, f"m{number}.ics", await read(storage, calendar, text), None, LIMITS, CAUSE)
    service = Collections(storage, Limits())
    who = replace(ACTOR, acting_for=person.id)
    found = [
        await Lookup(storage).find(who, Target(person.uid, "uid", "calendar", name), Privilege.READ)
        for name in ("calendar", "copy")
    ]
    storage.sets, storage.dies_at = 0, dies_at
    if dies_at < 0:
        await service.copy(who, *found, with_members=True)
    else:
        with pytest.raises(Died):
            await service.copy(who, *found, with_members=True)
        storage.dies_at = -1
        await resume(storage)
    await rederive(storage.database, datetime.now(UTC))
    copied = await person.collection("copy")
    rows = await storage.database.fetch(
        "select o.*, (select count(*) from occurrence x where x.home_id = o.home_id and x.object_id = o.id) as times "
        "from object o where home_id = $1 and collection_id = $2 and name like 'm%'",
        copied.home_id,
        copied.id,
    )
    assert len(rows) == 4
    for row in rows:
        assert (row["scheduling"], row["organizer"], row["sequence"], row["schedule_tag"]) == (0, None, 0, None)
        assert row["uid"] not in {"m0", "m1", "m2", "m3"}
        assert f"UID:{row['uid']}\r\n" in row["text"]
        assert "ORGANIZER" not in row["text"]
        assert "ATTENDEE" not in row["text"]
        assert row["etag"] == etag_of(row["text"].encode())
        assert (row["times"], "organizer" in row["summary"]) == (1, False)
    assert len({row["uid"] for row in rows}) == 4


async def test_the_meetings_of_a_calendar_that_a_copy_replaces_are_removed(storage, person):
    """The job is stored when the copy appears, also by whoever goes on with it."""
    calendar = await filled(storage, person)
    old = await storage.create_collection(
        await person.home(), NewCollection("old", "calendar", ("VEVENT",)), LIMITS, CAUSE
    )
    await storage.put_object(old, "x.ics", content("x"), None, LIMITS, CAUSE)
    assert calendar.member_count
    service, who = Collections(storage, Limits()), replace(ACTOR, acting_for=person.id)
    found = [
        await Lookup(storage).find(who, Target(person.uid, "uid", "calendar", name), Privilege.READ)
        for name in ("calendar", "old")
    ]
    storage.sets, storage.dies_at = 0, 1.5
    with pytest.raises(Died):
        await service.copy(who, *found, with_members=True)
    waiting = "select payload from job where kind = 'removals' and (payload ->> 'collection')::bigint = $1"
    assert await storage.database.fetch(waiting, old.id) == []
    storage.dies_at = -1
    await resume(storage)
    assert len(await storage.database.fetch(waiting, old.id)) == 1
    await storage.database.fetch("delete from job")
