"""`koyomi events`: prints messages, lists positions, lets a consumer start anew."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from server.cli import main
from server.events import consuming
from server.events.consuming import Consumer, consume
from server.events.sharees import plan
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.journal import PostgresJournal
from tests.fixtures.messages import validator
from tests.integration.storage.conftest import make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.sequenced import sequence
from tests.integration.storage.values import CAUSE, LIMITS, content

Run = Callable[..., Result]


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database: str) -> AsyncIterator[MemberStorage]:
    async with MemberStorage(database, notify=False) as opened:
        yield opened


@pytest.fixture
def run(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in a thread, as it has an event loop of its own."""
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "KOYOMI_STORAGE_DATABASE": database, "KOYOMI_STORAGE_DATA": str(tmp_path)}

    async def invoke(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, main, ["events", *words], env=environment)

    return invoke


async def test_tail_prints_the_last_messages_as_they_are_on_the_bus(storage: MemberStorage, run: Run) -> None:
    calendar = await (await make_person(storage)).collection()
    made = [await storage.put_object(calendar, name, content(name), None, LIMITS, CAUSE) for name in "abc"]
    await sequence(storage.database)
    done = await run("tail", "--last", "2")
    assert done.exit_code == 0, done.output
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert [message["data"]["object"] for message in messages] == [each.id for each in made[1:]]
    for message in messages:
        validator("created").validate(message)
        assert message["source"] == f"/installations/{await storage.installation()}"
    assert (await run("tail", "--last", "0")).stdout == ""


async def test_dead_lists_what_a_consumer_could_not_take_in(
    storage: MemberStorage, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "PAUSES", (0.0,))
    calendar = await (await make_person(storage)).collection()
    access, journal = PostgresAccess(storage), PostgresJournal(storage.database)
    await sequence(storage.database)
    await plan(access, journal)
    await storage.put_object(calendar, "a", content("a"), None, LIMITS, CAUSE)
    await sequence(storage.database)

    async def choke(transaction: object, messages: object) -> None:
        raise ZeroDivisionError

    await consume(journal, Consumer("bindings", choke, access.plan_fan_out_anew))
    end, _ = await journal.end()
    (row,) = (await run("dead")).stdout.splitlines()[1:]
    assert row.split()[:5] == ["bindings", str(end), str(calendar.home_id), "created", "ZeroDivisionError"]
    await run("replay", "bindings")
    assert (await run("dead")).stdout.splitlines()[1:] == []


async def test_there_are_no_partitions_without_kafka(run: Run) -> None:
    refused = await run("repartition", "24")
    assert refused.exit_code == 1
    assert "events.bus is not kafka" in refused.output


async def test_positions_and_replay(storage: MemberStorage, run: Run) -> None:
    calendar = await (await make_person(storage)).collection()
    access, journal = PostgresAccess(storage), PostgresJournal(storage.database)
    await sequence(storage.database)
    await plan(access, journal)
    await storage.put_object(calendar, "a", content("a"), None, LIMITS, CAUSE)
    await sequence(storage.database)
    end, _ = await journal.end()
    before = await journal.position("bindings")
    (row,) = (await run("positions")).stdout.splitlines()[1:]
    assert row.split()[:5] == ["bindings", "journal", str(before.generation), str(end - 1), "1"]

    assert (await run("replay", "bindings")).stdout == "bindings starts anew.\n"
    assert (await journal.position("bindings")).anew
    assert "starts anew" in (await run("positions")).stdout
    # Who had read the position before moves it no more.
    assert (await journal.position("bindings")).generation == before.generation + 1
    await plan(access, journal)
    assert (await journal.position("bindings")).seq == end
    assert not (await journal.position("bindings")).anew

    # The last entry once more.
    assert (await run("replay", "bindings", "--from", str(end))).stdout == f"bindings goes on at {end}.\n"
    assert (await journal.position("bindings")).seq == end - 1
    await plan(access, journal)
    assert (await journal.position("bindings")).seq == end
    refused = await run("replay", "bindings", "--from", str(end + 1))
    assert refused.exit_code == 1
    assert f"The journal has no entry {end + 1} yet." in refused.output

    refused = await run("replay", "nobody")
    assert refused.exit_code == 1
    assert "There is no consumer nobody." in refused.output
