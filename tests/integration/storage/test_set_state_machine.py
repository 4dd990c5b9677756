"""Any order of change sets over several homes, one after the other, and at the same time while backends are killed."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from dataclasses import dataclass, field

import pytest_asyncio
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from server.domain.changes import (
    Cause,
    ChangeSet,
    Delete,
    ObjectState,
    PropertyChanges,
    Put,
    SetProperties,
    StoredContent,
)
from server.domain.errors import (
    AlreadyExists,
    NotFound,
    QuotaExceeded,
    UidConflict,
    Unavailable,
    WriteConflict,
)
from storage_plugins.postgres.changes import collection_copies
from storage_plugins.postgres.database import DatabaseLimits
from tests.integration.storage.conftest import Person, assert_consistent, deadlocks, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.test_change_set_order import HELD, disorder
from tests.integration.storage.test_state_machine import Client, Server
from tests.integration.storage.values import CAUSE, LIMITS, content

PEOPLE = 3
PLACES = st.tuples(st.integers(0, PEOPLE - 1), st.sampled_from(["calendar", "tasks"]), st.sampled_from(["a", "b", "c"]))
ACTS = st.one_of(
    st.tuples(st.just("put"), PLACES, st.sampled_from(["u1", "u2", "u3"])),
    st.tuples(st.just("delete"), PLACES),
    st.tuples(st.just("set"), PLACES),
    st.tuples(st.just("copy"), PLACES, PLACES),
    st.tuples(st.just("move"), PLACES, PLACES),
)
PROPERTIES = st.lists(st.tuples(st.just("set"), PLACES), min_size=2, max_size=5)
COPIES = st.lists(st.tuples(st.just("copy"), PLACES, PLACES), min_size=2, max_size=5)
LISTS = st.one_of(st.lists(ACTS, min_size=1, max_size=5), PROPERTIES, COPIES)
SETS = st.tuples(st.just("apply"), LISTS)
PERSON = st.integers(0, PEOPLE - 1)
_numbers = itertools.count()
"""Of requests, over all examples."""
SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database, monkeypatch):
    """Every home must be held when an id of its outbox is drawn; a copy of a collection takes sets of two members."""
    monkeypatch.setattr(collection_copies, "SET_MEMBERS", 2)
    limits = DatabaseLimits(connections=8)
    async with MemberStorage(database, limits, application="writers", notify=False) as opened:
        async with opened.database.transaction() as connection:
            await connection.execute(HELD)
        yield opened
        await assert_consistent(opened)
        assert await disorder(opened) == []
        assert await deadlocks(opened) == 0


def places(acts):
    return [place for act in acts for place in act[1:] if isinstance(place, tuple)]


def apart(acts):
    """The acts that concern other members than those before them do."""
    found = []
    for act in acts:
        here = places([act])
        if len(set(here)) == len(here) and not set(here) & set(places(found)):
            found.append(act)
    return found


@dataclass
class Sets:
    """Change sets of acts, on members of several people."""

    storage: MemberStorage
    people: list[Person]
    answered: dict = field(default_factory=dict)
    """By request id, the homes and revisions of what its set has written."""
    refused: set = field(default_factory=set)
    unknown: dict = field(default_factory=dict)
    """How many writes those had whose answer was lost."""

    async def writes(self, acts, request):
        """The writes of acts that can be done, as the members are now; each with its act."""
        collections = {
            (person, name): await self.people[person].collection(name) for person, name, _ in set(places(acts))
        }
        keys = {place: (collections[place[:2]], place[2]) for place in places(acts)}
        rows = await self.storage.members_named(list(keys.values()), ("id", "revision", "uid"))
        known = {place: rows.get((collection.id, name)) for place, (collection, name) in keys.items()}
        states = {place: None if row is None else ObjectState(*row[:2]) for place, row in known.items()}
        found = []
        for act in acts:
            kind, place = act[:2]
            here, state = keys[place], states[place]
            if kind == "put":
                uid = act[2] if state is None else known[place][2]
                found.append((act, [Put(*here, content(uid, f"{request} {uid}"), state)]))
            elif state is None:
                continue
            elif kind == "delete":
                found.append((act, [Delete(*here, state)]))
            elif kind == "set":
                found.append((act, [SetProperties(*here, state, PropertyChanges({"{x}y": f"<y>{request}</y>"}))]))
            else:
                put = Put(*keys[act[2]], StoredContent(*here, state), states[act[2]], keep_id=kind == "move")
                found.append((act, [put] if kind == "copy" else [put, Delete(*here, state)]))
        return found

    async def apply(self, acts):
        """Apply acts as one set; gives those that were in it, and what became of it."""
        request = f"request-{next(_numbers)}"
        found = await self.writes(apart(acts), request)
        writes = [write for _, some in found for write in some]
        done = [act for act, _ in found]
        if not writes:
            return done, "nothing"
        self.unknown[request] = len(writes)
        try:
            written = await self.storage.apply(ChangeSet(tuple(writes), LIMITS, Cause(None, "caldav", request)))
        except (UidConflict, WriteConflict, NotFound) as error:
            self.refused.add(request)
            del self.unknown[request]
            return done, type(error).__name__
        del self.unknown[request]
        self.answered[request] = {
            (write.collection.home_id, one.revision) for write, one in zip(writes, written, strict=True)
        }
        assert len(self.answered[request]) == len(writes)
        return done, "done"

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
        texts = await self.storage.database.fetch(
            "select distinct split_part(text, ' ', 1) from object where deleted_revision is null"
        )
        assert not self.refused & {row[0] for row in texts}


def model_of(stored, acts):
    """What a set makes of members (by place the UID), or None where it conflicts."""
    after = dict(stored)
    for act in acts:
        if act[0] == "delete":
            del after[act[1]]

    def put(place, uid):
        held = {
            other
            for (person, name, member), other in after.items()
            if (person, name) == place[:2] and member != place[2]
        }
        after[place] = uid
        return uid not in held

    for act in acts:
        kind, place = act[:2]
        free = True
        if kind == "put":
            free = put(place, after.get(place, act[2]))
        elif kind == "copy":
            free = put(act[2], after[place])
        elif kind == "move":
            free = put(act[2], after.pop(place))
        if not free:
            return None
    return after


@SETTINGS
@given(sets=st.lists(LISTS, min_size=3, max_size=10))
async def test_sets_one_after_the_other(storage, sets):
    """A set leaves what its acts say in all homes, or nothing."""
    machine = Sets(storage, [await make_person(storage) for _ in range(PEOPLE)])
    clients = [Client(Server(storage, person)) for person in machine.people]
    model = {}
    for number, acts in enumerate(sets):
        done, result = await machine.apply(acts)
        after = model_of(model, done)
        assert result == ("nothing" if not done else "UidConflict" if after is None else "done")
        event(result)
        model = model if after is None else after
        await clients[number % PEOPLE].sync(2)
    stored = {
        (person, collection, name): uid
        for person, client in enumerate(clients)
        for collection, members in (await client.assert_equal(2)).items()
        for name, (uid, _) in members.items()
    }
    assert stored == model
    await machine.assert_whole()


STEPS = st.one_of(
    SETS,
    SETS,
    SETS,
    st.tuples(st.just("copy_all"), PERSON, st.just("calendar")),
    st.tuples(st.just("sync"), PERSON),
    st.tuples(st.just("kill"), st.integers(0, 7)),
)


@SETTINGS
@given(writers=st.lists(st.lists(STEPS, min_size=4, max_size=12), min_size=3, max_size=5))
async def test_sets_at_the_same_time_while_backends_are_killed(storage, database, writers):
    """No half set, no half copy, one order in each home; and clients that synced in the middle end equal."""
    machine = Sets(storage, [await make_person(storage) for _ in range(PEOPLE)])
    for person in machine.people:
        calendar = await person.collection()
        many = [Put(calendar, f"m{number}", content(f"m{number}"), None) for number in range(7)]
        await storage.apply(ChangeSet(tuple(many), LIMITS, CAUSE))

    async def copy_all(person, name):
        home, source = await machine.people[person].home(), await machine.people[person].collection(name)
        shown = {one.name: one for one in await storage.collections(home, machine.people[person].id)}
        await storage.copy_collection(home, source, "copy", shown.get("copy"), LIMITS, CAUSE, with_members=True)

    async def kill(number):
        pids = await killer.database.fetch(
            "select pid from pg_stat_activity where application_name = 'writers' and datname = current_database() "
            "and state <> 'idle' order by pid"
        )
        if pids:
            event("killed")
            await killer.database.fetch("select pg_terminate_backend($1)", pids[number % len(pids)][0])

    async def work(steps):
        clients = [Client(Server(storage, person)) for person in machine.people]
        for step in steps:
            try:
                match step:
                    case ("apply", acts):
                        event((await machine.apply(acts))[1])
                    case ("copy_all", person, name):
                        await copy_all(person, name)
                    case ("sync", person):
                        await clients[person].sync(2)
                    case ("kill", number):
                        await asyncio.sleep(0.005)
                        await kill(number)
            except (AlreadyExists, NotFound, QuotaExceeded, UidConflict, WriteConflict) as error:
                event(type(error).__name__)
            except Unavailable:
                event("lost its connection")
        return clients

    async with MemberStorage(database, application="killer", notify=False) as killer:
        everybody = await asyncio.gather(*map(work, writers))
        for home_id, collection_id in await killer.database.fetch("select home_id, collection_id from collection_copy"):
            event("a copy was left to the job")
            await killer.resume_copy(home_id, collection_id, LIMITS)
    await machine.assert_whole()
    for clients in everybody:
        for client in clients:
            await client.assert_equal(2)
