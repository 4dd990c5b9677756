"""The horizon moves, zone data change, and rounds of maintenance: clients see none of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from server import maintenance
from server.calendar import iana
from server.calendar.component import parse_calendar
from server.calendar.materialise import materialise
from server.errors import ConfigurationError, DatabaseError
from server.preparation import prepare
from server.settings import Settings
from server.storage import ObjectContent
from storage_plugins.postgres.occurrence_jobs import (
    affected,
    follow_zone_data,
    reexpand,
    roll_horizon,
    use_zone_data,
    zone_data,
)
from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.storage.conftest import assert_consistent, make_person
from tests.integration.storage.values import CAUSE, LIMITS, etag_of, state

NOW = datetime(2026, 3, 1, tzinfo=UTC)
YEAR = timedelta(days=366)


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database):
    """A storage on a database of its own: these jobs work on all homes."""
    async with PostgresStorage(database, notify=False) as opened:
        yield opened


def series(uid, rule, zone="Europe/Berlin", now=NOW):
    text = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Test//EN\r\nBEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\n"
        f"UID:{uid}\r\nDTSTART;TZID={zone}:20260105T090000\r\nDURATION:PT10M\r\n"
        + (f"RRULE:{rule}\r\n" if rule else "")
        + "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\n"
        "END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    found = materialise(parse_calendar(text), now)
    return ObjectContent(uid, "VEVENT", etag_of(text.encode()), text, len(text), uid, None, {}, found.zones, found)


async def stored(storage, name):
    """The object's row, and the starts of its occurrences."""
    row = await storage.database.fetchrow("select * from object where name = $1", name)
    starts = await storage.database.fetch("select start_at from occurrence where object_id = $1 order by 1", row["id"])
    return row, [each[0] for each in starts]


async def test_the_horizon_rolls_and_no_client_notices(storage):
    person = await make_person(storage)
    calendar = await person.collection()
    for name, rule in (
        ("weekly", "FREQ=WEEKLY"),
        ("dense", "FREQ=MINUTELY;INTERVAL=11"),
        ("short", "FREQ=DAILY;COUNT=9"),
    ):
        await storage.put_object(calendar, name, series(name, rule), None, LIMITS, CAUSE)
    assert await roll_horizon(storage.database, NOW) == 0
    before = {name: await stored(storage, name) for name in ("weekly", "dense", "short")}
    home = await person.home()
    # In three months the dense one has run out, of the weekly one a year and more is still ahead.
    assert await roll_horizon(storage.database, NOW + timedelta(days=90)) == 1
    later = NOW + 3 * YEAR / 2
    assert await roll_horizon(storage.database, later) == 2
    assert await roll_horizon(storage.database, later) == 0
    for name in ("weekly", "dense"):
        row, starts = await stored(storage, name)
        assert (row["revision"], row["etag"], row["modified_at"]) == tuple(
            before[name][0][column] for column in ("revision", "etag", "modified_at")
        )
        assert row["expanded_until"] > later
        expected = materialise(parse_calendar(row["text"]), later)
        assert starts == [occurrence.start for occurrence in expected.occurrences]
    assert await stored(storage, "short") == before["short"]
    assert (await person.home()).revision == home.revision
    assert await storage.database.fetchval("select count(*) from alarm") == 3
    await assert_consistent(storage)


async def test_what_is_written_or_deleted_meanwhile_is_left_alone(storage, monkeypatch):
    from storage_plugins.postgres import occurrence_jobs

    person = await make_person(storage)
    calendar = await person.collection()
    written = {
        name: await storage.put_object(calendar, name, series(name, "FREQ=WEEKLY"), None, LIMITS, CAUSE)
        for name in ("changed", "deleted", "kept")
    }
    original = occurrence_jobs._store
    calls = 0

    async def store(database, row, found):
        nonlocal calls
        calls += 1
        if calls == 1:
            changed = series("changed", "FREQ=YEARLY")
            await storage.put_object(calendar, "changed", changed, state(written["changed"]), LIMITS, CAUSE)
            await storage.delete_object(calendar, "deleted", state(written["deleted"]), CAUSE)
        return await original(database, row, found)

    monkeypatch.setattr(occurrence_jobs, "_store", store)
    assert await roll_horizon(storage.database, NOW + 3 * YEAR / 2) == 1
    assert calls == 3
    row, starts = await stored(storage, "changed")
    assert len(starts) < 10
    assert row["expanded_until"] == NOW + timedelta(days=731)
    assert (await stored(storage, "deleted"))[1] == []
    await assert_consistent(storage)


