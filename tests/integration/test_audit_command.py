"""`koyomi audit`: lists, exports, verifies, and moves old months to files that it verifies still."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from server.cli import main
from server.domain.changes import Cause
from server.events import seal_heads
from server.events.seal_key import FILE, key_at
from storage_plugins.postgres.upkeep.seals import seal
from tests.integration.storage.conftest import Person, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.old_months import make_old
from tests.integration.storage.sequenced import sequence
from tests.integration.storage.values import LIMITS, content, state

Run = Callable[..., Result]


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database: str) -> AsyncIterator[MemberStorage]:
    async with MemberStorage(database, notify=False) as opened:
        yield opened


@pytest.fixture
def run(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in a thread, as it has an event loop of its own."""
    monkeypatch.chdir(tmp_path)

    async def invoke(*words: str, **settings: str) -> Result:
        environment = {
            **os.environ,
            "KOYOMI_STORAGE_DATABASE": database,
            "KOYOMI_STORAGE_DATA": str(tmp_path),
            **settings,
        }
        return await asyncio.to_thread(CliRunner().invoke, main, ["audit", *words], env=environment)

    return invoke


@pytest_asyncio.fixture(loop_scope="session")
async def people(storage: MemberStorage) -> tuple[Person, Person]:
    """Two people; the second writes for the first."""
    first, second = await make_person(storage), await make_person(storage)
    calendar = await first.collection()
    made = await storage.put_object(calendar, "a", content("a"), None, LIMITS, Cause(first.id, "caldav", "one"))
    await storage.put_object(calendar, "b", content("b"), None, LIMITS, Cause(second.id, "caldav", "=2+3", first.id))
    await storage.delete_object(calendar, "a", state(made), Cause(first.id, "cli", "three"))
    await storage.database.fetch(
        "insert into outbox (home_id, revision, collection_id, kind, origin) "
        "values ($1, 9, 1, 'binding-touched', 'sharing')",
        calendar.home_id,
    )
    await sequence(storage.database)
    return first, second


def listed(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.output.splitlines()[1:] if not line.startswith("Only")]


async def test_the_list_says_who_did_what_for_whom(run: Run, people: tuple[Person, Person]) -> None:
    first, second = people
    rows = listed(await run("list"))
    assert [row[0] for row in rows] == ["3", "2", "1"]
    assert rows[1][3:8] == [second.name, first.name, "created", first.name, "calendar"]
    assert rows[0][3:6] == [first.name, "deleted", first.name]


async def test_the_filters(run: Run, people: tuple[Person, Person]) -> None:
    first, second = people
    cases = {
        ("--who", first.name): ["3", "1"],
        ("--who", f"#{second.id}"): ["2"],
        ("--who", first.name, "--who", second.name): ["3", "2", "1"],
        ("--for", first.name): ["2"],
        ("--whose", second.name): [],
        ("--whose", first.name): ["3", "2", "1"],
        ("--what", "created"): ["2", "1"],
        ("--what", "created", "--who", second.name): ["2"],
        ("--origin", "cli"): ["3"],
        ("--request", "one"): ["1"],
        ("--since", "2020-01-01"): ["3", "2", "1"],
        ("--until", "2020-01-01"): [],
        ("--since", "2900-01"): [],
        ("--echoes",): ["4", "3", "2", "1"],
        ("--limit", "1"): ["3"],
    }
    for words, expected in cases.items():
        assert [row[0] for row in listed(await run("list", *words))] == expected, words
    unknown = await run("list", "--who", "nobody")
    assert unknown.exit_code == 1
    assert "nobody" in unknown.output


async def test_the_export_has_all_of_it(run: Run, people: tuple[Person, Person], tmp_path: Path) -> None:
    first, second = people
    result = await run("export")
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert (lines[1]["who"], lines[1]["acting_for"], lines[1]["request"]) == (second.name, first.name, "=2+3")
    assert (await run("export", "--format", "csv", str(tmp_path / "acts.csv"))).exit_code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "acts.csv").read_text())))
    assert [row["seq"] for row in rows] == ["1", "2", "3"]
    assert rows[1]["request"] == "'=2+3", "no formula for a spreadsheet"
    assert rows[2]["what"] == "deleted"


