"""Concurrent change sets over several homes, with connections that are killed: no half set, and one order in each home.

The database of these tests refuses a row of the outbox whose home its transaction does not hold, so that every write
here tries to draw an id too early.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from server.domain.changes import (
    Cause,
    ChangeSet,
    Delete,
    ObjectState,
    PropertyChanges,
    Put,
    SetPersonal,
    SetProperties,
    StoredContent,
)
from server.domain.contents import ObjectView
from server.domain.errors import Unavailable, WriteConflict
from server.domain.objects import NewCollection
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.database import DatabaseLimits
from tests.integration.storage.conftest import assert_consistent, deadlocks, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.sequenced import pass_on
from tests.integration.storage.test_fan_out import share
from tests.integration.storage.values import CAUSE, LIMITS, content, state

HELD = """
create schema only_for_tests;
create function only_for_tests.require_home() returns trigger language plpgsql as $$
begin
    if new.home_id <> 0 and not exists (
        select from home h
        where h.id = new.home_id and pg_current_xact_id()::xid in (h.xmin, h.xmax)
    ) then
        raise exception 'the id % of the outbox was drawn without the row of home %', new.id, new.home_id;
    end if;
    return new;
end $$;
create trigger require_home before insert on outbox
    for each row execute function only_for_tests.require_home();
"""


LOSES = """
create function only_for_tests.write_with_lost_lock(p_home bigint, p_collection bigint) returns void
language plpgsql as $$
begin
    begin
        perform 1 from home where id = p_home for no key update;
        raise exception 'fails';
    exception when others then
        null;
    end;
    insert into outbox (home_id, revision, collection_id, object_id, kind, origin)
    select id, revision, p_collection, 1, 'updated', 'test' from home where id = p_home;
