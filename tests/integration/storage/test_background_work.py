"""A job or step that fails is logged and counted; it stops no other and runs again."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest_asyncio
from structlog.testing import capture_logs

from server.events import sharees as consumer
from server.events.in_process import JournalBus
from server.jobs import maintenance
from server.jobs.runner import Runner
from server.jobs.running import sharees
from server.observe import background
from server.observe.metrics import Metrics
from server.storage.directory import PrincipalChange, RelationChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.jobs import PostgresJobs
from storage_plugins.postgres.journal import PostgresJournal
from tests.integration.storage.conftest import assert_consistent, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.periodic import SOON, run_all
from tests.integration.storage.sequenced import pass_on, sequence
from tests.integration.storage.test_fan_out import bound, share, write
from tests.integration.storage.test_maintenance import age
from tests.integration.storage.values import CAUSE, LIMITS, content, state


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database):
    async with MemberStorage(database, notify=False) as opened:
        yield opened
        await assert_consistent(opened)


def runs(metrics: Metrics, kind: str, outcome: str) -> float:
    return metrics.registry.get_sample_value("koyomi_job_runs_total", {"kind": kind, "outcome": outcome}) or 0.0


def last_success(metrics: Metrics, kind: str) -> float:
    name = "koyomi_job_last_success_timestamp_seconds"
    return metrics.registry.get_sample_value(name, {"kind": kind}) or 0.0


def failed_jobs(lines) -> list[tuple[str, str]]:
    return [(line["task"], line["reason"]) for line in lines if line["event"] == "background_task_failed"]


async def test_a_job_that_raises_stops_no_other_and_runs_again(storage, database, monkeypatch):
    def broken(*_: object) -> None:
        raise ValueError("a text that nobody expected")

    metrics = Metrics()
    before = background.failures["shared"]
    with capture_logs() as lines, monkeypatch.context() as patched:
        patched.setattr(maintenance, "render_shared", broken)
        done = await run_all(database, metrics)
    assert failed_jobs(lines) == [("shared", "ValueError")]
    assert background.failures["shared"] == before + 1
    assert {"zone_data", "horizon", "journal", "deleted", "views", "tombstones", "seals"} <= done.keys()
    assert "shared" not in done
    assert (runs(metrics, "shared", "failed"), runs(metrics, "shared", "succeeded")) == (1, 0)
    assert runs(metrics, "seals", "succeeded") == 1
    assert last_success(metrics, "seals") > 0 == last_success(metrics, "shared")
    row = await storage.database.fetchrow("select state, attempts, error from job where kind = 'shared'")
    assert tuple(row) == ("queued", 1, "ValueError")
    assert "shared" in await run_all(database, metrics)
    assert last_success(metrics, "shared") > 0
    row = await storage.database.fetchrow("select state, attempts, error from job where kind = 'shared'")
    assert tuple(row) == ("queued", 0, None)


async def test_a_job_that_violates_a_check_stops_no_other(storage, database):
    person = await make_person(storage)
    calendar = await person.collection()
    made = await storage.put_object(calendar, "a", content("a"), None, LIMITS, CAUSE)
    await storage.delete_object(calendar, "a", state(made), CAUSE)
    await age(storage, 40)
    metrics = Metrics()
    # No error of ours stands for the violation of a check.
    await storage.database.fetch("alter table object add constraint keeps_text check (text is not null)")
    with capture_logs() as lines:
        done = await run_all(database, metrics)
    assert failed_jobs(lines) == [("deleted", "CheckViolationError")]
    assert {"journal", "seals", "tombstones"} <= done.keys()
    await storage.database.fetch("alter table object drop constraint keeps_text")
    assert (await run_all(database, metrics))["deleted"] == 1
    assert (runs(metrics, "deleted", "failed"), runs(metrics, "deleted", "succeeded")) == (1, 1)


@contextlib.asynccontextmanager
async def running(work):
    task = asyncio.create_task(work)
    try:
        yield task
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_home_that_cannot_be_changed_keeps_nobody_else_uninformed(storage, monkeypatch):
    access, directory = PostgresAccess(storage), PostgresDirectory(storage.database)
    monkeypatch.setattr(consumer, "POLL", 0.05)
    ada, bea, cem, dan = [await make_person(storage) for _ in range(4)]
    (group,) = await directory.write_principals([PrincipalChange(kind="group", name="group")], CAUSE)
    await directory.write_relations([RelationChange(group, members=frozenset({cem.id}))], CAUSE)
    await share(access, ada, group, "read")
    await share(access, bea, dan.id, "read")
    await pass_on(access)
    first, second = await ada.collection(), await bea.collection()
    before = background.failures["sharees"]
    with capture_logs() as lines:
        runner = Runner(
            PostgresJobs(storage.database),
            [sharees(access, JournalBus(PostgresJournal(storage.database), storage.subscribe))],
            Metrics(),
            timing=SOON,
        )
        async with running(runner.run()):
            # The count of Cem's home would become negative, which a check of the database refuses.
            await storage.database.fetch(
                "update home set collection_count = 0 where principal_id = $1 and kind = 'calendar'", cem.id
            )
            await directory.write_relations([RelationChange(group, members=frozenset())], CAUSE)
            await sequence(storage.database)
            async with asyncio.timeout(30):
                while background.failures["sharees"] == before:
                    await asyncio.sleep(0.05)
            assert await bound(storage, first)
            seen = await bound(storage, second)
            await write(storage, bea, "a")
            await sequence(storage.database)
            async with asyncio.timeout(30):
                while await bound(storage, second) == seen:
                    await asyncio.sleep(0.05)
            # Once it can be changed, it is tried again; the test does not wait for the minute until then.
            await storage.database.fetch(
                "update home set collection_count = 6 where principal_id = $1 and kind = 'calendar'", cem.id
            )
            await storage.database.fetch(
                "update fan_out set worked_at = worked_at - $1::interval", timedelta(minutes=2)
            )
            async with asyncio.timeout(30):
                while await bound(storage, first):
                    await asyncio.sleep(0.05)
    failures = [line for line in lines if line["event"] == "background_task_failed"]
    assert {(line["task"], line["reason"]) for line in failures} == {("sharees", "CheckViolationError")}
