"""Loading principals, and the commands around them, on a real PostgreSQL."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from server.cli import main
from server.domain.actors import Actor
from server.services.principals.loading import load_principals
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.directory import PostgresDirectory
from tests.unit.auth.directory_in_memory import CountingHasher

ACTOR = Actor(None, "test")
CAUSE = ACTOR.cause

ANNA: dict[str, Any] = {
    "id": "A1",
    "kind": "individual",
    "name": "anna",
    "display_name": "Anna",
    "emails": ["anna@example.org"],
    "password": "anna",
    "roles": ["admin"],
}
BOB: dict[str, Any] = {"id": "B1", "kind": "individual", "name": "bob", "password": "bob"}
STAFF: dict[str, Any] = {"id": "G1", "kind": "group", "name": "staff", "members": ["B1", "G2", "anna"]}
BOARD: dict[str, Any] = {"id": "G2", "kind": "group", "name": "board", "members": ["A1"]}
ROOM: dict[str, Any] = {
    "id": "R1",
    "kind": "room",
    "name": "saal",
    "auto_schedule": {"mode": "decline-always", "auto_accept_group": "G1"},
    "delegates": {"read": ["B1"], "write": ["A1", "G2"]},
    "address": {"name": "Saal", "geo": "geo:1,2"},
}
ALL = [STAFF, ROOM, ANNA, BOB, BOARD]


@pytest_asyncio.fixture(loop_scope="session")
async def directory(database: str) -> AsyncIterator[PostgresDirectory]:
    opened = Database(database)
    await opened.open()
    yield PostgresDirectory(opened)
    await opened.close()


@pytest.fixture(scope="module")
def hasher() -> CountingHasher:
    return CountingHasher()


async def load(directory: PostgresDirectory, hasher: CountingHasher, *entries: dict[str, Any]) -> tuple[int, int, int]:
    loaded = await load_principals(ACTOR, directory, hasher, {"principals": list(entries)})
    assert not loaded.refused
    assert not loaded.left_out
    return loaded.created, loaded.changed, loaded.unchanged


async def test_loading_twice_changes_nothing_the_second_time(
    directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    assert await load(directory, hasher, *ALL) == (5, 0, 0)
    anna, bob, staff, board, room = [
        await directory.principal(name) for name in ("anna", "bob", "staff", "board", "saal")
    ]
    assert anna and bob and staff and board and room
    assert (anna.uid, anna.display_name, anna.addresses, anna.roles) == ("A1", "Anna", ("anna@example.org",), {"admin"})
    assert bob.display_name == "bob"
    assert staff.members == {anna.id, bob.id, board.id}
    assert board.members == {anna.id}
    assert room.delegates == {(bob.id, "read"), (anna.id, "write"), (board.id, "write")}
    assert room.auto_schedule == ROOM["auto_schedule"]
    assert room.place == ROOM["address"]
    rows = await directory._database.fetchval("select count(*) from outbox")
    assert await load(directory, hasher, *ALL) == (0, 0, 5)
    assert await directory._database.fetchval("select count(*) from outbox") == rows


async def test_what_differs_is_changed_and_what_is_left_out_stays(
    directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    await load(directory, hasher, *ALL)
    before = await directory.principal("anna")
    changed = [
        {"id": "A1", "kind": "individual", "name": "anne", "emails": ["b@example.org", "anna@example.org"]},
        {"id": "G1", "kind": "group", "name": "staff", "members": []},
        {"id": "R1", "kind": "room", "name": "saal", "delegates": {"read": ["anne"]}},
        {"kind": "individual", "name": "BOB", "display_name": "Bob"},
        {"id": "G2", "kind": "group", "name": "board"},
    ]
    assert await load(directory, hasher, *changed) == (0, 4, 1)
    anna, staff, room, board = [await directory.principal(name) for name in ("A1", "staff", "saal", "board")]
    assert before and anna and staff and room and board
    assert (anna.name, anna.display_name, anna.roles) == ("anne", "Anna", {"admin"})
    assert anna.addresses == ("b@example.org", "anna@example.org")
    assert staff.members == frozenset()
    assert room.delegates == {(anna.id, "read")}
    assert room.auto_schedule == ROOM["auto_schedule"]
    assert board.members == {anna.id}
    assert await load(directory, hasher, *changed) == (0, 0, 5)


async def test_a_password_that_was_changed_since_stays(directory: PostgresDirectory, hasher: CountingHasher) -> None:
    await load(directory, hasher, ANNA)
    material = await directory.sign_in_material("anna", None, "", "")
    assert await load(directory, hasher, ANNA | {"password": "another"}) == (0, 0, 1)
    assert await directory.sign_in_material("anna", None, "", "") == material
    await load(directory, hasher, {"kind": "individual", "name": "carl"})
    assert await load(directory, hasher, {"kind": "individual", "name": "carl", "password": "first"}) == (0, 1, 0)
    stored = (await directory.sign_in_material("carl", None, "", "")).password_hash
    assert (await hasher.verify(stored, "first")).fits


async def test_what_cannot_be_is_refused_and_the_rest_is_taken(
    directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    await load(directory, hasher, ANNA, BOB)
    gone = await directory.principal("bob")
    assert gone
    await directory.delete_principal(gone.id, CAUSE, purge=False)
    entries = [
        {"id": "X1", "kind": "room", "name": "ANNA"},
        {"id": "X2", "kind": "group", "name": "x2", "emails": ["Anna@example.org"]},
        {"id": "X3", "kind": "room", "name": "anna@example.org"},
        {"id": "A1", "kind": "room", "name": "anna"},
        {"id": "B1", "kind": "individual", "name": "bob"},
        {"id": "X4", "kind": "room", "name": "fine", "delegates": {"read": ["A1", "nobody", "X1", "B1", "X4"]}},
        {"id": "X5", "kind": "room", "name": "x5", "auto_schedule": {"mode": "none", "auto_accept_group": "nobody"}},
        {"id": "X6", "kind": "robot", "name": "x6"},
    ]
    loaded = await load_principals(ACTOR, directory, hasher, {"principals": entries})
    assert (loaded.created, loaded.changed, loaded.unchanged) == (2, 0, 0)
    assert {each.who for each in loaded.refused} == {
        "ANNA",
        "x2",
        "principal 3 (anna@example.org)",
        "principal 4 (anna)",
        "bob",
        "principal 8 (x6)",
    }
    assert sorted(f"{each.who} {each.reason}" for each in loaded.left_out) == [
        "fine The delegate B1 is not known.",
        "fine The delegate X1 is not known.",
        "fine The delegate X4 is the principal itself.",
        "fine The delegate nobody is not known.",
        "x5 The group auto_accept_group nobody is not known.",
    ]
    fine, anna = await directory.principal("fine"), await directory.principal("anna")
    assert fine and anna
    assert fine.delegates == {(anna.id, "read")}


async def test_more_than_a_batch(directory: PostgresDirectory, hasher: CountingHasher) -> None:
    seen: list[tuple[int, int]] = []
    entries = [{"kind": "room", "name": f"room{number}"} for number in range(250)]
    entries.append({"kind": "group", "name": "rooms", "members": [f"room{number}" for number in range(250)]})
    loaded = await load_principals(
        ACTOR, directory, hasher, {"principals": entries}, progress=lambda *step: seen.append(step)
    )
    assert loaded.created == 251
    assert seen == [(100, 251), (200, 251), (251, 251)]
    group = await directory.principal("rooms")
    assert group
    assert len(group.members) == 250


# -- commands ---------------------------------------------------------------------------------------------------------


class Koyomi:
    """The command, on a database."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def __call__(self, *words: str, typed: str | None = None, code: int = 0) -> Result:
        command = [*words, "--database", self._dsn]
        result = CliRunner().invoke(main, command, input=typed)
        assert result.exit_code == code, (result.output, result.exception)
        return result