async def test_a_new_version_of_the_zone_data_is_followed_where_it_changes_something(storage):
    person = await make_person(storage)
    calendar = await person.collection()
    assert (await use_zone_data(storage.database)).current
    for name, zone in (("berlin", "Europe/Berlin"), ("tokyo", "Asia/Tokyo")):
        await storage.put_object(calendar, name, series(name, "FREQ=DAILY;COUNT=20", zone), None, LIMITS, CAUSE)
    right = (await stored(storage, "berlin"))[1]
    revision = (await person.home()).revision
    # As if all had been computed with an older version, in which Berlin was elsewhere.
    await storage.database.fetch(
        "update occurrence set start_at = start_at + interval '1 hour', end_at = end_at + interval '1 hour'"
    )
    await storage.database.fetch(
        "update installation set tz_version = '2001a', tz_newest = '2001a', "
        'tz_digests = tz_digests || \'{"Europe/Berlin": "other"}\''
    )
    found = await zone_data(storage.database)
    assert (found.stored, found.changed, found.current) == ("2001a", {"Europe/Berlin"}, False)
    assert await affected(storage.database, found.changed) == [(person.name, 1)]
    await use_zone_data(storage.database)
    assert await follow_zone_data(storage.database, NOW) == 1
    assert (await stored(storage, "berlin"))[1] == right
    assert (await stored(storage, "tokyo"))[1][0].hour == 1  # 9:00 in Tokyo is 0:00 UTC; left as it was
    assert (await zone_data(storage.database)).current
    assert await follow_zone_data(storage.database, NOW) == 0
    assert (await person.home()).revision == revision
    assert await reexpand(storage.database, NOW, None) == 2
    assert (await stored(storage, "tokyo"))[1][0].hour == 0


async def test_a_server_with_older_zone_data_refuses_to_start(storage, database):
    await storage.database.fetch("update installation set tz_newest = '9999z', tz_version = $1", iana.version())
    with pytest.raises(DatabaseError, match=r"zone data 9999z.*pip install --upgrade tzdata"):
        await use_zone_data(storage.database)
    # and does not take back what a newer one has computed
    assert await follow_zone_data(storage.database, NOW) == 0


async def test_a_database_that_may_lose_writes_is_refused(cluster, empty_database):
    unsafe = Settings.model_validate({"database_unsafe": True})
    with pytest.raises(ConfigurationError, match="fsync is off.*\n(.*\n)+.*database_unsafe"):
        await prepare(empty_database, Settings())
    await prepare(empty_database, unsafe)


async def test_one_process_at_a_time_maintains(storage, database):
    person = await make_person(storage)
    calendar = await person.collection()
    await storage.put_object(calendar, "a", series("a", "FREQ=DAILY"), None, LIMITS, CAUSE)
    await storage.database.fetch("update outbox set at = at - interval '8 days'")
    await storage.database.fetch("update object set expanded_until = now() + interval '1 day'")
    other = await asyncpg.connect(database)
    try:
        await other.fetch("select pg_advisory_lock($1)", maintenance._LOCK)
        assert await maintenance.maintain(database, Settings()) is None
    finally:
        await other.close()
    done = await maintenance.maintain(database, Settings())
    assert done is not None
    assert (done["outbox"], done["horizon"]) == (1, 1)
    again = await maintenance.maintain(database, Settings())
    assert again is not None
    assert not any(again.values())
