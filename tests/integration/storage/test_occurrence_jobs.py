"""The horizon moves, zone data change, and the maintenance: clients see none of it."""

from __future__ import annotations

import itertools
from datetime import timedelta
from types import SimpleNamespace

import pytest
import pytest_asyncio

from server.calendar import iana
from server.calendar.component import parse_calendar
from server.calendar.materialise import materialise
from server.domain.errors import ConfigurationError, DatabaseError
from server.domain.objects import Target
from server.jobs import maintenance
from server.process.preparation import prepare
from server.settings.model import Settings
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.upkeep.occurrence_jobs import (
    affected,
    follow_zone_data,
    reexpand,
    roll_horizon,
    use_zone_data,
    zone_data,
)
from storage_plugins.postgres.upkeep.rederivation import follow_owners, outdated, rederive
from tests.integration.storage.conftest import assert_consistent, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.periodic import run_all
from tests.integration.storage.sequenced import sequence
from tests.integration.storage.values import CAUSE, LIMITS, NOW, content, event_text, read, state

YEAR = timedelta(days=366)


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database):
    """A storage on a database of its own: these jobs work on all homes."""
    async with MemberStorage(database, notify=False) as opened:
        yield opened


async def put_series(storage, calendar, name, rule, zone="Europe/Berlin", expected=None):
    """Put a series as the service does."""
    lines = (f"DTSTART;TZID={zone}:20260105T090000", *([f"RRULE:{rule}"] if rule else []))
    found = await read(storage, calendar, event_text(name, *lines))
    return await storage.put_object(calendar, name, found, expected, LIMITS, CAUSE)


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
        ("dense", "FREQ=MINUTELY;INTERVAL=40"),
        ("short", "FREQ=DAILY;COUNT=9"),
    ):
        await put_series(storage, calendar, name, rule)
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


async def test_a_round_of_the_horizon_ends_in_time_and_the_next_goes_on(storage, monkeypatch):
    from storage_plugins.postgres.upkeep import occurrence_jobs

    person = await make_person(storage)
    calendar = await person.collection()
    for number in range(6):
        await put_series(storage, calendar, f"hourly-{number}", "FREQ=HOURLY")
    await put_series(storage, calendar, "secondly", "FREQ=SECONDLY")
    later = NOW + timedelta(days=90)
    # Each look at the clock takes a second: one when the round begins, one before each object.
    clock = itertools.count()
    monkeypatch.setattr(occurrence_jobs, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    assert await roll_horizon(storage.database, later, seconds=0) == 0
    assert await roll_horizon(storage.database, later, seconds=3) == 2
    assert await roll_horizon(storage.database, later) == 4, "nothing is stored of the dense one"
    assert await roll_horizon(storage.database, later) == 0
    _, starts = await stored(storage, "secondly")
    assert starts == []


async def test_what_is_written_or_deleted_meanwhile_is_left_alone(storage, monkeypatch):
    from storage_plugins.postgres.upkeep import occurrence_jobs

    person = await make_person(storage)
    calendar = await person.collection()
    written = {
        name: await put_series(storage, calendar, name, "FREQ=WEEKLY") for name in ("changed", "deleted", "kept")
    }
    original = occurrence_jobs._store
    calls = 0

    async def store(database, row, found, **more):
        nonlocal calls
        calls += 1
        if calls == 1:
            await put_series(storage, calendar, "changed", "FREQ=YEARLY", expected=state(written["changed"]))
            await storage.delete_object(calendar, "deleted", state(written["deleted"]), CAUSE)
        return await original(database, row, found, **more)

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
        await put_series(storage, calendar, name, "FREQ=DAILY;COUNT=20", zone)
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


OWN_NAME = """BEGIN:VTIMEZONE
TZID:Office hours of Mr. Smith
BEGIN:STANDARD
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
END:DAYLIGHT
END:VTIMEZONE
""".replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("zone", "definition"),
    [
        ("W. Europe Standard Time", ""),
        ("/freeassociation.sourceforge.net/Tzfile/Europe/Berlin", ""),
        ("europe/berlin", ""),
        ("Office hours of Mr. Smith", OWN_NAME),
    ],
)
@pytest.mark.parametrize("rule", [None, "FREQ=WEEKLY"])
async def test_zones_are_followed_whatever_name_they_are_given(storage, zone, definition, rule):
    person = await make_person(storage)
    calendar = await person.collection()
    await use_zone_data(storage.database)
    lines = (f"DTSTART;TZID={zone}:20260105T090000", *([f"RRULE:{rule}"] if rule else []))
    text = event_text("a", *lines).replace("BEGIN:VEVENT", f"{definition}BEGIN:VEVENT")
    written = await storage.put_object(calendar, "a", await read(storage, calendar, text), None, LIMITS, CAUSE)
    right = (await stored(storage, "a"))[1]
    # A change that leaves the occurrences alone leaves what is known of their zones alone.
    found = await person.storage.resolve(person.id, Target(person.uid, "uid", "calendar", "calendar", "a"))
    changed = await read(storage, calendar, text.replace("SUMMARY:a", "SUMMARY:b"), found.object)
    assert changed.materialised is None
    await storage.put_object(calendar, "a", changed, state(written), LIMITS, CAUSE)
    # As if all had been computed with an older version, in which Berlin was elsewhere.
    await storage.database.fetch("update occurrence set start_at = start_at + interval '1 hour'")
    await storage.database.fetch(
        "update installation set tz_version = '2001a', tz_newest = '2001a', "
        'tz_digests = tz_digests || \'{"Europe/Berlin": "other"}\''
    )
    assert await affected(storage.database, {"Europe/Berlin"}) == [(person.name, 1)]
    await use_zone_data(storage.database)
    assert await follow_zone_data(storage.database, NOW) == 1
    assert (await stored(storage, "a"))[1] == right


