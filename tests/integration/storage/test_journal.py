"""The journal: one order without gaps, which no writer, sequencer, consumer or open transaction can break."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from server.domain.changes import Cause, ChangeSet, Put
from server.domain.errors import KoyomiError, Unavailable, WriteConflict
from server.domain.events import JOURNAL, Change
from server.events import sequencing
from server.events.consuming import Consumer, consume
from server.events.sequencing import Sequencing
from server.observe.metrics import Metrics
from server.storage.journal import Entry, Position
from storage_plugins.postgres import functions as sql_functions
from storage_plugins.postgres import journal as module
from storage_plugins.postgres.database import DatabaseLimits, connect
from storage_plugins.postgres.journal import ECHO_KINDS, ECHO_ORIGINS, PostgresJournal, PostgresSequencer
from storage_plugins.postgres.upkeep.journal_partitions import keep_partitions, partitions
from tests.integration.storage.conftest import make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.sequenced import sequence
from tests.integration.storage.values import CAUSE, LIMITS, content

SEQUENCE = "select * from koyomi_sequence_1(0, 20000, $1, $2, null, null)"
OF_NO_HOME = "insert into outbox (kind, origin, request_id) values ('made-up', 'test', $1)"
NOW = datetime.now(UTC)


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database: str) -> AsyncIterator[MemberStorage]:
    """A storage on a database of its own: there is one journal."""
    async with MemberStorage(database, DatabaseLimits(connections=12), notify=False) as opened:
        yield opened


@pytest.fixture
def journal(storage: MemberStorage) -> PostgresJournal:
    return PostgresJournal(storage.database)


@pytest_asyncio.fixture(loop_scope="session")
async def other(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def everything(journal: PostgresJournal, start: int = 0) -> list[Entry]:
    found: list[Entry] = []
    position = Position("reader", 0, 1, start, date.min, anew=False)
    while entries := await journal.entries(position, 100):
        found += entries
        position = replace(position, seq=entries[-1].seq, month=entries[-1].month)
    return found


# -- the order --------------------------------------------------------------------------------------------------------


def demand_order(entries: list[Entry]) -> None:
    """Numbers without gaps, months that do not fall, and in each home the order of commits."""
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    months = [entry.month for entry in entries]
    assert months == sorted(months)
    by_home = defaultdict(list)
    for entry in entries:
        if entry.home_id:
            by_home[entry.home_id].append(entry.revision)
    for revisions in by_home.values():
        assert revisions == list(range(revisions[0], revisions[0] + len(revisions)))


@pytest.mark.parametrize("seed", [1, 2])
async def test_readers_see_one_order_without_gaps_while_many_write(
    storage: MemberStorage, database: str, journal: PostgresJournal, seed: int
) -> None:
    people = [await make_person(storage) for _ in range(3)]
    calendars = [await person.collection() for person in people]
    done = asyncio.Event()
    seen: list[Entry] = []

    async def write(number: int) -> None:
        dice = random.Random(seed * 100 + number)
        for turn in range(25):
            chosen = dice.sample(calendars, dice.randint(1, 3))
            cause = Cause(None, "test", f"{number}-{turn}")
            puts = tuple(Put(each, f"{number}-{turn}", content(f"{number}-{turn}"), None) for each in chosen)
            await storage.apply(ChangeSet(puts, LIMITS, cause))
            if dice.random() < 0.2:
                await storage.database.fetch(OF_NO_HOME, f"{number}-{turn}")

    async def run(sequencer: PostgresSequencer) -> None:
        # Both take the turn by force, and end the session of the other one.
        while not done.is_set():
            with contextlib.suppress(KoyomiError):
                await sequencer.run(forced=True)
            await asyncio.sleep(0.002)

    async def read() -> None:
        position = Position("reader", 0, 1, 0, date.min, anew=False)
        while not done.is_set() or await journal.entries(position, 1):
            for entry in await journal.entries(position, 7):
                assert entry.seq == position.seq + 1, "a reader met a gap"
                seen.append(entry)
                position = replace(position, seq=entry.seq, month=entry.month)

    sequencers = [PostgresSequencer(database) for _ in range(2)]
    beside = [asyncio.create_task(work) for work in (*map(run, sequencers), read())]
    await asyncio.gather(*map(write, range(6)))
    await sequence_rest(storage)
    done.set()
    await asyncio.gather(*beside)
    for each in sequencers:
        await each.close()
    assert seen == await everything(journal)
    demand_order(seen)
    changes = defaultdict(set)
    for entry in seen:
        if entry.home_id:
            changes[entry.request_id].add(entry.change)
    assert len(changes) == 150
    assert all(len(each) == 1 for each in changes.values())
    assert len(set.union(*changes.values())) == 150


async def sequence_rest(storage: MemberStorage) -> None:
    async with asyncio.timeout(30):
        while await storage.database.fetchval("select exists (select from outbox)"):
            await asyncio.sleep(0.01)


async def test_an_entry_says_what_its_row_said(storage: MemberStorage, journal: PostgresJournal) -> None:
    person = await make_person(storage)
    calendar = await person.collection()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    cause = Cause(person.id, "caldav", "request", 17, trace)
    made = await storage.put_object(calendar, "a", content("a"), None, LIMITS, cause)
    await storage.database.fetch(
        "insert into outbox (home_id, revision, kind, collection_id, origin) "
        "values ($1, 99, 'binding-touched', $2, 'x')",
        calendar.home_id,
        calendar.id,
    )
    await storage.database.fetch(
        "insert into outbox (home_id, revision, kind, collection_id, object_id, origin) "
        "values ($1, 100, 'updated', $2, $3, 'refresh')",
        calendar.home_id,
        calendar.id,
        made.id,
    )
    assert await sequence(storage.database) == 3
    first, *echoes = await everything(journal)
    assert first.act
    assert [entry.act for entry in echoes] == [False, False]
    assert first == replace(
        first,
        kind="created",
        home_id=calendar.home_id,
        revision=made.revision,
        collection_id=calendar.id,
        object_id=made.id,
        principal_id=person.id,
        acting_for=17,
        origin="caldav",
        request_id="request",
        trace=trace,
    )


# -- what the order rests on ------------------------------------------------------------------------------------------


async def test_i_ids_in_blocks_would_break_the_order(storage: MemberStorage, journal: PostgresJournal) -> None:
    """The sequence of the ids has CACHE 1. With blocks of ids, two connections that write in turn leave their home."""
    name = await storage.database.fetchval("select pg_get_serial_sequence('outbox', 'id')")
    cached = "select cache_size from pg_sequences where schemaname || '.' || sequencename = $1"
    assert await storage.database.fetchval(cached, name) == 1
    calendar = await (await make_person(storage)).collection()
    await in_turn(storage, calendar, "first")
    await sequence(storage.database)
    demand_order(await everything(journal))
    await storage.database.fetch(f"alter sequence {name} cache 20")
    await in_turn(storage, calendar, "second")
    await sequence(storage.database)
    with pytest.raises(AssertionError):
        demand_order(await everything(journal))


async def in_turn(storage: MemberStorage, calendar, name: str) -> None:
    """Write on several connections, each more than once."""
    for turn in range(4):
        writes = (
            storage.put_object(calendar, f"{name}-{turn}-{n}", content(f"{name}-{turn}-{n}"), None, LIMITS, CAUSE)
            for n in range(6)
        )
        await asyncio.gather(*writes)


async def test_iv_the_sequencer_sees_what_the_one_before_has_moved(
    storage: MemberStorage, other: asyncpg.Connection, journal: PostgresJournal
) -> None:
    """A statement that began before another one moved rows gives no number twice: the lock comes first."""
    await storage.database.fetch(OF_NO_HOME, "1")
    await sequence(storage.database)
    await storage.database.fetch(OF_NO_HOME, "2")
    slow = asyncio.create_task(
        other.fetchrow(
            "select s.* from (select pg_sleep(0.5) is null) as w cross join lateral "
            "koyomi_sequence_1(0, case when w is null then 0 else 20000 end, $1, $2, null, null) as s",
            ECHO_KINDS,
            ECHO_ORIGINS,
        )
    )
    await asyncio.sleep(0.2)
    await storage.database.fetch(OF_NO_HOME, "3")
    assert await sequence(storage.database) == 2
    await storage.database.fetch(OF_NO_HOME, "4")
    row = await slow
    assert (row["led"], row["moved"], row["last_seq"]) == (True, 1, 4)
    assert [entry.request_id for entry in await everything(journal)] == ["1", "2", "3", "4"]


async def test_iv_with_the_snapshot_of_the_caller_numbers_would_repeat(
    storage: MemberStorage, other: asyncpg.Connection
) -> None:
    """The test above can fail: in a transaction whose snapshot is older than the lock, rows are in the way."""
    await storage.database.fetch(OF_NO_HOME, "1")
    transaction = other.transaction(isolation="repeatable_read")
    await transaction.start()
    await other.fetch("select 1 from outbox")
    await sequence(storage.database)
    with pytest.raises(asyncpg.SerializationError):
        await other.fetchrow(SEQUENCE, ECHO_KINDS, ECHO_ORIGINS)
    await transaction.rollback()


async def test_iv_locked_rows_are_waited_for(
    storage: MemberStorage, other: asyncpg.Connection, journal: PostgresJournal
) -> None:
    for number in ("1", "2"):
        await storage.database.fetch(OF_NO_HOME, number)
    transaction = other.transaction()
    await transaction.start()
    await other.fetch("select from outbox where request_id = '1' for update")
    moving = asyncio.create_task(sequence(storage.database))
    await asyncio.sleep(0.3)
    assert not moving.done()
    assert await everything(journal) == [], "nothing may pass the row that is locked"
    await transaction.rollback()
    assert await moving == 2
    assert [entry.request_id for entry in await everything(journal)] == ["1", "2"]


def test_iv_nothing_that_reads_the_outbox_skips_rows() -> None:
    for path in (*sql_functions.FOLDER.glob("*.sql"), *Path(module.__file__).parent.rglob("*.py")):
        for statement in re.split(r";\n|\"\"\"", path.read_text("utf-8")):
            assert not (re.search(r"\boutbox\b", statement) and "skip locked" in statement.lower()), path


async def test_two_that_move_at_once_do_not_both(storage: MemberStorage, other: asyncpg.Connection) -> None:
    await storage.database.fetch(OF_NO_HOME, "1")
    await sequence(storage.database)
    await storage.database.fetch(OF_NO_HOME, "2")
    transaction = other.transaction()
    await transaction.start()
    assert (await other.fetchrow(SEQUENCE, ECHO_KINDS, ECHO_ORIGINS))["moved"] == 1
    row = await storage.database.fetchrow(SEQUENCE, ECHO_KINDS, ECHO_ORIGINS)
    assert row is not None
    assert not row["led"]
    await transaction.rollback()
    assert await sequence(storage.database) == 1, "what was rolled back is moved by the next one"


# -- open transactions ------------------------------------------------------------------------------------------------


async def test_no_foreign_transaction_is_waited_for(
    storage: MemberStorage, other: asyncpg.Connection, journal: PostgresJournal
) -> None:
    calendar = await (await make_person(storage)).collection()
    transaction = other.transaction()
    await transaction.start()
    await other.fetch("select pg_current_xact_id()")
    await storage.put_object(calendar, "a", content("a"), None, LIMITS, CAUSE)
    assert await sequence(storage.database) == 1
    assert len(await everything(journal)) == 1
    await transaction.rollback()


@pytest.mark.parametrize("drawn_first", [False, True])
async def test_the_low_bound_passes_no_row_that_may_appear(
    storage: MemberStorage,
    database: str,
    other: asyncpg.Connection,
    journal: PostgresJournal,
    monkeypatch: pytest.MonkeyPatch,
    drawn_first: bool,
) -> None:
    """A slow transaction of one home, with an id below those of others that are long moved."""
    monkeypatch.setattr(module, "SETTLING", 0.0)
    slow, quick = [await (await make_person(storage)).collection() for _ in range(2)]
    sequencer = PostgresSequencer(database)
    try:
        if drawn_first:
            await sequencer.run()
        transaction = other.transaction()
        await transaction.start()
        await other.fetch("update home set revision = revision + 1 where id = $1", slow.home_id)
        await other.fetch(
            "insert into outbox (home_id, revision, collection_id, object_id, kind, origin) "
            "values ($1, 1, 1, 1, 'updated', 'slow')",
            slow.home_id,
        )
        for number in range(5):
            await storage.put_object(quick, f"{number}", content(f"{number}"), None, LIMITS, CAUSE)
            done = await sequencer.run()
            assert (done.led, done.moved) == (True, 1)
        held = await other.fetchval("select id from outbox where origin = 'slow'")
        assert sequencer._low < held
        await transaction.commit()
        assert (await sequencer.run()).moved == 1
        for _ in range(2):
            await sequencer.run()
        assert sequencer._low > held, "the bound follows"
    finally:
        await sequencer.close()
    demand_order([entry for entry in await everything(journal) if entry.origin != "slow"][:5])


async def test_behind_the_bound_a_sweep_finds_what_is_left(
    storage: MemberStorage, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer = PostgresSequencer(database)
    try:
        await storage.database.fetch(OF_NO_HOME, "1")
        assert (await sequencer.run()).moved == 1
        sequencer._low = 1_000_000
        await storage.database.fetch(OF_NO_HOME, "2")
        assert (await sequencer.run()).moved == 0
        monkeypatch.setattr(module, "SWEEP", 0.0)
        assert (await sequencer.run()).moved == 1
    finally:
        await sequencer.close()


async def test_a_transaction_that_is_moved_in_parts_stays_one_change(
    storage: MemberStorage, journal: PostgresJournal
) -> None:
    calendar = await (await make_person(storage)).collection()
    puts = tuple(Put(calendar, f"{number}", content(f"{number}"), None) for number in range(10))
    await storage.apply(ChangeSet(puts, LIMITS, CAUSE))
    await storage.put_object(calendar, "later", content("later"), None, LIMITS, CAUSE)
    assert await sequence(storage.database, rows=3) == 11
    entries = await everything(journal)
    demand_order(entries)
    assert len({entry.change for entry in entries[:10]}) == 1
    assert entries[10].change != entries[0].change


# -- turns ------------------------------------------------------------------------------------------------------------


async def has_turn(sequencer: PostgresSequencer) -> bool:
    """Whether a sequencer has the turn, whose session was ended: it may learn of that only when it uses it."""
    with contextlib.suppress(KoyomiError):
        return (await sequencer.run()).led
    return (await sequencer.run()).led


async def test_another_worker_takes_the_turn_when_one_ends(storage: MemberStorage, database: str) -> None:
    first, second = PostgresSequencer(database), PostgresSequencer(database)
    try:
        assert (await first.run()).led
        assert not (await second.run()).led
        await storage.database.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'koyomi sequencer' "
            "and pid in (select pid from pg_locks where locktype = 'advisory')"
        )
        async with asyncio.timeout(5):
            while not (await second.run()).led:
                await asyncio.sleep(0.05)
        assert not await has_turn(first)
    finally:
        await first.close()
        await second.close()


async def test_a_worker_that_was_stopped_loses_the_turn(
    storage: MemberStorage, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session has the turn still. Another worker hears of a commit, and of no entry after it."""
    monkeypatch.setattr(sequencing, "PATIENCE", 0.1)
    monkeypatch.setattr(sequencing, "POLL", 0.05)
    stopped, announced = PostgresSequencer(database), []
    assert (await stopped.run()).led
    follower = Sequencing(PostgresSequencer(database), announced.append, Metrics())
    task = asyncio.create_task(follower.run())
    try:
        await asyncio.sleep(0.3)
        await storage.database.fetch(OF_NO_HOME, "1")
        assert announced == []
        follower.hear(Change(5, 6, 7))
        async with asyncio.timeout(10):
            while not announced:
                await asyncio.sleep(0.02)
        assert announced == [Change(JOURNAL.home_id, None, 1)]
        await storage.database.fetch(OF_NO_HOME, "2")
        async with asyncio.timeout(10):
            while len(announced) < 2:
                await asyncio.sleep(0.02)
        assert not await has_turn(stopped)
    finally:
        task.cancel()
        await asyncio.wait([task])
        await stopped.close()