async def test_a_month_becomes_a_file_that_is_verified(
    run: Run, people: tuple[Person, Person], storage: MemberStorage, database: str, tmp_path: Path
) -> None:
    heads = {"KOYOMI_JOURNAL_HEADS": str(tmp_path / "heads")}
    await make_old(database)
    unsealed = await run("detach", "--before", "2021-01")
    assert unsealed.exit_code == 0
    assert "0 months" in unsealed.output
    key = key_at(tmp_path / FILE)
    made = await seal(storage.database, key, batch=2)
    seal_heads.write(
        heads["KOYOMI_JOURNAL_HEADS"],
        [seal_heads.line(s.number, s.last_seq, s.digest, s.key_id, s.signature, s.sealed_at) for s in made],
    )
    assert "Nothing contradicts" in (await run("verify", **heads)).output
    assert "no head" not in (await run("verify", **heads)).output
    (tmp_path / "one").write_text((tmp_path / "heads").read_text().splitlines()[0])
    partly = await run("verify", "--heads", str(tmp_path / "one"))
    assert f"{len(made) - 1} seals have no head" in partly.output
    assert partly.exit_code == 0
    await storage.database.fetch("update journal_position set position = 0, anew = false")
    assert "0 months" in (await run("detach", "--before", "2021-01")).output, "a consumer has not read it"
    await storage.database.fetch("update journal_position set position = 9, anew = false")
    assert (await run("detach", "--before", "2900-01")).exit_code == 1
    moved = await run("detach", "--before", "2021-01")
    assert moved.exit_code == 0, moved.output
    file = tmp_path / "journal" / "journal_act_first.ndjson.gz"
    assert str(file) in moved.output
    assert listed(await run("list")) == []
    text = gzip.decompress(file.read_bytes())
    assert text.count(b"\n") == 5
    verified = await run("verify", **heads)
    assert verified.exit_code == 0, verified.output
    assert "3 acts are sealed" in verified.output
    alone = await run("verify", "--file", str(file))
    assert alone.exit_code == 0, alone.output
    assert "3 acts, 1 to 4" in alone.output

    # Whatever is done to the file is found.
    lines = text.splitlines(keepends=True)
    cases = {
        "changed": text.replace(b"deleted", b"updated"),
        "removed": b"".join(lines[:1] + lines[2:]),
        "cut": b"".join(lines[:-1]),
        "swapped": b"".join([lines[0], lines[2], lines[1], *lines[3:]]),
        "empty": b"",
    }
    for name, changed in cases.items():
        file.write_bytes(gzip.compress(changed))
        for words in ((), ("--file", str(file))):
            found = await run("verify", *words)
            assert found.exit_code == 1, (name, words, found.output)
    file.unlink()
    missing = await run("verify")
    assert missing.exit_code == 1
    assert file.name in missing.output
    file.write_bytes(gzip.compress(text))
    assert (await run("verify")).exit_code == 0

    # So is a record of a file that was never written, or was signed with another key.
    other = tmp_path / "other"
    assert "BEGIN PUBLIC KEY" in (await run("key")).output
    foreign = await run("verify", "--file", str(file), KOYOMI_STORAGE_DATA=str(other))
    assert foreign.exit_code == 1
    (tmp_path / "public.pem").write_text((await run("key")).output)
    trusted = await run(
        "verify", "--file", str(file), "--public-key", str(tmp_path / "public.pem"), KOYOMI_STORAGE_DATA=str(other)
    )
    assert trusted.exit_code == 0, trusted.output
    (tmp_path / "heads").unlink()
    assert (await run("verify", **heads)).exit_code == 1, "the heads are missing"


async def test_rows_cannot_be_hidden_by_a_record_of_a_file(
    run: Run, people: tuple[Person, Person], storage: MemberStorage, tmp_path: Path
) -> None:
    await seal(storage.database, key_at(tmp_path / FILE))
    async with storage.database.transaction() as connection:
        await connection.execute("set local session_replication_role = replica")
        await connection.execute("delete from journal where act")
        await connection.execute(
            "insert into journal_detached (first_seq, last_seq, row_count, file, digest, key_id, signature) "
            "select min(first_seq), max(last_seq), 3, 'gone', '', min(key_id), '' from journal_seal"
        )
    found = await run("verify")
    assert found.exit_code == 1
    assert "not signed" in found.output
