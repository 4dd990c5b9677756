"""Backups of both kinds restored elsewhere, another major version of PostgreSQL, and what somebody deleted."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import os
import re
import time
from pathlib import Path

import asyncpg
import pytest

from server.commands import backup as backup_command
from storage_plugins.postgres.embedded.client_programs import connection
from storage_plugins.postgres.embedded.server import Cluster, embedded
from tests.fixtures.postgres import create_database, drop_database
from tests.server_process import ServerProcess, running

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
PEOPLE = {"principals": [{"kind": "individual", "name": "ada", "password": "pw"}]}
TEAM = {
    "principals": [
        {"kind": "individual", "name": "ada", "password": "pw"},
        {"kind": "individual", "name": "bea", "password": "pw"},
        {"kind": "individual", "name": "cem", "password": "pw"},
        {"kind": "group", "name": "team", "id": "team", "members": ["bea"]},
    ]
}
CALENDAR = "/calendars/users/ada/calendar/"
SYNC = (
    "<sync-collection xmlns='DAV:'><sync-token>{}</sync-token><sync-level>1</sync-level>"
    "<prop><getetag/></prop></sync-collection>"
)


def event(uid: str, summary: str = "") -> str:
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Test//EN\r\nBEGIN:VEVENT\r\n"
        f"UID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;TZID=Europe/Berlin:20260105T090000\r\nDURATION:PT1H\r\n"
        f"RRULE:FREQ=WEEKLY\r\nSUMMARY:{summary or uid}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )


class Client:
    """Ada's, or somebody else's."""

    def __init__(self, server: ServerProcess, name: str = "ada") -> None:
        self.port = server.port
        self.name = name
        self.token = ""

    def ask(self, method: str, path: str, body: str = "", depth: str = "") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        credentials = base64.b64encode(f"{self.name}:pw".encode()).decode()
        kind = "text/calendar" if body.startswith("BEGIN") else "application/xml"
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": kind}
        headers |= {"Depth": depth} if depth else {}
        try:
            connection.request(method, path, body.encode() or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def put(self, name: str, summary: str = "", folder: str = CALENDAR) -> None:
        assert self.ask("PUT", folder + name, event(name, summary))[0] in (201, 204)

    def get(self, name: str, folder: str = CALENDAR) -> str | None:
        status, text = self.ask("GET", folder + name)
        return text if status == 200 else None

    def sync(self, folder: str = CALENDAR) -> tuple[int, set[str]]:
        """The status, and the names that changed; the token is kept."""
        status, text = self.ask("REPORT", folder, SYNC.format(self.token))
        if status == 207:
            self.token = re.findall(r"sync-token>([^<]+)<", text)[-1]
        return status, set(re.findall(rf"<D:href>{folder}([^<]+)</D:href>", text))

    def found_by_time(self, folder: str = CALENDAR) -> set[str]:
        query = (
            "<C:calendar-query xmlns:C='urn:ietf:params:xml:ns:caldav' xmlns='DAV:'><prop><getetag/></prop><C:filter>"
            "<C:comp-filter name='VCALENDAR'><C:comp-filter name='VEVENT'><C:time-range start='20260105T000000Z' "
            "end='20260106T000000Z'/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"
        )
        return set(re.findall(rf"<D:href>{folder}([^<]+)</D:href>", self.ask("REPORT", folder, query, "1")[1]))


class Sharee(Client):
    """Sees Ada's calendar in their own home."""

    def hears(self) -> set[str]:
        """What the home's sync reports next; waits until there is something."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            status, found = self.sync(f"/calendars/users/{self.name}/")
            assert status == 207
            if found:
                return found
            time.sleep(0.2)
        return set()


def share_with_team(server: ServerProcess, folder: Path) -> None:
    """Load people and a group, and share Ada's calendar with the group."""
    (folder / "people.json").write_text(json.dumps(TEAM))
    server.command("principals", "load", str(folder / "people.json"))
    server.command("share", "ada/calendar", "--with", "team", "--rights", "write")