# -- consumers --------------------------------------------------------------------------------------------------------


class Sums:
    """A consumer that adds the numbers of what it reads up in a table."""

    def __init__(self) -> None:
        self.broken = False
        self.consumer = Consumer("sums", self.add, self.begin)

    async def add(self, transaction, entries) -> None:
        for entry in entries:
            await transaction.execute("insert into only_for_tests.sums values ($1)", entry.seq)
        if self.broken:
            raise Unavailable("in the middle")

    async def begin(self, transaction) -> None:
        await transaction.execute("delete from only_for_tests.sums")

    @staticmethod
    async def added(storage: MemberStorage) -> list[int]:
        return [row[0] for row in await storage.database.fetch("select seq from only_for_tests.sums order by ctid")]


@pytest_asyncio.fixture(loop_scope="session")
async def sums(storage: MemberStorage) -> Sums:
    async with storage.database.transaction() as connection:
        await connection.execute("create schema only_for_tests; create table only_for_tests.sums (seq bigint)")
    return Sums()


async def test_position_and_effect_are_one(storage: MemberStorage, journal: PostgresJournal, sums: Sums) -> None:
    for number in range(10):
        await storage.database.fetch(OF_NO_HOME, f"{number}")
    await sequence(storage.database)
    assert await consume(journal, sums.consumer, batch=4) == 4
    sums.broken = True
    with pytest.raises(Unavailable, match="middle"):
        await consume(journal, sums.consumer, batch=4)
    sums.broken = False
    assert [await consume(journal, sums.consumer, batch=4) for _ in range(3)] == [4, 2, 0]
    assert await sums.added(storage) == list(range(1, 11))


