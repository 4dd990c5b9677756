"""Sharees write, move and leave while their homes learn of changes: all end with the truth, without a deadlock."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from server.services.views import render
from server.storage.directory import RelationChange
from storage_plugins.postgres.changes import fan_out
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.upkeep.check import check
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.person import Person, event
from tests.integration.dav.sharing import CAUSE, Share, eventually, shown
from tests.integration.storage.values import etag_of

ALARM = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-PT{}M", "END:VALARM")
_TURNS = 25


async def deadlocks(served: Served) -> int:
    await served.storage.database.fetch("select pg_stat_force_next_flush()")
    sql = "select deadlocks from pg_stat_database where datname = current_database()"
    return int(await served.storage.database.fetchval(sql))


async def test_views_moves_and_members_that_come_and_go(
    new_person: NewPerson, served: Served, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out, "HOMES", 3)
    directory = PostgresDirectory(served.storage.database)
    owners = [await new_person() for _ in range(2)]
    people = [await new_person() for _ in range(6)]
    group = await new_person(kind="group")
    members = frozenset(person.id for person in people)
    await directory.write_relations([RelationChange(group.id, members=members)], CAUSE)
    before = await deadlocks(served)
    for owner in owners:
        for number in range(4):
            await owner.has(f"{owner.calendar}{number}.ics", event(f"{owner.name}-{number}"))
        await share(owner, group, "write")
    places = {person.id: await shown(person) for person in people}
    assert all(len(found) == 2 for found in places.values())

    succeeded: Counter[str] = Counter()

    def done(what: str, status: int) -> None:
        """A write is done, or refused since the sharing has ended; it is never a failure of the server."""
        assert status < 500, (what, status)
        succeeded[what] += status < 300

    async def change(person: Person, seed: int) -> None:
        dice = random.Random(seed)
        for turn in range(_TURNS):
            place, other = dice.sample(places[person.id], 2)
            name = f"{dice.randrange(4)}.ics"
            reply = await person.http("GET", f"{place}{name}")
            if reply.status == 200:
                # An alarm of their own: a view of the object, which locks the owner's home and theirs.
                lines = [line.format(turn + 1) for line in ALARM]
                text = reply.text.replace("END:VEVENT", "\r\n".join([*lines, "END:VEVENT"]))
                done("view", (await person.put(f"{place}{name}", text)).status)
            mine = f"{person.calendar}{person.name}-{turn}.ics"
            done("put", (await person.put(mine, event(f"{person.name}-{turn}"))).status)
            there = f"{dice.choice((place, other))}{person.name}-{turn}.ics"
            done("move", (await person.http("MOVE", mine, Destination=there)).status)
            if dice.random() < 0.5:
                done("back", (await person.http("MOVE", there, Destination=mine)).status)

    async def regroup() -> None:
        dice = random.Random(7)
        for turn in range(_TURNS):
            kept = frozenset(member for member in members if dice.random() < 0.7)
            await directory.write_relations([RelationChange(group.id, members=kept)], CAUSE)
            if turn % 5 == 0:
                await share(owners[0], group, dice.choice(("read", "write")))
            await asyncio.sleep(0.02)
        await directory.write_relations([RelationChange(group.id, members=members)], CAUSE)
        await share(owners[0], group, "write")

    await asyncio.gather(regroup(), *(change(person, seed) for seed, person in enumerate(people)))
    assert all(succeeded[what] > _TURNS for what in ("view", "put", "move")), succeeded
    # Half of the moves are taken back. How many of them are refused, since the sharing has ended, depends on timing.
    assert succeeded["back"] > _TURNS / 2, succeeded
    for person in people:

        async def sees_both(person: Person = person) -> bool:
            return await shown(person) == places[person.id]

        await eventually(sees_both)
        for place in places[person.id]:
            listed = set(await person.names(place))
            assert {href for href in (await person.sync(place)).hrefs if href != place} == listed
    assert await deadlocks(served) == before
    assert [found async for found in check(served.storage.database, etag_of, render)] == []
