"""The seals of the journal: who writes does not wait for them, and whatever is changed afterwards contradicts them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from server.diagnosis.record import look_at_seals
from server.domain.errors import ConfigurationError
from server.events import seal_heads
from server.events.seal_key import PublicKeys, SealKey, key_at
from server.jobs import maintenance
from server.settings.model import Settings
from storage_plugins.postgres.backup.dump import settle
from storage_plugins.postgres.upkeep import seals
from storage_plugins.postgres.upkeep.seals import seal, verify
from tests.integration.storage.conftest import make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.sequenced import sequence
from tests.integration.storage.values import CAUSE, LIMITS, content

COLUMNS = (
    "at = at + interval '1 microsecond'",
    "kind = 'none'",
    "action = 'none'",
    "home_id = 0",
    "revision = 0",
    "collection_id = null",
    "object_id = null",
    "subject_id = 1",
    "principal_id = 7",
    "acting_for = 7",
    "origin = 'none'",
    "request_id = 'none'",
    "change = 0",
    "trace = 'none'",
    "details = '{}'",
    "carried = 1",
    "text_digest = ''",
    "seq = 100",
    "act = false",
)


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database: str) -> AsyncIterator[MemberStorage]:
    """A storage on a database of its own: there is one chain."""
    async with MemberStorage(database, notify=False) as opened:
        yield opened


@pytest.fixture
def key(tmp_path: Path) -> SealKey:
    return key_at(tmp_path / "data" / "key.pem")


async def write(storage: MemberStorage, count: int) -> None:
    calendar = await (await make_person(storage)).collection()
    for number in range(count):
        await storage.put_object(calendar, f"{number}", content(f"{number}"), None, LIMITS, CAUSE)
    await sequence(storage.database)


async def broken(storage: MemberStorage, key: SealKey, heads=None) -> list[tuple[int, int]]:
    found = [(each.first, each.last) async for each in verify(storage.database, PublicKeys([key.public]), heads)]
    return list(dict.fromkeys(found))


async def tamper(storage: MemberStorage, sql: str) -> None:
    """What somebody does who may do everything in the database."""
    async with storage.database.transaction() as connection:
        await connection.execute("set local session_replication_role = replica")
        await connection.execute(sql)


async def test_everything_is_sealed_once(storage: MemberStorage, key: SealKey) -> None:
    assert await seal(storage.database, key) == []
    await write(storage, 25)
    made = await seal(storage.database, key, batch=10)
    assert [(each.first_seq, each.last_seq, each.row_count) for each in made] == [
        (1, 10, 10),
        (11, 20, 10),
        (21, 25, 5),
    ]
    assert await seal(storage.database, key, batch=10) == []
    await write(storage, 3)
    assert [each.row_count for each in await seal(storage.database, key)] == [3]
    assert await broken(storage, key) == []


async def test_echoes_may_go(storage: MemberStorage, key: SealKey) -> None:
    await write(storage, 2)
    await storage.database.fetch(
        "insert into outbox (home_id, revision, collection_id, kind, origin) "
        "values (1, 1, 1, 'binding-touched', 'test')"
    )
    await write(storage, 1)
    assert [each.row_count for each in await seal(storage.database, key)] == [3]
    await tamper(storage, "delete from journal where not act")
    assert await broken(storage, key) == []


@pytest.mark.parametrize("change", COLUMNS)
@pytest.mark.forges
async def test_a_change_of_any_column_is_found(storage: MemberStorage, key: SealKey, change: str) -> None:
    await write(storage, 25)
    await seal(storage.database, key, batch=10)
    await tamper(storage, f"update journal set {change} where seq = 15")
    assert await broken(storage, key) == [(11, 20)]


FORGED = """
    update journal_seal set rows_digest = (koyomi_journal_digest_1(first_seq, last_seq)).digest where number = {0};
    update journal_seal set digest = sha256(
        previous || int8send(number) || int8send(first_seq) || int8send(last_seq) || int8send(row_count)
        || int8send((extract(epoch from sealed_at) * 1000000)::bigint) || rows_digest
    ) where number = {0};