async def test_consumers_at_once_double_and_lose_nothing(
    storage: MemberStorage, journal: PostgresJournal, sums: Sums
) -> None:
    for number in range(40):
        await storage.database.fetch(OF_NO_HOME, f"{number}")
    await sequence(storage.database)
    conflicts = 0

    async def work(seed: int) -> None:
        nonlocal conflicts
        dice = random.Random(seed)
        while True:
            try:
                if not await consume(journal, sums.consumer, batch=dice.randint(1, 5)):
                    return
            except WriteConflict:
                conflicts += 1

    await asyncio.gather(*map(work, range(4)))
    assert conflicts
    assert await sums.added(storage) == list(range(1, 41))


async def test_an_earlier_owner_moves_nothing(storage: MemberStorage, journal: PostgresJournal, sums: Sums) -> None:
    await storage.database.fetch(OF_NO_HOME, "1")
    await sequence(storage.database)
    old = await journal.position("sums")
    new = await journal.take_over(old)
    with pytest.raises(WriteConflict):
        await journal.move(old, 1, NOW.date(), sums.begin)
    with pytest.raises(WriteConflict):
        await journal.take_over(old)
    (entry,) = await journal.entries(new, 5)
    await journal.move(new, entry.seq, entry.month, lambda transaction: sums.add(transaction, [entry]))
    assert await sums.added(storage) == [1]


