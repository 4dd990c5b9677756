"""`koyomi backup --copy` of a PostgreSQL that people run themselves, and how it is restored."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.integration.own_postgres import BINARIES, OwnPostgres, as_account, make, own_folder, own_postgres
from tests.integration.test_backup import PEOPLE, Client, event
from tests.server_process import ServerProcess, running

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
pytestmark = pytest.mark.skipif(not (BINARIES / "postgres").exists(), reason="PostgreSQL 15 is not installed")


async def statement(dsn: str, *statements: str) -> None:
    session = await asyncpg.connect(dsn)
    try:
        for each in statements:
            await session.execute(each)
    finally:
        await session.close()


@pytest.fixture
def theirs(short_folder: Path) -> Iterator[OwnPostgres]:
    folder = own_folder(short_folder / "theirs")
    make(folder)
    with own_postgres(folder) as running_one:
        yield running_one
    as_account("rm", "-r", folder / "data")
    (folder / "password").unlink()
    folder.rmdir()


def server_on(postgres: OwnPostgres, tmp_path: Path, name: str) -> ServerProcess:
    settings = {"network.workers": 1, "storage.database": postgres.dsn("koyomi", "koyomi")}
    return ServerProcess(tmp_path / f"{name}-none", tmp_path / f"{name}.log", settings)


async def test_a_copy_is_restored_by_the_means_of_postgresql(
    theirs: OwnPostgres, tmp_path: Path, short_folder: Path
) -> None:
    await statement(
        theirs.dsn(),
        "create role koyomi login password 'pw@pw' replication",
        "create database koyomi owner koyomi encoding 'UTF8' locale 'C.UTF-8' template template0",
    )
    (tmp_path / "people.json").write_text(json.dumps(PEOPLE))
    server = server_on(theirs, tmp_path, "theirs")
    server.command("principals", "load", str(tmp_path / "people.json"))
    backup = tmp_path / "backup"
    with running(server):
        client = Client(server)
        client.put("a.ics")
        assert "A copy of the cluster, PostgreSQL 15" in server.command("backup", "--copy", str(backup))
        client.put("lost.ics")
        assert client.sync() == (207, {"a.ics", "lost.ics"})
    assert {path.name for path in backup.iterdir()} >= {"base.tar.gz", "pg_wal.tar.gz", "backup.json"}
    assert not any("pw@pw" in path.read_text(errors="replace") for path in backup.iterdir())
    # It is none that `restore` could put into a database.
    with pytest.raises(RuntimeError, match="own means|--data DIR"):
        server.command("restore", "--from", str(backup), "--replace")

    # As the document has it; its last two lines start PostgreSQL and tell Koyomi.
    found = re.search(
        r"^```sh\n(tar -xzf (.*?)/base.tar.gz -C (\S+)\n.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.M
    )
    assert found is not None
    script, folder = found[1], own_folder(short_folder / "restored")
    for archive in ("base.tar.gz", "pg_wal.tar.gz"):
        shutil.copy(backup / archive, folder)
        (folder / archive).chmod(0o644)
    *unpacking, start, tell = script.replace(found[2], str(folder)).replace(found[3], f"{folder}/data").splitlines()
    assert start == f"pg_ctl -D {folder}/data start"
    assert tell.startswith("koyomi db restored --database ")
    try:
        as_account(shell="\n".join([f"mkdir -m 700 {folder}/data", *unpacking]))
        with own_postgres(folder) as restored:
            again = server_on(restored, tmp_path, "restored")
            told = again.command("db", "restored")
            assert told.startswith("Clients will synchronise anew. Mails to people elsewhere are held")
            with running(again):
                with pytest.raises(RuntimeError, match="stop the server first"):
                    again.command("db", "restored")
                client.port = again.port
                assert client.sync()[0] == 403, "the token knows of what is lost"
                client.token = ""
                assert client.sync() == (207, {"a.ics"})
                assert client.get("a.ics") == event("a.ics")
                client.put("new.ics")
                assert client.sync() == (207, {"new.ics"})
            assert "Nothing differs" in again.command("db", "check", "--all")
    finally:
        as_account("rm", "-r", folder / "data")
        shutil.rmtree(folder)


async def test_where_the_role_may_not_replicate_it_is_sql(theirs: OwnPostgres, tmp_path: Path) -> None:
    await statement(
        theirs.dsn(),
        "create role koyomi login password 'pw@pw'",
        "create database koyomi owner koyomi encoding 'UTF8' locale 'C.UTF-8' template template0",
        "create database other owner koyomi encoding 'UTF8' locale 'C.UTF-8' template template0",
    )
    (tmp_path / "people.json").write_text(json.dumps(PEOPLE))
    server = server_on(theirs, tmp_path, "theirs")
    server.command("principals", "load", str(tmp_path / "people.json"))
    backup = tmp_path / "backup"
    with running(server):
        Client(server).put("a.ics")
        said = server.command("backup", "--copy", str(backup))
        assert "SQL, PostgreSQL 15" in said
    assert {path.name for path in backup.iterdir()} == {"database.sql.gz", "backup.json"}
    settings = {"network.workers": 1, "storage.database": theirs.dsn("koyomi", "other")}
    other = ServerProcess(tmp_path / "none", tmp_path / "other.log", settings)
    other.command("restore", "--from", str(backup))
    with running(other):
        assert Client(other).get("a.ics") == event("a.ics")
