"""Migrations and functions that databases have applied already."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from server.domain.errors import DatabaseError
from storage_plugins.postgres.functions import functions
from storage_plugins.postgres.migrations import DEPLOYMENTS, FOLDER, migrations

CHECKSUMS = Path(__file__).with_name("migrations.sha256")
"""As `sha256sum *.sql` writes it; a new migration gets a line."""
DEFINITIONS = Path(__file__).with_name("functions.sha256")
"""A line for each function; a new one gets a line, and a removed one loses its line."""


def recorded(path: Path) -> dict[str, str]:
    return dict(reversed(line.split()) for line in path.read_text().splitlines())


def test_migrations_stay_as_databases_have_applied_them() -> None:
    """A server refuses a database that another file of the same number made, if only a comment differs."""
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.sql")} == recorded(CHECKSUMS)


def test_functions_change_under_a_new_version_of_their_name() -> None:
    """An older server beside would go on with another function than it was tested with."""
    found = {function.name: function.checksum for function in functions()}
    before = recorded(DEFINITIONS)
    changed = [name for name, checksum in found.items() if before.get(name, checksum) != checksum]
    assert not changed, "a changed function needs the next number in its name (docs/development.md, SQL functions)"
    missing = "".join(f"{checksum}  {name}\n" for name, checksum in found.items() if name not in before)
    assert not missing, f"add to {DEFINITIONS.name}:\n{missing}"
    assert not before.keys() - found.keys(), f"remove from {DEFINITIONS.name}"


def test_migrations_belong_to_the_deployment_that_first_had_them() -> None:
    assert list(DEPLOYMENTS) == sorted(DEPLOYMENTS)
    assert DEPLOYMENTS[-1] <= migrations()[-1].number
    for migration in migrations():
        assert migration.deployment == sum(migration.number > last for last in DEPLOYMENTS)


FUNCTION = "create or replace function koyomi_one_1() returns integer language sql as $$ select 1 $$;\n"


def test_comments_in_front_of_a_function_are_no_part_of_its_definition(tmp_path: Path) -> None:
    other = FUNCTION.replace("one", "two")
    (tmp_path / "a.sql").write_text(f"-- Numbers.\n\n-- Gives 1.\n{FUNCTION}\n-- Gives\n--\n-- 1, too.\n{other}")
    assert [(found.name, found.sql) for found in functions(tmp_path)] == [
        ("koyomi_one_1", FUNCTION),
        ("koyomi_two_1", other),
    ]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (f"{FUNCTION}create table one (a int);", "more than functions and triggers: create table one"),
        (f"drop function koyomi_one_1;\n{FUNCTION}", "drop function"),
        (f"create or replace trigger one after insert on object execute function koyomi_one_1();\n{FUNCTION}", "trig"),
        (FUNCTION.replace("or replace ", ""), "create function"),
        (FUNCTION.replace("_1(", "("), "koyomi_one"),
        (FUNCTION * 2, "koyomi_one_1, which another"),
    ],
)
def test_files_of_functions_hold_functions_and_their_triggers(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "a.sql").write_text(text)
    with pytest.raises(DatabaseError, match=re.escape(match)):
        functions(tmp_path)