async def test_a_consumer_that_lags_too_far_starts_anew(
    storage: MemberStorage, journal: PostgresJournal, sums: Sums
) -> None:
    for number in range(3):
        await storage.database.fetch(OF_NO_HOME, f"{number}")
    await sequence(storage.database)
    await consume(journal, sums.consumer, batch=1)
    await keep_partitions(storage.database, NOW, timedelta(days=90), timedelta(days=1))
    assert not (await journal.position("sums")).anew
    await keep_partitions(storage.database, NOW, timedelta(days=90), timedelta(0))
    assert (await journal.position("sums")).anew
    assert await consume(journal, sums.consumer) == 0
    assert await sums.added(storage) == []
    await storage.database.fetch(OF_NO_HOME, "later")
    await sequence(storage.database)
    assert await consume(journal, sums.consumer) == 1
    assert await sums.added(storage) == [4]


# -- what is kept -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["journal", "journal_act", "journal_act_first", "journal_echo_first", "journal_seal"])
@pytest.mark.parametrize("sql", ["delete from {}", "truncate {}", "update {} set {} = {}"])
async def test_rows_are_only_added(storage: MemberStorage, table: str, sql: str) -> None:
    await storage.database.fetch(OF_NO_HOME, "1")
    await sequence(storage.database)
    column = "number" if table == "journal_seal" else "seq"
    with pytest.raises(asyncpg.PostgresError, match="never changed"):
        await storage.database.fetch(sql.format(table, column, column))


