"""Migrations, and what holds for every table."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest

from server.domain.errors import DatabaseError, Unavailable
from storage_plugins.postgres.database import connect
from storage_plugins.postgres.functions import functions
from storage_plugins.postgres.migrations import (
    DEPLOYMENTS,
    Migration,
    migrate,
    migrations,
    run_online_steps,
    schema_state,
)
from tests.integration.storage.catalogue import describe

GLOBAL = {
    "active_person",
    "app_password",
    "audit_seal",
    "business_count",
    "bus_topic",
    "dead_message",
    "delegate",
    "former_address",
    "held_address",
    "identity",
    "installation",
    "job",
    "job_hold",
    "journal_carry",
    "journal_detached",
    "journal_head",
    "journal_position",
    "journal_seal",
    "journal_text",
    "mail_sender",
    "membership",
    "password",
    "principal",
    "principal_address",
    "room",
    "schema_function",
    "schema_migration",
    "service_token",
    "signin_failure",
    "started_settings",
}
"""Tables whose rows belong to no home."""
ORDERED = {"outbox", "journal", "journal_act", "journal_act_first", "journal_echo", "journal_echo_first"}
"""Tables whose rows are read in one order over all homes. Rows of the outbox live for less than a second; the
journal is written by the sequencer alone, and read by consumers and administrators."""


def step(number, name, sql, kind="pre", deployment=0):
    return Migration(number, name, kind, sql, deployment)


MADE_UP = (
    step(1, "one", "create table one (a int);\ncreate table log (t text);"),
    step(2, "two", "alter table one add b int; insert into log values ('two');"),
    step(3, "three", "alter table one drop a; insert into log values ('three');", "post"),
)
NEXT = (
    step(4, "four", "create table two (c int);", deployment=1),
    step(5, "five", "drop table log;", "post", deployment=1),
)


async def names(dsn):
    connection = await connect(dsn)
    try:
        return [row[0] for row in await connection.fetch("select name from schema_migration order by number")]
    finally:
        await connection.close()


async def test_a_new_database_gets_all_steps_once_from_many_starters(empty_database):
    done = await asyncio.gather(*(migrate(empty_database) for _ in range(4)))
    steps = [f"{item.number:04}_{item.name}" for item in migrations()]
    *nothing, everything = sorted(done, key=len)
    assert nothing == [[], [], []]
    assert sorted(everything) == sorted([*steps, f"{len(functions())} functions"])
    assert await migrate(empty_database) == []


async def test_a_schema_migrated_step_by_step_is_the_one_made_at_once(empty_database, database):
    for count in range(1, len(migrations()) + 1):
        await migrate(empty_database, finish=True, known=migrations()[:count])
    await migrate(empty_database)
    described = []
    for dsn in (empty_database, database):
        connection = await connect(dsn)
        described.append(await describe(connection))
        await connection.close()
    assert described[0] == described[1]
    assert any(line.startswith("index object ") for line in described[0])


async def test_a_schema_upgraded_beside_the_version_before_is_the_one_made_at_once(empty_database, database):
    await migrate(empty_database, known=migrations()[: DEPLOYMENTS[-1]])
    await migrate(empty_database)
    await run_online_steps(empty_database)
    await migrate(empty_database, finish=True)
    described = []
    for dsn in (empty_database, database):
        connection = await connect(dsn)
        described.append(await describe(connection))
        await connection.close()
    assert described[0] == described[1]


async def test_steps_after_a_deployment_wait_for_its_end(empty_database):
    await migrate(empty_database, known=MADE_UP[:2])
    assert await migrate(empty_database, known=MADE_UP) == []
    assert await migrate(empty_database, finish=True, known=MADE_UP) == ["0003_three"]


async def test_a_step_before_a_later_deployment_comes_after_those_after_the_earlier(empty_database):
    await migrate(empty_database, known=MADE_UP[:2])
    assert await migrate(empty_database, known=MADE_UP + NEXT) == ["0003_three", "0004_four"]
    assert await names(empty_database) == ["one", "two", "three", "four"]
    assert await migrate(empty_database, finish=True, known=MADE_UP + NEXT) == ["0005_five"]


async def test_steps_of_one_deployment_come_in_the_order_of_its_parts(empty_database):
    """What only the version before needs stays until the deployment is over, whatever number its removal has."""
    known = (*MADE_UP, step(4, "four", "create table two (c int);"), step(5, "five", "drop table two;", "post"))
    await migrate(empty_database, known=known[:2])
    assert await migrate(empty_database, known=known) == ["0004_four"]
    assert await migrate(empty_database, finish=True, known=known) == ["0003_three", "0005_five"]


async def test_the_version_before_runs_until_the_deployment_is_finished(empty_database):
    old = MADE_UP
    await migrate(empty_database, known=old)
    await migrate(empty_database, known=MADE_UP + NEXT)
    connection = await connect(empty_database)
    assert await migrate(empty_database, known=old) == []
    assert (await schema_state(connection, old)).usable
    await migrate(empty_database, finish=True, known=MADE_UP + NEXT)
    assert not (await schema_state(connection, old)).usable
    with pytest.raises(DatabaseError, match="newer.*five"):
        await migrate(empty_database, known=old)
    await connection.close()


async def test_a_changed_file_is_refused(empty_database):
    await migrate(empty_database, known=MADE_UP[:2])
    changed = (MADE_UP[0], replace(MADE_UP[1], sql="select 1"))
    with pytest.raises(DatabaseError, match="0002_two"):
        await migrate(empty_database, known=changed)


async def test_a_file_that_fails_leaves_nothing_of_itself(empty_database):
    broken = step(2, "two", "create table half (a int); select 1 / 0;")
    with pytest.raises(DatabaseError, match="division"):
        await migrate(empty_database, known=(MADE_UP[0], broken))
    assert await names(empty_database) == ["one"]
    connection = await connect(empty_database)
    assert await connection.fetchval("select to_regclass('half')") is None
    await connection.close()
    assert await migrate(empty_database, known=MADE_UP) == ["0002_two"]


async def test_without_a_database(tmp_path):
    with pytest.raises(Unavailable):
        await migrate(f"postgresql://nobody@/none?host={tmp_path}")


def test_names_and_numbers_of_files(tmp_path):
    assert [item.number for item in migrations()] == list(range(1, len(migrations()) + 1))
    (tmp_path / "0001_a.pre.sql").write_text("select 1")
    assert migrations(tmp_path)[0].checksum == hashlib.sha256(b"select 1").hexdigest()
    (tmp_path / "0003_b.pre.sql").write_text("select 1")
    migrations.cache_clear()
    with pytest.raises(DatabaseError, match="gaps"):
        migrations(tmp_path)
    (tmp_path / "0002-b.sql").write_text("select 1")
    with pytest.raises(DatabaseError, match="0002-b"):
        migrations(tmp_path)


async def test_every_key_of_a_home_begins_with_it(storage):
    tables = {
        row[0]
        for row in await storage.database.fetch(
            "select relname from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
        )
    }
    assert tables >= GLOBAL
    rows = await storage.database.fetch(
        """
        select c.relname, i.indexrelid::regclass::text as index, a.attname as first
        from pg_class c
        left join pg_index i on i.indrelid = c.oid and (i.indisunique or i.indisexclusion)
        left join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
        where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = 'public'::regnamespace
        """
    )
    expected = {"home": "id"}
    wrong = [
        tuple(row)
        for row in rows
        if row["relname"] not in GLOBAL | ORDERED
        and row["first"] != expected.get(row["relname"], "home_id")
        and row["index"] not in ("home_principal_id_kind_key", "reservation_taken")
    ]
    assert wrong == []


LEAVING = {
    # The row of a binding lies in the home that shows the collection, whose members may lie in another home.
    ("binding", "collection"): "collection_home_id",
    # The copy of a collection lies in the home of whoever takes it over.
    ("handover", "home"): "to_home_id",
}
"""Foreign keys that lead from one home into another: by table and target, the column that names the other home."""


async def test_foreign_keys_that_leave_the_home_are_known(storage):
    """Between tables of homes, foreign keys carry the row's own home, so that both rows lie on one server."""
    rows = await storage.database.fetch(
        """
        select c.conrelid::regclass::text, c.confrelid::regclass::text, a.attname, f.attname
        from pg_constraint c
        cross join lateral unnest(c.conkey, c.confkey) as k (own, other)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.own
        join pg_attribute f on f.attrelid = c.confrelid and f.attnum = k.other
        where c.contype = 'f' and c.connamespace = 'public'::regnamespace
          and (f.attname = 'home_id' or (c.confrelid = 'home'::regclass and f.attname = 'id'))
        """
    )
    homes = {(table, target): own for table, target, own, _ in rows if table not in GLOBAL}
    assert {key: own for key, own in homes.items() if own != "home_id"} == LEAVING
    targets = await storage.database.fetch(
        """
        select conrelid::regclass::text, confrelid::regclass::text from pg_constraint
        where contype = 'f' and connamespace = 'public'::regnamespace
        """
    )
    within = {(table, target) for table, target in map(tuple, targets) if table not in GLOBAL and target not in GLOBAL}
    assert within - homes.keys() == set(), "they name no home"


async def test_text_is_compared_by_code_points(storage):
    rows = await storage.database.fetch(
        """
        select c.relname || '.' || a.attname from pg_attribute a
        join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p')
        join pg_collation l on l.oid = a.attcollation
        where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped and l.collname <> 'C'
        """
    )
    assert [row[0] for row in rows] == []