async def derivation_of(storage):
    """What is derived of all objects, by name."""
    rows = await storage.database.fetch(
        """
        select o.name, o.time_key, o.tzids, o.recurrence, o.neutral_busy, o.revision, o.etag,
               array(select row(start_at, busy)::text from occurrence where object_id = o.id order by ordinal),
               array(select row(component, seconds)::text from alarm where object_id = o.id)
        from object o order by o.name
        """
    )
    return {row[0]: tuple(row[1:]) for row in rows}


AS_BEFORE = """
    update object set derived = 0, time_key = md5(name), tzids = array['W. Europe Standard Time'], recurrence = null;
    update occurrence set busy = 1, start_at = start_at + interval '1 hour';
    delete from alarm where object_id in (select id from object where name = 'weekly');
"""
"""Rows as a server wrote them before keys of zones, busy types by PARTSTAT, and recurrences were stored."""


async def test_what_an_older_version_derived_is_derived_again_once(storage):
    person = await make_person(storage)
    calendar = await person.collection()
    zone = "W. Europe Standard Time"
    await put_series(storage, calendar, "weekly", "FREQ=WEEKLY", zone)
    await put_series(storage, calendar, "single", None, zone)
    address = f"ATTENDEE;PARTSTAT=DECLINED:/principals/users/{person.name}/"
    lines = f"DTSTART;TZID={zone}:20260105T090000", "RRULE:FREQ=DAILY", address
    declined = await read(storage, calendar, event_text("declined", *lines))
    await storage.put_object(calendar, "declined", declined, None, LIMITS, CAUSE)
    card = content("card", occurrences=None, component="VCARD")
    await storage.put_object(await person.collection("addressbook", "addressbook"), "card", card, None, LIMITS, CAUSE)
    right = await derivation_of(storage)
    assert right["declined"][6][0].endswith(",0)")
    assert right["weekly"][1] == ["Europe/Berlin"]
    assert await outdated(storage.database) == 0
    for statement in AS_BEFORE.strip().split(";")[:-1]:
        await storage.database.fetch(statement)
    before = await derivation_of(storage)
    assert all(before[name] != right[name] for name in ("weekly", "single", "declined"))
    assert await outdated(storage.database) == 3
    # It is interrupted and called again; an object that is done is not done again.
    done = await rederive(storage.database, NOW, seconds=0)
    assert done == 0
    assert await rederive(storage.database, NOW) == 3
    assert await outdated(storage.database) == 0
    after = await derivation_of(storage)
    assert {name: after[name] for name in ("weekly", "single", "declined")} == {
        name: right[name] for name in ("weekly", "single", "declined")
    }
    assert await rederive(storage.database, NOW) == 0
    await assert_consistent(storage)


