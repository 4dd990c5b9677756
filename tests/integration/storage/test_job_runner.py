"""Runners: failures, lost heartbeats, stopping, and processes that are killed at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from server.domain.jobs import Job
from server.jobs.runner import Kind, Result, Runner, Timing
from server.observe import background
from server.observe.metrics import Metrics
from server.storage.jobs import TakenJob
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.jobs import PostgresJobs, enqueue
from storage_plugins.postgres.storage import PostgresStorage

FAST = Timing(lease=60.0, beat=0.05, poll=0.05, first_pause=0.01, longest_pause=0.02, grace=0.2)
PROCESSES = 3
JOBS = 400
KEYS = 7
KILLS = int(os.environ.get("KOYOMI_JOB_KILLS", "15"))
SEED = int(os.environ.get("KOYOMI_SEED", random.randrange(10**6)))


@pytest_asyncio.fixture(loop_scope="session")
async def db(database):
    opened = Database(database)
    await opened.open()
    yield opened
    await opened.close()


async def add(db: Database, *jobs: Job) -> None:
    async with db.transaction() as connection:
        for job in jobs:
            await enqueue(connection, job)


@contextlib.asynccontextmanager
async def running(db: Database, *kinds: Kind, timing: Timing = FAST, metrics: Metrics | None = None, at_once: int = 4):
    """A runner, stopped at the end."""
    runner = Runner(PostgresJobs(db), kinds, metrics or Metrics(), timing=timing, at_once=at_once)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.01)


def states(db: Database) -> Callable[[], Awaitable[list[tuple[object, ...]]]]:
    async def read() -> list[tuple[object, ...]]:
        return [tuple(row) for row in await db.fetch("select kind, state, attempts, error from job order by id")]

    return read


def idle(db: Database) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return not await db.fetchval("select exists (select from job where state <> 'failed')")

    return look


async def test_a_job_that_fails_stops_no_other_and_stays_to_be_seen_in_the_end(db):
    done: list[int] = []
    before = background.failures["broken"]

    async def broken(job: TakenJob) -> Result:
        raise ValueError(job.id)

    async def fine(job: TakenJob) -> Result:
        done.append(job.payload["number"])
        return Result(rows=1)

    await add(db, Job("broken", priority=9), *(Job("fine", {"number": number}) for number in range(5)))
    metrics = Metrics()
    with capture_logs() as lines:
        async with running(db, Kind("broken", broken, tries=3), Kind("fine", fine), metrics=metrics, at_once=1):
            await until(idle(db))
    assert done == [0, 1, 2, 3, 4]
    assert await states(db)() == [("broken", "failed", 3, "ValueError")]
    failures = [(line["task"], line["attempt"]) for line in lines if line["event"] == "background_task_failed"]
    assert failures == [("broken", 1), ("broken", 2), ("broken", 3)]
    assert background.failures["broken"] == before + 3
    assert [line["attempts"] for line in lines if line["event"] == "job_failed"] == [3]
    assert [line["rows"] for line in lines if line["event"] == "job_done"] == [1] * 5
    runs = metrics.registry.get_sample_value
    assert runs("koyomi_job_runs_total", {"kind": "broken", "outcome": "failed"}) == 3
    assert runs("koyomi_job_duration_seconds_count", {"kind": "fine"}) == 5


async def test_a_job_whose_processes_die_again_and_again_is_given_up(db):
    ran: list[int] = []

    async def handle(job: TakenJob) -> Result:
        ran.append(job.attempt)
        return Result()

    await add(db, Job("deadly"))
    queue = PostgresJobs(db)
    for _ in range(3):
        assert await queue.take(["deadly"])
        await db.fetch("update job set heartbeat_at = now() - interval '1 hour'")
        with capture_logs():
            await queue.recover(timedelta(seconds=FAST.lease))
    async with running(db, Kind("deadly", handle, tries=3)):
        await until(idle(db))
    assert ran == []
    assert await states(db)() == [("deadly", "failed", 4, "JobAbandoned")]


async def test_a_run_that_was_lost_is_cancelled_and_settles_nothing(db):
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(job: TakenJob) -> Result:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()
        return Result()

    await add(db, Job("hang"))
    with capture_logs() as lines:
        async with running(db, Kind("hang", hang)):
            await asyncio.wait_for(begun.wait(), 30)
            # Another runner has taken it over.
            await db.fetch("update job set run = gen_random_uuid()")
            await asyncio.wait_for(cancelled.wait(), 30)
        assert [line["event"] for line in lines] == ["job_lost"]
    assert await states(db)() == [("hang", "running", 1, None)]


async def test_a_runner_that_cannot_renew_its_heartbeats_gives_its_jobs_up_before_the_lease_ends(db, monkeypatch):
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(job: TakenJob) -> Result:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()
        return Result()

    async def fail(*_: object) -> frozenset[object]:
        raise OSError("the network is away")

    await add(db, Job("hang"))
    monkeypatch.setattr(PostgresJobs, "renew", fail)
    monkeypatch.setattr(PostgresJobs, "recover", fail)
    short = Timing(lease=1.0, beat=0.05, poll=0.05, grace=0.2)
    with capture_logs() as lines:
        async with running(db, Kind("hang", hang), timing=short):
            await asyncio.wait_for(begun.wait(), 30)
            await asyncio.wait_for(cancelled.wait(), 30)
    events = [line["event"] for line in lines]
    assert "job_lost" in events
    assert {line["task"] for line in lines if line["event"] == "background_task_failed"} == {"job_heartbeat"}
    assert await states(db)() == [("hang", "running", 1, None)]


async def test_a_runner_that_is_stopped_gives_back_what_it_cannot_end(db):
    begun = asyncio.Event()

    async def long(job: TakenJob) -> Result:
        begun.set()
        await asyncio.sleep(3600)
        return Result()

    ended: list[int] = []

    async def short(job: TakenJob) -> Result:
        await asyncio.sleep(0.05)
        ended.append(job.id)
        return Result()

    await add(db, Job("short"), Job("long"))
    async with running(db, Kind("long", long), Kind("short", short), timing=replace(FAST, grace=2.0)):
        await asyncio.wait_for(begun.wait(), 30)
    assert len(ended) == 1
    assert await states(db)() == [("long", "queued", 0, None)]


async def test_a_handler_that_is_cancelled_from_within_has_failed(db):
    async def cancel(job: TakenJob) -> Result:
        raise asyncio.CancelledError

    await add(db, Job("cancel"))
    with capture_logs():
        async with running(db, Kind("cancel", cancel, tries=2)):
            await until(idle(db))
    assert await states(db)() == [("cancel", "failed", 2, "CancelledError")]


async def test_a_runner_goes_on_after_the_database_was_away(db, monkeypatch):
    done = asyncio.Event()
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.05)

    async def handle(job: TakenJob) -> Result:
        done.set()
        return Result()

    with capture_logs():
        async with running(db, Kind("job", handle)):
            other = Database(db._dsn)
            await other.open()
            for _ in range(5):
                await other.fetch(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where pid <> pg_backend_pid() and datname = current_database()"
                )
                await asyncio.sleep(0.05)
            await add(other, Job("job"))
            await other.close()
            await asyncio.wait_for(done.wait(), 60)


@pytest.fixture
async def told(database) -> AsyncIterator[PostgresStorage]:
    async with PostgresStorage(database) as opened:
        yield opened


async def test_runners_hear_that_jobs_wait(db, told):
    """Without the notification the test would wait for an hour."""
    slow = Timing(beat=0.05, poll=3600.0)
    done = asyncio.Event()

    async def handle(job: TakenJob) -> Result:
        done.set()
        return Result()

    async with running(db, Kind("job", handle), timing=slow) as runner:
        end = told.subscribe(runner.hear)
        await asyncio.sleep(0.1)
        await add(db, Job("job"))
        told.announce_jobs()
        await asyncio.wait_for(done.wait(), 30)
        end()


async def test_a_job_that_waits_for_work_does_not_keep_a_runner_from_stopping(db):
    begun = asyncio.Event()

    async def wait(job: TakenJob) -> Result:
        begun.set()
        await asyncio.sleep(3600)
        return Result()

    await add(db, Job("wait"))
    async with asyncio.timeout(60), running(db, Kind("wait", wait, stays=True), timing=Timing(poll=0.05, grace=3600.0)):
        await begun.wait()
    assert await states(db)() == [("wait", "queued", 0, None)]


# -- killing -----------------------------------------------------------------------------------------------------------


def start(dsn: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.integration.storage.job_process", dsn], stdout=output, stderr=output
        )


async def test_killing_processes_loses_no_job_and_runs_one_of_a_lock_key(db, database, tmp_path):
    print("KOYOMI_SEED =", SEED)
    chance = random.Random(SEED)
    await db.fetch("create table witness (place bigint generated always as identity, number bigint, key bigint)")
    await db.fetch("create table violation (id bigint, key bigint)")
    await db.fetch("create table tick (at timestamptz default clock_timestamp())")
    log = tmp_path / "processes.log"
    processes = [start(database, log) for _ in range(PROCESSES)]
    try:
        added = kills = 0
        async with asyncio.timeout(600):
            while kills < KILLS or added < JOBS or not await drained(db):
                for _ in range(min(chance.randrange(30), JOBS - added)):
                    key = chance.randrange(KEYS + 1)
                    lock = f"key {key}" if key else None
                    await add(db, Job("witness", {"number": added, "key": key}, lock_key=lock))
                    added += 1
                await asyncio.sleep(chance.random())
                if kills < KILLS:
                    victim = chance.randrange(PROCESSES)
                    if chance.random() < 0.3:
                        # Its heartbeats stop for a while; others must not be hurt.
                        processes[victim].send_signal(signal.SIGSTOP)
                        await asyncio.sleep(chance.random())
                        processes[victim].send_signal(signal.SIGCONT)
                    else:
                        processes[victim].kill()
                        processes[victim].wait()
                        processes[victim] = start(database, log)
                        kills += 1
                assert all(each.poll() is None for each in processes), log.read_text()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert await db.fetch("select * from violation") == []
    rows = await db.fetch("select number, key, min(place) as first from witness group by number, key order by number")
    assert [row["number"] for row in rows] == list(range(JOBS)), log.read_text()[-2000:]
    for key in range(1, KEYS + 1):
        order = [row["first"] for row in rows if row["key"] == key]
        assert order == sorted(order), f"key {key}"
    assert await db.fetchval("select count(*) from tick") > 0


async def drained(db: Database) -> bool:
    return not await db.fetchval("select exists (select from job where kind = 'witness')")