"""


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("delete from journal where seq = 15", [(11, 20)]),
        ("delete from journal where seq = 25", [(21, 25)]),
        ("delete from journal", [(1, 10), (11, 20), (21, 25)]),
        ("update journal_seal set row_count = 9 where number = 2", [(11, 20)]),
        ("update journal_seal set sealed_at = now() where number = 2", [(11, 20)]),
        ("update journal_seal set signature = '' where number = 2", [(11, 20)]),
        ("delete from journal_seal where number = 1", [(11, 20)]),
        ("delete from journal_seal where number = 2", [(21, 25)]),
        # The row and its seal together: the signature and the next seal tell.
        ("update journal set kind = 'none' where seq = 15;" + FORGED.format(2), [(11, 20), (21, 25)]),
        # All rows and all seals: the signatures tell.
        (
            "update journal set kind = 'none' where seq = 25;" + FORGED.format(3),
            [(21, 25)],
        ),
    ],
)
@pytest.mark.forges
async def test_whatever_is_changed_is_found(
    storage: MemberStorage, key: SealKey, sql: str, found: list[tuple[int, int]]
) -> None:
    await write(storage, 25)
    await seal(storage.database, key, batch=10)
    await tamper(storage, sql)
    assert await broken(storage, key) == found


async def test_a_chain_that_was_cut_is_found_by_its_heads(storage: MemberStorage, key: SealKey, tmp_path: Path) -> None:
    await write(storage, 25)
    made = await seal(storage.database, key, batch=10)
    place = tmp_path / "heads"
    seal_heads.write(
        str(place),
        [seal_heads.line(s.number, s.last_seq, s.digest, s.key_id, s.signature, s.sealed_at) for s in made],
    )
    heads = seal_heads.read(place)
    assert heads == {each.number: each.digest.hex() for each in made}
    assert await broken(storage, key, heads) == []
    await tamper(storage, "delete from journal_seal where number = 3; delete from journal where seq > 20")
    assert await broken(storage, key) == []
    assert await broken(storage, key, heads) == [(0, 0)]
    # Made anew, with the key of the server: who has all of that has not the second place.
    await seal(storage.database, key)
    assert await broken(storage, key) == []
    await tamper(storage, "delete from journal_seal")
    await seal(storage.database, key, batch=10)
    assert await broken(storage, key) == []
    assert await broken(storage, key, heads) == [(1, 10), (11, 20), (0, 0)]


async def test_heads_that_could_not_be_written_are_written_later(
    storage: MemberStorage, key: SealKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_HEADS", 2)
    place = tmp_path / "elsewhere" / "heads"
    settings = Settings.model_validate(
        {"storage": {"data": tmp_path / "data"}, "journal": {"key": tmp_path / "key.pem", "heads": str(place)}}
    )
    key = key_at(tmp_path / "key.pem")
    await write(storage, 25)
    with pytest.raises(ConfigurationError):
        await maintenance._seal(storage.database, settings)
    await write(storage, 1)
    made = await seal(storage.database, key, batch=10)
    place.parent.mkdir()
    assert await maintenance._seal(storage.database, settings) == 0
    assert len(place.read_text().splitlines()) == 2
    assert seal_heads.read(place)[made[-1].number] == made[-1].digest.hex()
    # They are written once; another place gets all of them.
    await write(storage, 1)
    assert await maintenance._seal(storage.database, settings) == 1
    assert len(place.read_text().splitlines()) == 3
    await maintenance.write_heads(storage.database, str(tmp_path / "another"))
    assert seal_heads.read(tmp_path / "another") == seal_heads.read(place)
    assert await broken(storage, key, seal_heads.read(place)) == []


async def test_the_doctor_finds_another_key_and_missing_heads(storage: MemberStorage, tmp_path: Path) -> None:
    def settings(name: str, heads: str = "") -> Settings:
        return Settings.model_validate({"journal": {"key": tmp_path / name, "heads": heads}})

    async def found(name: str, heads: str = "") -> list[tuple[str, str]]:
        return [(each.level, each.said) for each in await look_at_seals(settings(name, heads), storage.database)]

    assert [level for level, _ in await found("ours")] == ["ok"]
    assert not (tmp_path / "ours").exists(), "looking makes no key"
    ours, theirs = key_at(tmp_path / "ours"), key_at(tmp_path / "theirs")
    assert [level for level, _ in await found("ours")] == ["ok"]
    await write(storage, 1)
    await seal(storage.database, ours)
    assert await found("ours") == [("ok", f"the key of its seals is {ours.key_id}")]
    ((level, said),) = await found("theirs")
    assert level == "problem"
    assert ours.key_id in said
    assert theirs.key_id in said
    ((level, said),) = await found("none")
    assert (level, ours.key_id in said) == ("problem", True)
    (tmp_path / "broken").write_text("no key")
    assert [level for level, _ in await found("broken")] == ["problem"]
    await write(storage, 1)
    await seal(storage.database, theirs)
    assert [level for level, _ in await found("theirs")] == ["warning"]
    assert [level for level, _ in await found("ours")] == ["problem"]
    # The second place lacks what was sealed long ago.
    place = str(tmp_path / "heads")
    assert len(await found("theirs", place)) == 1
    await tamper(storage, "update journal_seal set sealed_at = sealed_at - interval '1 hour'")
    assert "has no head of seal 1" in (await found("theirs", place))[1][1]
    await maintenance.write_heads(storage.database, place)
    assert len(await found("theirs", place)) == 1


async def test_a_server_that_seals_with_another_key_says_so(storage: MemberStorage, tmp_path: Path) -> None:
    with capture_logs() as lines:
        for name in ("ours", "ours", "theirs"):
            await write(storage, 1)
            await maintenance._seal(
                storage.database, Settings.model_validate({"journal": {"key": tmp_path / name, "heads": ""}})
            )
    ours, theirs = key_at(tmp_path / "ours").key_id, key_at(tmp_path / "theirs").key_id
    told = [(line["key"], line["before"]) for line in lines if line["event"] == "journal_key_differs"]
    assert told == [(theirs, ours)]


def test_a_head_without_an_end_spoils_no_other(tmp_path: Path) -> None:
    place = tmp_path / "heads"
    whole = [seal_heads.line(number, number, b"x", "key", b"y", datetime.now(UTC)) for number in (1, 2)]
    seal_heads.write(str(place), whole[:1])
    place.write_text(place.read_text() + whole[1][:40])
    assert seal_heads.read(place) == {1: b"x".hex()}
    seal_heads.write(str(place), whole[1:])
    assert seal_heads.read(place) == {1: b"x".hex(), 2: b"x".hex()}
    assert len(place.read_text().splitlines()) == 3


async def test_another_key_is_told(storage: MemberStorage, key: SealKey, tmp_path: Path) -> None:
    await write(storage, 2)
    await seal(storage.database, key)
    other = key_at(tmp_path / "other.pem")
    (found,) = [each async for each in verify(storage.database, PublicKeys([other.public]))]
    assert "not known" in found.what
    assert key.key_id in found.what


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key.pem"
    assert key_at(path).key_id == key_at(path).key_id
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["key.pem"]
    path.write_text("none")
    with pytest.raises(ConfigurationError):
        key_at(path)


async def test_two_processes_that_seal_at_once_cannot_both_continue_the_chain(
    storage: MemberStorage, key: SealKey
) -> None:
    await write(storage, 1)
    await seal(storage.database, key)
    await write(storage, 1)
    await seal(storage.database, key)
    columns = "first_seq + 9, last_seq + 9, row_count, rows_digest, previous, digest, sealed_at, key_id, signature"
    with pytest.raises(asyncpg.UniqueViolationError):
        await storage.database.fetch(
            f"insert into journal_seal select number + 1, {columns} from journal_seal order by number desc limit 1"  # noqa: S608
        )


async def test_a_loaded_dump_keeps_the_chain(storage: MemberStorage, database: str, key: SealKey) -> None:
    await write(storage, 5)
    await seal(storage.database, key)
    await settle(database)
    assert await broken(storage, key) == []


async def test_a_seal_holds_acts_of_one_month(storage: MemberStorage, key: SealKey) -> None:
    await write(storage, 6)
    await tamper(
        storage,
        "update journal set month = month - interval '1 month' where seq <= 2; "
        "update journal set month = month - interval '1 month' where seq = 3",
    )
    made = await seal(storage.database, key, batch=4)
    assert [(each.first_seq, each.last_seq) for each in made] == [(1, 3), (4, 6)]
    assert seals.BATCH > 4