async def test_an_object_of_an_older_version_that_cannot_be_read_is_tried_once(storage):
    person = await make_person(storage)
    calendar = await person.collection()
    await put_series(storage, calendar, "a", "FREQ=WEEKLY")
    right = await derivation_of(storage)
    await storage.database.fetch("update object set derived = 3, text = 'nothing'")
    assert await rederive(storage.database, NOW) == 0
    assert await outdated(storage.database) == 0
    assert (await derivation_of(storage))["a"][6] == right["a"][6]


async def test_what_a_later_version_derived_is_left_alone(storage):
    person = await make_person(storage)
    calendar = await person.collection()
    await put_series(storage, calendar, "a", "FREQ=WEEKLY")
    await storage.database.fetch("update object set derived = 999, time_key = 'v999:x'")
    assert await outdated(storage.database) == await rederive(storage.database, NOW) == 0


async def test_more_objects_of_an_older_version_than_are_read_at_once(storage, monkeypatch):
    from storage_plugins.postgres.upkeep import occurrence_jobs, rederivation

    monkeypatch.setattr(rederivation, "PAGE", 3)
    monkeypatch.setattr(occurrence_jobs, "_TEXTS_AT_ONCE", 2)
    monkeypatch.setattr(occurrence_jobs, "_BYTES_AT_ONCE", 1000)
    person = await make_person(storage)
    calendar = await person.collection()
    for number in range(10):
        await put_series(storage, calendar, f"{number}", "FREQ=WEEKLY")
    await storage.database.fetch("update object set derived = 0 where name <> '4'")
    told = []
    assert await rederive(storage.database, NOW, progress=told.append) == 9
    assert told == [2, 3, 5, 6, 8, 9]


async def test_a_server_with_older_zone_data_refuses_to_start(storage, database):
    await storage.database.fetch("update installation set tz_newest = '9999z', tz_version = $1", iana.version())
    with pytest.raises(DatabaseError, match=r"zone data 9999z.*pip install --upgrade tzdata"):
        await use_zone_data(storage.database)
    # and does not take back what a newer one has computed
    assert await follow_zone_data(storage.database, NOW) == 0


async def test_a_database_that_may_lose_writes_is_refused(cluster, empty_database):
    unsafe = Settings.model_validate({"storage": {"unsafe": True}})
    with pytest.raises(ConfigurationError, match="fsync is off.*\n(.*\n)+.*storage.unsafe"):
        await prepare(empty_database, Settings())
    await prepare(empty_database, unsafe)


async def test_events_of_a_new_person_are_not_derived_again(storage):
    calendar = await (await make_person(storage)).collection()
    await put_series(storage, calendar, "first", None)
    assert await follow_owners(storage.database) == 0
    assert await outdated(storage.database) == 0


