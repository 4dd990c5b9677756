"""`koyomi jobs`, and what `koyomi doctor` says of jobs."""

from __future__ import annotations

import asyncio
import os

import pytest_asyncio
from click.testing import CliRunner, Result

from server.cli import main
from server.diagnosis.installation import look_at_database
from server.domain.jobs import Job
from server.settings.model import Settings
from server.storage.jobs import FAILING, Periodic
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.jobs import PostgresJobs, enqueue
from tests.integration.storage.test_jobs import LATER


@pytest_asyncio.fixture(loop_scope="session")
async def db(database):
    opened = Database(database)
    await opened.open()
    yield opened
    await opened.close()


async def koyomi(dsn: str, *words: str) -> Result:
    environment = {**os.environ, "KOYOMI_STORAGE_DATABASE": dsn}
    return await asyncio.to_thread(CliRunner().invoke, main, ["jobs", *words], env=environment)


async def test_an_administrator_sees_and_steers_jobs(db, database):
    queue = PostgresJobs(db)
    async with db.transaction() as connection:
        for number in range(3):
            await enqueue(connection, Job("mail", {"home": 7, "mail": number}, delay=LATER if number else LATER * 0))
    job = await queue.take(["mail"])
    assert await queue.fail(job, "Unavailable", None)
    await queue.define(Periodic("sweep", LATER))
    listed = await koyomi(database, "list")
    assert listed.exit_code == 0, listed.output
    lines = [line.split() for line in listed.output.splitlines() if line]
    assert ["mail", "2", "0", "1", "0"] in lines
    assert ["sweep", "0", "0", "0", "0"] in lines
    rows = {line[0]: line for line in lines if line[0].isdigit()}
    failed = rows[str(job.id)]
    assert (failed[1:4], failed[-3:]) == (["mail", "failed", "1"], ["Unavailable", "home=7", "mail=0"])
    sweep = next(line for line in rows.values() if line[1] == "sweep")
    assert (sweep[2], sweep[-2:]) == ("queued", ["3600", "s"])
    listed = await koyomi(database, "list", "--state", "failed")
    assert [line.split()[0] for line in listed.output.splitlines() if line[:1].isdigit()] == [str(job.id)]
    listed = await koyomi(database, "list", "--kind", "sweep")
    assert "mail" not in listed.output

    assert "held" in (await koyomi(database, "hold", "mail")).output
    assert any(
        line.split()[:3] == ["mail", "held", "2"] for line in (await koyomi(database, "list")).output.splitlines()
    )
    again = await koyomi(database, "retry", str(job.id), "999999")
    assert again.exit_code == 1
    assert f"Job {job.id} is due now." in again.output
    assert "999999" in again.output
    assert await queue.take(["mail"]) is None
    assert "no longer held" in (await koyomi(database, "release", "mail")).output
    assert "not held" in (await koyomi(database, "release", "mail")).output
    assert (await queue.take(["mail"])).id == job.id

    refused = await koyomi(database, "drop", sweep[0])
    assert refused.exit_code == 1
    assert "is periodic" in refused.output
    waiting = str(job.id + 1)
    assert f"Job {waiting} was removed." in (await koyomi(database, "drop", waiting)).output
    assert {each.id for each in await queue.jobs("mail", None, 9)} == {job.id, job.id + 2}


async def test_an_administrator_sees_how_far_a_job_has_come(db, database):
    rows = (
        "insert into job (kind, done, total) values ('copies', 600, 2500), ('copies', 7, null), ('copies', null, null)"
    )
    await db.fetch(rows)
    listed = [line for line in (await koyomi(database, "list")).output.splitlines() if " queued " in line]
    assert ["600 of 2500" in line for line in listed] == [True, False, False]
    assert [line.split()[-1] for line in listed[1:]] == ["7", listed[2].split()[5]]


async def test_the_doctor_tells_of_jobs(db, database, tmp_path):
    settings = Settings.model_validate({"storage": {"database": database, "data": tmp_path}})
    queue = PostgresJobs(db)

    async def told() -> list[tuple[str, str]]:
        found = await look_at_database(settings, database)
        return [(finding.level, finding.said) for finding in found if finding.subject == "jobs"]

    assert [level for level, _ in await told()] == ["ok"]
    await queue.hold("mail")
    async with db.transaction() as connection:
        await enqueue(connection, Job("merge"))
        await enqueue(connection, Job("mail"))
    await queue.fail(await queue.take(["merge"]), "ValueError", None)
    await queue.define(Periodic("sweep", LATER))
    for _ in range(FAILING):
        await queue.hasten("sweep")
        await queue.fail(await queue.take(["sweep"]), "ValueError", LATER)
    assert await told() == [
        ("warning", "the kind mail is held; 1 wait"),
        ("problem", "of the kind merge 1 have failed, and 0 fail again and again"),
        ("problem", "of the kind sweep 0 have failed, and 1 fail again and again"),
    ]