end $$;
"""


def can_lose_locks(source):
    """Whether a function has a block with EXCEPTION."""
    return re.search(r"\bexception\s+when\b", re.sub(r"--.*|'(?:[^']|'')*'", "", source), re.IGNORECASE) is not None


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database):
    limits = DatabaseLimits(connections=8)
    async with MemberStorage(database, limits, application="writers", notify=False) as opened:
        async with opened.database.transaction() as connection:
            await connection.execute(HELD)
        yield opened
        await assert_consistent(opened)
        assert await deadlocks(opened) == 0


async def disorder(storage):
    """Rows of the outbox whose revision is not above that of the row before in their home."""
    return await storage.database.fetch(
        """
        select * from (
            select home_id, id, revision, lag(revision) over (partition by home_id order by id) as before from outbox
        ) as o
        where revision <= before
        """
    )


def act(cause, *writes):
    return ChangeSet(writes, LIMITS, cause)


@dataclass
class Writers:
    """Writers of sets in the calendars and task lists of three people."""

    storage: MemberStorage
    places: list
    answered: dict = field(default_factory=dict)
    """By request id, how many rows of the outbox its set writes."""
    refused: set = field(default_factory=set)
    unknown: dict = field(default_factory=dict)
    numbers: itertools.count = field(default_factory=itertools.count)

    async def known(self):
        found = await self.storage.members_named(
            [(place, name) for place in self.places for name in "abc"], ("id", "revision")
        )
        return {key: ObjectState(*row) for key, row in found.items()}

    def decide(self, dice, known, request):
        """A set of some puts, deletions, changes of properties and perhaps a move, in any order."""
        keys = [(place, name) for place in self.places for name in "abc"]
        writes = []
        for place, name in dice.sample(keys, dice.randint(1, 6)):
            expected = known.get((place.id, name))
            kind = dice.random()
            if expected is None or kind < 0.5:
                text = f"{request} {place.id} {name}"
                new = content(name, text, occurrences=dice.choice((1, 1, 3)))
                writes.append(Put(place, name, new, expected))
            elif kind < 0.8:
                writes.append(Delete(place, name, expected))
            elif kind < 0.9:
                writes.append(SetProperties(place, name, expected, PropertyChanges({"{x}y": f"<y>{request}</y>"})))
            else:
                target = dice.choice([one for one in self.places if one.id != place.id])
                taken = {(write.collection.id, write.name) for write in writes}
                if known.get((target.id, name)) is None and (target.id, name) not in taken:
                    stored = StoredContent(place, name, expected)
                    writes += [Put(target, name, stored, None, keep_id=True), Delete(place, name, expected)]
        seen = {}
        for write in writes:
            seen.setdefault((write.collection.id, write.name), write)
        return writes if len(seen) == len(writes) else []

    async def write(self, seed, count):
        dice = random.Random(seed)
        for _ in range(count):
            request = f"request-{next(self.numbers)}"
            try:
                writes = self.decide(dice, await self.known(), request)
                if not writes:
                    continue
                self.unknown[request] = len(writes)
                written = await self.storage.apply(act(Cause(None, "caldav", request), *writes))
            except WriteConflict:
                self.refused.add(request)
                del self.unknown[request]
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                self.answered[request] = {
                    (write.collection.home_id, one.revision) for write, one in zip(writes, written, strict=True)
                }
                assert len(self.answered[request]) == len(writes)
                del self.unknown[request]

    async def assert_whole(self):
        """Each set has written all its rows or none; what was answered is there, what was refused is not."""
        rows = defaultdict(set)
        for request, home, revision in await self.storage.database.fetch(
            "select request_id, home_id, revision from outbox where request_id like 'request-%'"
        ):
            rows[request].add((home, revision))
        for request, revisions in self.answered.items():
            assert rows[request] == revisions
        assert not self.refused & rows.keys()
        for request, count in self.unknown.items():
            assert len(rows.get(request, ())) in {0, count}
        # What is stored is what the last write of each object has put there.
        wrong = await self.storage.database.fetch(
            """
            select o.home_id, o.name, o.text, e.request_id, e.kind
            from object o left join outbox e on e.home_id = o.home_id and e.revision = o.revision
            where o.deleted_revision is null
              and (e.object_id is distinct from o.id
                   or (e.kind in ('created', 'updated') and split_part(o.text, ' ', 1) <> e.request_id))
            """
        )
        assert wrong == []


async def watch(storage, done):
    """No snapshot shows a row of the outbox below one of its home that an earlier snapshot has shown."""
    seen = defaultdict(set)
    while not done.is_set():
        try:
            rows = await storage.database.fetch("select home_id, id from outbox")
        except Unavailable:
            continue
        now = defaultdict(set)
        for home, id_ in rows:
            now[home].add(id_)
        for home, ids in now.items():
            new = ids - seen[home]
            assert not seen[home] or not new or min(new) > max(seen[home])
        seen = now
        await asyncio.sleep(0.005)


async def kill(dsn, done, dice):
    """Kill a backend of the writers now and then, whatever it does."""
    async with MemberStorage(dsn, application="killer", notify=False) as other:
        while not done.is_set():
            await asyncio.sleep(dice.uniform(0.02, 0.15))
            pids = await other.database.fetch(
                "select pid from pg_stat_activity where application_name = 'writers' and datname = current_database() "
                "and state <> 'idle' and query like '%koyomi%'"
            )
            if pids:
                await other.database.fetch("select pg_terminate_backend($1)", dice.choice(pids)[0])


async def places(storage):
    people = [await make_person(storage) for _ in range(3)]
    return [await one.collection(name) for one in people for name in ("calendar", "tasks")]


@pytest.mark.parametrize("killing", [False, True])
async def test_sets_of_many_writers_are_whole_and_in_order(storage, database, killing):
    writers = Writers(storage, await places(storage))
    done = asyncio.Event()
    beside = [asyncio.create_task(watch(storage, done))]
    if killing:
        beside.append(asyncio.create_task(kill(database, done, random.Random(1))))
    async with asyncio.timeout(300):
        await asyncio.gather(*(writers.write(seed, 60) for seed in range(6)))
    done.set()
    await asyncio.gather(*beside)
    assert writers.answered
    assert writers.refused
    await writers.assert_whole()
    assert await disorder(storage) == []


async def test_ids_from_a_cache_would_not_be_in_order(storage):
    """The check of the order finds a sequence whose ids are handed out in blocks; ours has CACHE 1."""
    calendar = await (await make_person(storage)).collection()
    sequence = "select pg_get_serial_sequence('outbox', 'id')"
    name = await storage.database.fetchval(sequence)
    cached = "select cache_size from pg_sequences where schemaname || '.' || sequencename = $1"
    assert await storage.database.fetchval(cached, name) == 1

    async def write(round_):
        await asyncio.gather(*(storage.apply(act(CAUSE, *_pair(calendar, f"{round_} {n}"))) for n in range(6)))

    await write("first")
    assert await disorder(storage) == []
    await storage.database.fetch(f"alter sequence {name} cache 20")
    for round_ in range(6):
        await write(round_)
    assert await disorder(storage) != []


def _pair(calendar, name):
    return [Put(calendar, f"{name} {n}", content(f"{name} {n}"), None) for n in range(2)]


async def test_no_function_can_lose_a_lock(storage):
    """A block with EXCEPTION is a savepoint: what it locks is free again when it fails, and the write goes on."""
    rows = await storage.database.fetch(
        "select proname, prosrc from pg_proc where pronamespace = 'public'::regnamespace and prolang <> "
        "(select oid from pg_language where lanname = 'c')"
    )
    assert len(rows) > 30
    for name, source in rows:
        assert not can_lose_locks(source), name


async def test_a_lost_lock_would_break_the_order(storage):
    """An id that is drawn without the home appears below one that others have seen; such a function is found."""
    person = await make_person(storage)
    calendar = await person.collection()
    shown = "select coalesce(array_agg(id), '{}') from outbox where home_id = $1"
    async with storage.database.transaction() as connection:
        await connection.execute("drop trigger require_home on outbox")
        await connection.execute(LOSES)
    assert can_lose_locks(LOSES)
    before = set(await storage.database.fetchval(shown, calendar.home_id))
    async with storage.database.transaction() as connection:
        await connection.execute("select only_for_tests.write_with_lost_lock($1, $2)", calendar.home_id, calendar.id)
        # This write has nothing to wait for.
        await storage.put_object(calendar, "a", content("a"), None, LIMITS, CAUSE)
        seen = set(await storage.database.fetchval(shown, calendar.home_id)) - before
    late = set(await storage.database.fetchval(shown, calendar.home_id)) - before - seen
    assert len(seen) == len(late) == 1
    assert min(late) < max(seen)


async def test_a_write_waits_for_the_home_of_one_that_has_drawn_an_id(storage):
    """So no id appears below one of its home that others have seen."""
    calendar = await (await make_person(storage)).collection()
    first, second = ([Put(calendar, name, content(name), None)] for name in "ab")
    shown = "select coalesce(array_agg(id order by id), '{}') from outbox where home_id = $1 and kind = 'created'"
    async with storage.database.transaction() as connection:
        # As the function of a write does, up to its commit.
        await connection.execute("select from home where id = $1 for no key update", calendar.home_id)
        drawn = await connection.fetchval(
            "insert into outbox (home_id, revision, collection_id, object_id, kind, origin) "
            "select id, revision, $2, 1, 'created', 'test' from home where id = $1 returning id",
            calendar.home_id,
            calendar.id,
        )
        writes = [asyncio.create_task(storage.apply(act(CAUSE, *each))) for each in (first, second)]
        async with asyncio.timeout(60):
            while (
                await storage.database.fetchval(
                    "select count(*) from pg_stat_activity where wait_event_type = 'Lock' "
                    "and datname = current_database() and application_name = 'writers'"
                )
                < 2
            ):
                await asyncio.sleep(0.01)
        assert await storage.database.fetchval(shown, calendar.home_id) == []
    await asyncio.gather(*writes)
    ids = await storage.database.fetchval(shown, calendar.home_id)
    assert ids[0] == drawn
    assert len(ids) == 3


async def test_what_rests_on_an_old_state_waits_for_no_home(storage):
    """It may have locked a tombstone, which a put under its name locks while it holds the home: they would deadlock."""
    person, other = await make_person(storage), await make_person(storage)
    calendar, tasks, theirs = await person.collection(), await person.collection("tasks"), await other.collection()
    made = await storage.put_object(calendar, "a", content("a"), None, LIMITS, CAUSE)
    there = await storage.put_object(theirs, "b", content("b"), None, LIMITS, CAUSE)
    old, live = state(made), state(there)
    await storage.delete_object(calendar, "a", old, CAUSE)
    view = ObjectView(other.id, "e", "text", 4, "p")
    stored, other_stored = StoredContent(calendar, "a", old), StoredContent(theirs, "b", live)
    stale = (
        [Put(calendar, "a", content("a"), old)],
        [Delete(calendar, "a", old)],
        [SetPersonal(calendar, "a", old, view, 0)],
        [SetProperties(calendar, "a", old, PropertyChanges({"{x}y": "<y/>"}))],
        [Put(theirs, "a", stored, None)],
        [Put(theirs, "b", stored, live)],
        [Put(theirs, "a", stored, None, keep_id=True), Delete(calendar, "a", old)],
        [Put(calendar, "a", other_stored, old, keep_id=True), Delete(theirs, "b", live)],
        [Put(theirs, "b", content("b"), live), Delete(calendar, "a", old), Put(tasks, "c", content("c"), None)],
        [SetProperties(theirs, "b", live, PropertyChanges({"{x}y": "<y/>"})), Delete(calendar, "a", old)],
    )
    async with storage.database.transaction() as connection:
        homes = calendar.home_id, theirs.home_id
        await connection.execute("select from home where id = any($1::bigint[]) for no key update", homes)
        for writes in stale:
            async with asyncio.timeout(60):
                with pytest.raises(WriteConflict):
                    await storage.apply(act(CAUSE, *writes))


async def test_every_kind_of_write_draws_its_ids_while_it_holds_the_home(storage):
    """The trigger of this database refuses all others."""
    person, other = await make_person(storage), await make_person(storage)
    home, calendar, tasks = await person.home(), await person.collection(), await person.collection("tasks")
    theirs = await other.collection()
    a = await storage.put_object(calendar, "a", content("a", occurrences=3), None, LIMITS, CAUSE)
    b = await storage.put_object(calendar, "a", content("a", "b"), state(a), LIMITS, CAUSE)
    revision = await storage.set_object_properties(calendar, "a", state(b), PropertyChanges({"{x}y": "<y/>"}), CAUSE)
    now = ObjectState(b.id, revision)
    await storage.copy_object(calendar, "a", now, theirs, "a", None, LIMITS, CAUSE)
    moved = await storage.move_object(calendar, "a", now, tasks, "b", None, LIMITS, CAUSE)
    await storage.apply(act(CAUSE, Put(theirs, "c", content("c"), None), Delete(tasks, "b", state(moved))))
    made = await storage.create_collection(home, NewCollection("new", "calendar"), LIMITS, CAUSE)
    changes = PropertyChanges({"{DAV:}displayname": "<displayname/>"})
    await storage.set_collection_properties(home, made, changes, person.id, LIMITS, CAUSE)
    await storage.set_home_properties(home, changes, LIMITS, CAUSE)
    await storage.copy_collection(home, calendar, "copy", None, LIMITS, CAUSE, with_members=True)
    await storage.move_collection(home, await person.collection("new"), "newer", None, CAUSE)
    await storage.delete_collection(home, await person.collection("newer"), CAUSE)
    access = PostgresAccess(storage)
    await share(access, person, other.id, "free-busy")
    d = await storage.put_object(await person.collection(), "d", content("d"), None, LIMITS, CAUSE)
    await share(access, person, other.id, "read")
    await pass_on(access)
    await storage.delete_object(await person.collection(), "d", state(d), CAUSE)
    await pass_on(access)
    touched = "select count(*) from journal where kind = 'binding-touched' and home_id = $1"
    assert await storage.database.fetchval(touched, theirs.home_id) >= 1
    with pytest.raises(Exception, match="without the row"):
        await storage.database.fetch(
            "insert into outbox (home_id, revision, collection_id, object_id, kind, origin) "
            "values ($1, 1, 1, 1, 'updated', 'caldav')",
            home.id,
        )