async def spend_transactions(data: Path, binaries: Path | None) -> None:
    """Let the transaction ids of an embedded PostgreSQL run far ahead of those of a new one."""
    async with embedded(data, binaries=binaries) as cluster:
        session = await asyncpg.connect(cluster.dsn())
        try:
            await session.execute(
                "do $$ begin for i in 1..5000 loop perform pg_current_xact_id(); commit; end loop; end $$"
            )
        finally:
            await session.close()


def let_the_consumer_read(server: ServerProcess) -> None:
    """Write, and wait until the consumer has passed the write on."""
    bea = Sharee(server, "bea")
    assert bea.hears()
    Client(server).put("0.ics")
    assert bea.hears()


def demand_that_sharees_hear(server: ServerProcess, folder: Path) -> None:
    """A write, a new member of the group and a second write reach the sharees' homes."""
    owner, bea, cem = Client(server), Sharee(server, "bea"), Sharee(server, "cem")
    before, own = bea.hears(), cem.hears()
    owner.put("after.ics")
    (shown,) = bea.hears()
    assert shown in before
    team = json.loads(json.dumps(TEAM))
    team["principals"][-1]["members"].append("cem")
    (folder / "larger.json").write_text(json.dumps(team))
    server.command("principals", "load", str(folder / "larger.json"))
    (place,) = cem.hears()
    assert place not in own
    assert cem.get("after.ics", f"/calendars/users/cem/{place}") is not None


@pytest.fixture
def origin(tmp_path: Path) -> ServerProcess:
    (tmp_path / "people.json").write_text(json.dumps(PEOPLE))
    server = ServerProcess(tmp_path / "data", tmp_path / "origin.log", {"network.workers": 1})
    server.command("principals", "load", str(tmp_path / "people.json"))
    return server


@pytest.mark.parametrize("kind", ["copy", "sql"])
def test_a_backup_taken_while_the_server_runs_is_restored_elsewhere(
    origin: ServerProcess, tmp_path: Path, kind: str
) -> None:
    backup = tmp_path / "backup"
    with running(origin):
        client = Client(origin)
        for number in range(20):
            client.put(f"{number}.ics")
        assert client.ask("DELETE", CALENDAR + "3.ics")[0] == 204
        said = origin.command("backup", str(backup), *(["--sql"] if kind == "sql" else []))
        assert ("copy of the cluster" in said) is (kind == "copy")
        assert {path.name for path in backup.iterdir()} == (
            {"backup.json", "base.tar.gz", "pg_wal.tar.gz", "backup_manifest"}
            if kind == "copy"
            else {"backup.json", "database.sql.gz"}
        )
        assert all(path.stat().st_mode & 0o077 == 0 for path in (backup, *backup.iterdir()))
        with pytest.raises(RuntimeError, match="is not empty"):
            origin.command("backup", str(backup))
        recorded = origin.command("audit", "list", "--what", "exported")
        assert f'{{"kind": "{kind}", "what": "backup"}}' in recorded
        # What comes after the backup is lost with the machine.
        client.put("lost.ics")
        assert client.sync()[0] == 207
        lost_token = client.token
    other = ServerProcess(tmp_path / "elsewhere", tmp_path / "other.log", {"network.workers": 1})
    other.command("restore", "--from", str(backup))
    with pytest.raises(RuntimeError, match="--replace"):
        other.command("restore", "--from", str(backup))
    assert "Nothing differs" in other.command("db", "check", "--all")
    with running(other):
        client = Client(other)
        names = {f"{number}.ics" for number in range(20)} - {"3.ics"}
        client.token = lost_token
        assert client.sync()[0] == 403
        client.token = ""
        assert client.sync() == (207, names)
        assert client.found_by_time() == names
        assert client.get("7.ics") == event("7.ics")
        client.put("new.ics")
        assert client.sync() == (207, {"new.ics"})
        second_token = client.token
    # Once more: tokens of the time after the first restoring end as well.
    said = other.command("restore", "--from", str(backup), "--replace")
    assert re.search(r"cluster\.before-\w+", said)
    with running(other):
        client = Client(other)
        client.token = second_token
        assert client.sync()[0] == 403
        assert client.get("new.ics") is None
        with pytest.raises(RuntimeError, match="in use"):
            other.command("restore", "--from", str(backup), "--replace")
        assert client.get("7.ics")