async def test_echoes_go_with_their_month_when_all_have_read_them(
    storage: MemberStorage, database: str, journal: PostgresJournal
) -> None:
    connection = await connect(database)
    try:
        for kind in ("binding-touched", "updated"):
            await connection.execute(
                "insert into outbox (home_id, revision, collection_id, object_id, kind, origin) "
                "values (1, 1, 1, 1, $1, 'test')",
                kind,
            )
    finally:
        await connection.close()
    await sequence(storage.database)
    later = NOW + timedelta(days=150)
    await journal.position("slow")
    await keep_partitions(storage.database, later, timedelta(days=90), timedelta(days=365))
    assert len(await everything(journal)) == 2, "not all have read it"
    await storage.database.fetch("update journal_position set position = 2, anew = false")
    await keep_partitions(storage.database, later, timedelta(days=90), timedelta(days=365))
    assert [entry.kind for entry in await everything(journal)] == ["updated"]
    left = await partitions(storage.database)
    assert "journal_echo_first" not in {each.table for each in left}
    assert "journal_act_first" in {each.table for each in left}
    # What is written now goes on behind the last number.
    await storage.database.fetch(OF_NO_HOME, "1")
    await sequence(storage.database)
    assert [entry.seq for entry in await everything(journal)] == [2, 3]


async def test_partitions_are_made_ahead_once(storage: MemberStorage) -> None:
    await keep_partitions(storage.database, NOW, timedelta(days=90), timedelta(days=30))
    before = await partitions(storage.database)
    await keep_partitions(storage.database, NOW, timedelta(days=90), timedelta(days=30))
    assert await partitions(storage.database) == before
    months = sorted({each.until for each in before})
    assert len(months) == module.AHEAD + 1
    assert len(before) == 2 * len(months)