@pytest.fixture
def koyomi(database: str) -> Koyomi:
    return Koyomi(database)


def test_the_life_of_a_person(koyomi: Koyomi) -> None:
    made = koyomi("user", "add", "anna", "--email", "anna@example.org", "--admin", "--generate").stdout
    assert made.startswith("Added anna. Password: ")
    assert koyomi("user", "add", "bob", "--password-stdin", typed="a long password\n").stdout == "Added bob.\n"
    assert koyomi("user", "add", "carl", "--no-password").stdout == "Added carl.\n"
    assert "taken" in koyomi("user", "add", "ANNA", "--no-password", code=1).output
    assert "8 characters" in koyomi("user", "add", "dora", "--password-stdin", typed="short\n", code=1).output
    assert "terminal" in koyomi("user", "add", "dora", code=2).output
    koyomi("user", "add", "dora", "--generate", "--no-password", code=2)
    lines = koyomi("user", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "anna", "bob", "carl"]
    assert lines[1].endswith("admin")
    assert lines[3].endswith("no password")
    assert koyomi("user", "disable", "anna@example.org").stdout == "anna@example.org is disabled.\n"
    assert "already" in koyomi("user", "disable", "anna").stdout
    assert "admin, disabled" in koyomi("user", "list").stdout
    assert koyomi("user", "enable", "anna").stdout == "anna is enabled.\n"
    assert koyomi("user", "passwd", "bob", "--password-stdin", typed="a longer password\n").stdout
    assert koyomi("user", "rename", "bob", "Bert", "--display-name", "Bert B").stdout == "bob is Bert now.\n"
    assert "no person named bob" in koyomi("user", "passwd", "bob", "--generate", code=1).output
    koyomi("user", "delete", "bert", code=2)
    kept = koyomi("user", "delete", "bert", "--keep").stdout
    uid = kept.split()[-1]
    assert koyomi("user", "delete", "--purge", uid).stdout == "Deleted Bert and all that they had.\n"
    assert "no person" in koyomi("user", "delete", "--purge", uid, code=1).output
    assert koyomi("db", "check", "--all").stdout == "Nothing differs.\n"


