"""What the version before recorded comes into the journal once, while its servers write beside those of this one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.events.seal_key import PublicKeys, SealKey, key_at
from storage_plugins.postgres.database import Connection, Database, connect
from storage_plugins.postgres.migrations import DEPLOYMENTS, migrate, migrations, run_online_steps
from storage_plugins.postgres.upkeep.journal_files import carried_files, carried_lines, detach, outside
from storage_plugins.postgres.upkeep.seals import seal, verify
from tests.integration.storage.old_months import make_old
from tests.integration.storage.sequenced import sequence

ROWS = 12_000
"""More than one batch of a backfill."""
# As the functions of the version before write them.
OUTBOX = """
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (0, $1::bigint, $2, 5, $1, 6, 'caldav', 'request ' || $1::bigint)
"""
AUDIT = """
    insert into audit (home_id, revision, action, collection_id, object_id, principal_id, origin, request_id, details)
    values (0, $1::bigint, $2, 5, $1, 6, 'caldav', 'request ' || $1::bigint, '{"fields": ["a"]}')
"""
SEAL = """
    insert into audit_seal (last_id, row_count, previous, digest)
    select $2, d.row_count, $3::bytea, koyomi_seal_digest_1($3::bytea, $2, d.row_count, d.digest)
    from koyomi_audit_digest_1($1, $2) d returning digest
"""


LATER = (10_001, ROWS + 20)
"""The rows of the seal after two full ones."""


async def write_as_before(connection: Connection, number: int, kind: str = "updated") -> None:
    async with connection.transaction():
        await connection.execute(OUTBOX, number, kind)
        if kind != "binding-touched":
            await connection.execute(AUDIT, number, kind)


async def fill(connection: Connection) -> None:
    """With a transaction that failed, seals, rows behind the last seal, and touches of bindings."""
    await connection.execute(
        "insert into audit (home_id, revision, action, collection_id, object_id, principal_id, origin, request_id) "
        "select 0, n, 'updated', 5, n, 6, 'caldav', 'request ' || n from generate_series(1, $1) n",
        ROWS,
    )
    for number in range(ROWS + 1, ROWS + 40):
        await write_as_before(connection, number, "binding-touched" if number % 10 == 0 else "updated")
        if number % 7 == 0:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(AUDIT, number, "failed")
            await transaction.rollback()
    digest, after = b"", 0
    for last in (5_000, 10_000, ROWS + 20):
        digest = await connection.fetchval(SEAL, after, last, digest)
        after = last


async def acts(connection: Connection) -> list[tuple[object, ...]]:
    rows = await connection.fetch(
        "select carried, at, kind, revision, request_id, details from journal where seq <= 0 and act order by seq"
    )
    return [tuple(row) for row in rows]


async def verified(database: Database, key: SealKey, folder: Path) -> list[tuple[int, int]]:
    verifier = PublicKeys([key.public])
    rows, wrong = await outside(database, folder, verifier)
    assert wrong == []
    carried = carried_lines(await carried_files(database, folder))
    return [(each.first, each.last) async for each in verify(database, verifier, None, rows, carried)]


@pytest.mark.parametrize("tampered", [False, True])
async def test_everything_is_carried_over_once(empty_database: str, tmp_path: Path, tampered: bool) -> None:
    await migrate(empty_database, known=migrations()[: DEPLOYMENTS[-1]])
    connection = await connect(empty_database)
    database = Database(empty_database)
    await database.open()
    try:
        await fill(connection)
        if tampered:
            await connection.execute("set session_replication_role = replica")
            await connection.execute("update audit set origin = 'x' where id = 7")
            await connection.execute("reset session_replication_role")
        rows = await connection.fetch("select id, at, action, revision, request_id, details from audit order by id")
        before = [tuple(row) for row in rows]
        touches = await connection.fetchval("select count(*) from outbox where kind = 'binding-touched'")
        assert touches == 3
        await migrate(empty_database)
        # A server of the version before goes on beside this one.
        for number in range(1, 6):
            await write_as_before(connection, 100_000 + number)
        assert await sequence(database) == 5
        key = key_at(tmp_path / "key.pem")
        assert [each.row_count for each in await seal(database, key)] == [5], "what is carried over is not complete"
        # It seals, too: what it has written itself is not there.
        last, digest = await connection.fetchrow("select last_id, digest from audit_seal order by last_id desc limit 1")
        await connection.fetchval(SEAL, ROWS + 20, ROWS + 5_000, digest)
        assert last == ROWS + 20
        await run_online_steps(empty_database)
        assert await acts(connection) == before
        lowest, count = await connection.fetchrow("select min(seq), count(*) from journal where seq <= 0")
        assert count == 1 - lowest == len(before) + touches
        found = [row[0] for row in await connection.fetch("select request_id from journal where seq > 0 order by seq")]
        assert found == [f"request {100_000 + number}" for number in range(1, 6)]
        made = await seal(database, key)
        assert sum(each.row_count for each in made) == len(before)
        await migrate(empty_database, finish=True)
        assert await connection.fetchval("select to_regclass('audit') is null and to_regclass('outbox_before') is null")
        assert await seal(database, key) == []
        broken = [(each.first, each.last) async for each in verify(database, PublicKeys([key.public]))]
        assert broken == ([(1, 5_000)] if tampered else [])
        # When its month has left the database, its seals of then still tell.
        await make_old(empty_database)
        await connection.execute("update journal_position set position = 5, month = '2020-01-01', anew = false")
        (file,) = await detach(database, key, tmp_path, datetime(2021, 1, 1, tzinfo=UTC))
        assert await connection.fetchval("select count(*) from journal where act") == 0
        assert await carried_files(database, tmp_path) == [file]
        assert await verified(database, key, tmp_path) == broken
        for sql, found in (
            ("update audit_seal set row_count = 1 where last_id = 10000", [(5_001, 10_000)]),
            ("update audit_seal set row_count = 5000, digest = '' where last_id = 10000", [(5_001, 10_000), LATER]),
        ):
            await connection.execute(f"set session_replication_role = replica; {sql}; reset session_replication_role")
            assert await verified(database, key, tmp_path) == [*broken, *found]
    finally:
        await database.close()
        await connection.close()
