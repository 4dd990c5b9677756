"""SQL functions: the files hold what the code calls, and a database has what the files hold."""

from __future__ import annotations

import ast
import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

import server
import storage_plugins
from server.domain.errors import DatabaseError
from storage_plugins.postgres.database import connect
from storage_plugins.postgres.functions import Function, functions
from storage_plugins.postgres.migrations import Migration, migrate, schema_state

NAME = re.compile(r"\bkoyomi_[a-z_]+_[0-9]+\b")
COMMENT = re.compile(r"--.*")


def named_in(text):
    return set(NAME.findall(COMMENT.sub("", text)))


def called_by_code():
    """Functions whose names stand in texts of the code, but for docstrings."""
    found = set()
    for package in (server, storage_plugins):
        for path in Path(package.__path__[0]).rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                    found |= named_in(node.value)
    return found


async def called_by_triggers(connection):
    rows = await connection.fetch(
        "select p.proname from pg_trigger t join pg_proc p on p.oid = t.tgfoid where not t.tgisinternal"
    )
    return {row[0] for row in rows}


async def defined(connection):
    """Koyomi's functions in a database; one name twice, where two have it with different parameters."""
    rows = await connection.fetch(
        """
        select p.proname from pg_proc p
        where p.pronamespace = 'public'::regnamespace
          and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
        """
    )
    return sorted(row[0] for row in rows)


async def value(dsn, sql):
    connection = await connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_a_new_database_has_the_functions_of_the_files_and_no_others(storage):
    async with storage.database.transaction() as connection:
        assert await defined(connection) == sorted(function.name for function in functions())


async def test_every_function_that_is_called_is_in_the_files_and_none_that_is_not(storage):
    bodies = {function.name: named_in(function.sql) for function in functions()}
    async with storage.database.transaction() as connection:
        wanted = called_by_code() | await called_by_triggers(connection)
    reached, todo = set(), wanted
    while todo:
        reached |= todo
        assert todo <= bodies.keys()
        todo = set().union(*(bodies[name] for name in todo)) - reached
    assert reached == bodies.keys()


TABLE = Migration(1, "table", "pre", "create table word (text text, length integer);")
OLD = Function(
    "count_words_1",
    "create or replace function count_words_1() returns bigint language sql as $$ select count(*) from word $$;\n",
)
BETTER = replace(OLD, sql=OLD.sql.replace("count(*)", "count(text)"))
NEW = replace(OLD, name="count_words_2", sql=BETTER.sql.replace("_1", "_2"))
MEASURED = Function(
    "measure_1",
    "create or replace function measure_1() returns trigger language plpgsql as $$ begin "
    "new.length := length(new.text); return new; end $$;\n"
    "create or replace trigger word_measured before insert or update on word "
    "for each row execute function measure_1();\n",
)


async def test_functions_are_defined_after_the_steps_before_a_deployment_and_with_their_triggers(empty_database):
    known = (TABLE, Migration(2, "post", "post", "insert into word values ('post');"))
    assert await migrate(empty_database, known=known, defined=(OLD, MEASURED)) == [
        "0001_table",
        "2 functions",
        "0002_post",
    ]
    assert await value(empty_database, "select length from word") == 4
    assert await value(empty_database, "select count_words_1()") == 1
    assert await migrate(empty_database, known=known, defined=(OLD, MEASURED)) == []


async def test_a_changed_definition_replaces_the_one_before_and_an_older_server_does_not_bring_that_back(
    empty_database,
):
    await migrate(empty_database, known=(TABLE,), defined=(OLD,))
    assert await migrate(empty_database, known=(TABLE,), defined=(BETTER,)) == ["1 functions"]
    assert await migrate(empty_database, known=(TABLE,), defined=(OLD,)) == []
    assert "count(text)" in await value(empty_database, "select prosrc from pg_proc where proname = 'count_words_1'")


async def test_a_superseded_function_stays_until_the_deployment_is_finished(empty_database):
    await migrate(empty_database, known=(TABLE,), defined=(OLD,))
    known = (TABLE, Migration(2, "old", "post", "drop function if exists count_words_1;"))
    assert await migrate(empty_database, known=known, defined=(NEW,)) == ["1 functions"]
    connection = await connect(empty_database)
    assert await defined(connection) == ["count_words_1", "count_words_2"]
    assert (await schema_state(connection, (TABLE,), (OLD,))).usable
    assert await migrate(empty_database, finish=True, known=known, defined=(NEW,)) == ["0002_old"]
    assert await defined(connection) == ["count_words_2"]
    assert not (await schema_state(connection, (TABLE,), (OLD,))).usable
    await connection.close()


async def test_a_schema_without_a_function_is_not_usable(empty_database):
    await migrate(empty_database, known=(TABLE,))
    connection = await connect(empty_database)
    state = await schema_state(connection, (TABLE,), (OLD,))
    assert (state.pending, state.functions, state.usable) == ((), (OLD,), False)
    await migrate(empty_database, known=(TABLE,), defined=(OLD,))
    assert (await schema_state(connection, (TABLE,), (OLD,))).usable
    await connection.execute("drop function count_words_1")
    assert (await schema_state(connection, (TABLE,), (OLD,))).functions == (OLD,)
    await connection.close()


async def test_functions_that_cannot_all_be_defined_leave_what_was(empty_database):
    await migrate(empty_database, known=(TABLE,), defined=(OLD,))
    broken = replace(NEW, sql=NEW.sql.replace("text", "missing"))
    with pytest.raises(DatabaseError, match="missing"):
        await migrate(empty_database, known=(TABLE,), defined=(BETTER, broken))
    assert "count(*)" in await value(empty_database, "select prosrc from pg_proc where proname = 'count_words_1'")
    assert await migrate(empty_database, known=(TABLE,), defined=(OLD,)) == []


async def test_many_starters_define_functions_once(empty_database):
    await migrate(empty_database, known=(TABLE,))
    done = await asyncio.gather(*(migrate(empty_database, known=(TABLE,), defined=(OLD, MEASURED)) for _ in range(4)))
    assert sorted(done, key=len) == [[], [], [], ["2 functions"]]