def test_a_person_gives_all_to_another(koyomi: Koyomi) -> None:
    for name in ("anna", "bob", "carl"):
        koyomi("user", "add", name, "--no-password")
    koyomi("share", "anna/calendar", "--with", "carl", "--rights", "read")
    koyomi("user", "delete", "anna", "--transfer-to", "bob", "--purge", code=2)
    assert "no person named nobody" in koyomi("user", "delete", "anna", "--transfer-to", "nobody", code=1).output
    assert "their own" in koyomi("user", "delete", "anna", "--transfer-to", "Anna", code=1).output
    done = koyomi("user", "delete", "anna", "--transfer-to", "bob")
    assert done.stdout == "Deleted anna; bob has all that they had.\n"
    assert "Handing over the calendar calendar: 0 entries" in done.stderr
    assert "carl" in koyomi("share", "bob/calendar-2").stdout
    assert [line.split()[0] for line in koyomi("user", "list").stdout.splitlines()] == ["NAME", "bob", "carl"]
    assert koyomi("db", "check", "--all").stdout == "Nothing differs.\n"


def test_app_passwords(koyomi: Koyomi) -> None:
    koyomi("user", "add", "anna", "--no-password")
    made = koyomi("user", "app-password", "add", "anna", "My phone", "--days", "3")
    assert len(made.stdout.strip()) == 29
    assert "valid until" in made.stderr
    assert "named My phone" in koyomi("user", "app-password", "add", "anna", "My phone", code=1).output
    listed = koyomi("user", "app-password", "list", "anna").stdout
    assert "My phone" in listed
    assert made.stdout.strip() not in listed
    koyomi("user", "app-password", "revoke", "anna", "My phone")
    assert "My phone" not in koyomi("user", "app-password", "list", "anna").stdout
    assert "no app password" in koyomi("user", "app-password", "revoke", "anna", "My phone", code=1).output


def test_loading_from_a_file(koyomi: Koyomi, tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    path.write_text(json.dumps({"principals": ALL}))
    assert koyomi("principals", "load", str(path)).stdout == "5 created, 0 changed, 0 unchanged, 0 refused\n"
    assert koyomi("principals", "load", str(path)).stdout == "0 created, 0 changed, 5 unchanged, 0 refused\n"
    typed = json.dumps(
        {"principals": [{"id": "R9", "kind": "room", "name": "Anna"}, {"kind": "group", "name": "g", "members": ["?"]}]}
    )
    refused = koyomi("principals", "load", "-", typed=typed, code=1)
    assert refused.stdout == "1 created, 0 changed, 0 unchanged, 1 refused, 1 references left out\n"
    assert "Refused: Anna: The name Anna is taken." in refused.stderr
    assert "Left out: g: The member ? is not known." in refused.stderr
    for text in (b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"7"):
        path.write_bytes(text)
        assert "Error: " in koyomi("principals", "load", str(path), code=1).output


def test_the_demo_organisation(koyomi: Koyomi) -> None:
    told = koyomi("demo", "--port", "8080").stdout
    assert "5 people, 6 rooms and equipment" in told
    assert "http://127.0.0.1:8080/" in told
    for client in ("Apple", "Thunderbird", "DAVx", "Evolution", "Outlook", "curl"):
        assert client in told
    assert "there already" in koyomi("demo").stdout
    assert koyomi("db", "check", "--all").stdout == "Nothing differs.\n"
    assert len(koyomi("user", "list").stdout.splitlines()) == 6
