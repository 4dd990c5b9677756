"""Every worker hears of every commit."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import WriteConflict
from server.domain.events import ANYTHING, Change
from server.observe import background
from storage_plugins.postgres import notifier
from storage_plugins.postgres.database import connect
from storage_plugins.postgres.notifier import CHANNEL, payloads
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.values import CAUSE, LIMITS, content, state


class Heard(asyncio.Event):
    """A listener that gathers what it hears."""

    def __init__(self):
        super().__init__()
        self.changes = []

    def __call__(self, change):
        self.changes.append(change)
        self.set()

    async def until(self, wanted):
        async with asyncio.timeout(30):
            while wanted not in self.changes:
                self.clear()
                await self.wait()


async def test_all_workers_hear_of_a_commit(storage, storage_dsn, person):
    calendar = await person.collection()
    async with MemberStorage(storage_dsn) as other:
        here, there = Heard(), Heard()
        ends = [storage.subscribe(here), other.subscribe(there)]
        written = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
        change = Change(calendar.home_id, calendar.id, written.revision)
        await here.until(change)
        await there.until(change)
        ends[1]()
        again = await other.put_object(calendar, "a.ics", content("u1"), state(written), LIMITS, CAUSE)
        await here.until(Change(calendar.home_id, calendar.id, again.revision))
        assert there.changes[-1] == change
        ends[0]()


async def test_what_fails_is_not_told(storage, person):
    calendar, heard = await person.collection(), Heard()
    end = storage.subscribe(heard)
    first = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    with pytest.raises(WriteConflict):
        await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    await heard.until(Change(calendar.home_id, calendar.id, first.revision))
    await asyncio.sleep(0.05)
    assert [change.revision for change in heard.changes if change.home_id == calendar.home_id] == [first.revision]
    end()


async def test_many_commits_are_told_in_few_notifications(storage, storage_dsn, person):
    calendar, heard, payloads_seen = await person.collection(), Heard(), []
    connection = await connect(storage_dsn)
    await connection.add_listener(CHANNEL, lambda *arguments: payloads_seen.append(arguments[-1]))
    end = storage.subscribe(heard)
    written = await asyncio.gather(
        *(storage.put_object(calendar, f"{n}.ics", content(f"u{n}"), None, LIMITS, CAUSE) for n in range(40))
    )
    last = max(item.revision for item in written)
    await heard.until(Change(calendar.home_id, calendar.id, last))
    assert len(payloads_seen) < 40
    end()
    await connection.close()


async def test_after_a_lost_connection_anything_may_have_changed(database):
    async with MemberStorage(database) as storage:
        heard = Heard()
        storage.subscribe(heard)
        connection = await connect(database, application="test")
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'koyomi changes' "
            "and datname = current_database()"
        )
        await heard.until(ANYTHING)
        await connection.execute("select pg_notify($1, '[[7,8,9]]')", CHANNEL)
        await heard.until(Change(7, 8, 9))
        await connection.execute("select pg_notify($1, 'nonsense')", CHANNEL)
        await connection.execute("select pg_notify($1, '[[7,null,10]]')", CHANNEL)
        await heard.until(Change(7, None, 10))
        assert heard.changes.count(ANYTHING) == 2
        await connection.close()


async def test_a_listener_may_fail_and_may_be_asynchronous(database):
    async with MemberStorage(database) as storage:
        heard = Heard()

        def fails(change):
            raise RuntimeError(change)

        async def fails_later(change):
            raise RuntimeError(change)

        async def hears(change):
            heard(change)

        for listener in (fails, fails_later, hears):
            storage.subscribe(listener)
        await storage.database.fetch("select pg_notify($1, '[[1,2,3]]')", CHANNEL)
        await heard.until(Change(1, 2, 3))
        await storage.database.fetch("select pg_notify($1, '[[1,2,4]]')", CHANNEL)
        await heard.until(Change(1, 2, 4))


IDS = st.integers(1, 2**62)


@given(changes=st.dictionaries(st.tuples(IDS, st.none() | IDS), IDS, max_size=600))
def test_payloads_are_short_and_complete(changes):
    found = list(payloads(changes))
    assert all(len(payload.encode()) < 8000 for payload in found)
    listed = [item for payload in found for item in json.loads(payload)]
    assert {(home, collection): revision for home, collection, revision in listed} == changes


async def test_an_error_that_nobody_expected_does_not_end_it(storage_dsn, person, monkeypatch):
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.01)
    before = background.failures["notifier"]
    async with MemberStorage(storage_dsn) as other:
        heard = Heard()
        other.subscribe(heard)
        with monkeypatch.context() as patched:
            patched.setattr(notifier, "payloads", None)  # calling it is a TypeError
            other.announce(1, None, 1)
            async with asyncio.timeout(30):
                while background.failures["notifier"] == before:
                    await asyncio.sleep(0.01)
        await heard.until(ANYTHING)
        await heard.until(Change(1, None, 1))
