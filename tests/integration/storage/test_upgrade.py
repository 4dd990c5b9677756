"""`koyomi db upgrade` on a database of the version before, with 100,000 objects, loses nothing."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from server.cli import main
from server.domain.changes import PropertyChanges
from storage_plugins.postgres.database import Database, connect
from storage_plugins.postgres.migrations import DEPLOYMENTS, migrate, migrations
from storage_plugins.postgres.upkeep.check import check
from storage_plugins.postgres.upkeep.rederivation import outdated
from tests.integration.storage.conftest import make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.values import CAUSE, LIMITS, content, etag_of, event_text, read, state

PEOPLE = 500
OBJECTS = 200
"""Of each person; no two have the same text."""
STEP = 1000
"""Between the ids of one person and the next."""
TABLES = ("principal", "home", "collection", "binding", "object", "occurrence", "alarm", "outbox", "audit")
IDS = {"principal_id", "home_id", "collection_home_id", "collection_id", "object_id"}
NAMES = {"uid", "name", "name_key"}
STARTS = (
    ("DTSTART;TZID=Europe/Berlin:202603{day:02}T090000", "RRULE:FREQ=WEEKLY;COUNT=4"),
    ("DTSTART:202603{day:02}T{hour:02}0000Z",),
    ("DTSTART;TZID=America/New_York:202603{day:02}T{hour:02}3000",),
    ("DTSTART:202603{day:02}T120000", "ATTENDEE;PARTSTAT=ACCEPTED:mailto:ada@example.org"),
    ("DTSTART;TZID=Asia/Tokyo:202601{day:02}T{hour:02}0000", "RRULE:FREQ=MONTHLY;COUNT=3", "LOCATION:東京"),
)
KEPT = {
    "object": (
        "home_id, id, collection_id, name, uid, component, etag, schedule_tag, size, text, properties, summary, "
        "created_revision, revision, deleted_revision, created_at, modified_at, deleted_at, time_key, tzids, "
        "span_start, span_end, expanded_from, expanded_until, recurrence"
    ),
    "home": (
        "id, principal_id, kind, revision, incarnation, used_bytes, kept_bytes, collection_count, sync_floor, "
        "infinite_sync_floor, properties"
    ),
    "collection": "home_id, id, revision, member_count, used_bytes, sync_floor, kind, components, timezone, properties",
    "binding": "home_id, name, collection_home_id, collection_id, rights, incarnation, created_revision, revision",
    "occurrence": "home_id, object_id, ordinal, component, kind, busy, start_at, end_at, recurrence_id",
    "alarm": "home_id, object_id, viewer_id, component, alarm, at, days, seconds, from_end, repeat, interval_seconds",
    "principal": "id, uid, kind, name, display_name, credential_version",
    "installation": "id, incarnation",
}
"""Columns that stay as they are: texts and ETags, revisions and what sync tokens are made of, usage, occurrences."""

RECORDED = {
    "audit": (
        "select home_id, id, at, coalesce(revision, 0), action, collection_id, object_id, subject_id, principal_id, "
        "origin, request_id, details from audit"
    ),
    "journal": (
        "select home_id, carried, at, revision, kind, collection_id, object_id, subject_id, principal_id, origin, "
        "request_id, details from journal where carried is not null"
    ),
}
"""What is recorded, before and after."""


async def make_one_person(dsn: str) -> None:
    """With objects as this version stores them, a deleted one, dead properties and contacts."""
    async with MemberStorage(dsn, notify=False) as storage:
        person = await make_person(storage)
        calendar = await person.collection()
        for number in range(OBJECTS - 2):
            lines = (line.format(day=1 + number % 28, hour=number % 24) for line in STARTS[number % len(STARTS)])
            found = await read(storage, calendar, event_text(f"event {number}", *lines))
            written = await storage.put_object(calendar, f"{number}.ics", found, None, LIMITS, CAUSE)
            if number % 10 == 0:
                changes = PropertyChanges({"{urn:x}note": f"<note xmlns='urn:x'>{number}</note>"})
                await storage.set_object_properties(calendar, f"{number}.ics", state(written), changes, CAUSE)
            if number == 7:
                await storage.delete_object(calendar, f"{number}.ics", state(written), CAUSE)
        contacts = await person.collection("addressbook", "addressbook")
        for name in "ab":
            card = content(name, f"BEGIN:VCARD\r\nUID:{name}\r\nEND:VCARD\r\n", occurrences=None, component="VCARD")
            await storage.put_object(contacts, name, card, None, LIMITS, CAUSE)


async def columns(connection, table):
    rows = await connection.fetch(
        "select attname from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped "
        "and attgenerated = ''",
        table,
    )
    return [row[0] for row in rows]


SOURCES = {"audit": "outbox"}
"""Tables of the version before whose rows this version writes to another one."""
NO_LONGER = {
    ("occurrence", "local_start"): "start_at at time zone 'UTC'",
    ("audit", "action"): "coalesce(t.action, t.kind)",
}
"""What the version before stored in columns that this version does not fill, where they must have a value."""


def of_another(table: str, column: str) -> str:
    """The value of a column in the row of another person."""
    if column in IDS or (column == "id" and table in TABLES):
        return f"t.{column} + n * {STEP}"
    if table == "principal" and column in NAMES:
        return f"t.{column} || '-' || n"
    return NO_LONGER.get((table, column), f"t.{column}")


async def multiply(first: str, target: str, folder: Path) -> None:
    """Copy the person of one database into another of the version before, many times."""
    source, destination = await connect(first), await connect(target)
    try:
        # Neither counts anew what has been counted, nor looks up each reference.
        await destination.execute("set session_replication_role = replica")
        for table in TABLES:
            origin = SOURCES.get(table, table)
            known = set(await columns(source, origin))
            known |= {column for of, column in NO_LONGER if of == table}
            shared = [column for column in await columns(destination, table) if column in known]
            values = ", ".join(of_another(table, column) for column in shared)
            people = f"generate_series(0, {PEOPLE - 1}) n"
            await source.copy_from_query(f"select {values} from {origin} t, {people}", output=folder / table)
            await destination.copy_to_table(table, source=folder / table, columns=shared)
        await destination.execute("analyze")
    finally:
        await source.close()
        await destination.close()


async def kept(dsn: str) -> dict[str, tuple[int, str]]:
    """Rows and digest of each table, as far as they stay as they are."""
    connection = await connect(dsn)
    try:
        found = {}
        for table, names in KEPT.items():
            digests = f"select md5(row({names})::text) as digest from {table}"
            row = await connection.fetchrow(
                f"select count(*), md5(string_agg(digest, '' order by digest)) from ({digests}) as t"
            )
            found[table] = (row[0], row[1])
        return found
    finally:
        await connection.close()


async def recorded(dsn: str, table: str) -> tuple[int, str]:
    """Rows and digest of what is recorded."""
    connection = await connect(dsn)
    try:
        digests = f"select md5(row(t.*)::text) as digest from ({RECORDED[table]}) as t"
        row = await connection.fetchrow(
            f"select count(*), md5(string_agg(digest, '' order by digest)) from ({digests}) t"
        )
        return row[0], row[1]
    finally:
        await connection.close()


@pytest.mark.parametrize("finish", [False, True], ids=["beside", "stopped"])
async def test_an_upgrade_loses_nothing(empty_database, database, tmp_path, finish):
    await migrate(empty_database, known=migrations()[: DEPLOYMENTS[-1]])
    await make_one_person(database)
    await multiply(database, empty_database, tmp_path)
    before = await kept(empty_database)
    acts = await recorded(empty_database, "audit")
    assert acts[0] > PEOPLE * OBJECTS
    assert before["object"][0] == PEOPLE * OBJECTS
    assert before["occurrence"][0] > before["object"][0]

    began = time.monotonic()
    result = await asyncio.to_thread(
        CliRunner().invoke,
        main,
        ["db", "upgrade", *(["--finish"] if finish else [])],
        env={**os.environ, "KOYOMI_STORAGE_DATABASE": empty_database},
    )
    print(f"\n{before['object'][0]} objects in {time.monotonic() - began:.1f} s:\n{result.output}")
    assert result.exit_code == 0, result.output
    assert await kept(empty_database) == before
    assert await recorded(empty_database, "journal") == acts

    upgraded = Database(empty_database)
    await upgraded.open()
    try:
        # The same code has derived them.
        assert await outdated(upgraded) == 0
        assert [found async for found in check(upgraded, etag_of, sample=50)] == []
    finally:
        await upgraded.close()