async def test_other_addresses_of_the_owner_decide_anew_what_is_declined(storage, monkeypatch):
    from storage_plugins.postgres.upkeep import rederivation

    monkeypatch.setattr(rederivation, "PAGE", 2)
    person, other = await make_person(storage), await make_person(storage)
    calendar = await person.collection()
    for _ in range(5):
        await make_person(storage)
    assert await follow_owners(storage.database) == 0
    assert await storage.database.fetchval("select count(*) from home where owner_addresses = '{}'") == 7
    assert await storage.database.fetchval("select count(*) from home where kind = 'calendar'") == 7
    lines = "DTSTART:20260305T090000Z", "ATTENDEE;PARTSTAT=DECLINED:mailto:new@example.com"
    for number in range(5):
        found = await read(storage, calendar, event_text(f"{number}", *lines))
        await storage.put_object(calendar, f"{number}", found, None, LIMITS, CAUSE)
    await put_series(storage, await other.collection(), "other", None)
    assert await follow_owners(storage.database) == 0

    async def busy():
        rows = await storage.database.fetch(
            "select busy from occurrence where home_id = $1 order by object_id", calendar.home_id
        )
        return [row[0] for row in rows]

    assert await busy() == [1] * 5
    await storage.database.fetch(
        "insert into principal_address (principal_id, position, address, address_key) "
        "values ($1, 1, 'new@example.com', 'new@example.com')",
        person.id,
    )
    assert await follow_owners(storage.database, seconds=0) == 0
    assert await follow_owners(storage.database) == 5
    assert await follow_owners(storage.database) == 0
    assert await rederive(storage.database, NOW) == 5
    assert await busy() == [0] * 5
    await storage.database.fetch("delete from principal_address where principal_id = $1", person.id)
    assert await follow_owners(storage.database) == 5
    assert await rederive(storage.database, NOW) == 5
    assert await busy() == [1] * 5
    await assert_consistent(storage)


async def test_a_server_maintains(storage, database):
    person = await make_person(storage)
    calendar = await person.collection()
    await follow_owners(storage.database)
    await put_series(storage, calendar, "a", "FREQ=DAILY")
    await storage.database.fetch("update object set expanded_until = now() + interval '1 day'")
    await put_series(storage, calendar, "b", "FREQ=DAILY;COUNT=9")
    await storage.database.fetch("update object set derived = 0 where name = 'b'")
    await sequence(storage.database)
    done = await run_all(database)
    assert (done["seals"], done["horizon"], done["derived"]) == (1, 1, 1)
    assert not any((await run_all(database)).values())


async def test_a_change_of_addresses_asks_for_the_job_that_follows_it(storage, database):
    directory = PostgresDirectory(storage.database)
    person = await make_person(storage)
    await run_all(database)
    calendar = await person.collection()
    lines = "DTSTART:20260305T090000Z", "ATTENDEE;PARTSTAT=DECLINED:mailto:new@example.com"
    found = await read(storage, calendar, event_text("a", *lines))
    await storage.put_object(calendar, "a", found, None, LIMITS, CAUSE)
    asked = "select count(*) from job where kind = 'owners' and every is null"
    await directory.write_principals([PrincipalChange(id=person.id, display_name="Ada")], CAUSE)
    assert await storage.database.fetchval(asked) == 0
    for _ in range(2):
        change = PrincipalChange(id=person.id, addresses=("new@example.com",))
        await directory.write_principals([change], CAUSE)
    assert await storage.database.fetchval(asked) == 1
    # Whoever marks the event lets the job that computes it run at once.
    assert await maintenance._follow_owners(storage.database) == 1
    assert await storage.database.fetchval("select not_before <= now() from job where kind = 'derived'")
    await run_all(database)
    assert await storage.database.fetchval(asked) == 0
    assert await storage.database.fetchval("select busy from occurrence") == 0


async def test_deriving_again_goes_on_soon_where_objects_are_left(storage, database, monkeypatch):
    calendar = await (await make_person(storage)).collection()
    await put_series(storage, calendar, "a", "FREQ=DAILY;COUNT=9")
    await storage.database.fetch("update object set derived = 0")
    seconds = "select extract(epoch from not_before - now()) from job where kind = 'derived'"
    with monkeypatch.context() as patched:
        # The run ends before it has begun.
        patched.setattr(maintenance, "_REDERIVING", 0.0)
        await run_all(database)
    assert await storage.database.fetchval(seconds) <= 0
    assert (await run_all(database))["derived"] == 1
    assert await storage.database.fetchval(seconds) > 500
