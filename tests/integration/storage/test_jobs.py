"""The queue of jobs: what runs, what waits, what is kept, and what administrators can do about it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain.jobs import Job
from server.storage.jobs import FAILING, Jobs, Periodic, TakenJob
from storage_plugins.postgres import jobs as statements
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.jobs import PostgresJobs, enqueue
from tests.integration.storage.test_plans import nodes

WAITS = """
    select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())
"""
LEASE = timedelta(seconds=30)
LATER = timedelta(hours=1)
KINDS = ("mail", "merge")


@pytest_asyncio.fixture(loop_scope="session")
async def db(database):
    opened = Database(database)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def queue(db) -> Jobs:
    return PostgresJobs(db)


async def add(db, kind="mail", **more) -> int:
    """Store a job in a transaction of its own; gives its id, or that of the job that takes it in."""
    job = Job(kind, **more)
    async with db.transaction() as connection:
        await enqueue(connection, job)
        return await connection.fetchval(
            "select max(id) from job where kind = $1 and queueing_key is not distinct from $2", kind, job.queueing_key
        )


async def taken(queue) -> int | None:
    job = await queue.take(KINDS)
    return None if job is None else job.id


async def die(db) -> None:
    """Let the runners of all jobs have died a minute ago."""
    await db.fetch("update job set heartbeat_at = now() - interval '1 minute' where state = 'running'")


async def test_jobs_run_by_priority_and_then_in_the_order_in_which_they_became_due(db, queue):
    first, second = await add(db), await add(db, "merge")
    urgent, later = await add(db, priority=1), await add(db, priority=2, delay=LATER)
    assert [await taken(queue) for _ in range(4)] == [urgent, first, second, None]
    seconds = await queue.next_due(KINDS)
    assert 3500 < seconds <= 3600
    assert await queue.next_due(["other"]) is None
    assert later > urgent


async def test_a_runner_takes_the_kinds_that_it_knows(db, queue):
    known = await add(db, "mail")
    assert await queue.take(["other"]) is None
    assert await taken(queue) == known


async def test_a_job_is_stored_with_the_change_that_asks_for_it(db, queue):
    with pytest.raises(LookupError):
        async with db.transaction() as connection:
            await enqueue(connection, Job("mail"))
            raise LookupError
    assert await taken(queue) is None


async def test_one_job_of_a_lock_key_at_a_time_in_the_order_of_ids(db, queue):
    first = await add(db, lock_key="a", delay=LATER)
    second, other = await add(db, "merge", lock_key="a", priority=9), await add(db, lock_key="b")
    assert await taken(queue) == other
    assert await taken(queue) is None, "the first one waits, and so the second does"
    await queue.retry([first])
    one = await queue.take(KINDS)
    assert one.id == first
    assert await taken(queue) is None
    await queue.finish(one, None)
    assert await taken(queue) == second


async def test_a_job_with_a_lower_id_that_commits_late_does_not_run_beside_a_later_one(db, queue):
    async with db.transaction() as connection:
        await enqueue(connection, Job("mail", lock_key="a"))
        later = await add(db, lock_key="a")
        running = await queue.take(KINDS)
        assert running.id == later
    assert await taken(queue) is None
    await queue.finish(running, None)
    assert await taken(queue) == later - 1


async def test_two_takers_that_do_not_see_each_other_never_run_one_lock_key_at_once(db, queue):
    async with db.transaction() as late:
        await enqueue(late, Job("mail", lock_key="a"))
        later = await add(db, lock_key="a")
        async with db.transaction() as taking:
            row = await taking.fetchrow(statements._TAKE, list(KINDS))
            assert row[0] == later
            await late.execute("commit")
            # It sees the first job, and the later one as it was before the other taker.
            other = asyncio.create_task(queue.take(KINDS))
            while not await db.fetchval(WAITS):
                await asyncio.sleep(0.01)
        assert await other is None
        await late.execute("begin")
    await db.fetch("delete from job where id = $1", later)
    assert await taken(queue) == later - 1


async def test_many_takers_at_once(db, queue, database):
    """Every job is taken once, and of one lock key one runs at a time."""
    for number in range(60):
        await add(db, lock_key=None if number % 3 == 0 else f"key {number % 2}")
    beside: set[str] = set()
    seen: list[int] = []

    async def work(own: Database) -> None:
        jobs = PostgresJobs(own)
        while len(seen) < 60:
            job = await jobs.take(KINDS)
            if job is None:
                await asyncio.sleep(0.002)
                continue
            seen.append(job.id)
            key = await own.fetchval("select lock_key from job where id = $1", job.id)
            if key is not None:
                assert key not in beside
                beside.add(key)
                await asyncio.sleep(0.001)
                beside.discard(key)
            assert await jobs.finish(job, None)

    pools = [Database(database) for _ in range(4)]
    for pool in pools:
        await pool.open()
    try:
        async with asyncio.timeout(60):
            await asyncio.gather(*(work(pool) for pool in pools))
    finally:
        for pool in pools:
            await pool.close()
    assert sorted(seen) == sorted(set(seen))
    locked = [id_ for id_ in seen if (id_ - min(seen)) % 3]
    for remainder in (0, 1):
        of_key = [id_ for id_ in locked if (id_ - min(seen)) % 2 == remainder]
        assert of_key == sorted(of_key)


async def test_a_waiting_job_takes_in_later_ones_of_its_queueing_key(db, queue):
    key = {"lock_key": "home 1", "queueing_key": "home 1"}
    first = await add(db, payload={"home": 1}, delay=LATER, **key)
    assert await add(db, payload={"home": 1}, priority=3, **key) == first
    other_kind = await add(db, "merge", lock_key="x", queueing_key="home 1")
    running = await queue.take(KINDS)
    assert (running.id, running.payload) == (first, {"home": 1})
    # What is asked for now is perhaps not seen by the run under way.
    again = await add(db, **key)
    assert again > other_kind > first
    assert await add(db, **key) == again
    await queue.fail(running, "Unavailable", timedelta(0))
    assert await add(db, **key) == again
    assert [await taken(queue) for _ in range(3)] == [first, other_kind, None]
    assert {job.id for job in await queue.jobs(None, None, 9)} == {first, again, other_kind}


async def test_a_job_is_not_taken_before_a_change_that_it_takes_in_is_committed(db, queue):
    first = await add(db, lock_key="a", queueing_key="a")
    async with db.transaction() as connection:
        await enqueue(connection, Job("mail", lock_key="a", queueing_key="a"))
        assert await taken(queue) is None
    assert await taken(queue) == first


async def test_a_job_whose_runner_died_is_taken_over(db, queue):
    id_ = await add(db, lock_key="a")
    lost = await queue.take(KINDS)
    assert await queue.recover(LEASE) == []
    await die(db)
    assert await queue.renew([(lost.id, lost.run)]) == {lost.run}
    assert await queue.recover(LEASE) == []
    await die(db)
    assert await queue.recover(LEASE) == [("mail", id_)]
    assert await queue.renew([(lost.id, lost.run)]) == frozenset()
    new = await queue.take(KINDS)
    assert (new.id, new.attempt) == (id_, 2)
    assert new.run != lost.run
    # The one before changes nothing any more.
    assert not await queue.finish(lost, None)
    assert not await queue.fail(lost, "ValueError", None)
    await queue.give_back(lost)
    assert await queue.renew([(new.id, new.run)]) == {new.run}
    assert await queue.finish(new, None)
    assert await queue.jobs(None, None, 9) == []


async def test_a_job_that_failed_waits_and_in_the_end_stays_to_be_seen(db, queue):
    id_ = await add(db, lock_key="a", queueing_key="a")
    job = await queue.take(KINDS)
    assert await queue.fail(job, "Unavailable", LATER)
    (stored,) = await queue.jobs("mail", "queued", 9)
    assert (stored.attempts, stored.error, stored.held) == (1, "Unavailable", False)
    assert await taken(queue) is None
    await queue.retry([id_])
    job = await queue.take(KINDS)
    assert await queue.fail(job, "ValueError", None)
    assert await taken(queue) is None
    (counts,) = await queue.counts()
    assert (counts.kind, counts.queued, counts.running, counts.failed) == ("mail", 0, 0, 1)
    # It keeps no other waiting. Of failed jobs that say the same the last one is kept.
    newer = await add(db, lock_key="a", queueing_key="a")
    job = await queue.take(KINDS)
    assert job.id == newer
    assert await queue.fail(job, "ValueError", None)
    assert [stored.id for stored in await queue.jobs(None, "failed", 9)] == [newer]
    waiting = await add(db, lock_key="a", queueing_key="a")
    assert await queue.retry([newer, waiting, 0]) == [newer, waiting]
    assert await queue.drop([newer]) == [newer]
    assert await taken(queue) == waiting
    assert await queue.drop([waiting]) == await queue.retry([waiting]) == []


async def test_an_interrupted_run_does_not_count(db, queue):
    await add(db)
    for _ in range(3):
        job = await queue.take(KINDS)
        assert job.attempt == 1
        await queue.give_back(job)


async def test_a_kind_can_be_held(db, queue):
    mail, merge = await add(db, "mail"), await add(db, "merge")
    await queue.hold("mail")
    await queue.hold("mail")
    await queue.hold("unused")
    assert [await taken(queue), await taken(queue)] == [merge, None]
    assert await queue.next_due(KINDS) is None
    assert [(each.kind, each.held, each.queued, each.running) for each in await queue.counts()] == [
        ("mail", True, 1, 0),
        ("merge", False, 0, 1),
        ("unused", True, 0, 0),
    ]
    assert [job.held for job in await queue.jobs(None, None, 9)] == [True, False]
    assert (await queue.release("mail"), await queue.release("mail")) == (True, False)
    assert await taken(queue) == mail


async def due(db) -> list[bool]:
    return [row[0] for row in await db.fetch("select not_before <= now() from job order by id")]


async def test_periodic_jobs(db, queue):
    periodic = Periodic("mail", timedelta(minutes=10), "upkeep")
    await queue.define(periodic)
    assert 0 < await queue.next_due(KINDS) <= 20
    await queue.define(periodic)
    await queue.hasten("mail")
    job = await queue.take(KINDS)
    assert job.periodic
    assert await taken(queue) is None
    assert await queue.finish(job, None)
    assert 530 < await queue.next_due(KINDS) < 670
    await queue.hasten("mail")
    job = await queue.take(KINDS)
    # Asked for while it runs, it runs once more.
    await queue.hasten("mail")
    await queue.hasten("mail")
    assert await queue.finish(job, None)
    job = await queue.take(KINDS)
    assert await queue.finish(job, timedelta(seconds=50))
    assert 40 < await queue.next_due(KINDS) <= 50
    # It never fails for good, and is tried again after its usual time at the latest.
    await queue.hasten("mail")
    for attempt in range(FAILING):
        job = await queue.take(KINDS)
        assert job.attempt == attempt + 1
        assert await queue.fail(job, "ValueError", LATER if attempt else None)
        await queue.hasten("mail")
    (stored,) = await queue.jobs(None, None, 9)
    assert (stored.state, stored.attempts, stored.every) == ("queued", FAILING, periodic.every)
    (counts,) = await queue.counts()
    assert (counts.queued, counts.failing) == (0, 1)
    assert await queue.drop([stored.id]) == []
    await queue.define(Periodic("mail", timedelta(minutes=1), "upkeep"))
    assert [each.every for each in await queue.jobs(None, None, 9)] == [timedelta(minutes=1)]


async def test_periodic_jobs_of_a_lock_key_do_not_wait_for_each_other_unless_one_runs(db, queue):
    for kind in KINDS:
        await queue.define(Periodic(kind, LATER, "upkeep"))
    await queue.hasten("merge")
    job = await queue.take(KINDS)
    assert job.kind == "merge"
    await queue.hasten("mail")
    assert await taken(queue) is None
    await queue.finish(job, None)
    assert (await queue.take(KINDS)).kind == "mail"


async def test_payloads_are_small(db):
    with pytest.raises(asyncpg.CheckViolationError):
        await add(db, payload={"x" * 3000: 1})


async def test_every_statement_is_answered_by_an_index(db, queue):
    await db.fetch("insert into job (kind, lock_key) select 'mail', 'k' || i from generate_series(1, 5000) as i")
    await db.fetch("analyze job")
    run = "array[gen_random_uuid()]"
    asked = {
        statements._NEXT_DUE: ("array['mail']",),
        statements._RENEW: ("array[1]", run),
        statements._RECOVER: ("interval '1 s'",),
        statements._FINISH: ("1", "gen_random_uuid()", "null"),
        statements._FAIL: ("1", "gen_random_uuid()", "'x'", "null"),
        statements._GIVE_BACK: ("1", "gen_random_uuid()"),
        statements._HASTEN: ("'mail'",),
        statements._RETRY: ("array[1]",),
        statements._DROP: ("array[1]",),
    }
    async with db.transaction() as connection:
        for sql, arguments in asked.items():
            for number, argument in enumerate(arguments, 1):
                sql = sql.replace(f"${number}", argument)
            row = await connection.fetchrow(f"explain (format json) {sql}")
            plan = json.loads(row[0])[0]["Plan"]
            scanned = {node.get("Relation Name") for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
            assert "job" not in scanned, sql
        assert await taking(connection) == (0, 5)


SCANS = "select seq_scan, idx_scan from pg_stat_xact_user_tables where relname = 'job'"


async def taking(connection) -> tuple[int, int]:
    """Scans of the whole table, and looks into an index of it, that taking a job costs. The job stays as it is."""
    before = await connection.fetchrow(SCANS)
    attempt = connection.transaction()
    await attempt.start()
    assert await connection.fetchrow(statements._TAKE, list(KINDS)) is not None
    after = await connection.fetchrow(SCANS)
    await attempt.rollback()
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.parametrize("first", ["runs", "waits for its next try"])
async def test_thousands_of_due_jobs_of_one_lock_key_cost_no_look_each(db, queue, first):
    await db.fetch("insert into job (kind, lock_key) select 'mail', 'a' from generate_series(1, 2000)")
    job = await queue.take(KINDS)
    if first != "runs":
        await queue.fail(job, "x", LATER)
    last = await add(db, lock_key="b")
    async with db.transaction() as connection:
        seq_scans, looks = await taking(connection)
    assert seq_scans == 0
    assert looks < 20
    assert await taken(queue) == last


async def test_jobs_of_more_lock_keys_than_are_remembered(db, queue):
    """Two jobs of each of 150 keys, of which a few run."""
    await db.fetch(
        "insert into job (kind, lock_key) select 'mail', 'key ' || i % 150 from generate_series(1, 300) as i"
    )
    runs = [await queue.take(KINDS) for _ in range(150)]
    assert len({run.id for run in runs}) == 150
    assert await taken(queue) is None
    await db.fetch("insert into job (kind, lock_key, priority) values ('mail', 'k3', 9)")
    for run in runs[::-1]:
        await queue.finish(run, None)
    assert len({await taken(queue) for _ in range(150)} - {None}) == 150


# -- any order of steps -----------------------------------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(
        st.just("add"),
        st.sampled_from(KINDS),
        st.sampled_from([(None, None), ("a", None), ("b", None), ("a", "a"), ("b", "b")]),
        st.booleans(),
    ),
    st.tuples(st.just("take")),
    st.tuples(st.sampled_from(["finish", "fail", "abandon", "give_back", "die"]), st.integers(0, 3)),
    st.tuples(st.just("recover")),
    st.tuples(st.sampled_from(["hold", "release"]), st.sampled_from(KINDS)),
    st.tuples(st.sampled_from(["retry", "drop"]), st.integers(0, 9)),
)


@dataclass
class Stored:
    """What a job must be like."""

    kind: str
    lock: str | None
    queueing: str | None
    due: bool
    asked: set[int]
    """The requests that it stands for."""
    state: str = "queued"
    attempts: int = 0
    dead: bool = False


@dataclass
class Model:
    """What the queue must hold, and which requests were answered by a run that began after them."""

    jobs: dict[int, Stored] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    requests: int = 0
    answered: set[int] = field(default_factory=set)
    """Also those that an administrator gave up, by dropping the job."""

    def may_run(self, id_: int) -> bool:
        job = self.jobs[id_]
        others = [(other, each) for other, each in self.jobs.items() if each.lock == job.lock and other != id_]
        blocked = job.lock is not None and any(
            each.state == "running" or (each.state == "queued" and other < id_) for other, each in others
        )
        return job.state == "queued" and job.due and job.kind not in self.held and not blocked

    def sees_to_all(self) -> bool:
        """Whether no request was lost."""
        waiting = set().union(*(job.asked for job in self.jobs.values()))
        return waiting | self.answered == set(range(self.requests))


async def perform(db, queue: Jobs, model: Model, runs: list[TakenJob], step) -> None:
    name, *arguments = step
    if name == "add":
        kind, (lock, queueing), is_due = arguments
        delay = timedelta(0) if is_due else LATER
        id_ = await add(db, kind, lock_key=lock, queueing_key=queueing, delay=delay)
        request, model.requests = model.requests, model.requests + 1
        fresh = [
            other
            for other, job in model.jobs.items()
            if queueing and (job.kind, job.queueing, job.state, job.attempts) == (kind, queueing, "queued", 0)
        ]
        if fresh:
            model.jobs[fresh[0]].asked.add(request)
            model.jobs[fresh[0]].due |= is_due
        else:
            assert id_ not in model.jobs or queueing
            id_ = await db.fetchval("select max(id) from job")
            assert id_ not in model.jobs
            model.jobs[id_] = Stored(kind, lock, queueing, is_due, {request})
    elif name == "take":
        job = await queue.take(KINDS)
        possible = {id_ for id_ in model.jobs if model.may_run(id_)}
        assert (job is None) == (not possible)
        if job is not None:
            assert job.id in possible
            stored = model.jobs[job.id]
            stored.state, stored.attempts, stored.dead = "running", stored.attempts + 1, False
            assert job.attempt == stored.attempts
            runs.append(job)
    elif name == "recover":
        found = {id_ for id_, job in model.jobs.items() if job.state == "running" and job.dead}
        assert {id_ for _, id_ in await queue.recover(LEASE)} == found
        for id_ in found:
            model.jobs[id_].state, model.jobs[id_].due = "queued", True
    elif name in ("hold", "release"):
        await getattr(queue, name)(*arguments)
        (model.held.add if name == "hold" else model.held.discard)(*arguments)
    elif name in ("retry", "drop"):
        ids = sorted(model.jobs)[arguments[0] : arguments[0] + 1]
        free = [id_ for id_ in ids if model.jobs[id_].state != "running"]
        assert await getattr(queue, name)(ids) == free
        for id_ in free:
            job = model.jobs[id_]
            if name == "drop":
                model.answered |= job.asked
                del model.jobs[id_]
            else:
                job.state, job.due, job.attempts = "queued", True, min(job.attempts, job.queueing is not None)
    elif runs:
        await settle(db, queue, model, runs, name, runs[arguments[0] % len(runs)])


async def settle(db, queue: Jobs, model: Model, runs: list[TakenJob], name: str, run: TakenJob) -> None:
    """A runner says how a run ended, perhaps after it has lost the job."""
    job = model.jobs.get(run.id)
    (current,) = [(await db.fetchval("select run from job where id = $1", run.id)) == run.run]
    assert not current or (job is not None and job.state == "running")
    if name == "die":
        if current:
            await db.fetch("update job set heartbeat_at = now() - interval '1 minute' where run = $1", run.run)
            job.dead = True
        return
    runs.remove(run)
    if name == "finish":
        assert await queue.finish(run, None) == current
        if current:
            model.answered |= job.asked
            del model.jobs[run.id]
    elif name == "give_back":
        await queue.give_back(run)
        if current:
            job.state, job.due, job.attempts = "queued", True, max(job.attempts - 1, int(job.queueing is not None))
    else:
        retry = timedelta(0) if name == "fail" else None
        assert await queue.fail(run, "ValueError", retry) == current
        if current:
            job.state, job.due = ("queued", True) if name == "fail" else ("failed", True)
        if current and name == "abandon" and job.queueing:
            for other, each in list(model.jobs.items()):
                if (each.state, each.kind, each.queueing) == ("failed", job.kind, job.queueing) and other != run.id:
                    job.asked |= each.asked
                    del model.jobs[other]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, max_size=40))
async def test_any_order_of_steps_loses_no_job_and_runs_one_of_a_lock_key(db, queue, steps):
    await db.fetch("delete from job")
    await db.fetch("delete from job_hold")
    model, runs = Model(), []
    for step in steps:
        await perform(db, queue, model, runs, step)
        stored = await queue.jobs(None, None, 1000)
        assert {(job.id, job.kind, job.state, job.attempts, job.held) for job in stored} == {
            (id_, job.kind, job.state, job.attempts, job.kind in model.held) for id_, job in model.jobs.items()
        }
        assert model.sees_to_all()
        locked = [job.lock for job in model.jobs.values() if job.state == "running" and job.lock]
        assert len(locked) == len(set(locked))