async def test_sharees_hear_of_changes_after_sql_was_restored(
    tmp_path: Path, external: str, postgres_binaries: Path | None
) -> None:
    backup = tmp_path / "backup"
    origin = ServerProcess(tmp_path / "data", tmp_path / "origin.log", {"network.workers": 1})
    with running(origin):
        share_with_team(origin, tmp_path)
        await spend_transactions(origin.data, postgres_binaries)
        let_the_consumer_read(origin)
        origin.command("backup", str(backup), "--sql")
    other = ServerProcess(tmp_path / "elsewhere", tmp_path / "other.log", {"network.workers": 1})
    other.command("restore", "--from", str(backup))
    with running(other):
        demand_that_sharees_hear(other, tmp_path)
    settings = {"network.workers": 1, "storage.database": external, "storage.unsafe": "true"}
    server = ServerProcess(tmp_path / "none", tmp_path / "external.log", settings)
    server.command("restore", "--from", str(backup))
    with running(server):
        demand_that_sharees_hear(server, tmp_path)


async def test_a_database_without_tables_takes_no_record_of_a_backup(
    empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await backup_command.note(empty_database, "sql")
    assert "no record of this backup: its tables are of another version" in capsys.readouterr().err


def test_a_damaged_or_unfinished_backup_is_refused_and_nothing_changes(origin: ServerProcess, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with running(origin):
        Client(origin).put("a.ics")
    origin.command("backup", str(backup))
    copy = (backup / "base.tar.gz").read_bytes()
    (backup / "base.tar.gz").write_bytes(copy[: len(copy) // 2])
    with pytest.raises(RuntimeError, match="is damaged"):
        origin.command("restore", "--from", str(backup), "--replace")
    sql = tmp_path / "sql"
    origin.command("backup", "--sql", str(sql))
    text = gzip.decompress((sql / "database.sql.gz").read_bytes())
    (sql / "database.sql.gz").write_bytes(
        gzip.compress(text.replace(b"CREATE TABLE public.object ", b"CREATE TABEL x "))
    )
    with pytest.raises(RuntimeError, match="psql failed"):
        origin.command("restore", "--from", str(sql), "--replace")
    (backup / "backup.json").unlink()
    with pytest.raises(RuntimeError, match="not finished"):
        origin.command("restore", "--from", str(backup), "--replace")
    assert [path.name for path in (origin.data / "postgres").glob("cluster*")] == ["cluster"]
    with running(origin):
        assert Client(origin).get("a.ics")


@pytest.fixture
async def external(cluster: Cluster) -> object:
    name = await create_database(cluster)
    yield cluster.dsn(name)
    await drop_database(cluster, name)


async def test_an_external_database_is_restored_too(origin: ServerProcess, tmp_path: Path, external: str) -> None:
    backup, again = tmp_path / "backup", tmp_path / "again"
    with running(origin):
        Client(origin).put("a.ics")
        origin.command("backup", "--sql", str(backup))
    settings = {"network.workers": 1, "storage.database": external, "storage.unsafe": "true"}
    server = ServerProcess(tmp_path / "none", tmp_path / "external.log", settings)
    server.command("restore", "--from", str(backup))
    with pytest.raises(RuntimeError, match="--replace"):
        server.command("restore", "--from", str(backup))
    with running(server):
        client = Client(server)
        assert client.get("a.ics") == event("a.ics")
        client.put("b.ics")
        assert "SQL" in server.command("backup", str(again))
        with pytest.raises(RuntimeError, match="stop the server first"):
            server.command("restore", "--from", str(again), "--replace")
    server.command("restore", "--from", str(again), "--replace")
    with running(server):
        assert Client(server).get("b.ics") == event("b.ics")


async def test_what_an_external_database_holds_stays_until_a_backup_has_been_loaded(
    origin: ServerProcess, tmp_path: Path, external: str
) -> None:
    backup = tmp_path / "backup"
    with running(origin):
        for number in range(5):
            Client(origin).put(f"{number}.ics")
        origin.command("backup", "--sql", str(backup))
    server = ServerProcess(
        tmp_path / "none",
        tmp_path / "external.log",
        {"network.workers": 1, "storage.database": external, "storage.unsafe": "true"},
    )
    (tmp_path / "people.json").write_text(json.dumps(PEOPLE))
    server.command("principals", "load", str(tmp_path / "people.json"))
    with running(server):
        Client(server).put("kept.ics")
    file = backup / "database.sql.gz"
    whole = file.read_bytes()
    text = gzip.decompress(whole)
    rows = text.index(b"COPY public.object ")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    damaged = {
        "is damaged|psql failed": [whole[: len(whole) // 2], whole[:-4], bytes(flipped)],
        "its end is missing": [
            gzip.compress(text[: rows + 400]),
            gzip.compress(text[: text.index(b"\n\\.\n", text.index(b"COPY public.principal ")) + 4]),
            gzip.compress(b""),
        ],
        "psql failed": [gzip.compress(text.replace(b"CREATE INDEX", b"CREATE INDEKS", 1))],
        "newer or other version": [gzip.compress(text.replace(b"\tprincipals\tpre\t", b"\tprincipals\tpre\tx", 1))],
    }
    for message, contents in damaged.items():
        for content in contents:
            file.write_bytes(content)
            with pytest.raises(RuntimeError, match=message):
                server.command("restore", "--from", str(backup), "--replace")
    with running(server):
        assert Client(server).get("kept.ics") == event("kept.ics")
        assert Client(server).get("1.ics") is None
    file.write_bytes(whole)
    server.command("restore", "--from", str(backup), "--replace")
    with running(server):
        assert Client(server).get("kept.ics") is None
        assert Client(server).get("1.ics") == event("1.ics")


async def test_the_embedded_postgresql_moves_to_another_major_version(tmp_path: Path) -> None:
    if not (POSTGRES_15 / "postgres").exists():
        pytest.skip("PostgreSQL 15 is not installed")
    old = ServerProcess(
        tmp_path / "data", tmp_path / "old.log", {"network.workers": 1, "storage.postgres_bin": POSTGRES_15}
    )
    with running(old):
        share_with_team(old, tmp_path)
        await spend_transactions(old.data, POSTGRES_15)
        let_the_consumer_read(old)
        client = Client(old)
        for number in range(10):
            client.put(f"{number}.ics")
        assert client.sync()[0] == 207
        token = client.token
        client.put("after.ics")
    new = ServerProcess(tmp_path / "data", tmp_path / "new.log", {"network.workers": 1, "storage.postgres_bin": ""})
    with running(old), pytest.raises(RuntimeError, match="stop the server first|in use"):
        new.command("db", "upgrade-postgres", "--old-bin", str(POSTGRES_15))
    said = new.command("db", "upgrade-postgres", "--old-bin", str(POSTGRES_15))
    (before,) = (tmp_path / "data" / "postgres").glob("cluster.before-*")
    assert str(before) in said
    assert (before / "PG_VERSION").read_text().strip() == "15"
    assert (tmp_path / "data" / "postgres" / "cluster" / "PG_VERSION").read_text().strip() != "15"
    assert "already" in new.command("db", "upgrade-postgres")
    assert "Nothing differs" in new.command("db", "check", "--all")
    with running(new):
        client = Client(new)
        client.token = token  # no client needs to begin anew
        assert client.sync() == (207, {"after.ics"})
        assert "Held" in new.command("mail", "status")
        client.put("new.ics")
        assert client.sync() == (207, {"new.ics"})
        assert client.found_by_time() == {f"{number}.ics" for number in range(10)} | {"after.ics", "new.ics"}
        demand_that_sharees_hear(new, tmp_path)


def test_what_was_deleted_is_restored_while_the_server_runs(origin: ServerProcess) -> None:
    with running(origin):
        client, home = Client(origin), "/calendars/users/ada/"
        client.put("kept.ics")
        client.put("a.ics", "first")
        client.sync()
        assert client.ask("DELETE", CALENDAR + "a.ics")[0] == 204
        client.put("a.ics", "second")  # takes the name; the first one goes to the trash
        assert client.ask("DELETE", CALENDAR + "a.ics")[0] == 204
        client.sync()
        assert client.ask("MKCALENDAR", home + "work/")[0] == 201
        client.put("w.ics", folder=home + "work/")
        work = Client(origin)
        work.sync(home + "work/")
        everything = Client(origin)
        everything.sync(home)
        assert client.ask("DELETE", home + "work/")[0] == 204
        listed = origin.command("restore", "--user", "ada", "--list")
        (calendar,) = re.findall(r"^--calendar (\d+)  \S+ \S+  work/ \(1 entries\)$", listed, re.MULTILINE)
        second, first = re.findall(r"^--object (\d+)  \S+ \S+  VEVENT  calendar/a.ics$", listed, re.MULTILINE)

        origin.command("restore", "--user", "ada", "--object", first)
        assert client.get("a.ics") == event("a.ics", "first")
        assert client.sync() == (207, {"a.ics"})
        assert client.found_by_time() == {"kept.ics", "a.ics"}
        with pytest.raises(RuntimeError, match=r"It exists already, as a.ics"):
            origin.command("restore", "--user", "ada", "--object", second)
        with pytest.raises(RuntimeError, match="has the id 999"):
            origin.command("restore", "--user", "ada", "--object", "999")

        # Its name is taken meanwhile.
        assert client.ask("MKCALENDAR", home + "work/")[0] == 201
        with pytest.raises(RuntimeError, match="--as"):
            origin.command("restore", "--user", "ada", "--calendar", calendar)
        origin.command("restore", "--user", "ada", "--calendar", calendar, "--as", "work2")
        assert client.get("w.ics", home + "work2/") == event("w.ics")
        assert client.found_by_time(home + "work2/") == {"w.ics"}
        assert work.sync(home + "work2/")[0] == 403  # a token of the calendar before it was deleted
        assert "work2/" in everything.sync(home)[1]
        assert client.ask("DELETE", home + "work2/")[0] == 204
        origin.command("restore", "--user", "ada", "--calendar", calendar)
        assert client.get("w.ics", home + "work2/")
        with pytest.raises(RuntimeError, match="No deleted calendar"):
            origin.command("restore", "--user", "ada", "--calendar", calendar)
    assert "Nothing differs" in origin.command("db", "check", "--all")


@pytest.mark.parametrize(
    ("dsn", "url", "password"),
    [
        ("postgresql://u:p%40w@h:5/d?sslmode=require", "postgresql://u@h:5/d?sslmode=require", "p@w"),
        ("postgresql://u@/d?host=/run/x&port=5", "postgresql://u@/d?host=/run/x&port=5", None),
        ("postgresql:///d?host=/run/x", "postgresql:///d?host=/run/x", None),
        ("postgresql://h/d", "postgresql://h/d", None),
    ],
)
def test_no_password_is_in_a_command_line(dsn: str, url: str, password: str | None) -> None:
    os.environ["PGDATABASE"] = "elsewhere"
    try:
        made, environment = connection(dsn)
    finally:
        del os.environ["PGDATABASE"]
    assert made == url
    assert environment.get("PGPASSWORD") == password
    assert "PGDATABASE" not in environment
