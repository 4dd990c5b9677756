"""The storage in memory, on which services are unit-tested, answers every call as the one on PostgreSQL does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain.privileges import Privilege
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.embedded.server import Cluster
from storage_plugins.postgres.journal import PostgresJournal
from storage_plugins.postgres.storage import PostgresStorage
from tests.fixtures.postgres import create_database, drop_database
from tests.integration.storage.alike import Alike
from tests.integration.storage.compared_reads import require_same_reads
from tests.integration.storage.one_of_two import GROUP, PEOPLE, TEXTS, Database
from tests.unit.services.memory_storage.storage import memory

WHO = st.sampled_from(PEOPLE)
OWN = st.sampled_from(["calendar", "calendar", "calendar", "new", "new", "other"])
PLACES = st.tuples(WHO, OWN | st.just(0))
NAMES = st.sampled_from(["a", "a", "b", "c"])
UIDS = st.sampled_from(["u1", "u2", "u3"])
NUMBERS = st.integers(0, TEXTS - 1)
SIZES = st.integers(0, 2)
ZONE = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nEND:VCALENDAR\r\n"
ADDRESSES = st.sampled_from(["x@example.com", "y@example.com"])
PRIVILEGES = st.sampled_from(
    [(Privilege.READ,), (Privilege.READ, Privilege.WRITE), (Privilege.READ_FREE_BUSY,), (Privilege.ALL,)]
)
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["anna", "ben"]),
        st.sampled_from(["calendar", "calendar", "new", "inbox"]),
        NAMES,
        st.sampled_from(["put", "put", "put", "delete", "set", "unchanged", "remember"]),
        UIDS,
        SIZES,
        st.sampled_from([0, 0, 0, 0, 1]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda act: act[:3],
)


def _in(kind: str, place: tuple[object, ...], who: str | None, *arguments: object) -> tuple[object, ...]:
    """A step of somebody in a collection; None: of who shows it."""
    return kind, who or place[0], *place, *arguments


def _transfer(
    place: tuple[str, object], name: str, owner: str | None, which: object, new: str, keep: bool
) -> tuple[object, ...]:
    """A copy or a move by the person of a place; `owner` None: to another collection in the same home."""
    return "transfer", place[0], (*place, name), (owner or place[0], which, new), keep


ACTORS = st.sampled_from([None, None, None, *PEOPLE])
RIGHTS = st.sampled_from(["write", "write", "read", "free-busy", None])
WHOM = st.sampled_from([*PEOPLE, GROUP])
KINDS = {
    "put": (8, st.builds(_in, st.just("put"), PLACES, ACTORS, NAMES, UIDS, NUMBERS)),
    "put_card": (1, st.builds(_in, st.just("put_card"), st.tuples(WHO), ACTORS, NAMES, UIDS, SIZES)),
    "delete": (2, st.builds(_in, st.just("delete"), PLACES, ACTORS, NAMES)),
    "set": (2, st.builds(_in, st.just("set"), PLACES, ACTORS, NAMES, SIZES)),
    "transfer": (4, st.builds(_transfer, PLACES, NAMES, ACTORS, OWN | st.just(0), NAMES, st.booleans())),
    "apply": (4, st.tuples(st.just("apply"), ACTS, st.sampled_from([False, False, True]))),
    "make": (2, st.builds(_in, st.just("make"), st.tuples(WHO, OWN), ACTORS, SIZES)),
    "describe": (2, st.builds(_in, st.just("describe"), PLACES, ACTORS, SIZES, st.sampled_from([None, "", ZONE]))),
    "describe_home": (1, st.builds(lambda who, size: ("describe_home", who, who, size), WHO, SIZES)),
    "remove": (1, st.builds(_in, st.just("remove"), PLACES, ACTORS, st.just("calendar"))),
    "empty": (1, st.builds(lambda who: ("remove", who, who, "addressbook", "addressbook"), WHO)),
    "rename": (1, st.builds(_in, st.just("rename"), PLACES, ACTORS, OWN)),
    "copy": (2, st.builds(_in, st.just("copy"), PLACES, ACTORS, OWN, st.booleans())),
    "share": (4, st.tuples(st.just("share"), WHO, OWN | st.just("addressbook"), WHOM, RIGHTS)),
    "grant": (1, st.tuples(st.just("grant"), WHO, OWN, WHOM | st.just("authenticated"), st.booleans(), PRIVILEGES)),
    "delegate": (1, st.tuples(st.just("delegate"), WHO, st.frozensets(WHOM), st.sampled_from(["read", "write"]))),
    "gather": (1, st.tuples(st.just("gather"), st.frozensets(WHO))),
    "address": (1, st.tuples(st.just("address"), WHO, st.lists(ADDRESSES, unique=True))),
    "pass_on": (1, st.just(("pass_on",))),
    "compare": (1, st.just(("compare",))),
}
"""How often each kind of step is taken, beside the others, and the steps."""
STEPS = st.sampled_from([kind for kind, (weight, _) in KINDS.items() for _ in range(weight)]).flatmap(
    lambda kind: KINDS[kind][1]
)
BEGINNINGS: tuple[list[tuple[object, ...]], ...] = (
    [],
    [
        ("make", "anna", "anna", "new", 1),
        ("put", "anna", "anna", "calendar", "a", "u1", 1),
        ("put", "anna", "anna", "calendar", "b", "u2", 3),
        ("put", "anna", "anna", "new", "a", "u3", 7),
        ("set", "anna", "anna", "calendar", "a", 1),
        ("put", "ben", "ben", "calendar", "a", "u1", 6),
    ],
    [
        ("make", "anna", "anna", "new", 1),
        ("put", "anna", "anna", "calendar", "a", "u1", 1),
        ("put", "anna", "anna", "calendar", "b", "u2", 4),
        ("gather", ("cleo",)),
        ("share", "anna", "calendar", "ben", "write"),
        ("share", "anna", "calendar", GROUP, "read"),
        ("share", "anna", "new", "cleo", "write"),
        ("put", "ben", "ben", 0, "a", "u1", 2),
        ("put", "ben", "ben", 0, "c", "u3", 3),
    ],
)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def stored(cluster: Cluster, migrated_template: str) -> AsyncIterator[PostgresStorage]:
    name = await create_database(cluster, migrated_template)
    async with PostgresStorage(cluster.dsn(name), notify=False) as opened:
        yield opened
    await drop_database(cluster, name)


async def _two(stored: PostgresStorage) -> tuple[Database, Database, Alike]:
    """The databases, with the same people."""
    found = memory()
    one = Database(stored, PostgresAccess(stored), PostgresDirectory(stored.database), PostgresJournal(stored.database))
    other = Database(found.storage, found.access, found.directory, found.journal)
    prefix = uuid4().hex[:8]
    for database in (one, other):
        await database.fill(prefix)
    alike = Alike()
    await require_same_reads(one, other, alike)
    return one, other, alike


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(beginning=st.sampled_from(BEGINNINGS), steps=st.lists(STEPS, min_size=10, max_size=25))
async def test_the_same_steps_leave_the_same(
    stored: PostgresStorage, beginning: list[tuple[object, ...]], steps: list[tuple[object, ...]]
) -> None:
    one, other, alike = await _two(stored)
    for step in [*beginning, *steps, ("pass_on",), ("compare",)]:
        if step == ("compare",):
            await require_same_reads(one, other, alike)
        else:
            alike.require(await one.perform(step), await other.perform(step), repr(step))


async def test_a_share_leaves_the_bindings_of_others_to_the_consumer(stored: PostgresStorage) -> None:
    """Somebody has left a group with which the calendar is shared."""
    one, other, alike = await _two(stored)
    left: list[tuple[object, ...]] = [
        ("gather", ("cleo",)),
        ("share", "anna", "calendar", GROUP, "read"),
        ("gather", ()),
        ("share", "anna", "calendar", "ben", "write"),
        ("pass_on",),
    ]
    for step in left:
        alike.require(await one.perform(step), await other.perform(step), repr(step))
    await require_same_reads(one, other, alike)


@pytest.mark.parametrize(
    "ends",
    [
        [("hand_over", "anna", "ben")],
        [("hand_over", "anna", "cleo")],
        [("hand_over", "anna", "anna")],
        [("leave", "anna", False)],
        [("leave", "anna", False), ("pass_on",), ("leave", "anna", True)],
        [("leave", "anna", True)],
        [("remove", "anna", "anna", "new", "calendar"), ("hand_over", "anna", "ben")],
    ],
)
async def test_the_same_is_left_of_a_person(stored: PostgresStorage, ends: list[tuple[object, ...]]) -> None:
    """After they were deleted, and after what they had was handed over."""
    one, other, alike = await _two(stored)
    begin = [
        *BEGINNINGS[2],
        ("put_card", "anna", "anna", "a", "u1", 1),
        ("describe", "anna", "anna", "new", 1, None),
        ("describe", "ben", "ben", 0, 2, None),
        ("delegate", "anna", ("ben", GROUP), "write"),
        ("share", "ben", "calendar", "anna", "write"),
        ("delete", "anna", "anna", "calendar", "b"),
        ("pass_on",),
    ]
    for step in [*begin, *ends, ("pass_on",)]:
        alike.require(await one.perform(step), await other.perform(step), repr(step))
    await require_same_reads(one, other, alike, ["ben", "cleo"])


async def test_the_same_is_left_by_copies_and_moves(stored: PostgresStorage) -> None:
    """Of members within a home and into another, over others, out of shared calendars and into them."""
    one, other, alike = await _two(stored)
    steps: list[tuple[object, ...]] = [
        ("make", "anna", "anna", "new", 0),
        ("put", "anna", "anna", "calendar", "a", "u1", 3),
        ("set", "anna", "anna", "calendar", "a", 1),
        ("transfer", "anna", ("anna", "calendar", "a"), ("anna", "new", "a"), True),
        ("transfer", "anna", ("anna", "calendar", "a"), ("anna", "new", "a"), False),
        ("transfer", "anna", ("anna", "new", "a"), ("anna", "new", "b"), False),
        ("put", "anna", "anna", "calendar", "a", "u2", 6),
        ("delegate", "anna", ("ben",), "write"),
        ("transfer", "ben", ("anna", "calendar", "a"), ("ben", "calendar", "a"), True),
        ("transfer", "ben", ("anna", "new", "b"), ("ben", "calendar", "b"), False),
        ("transfer", "ben", ("ben", "calendar", "b"), ("anna", "calendar", "a"), False),
        ("put", "anna", "anna", "calendar", "b", "u3", 9),
        ("transfer", "anna", ("anna", "calendar", "b"), ("anna", "new", "b"), True),
        ("share", "anna", "new", "cleo", "write"),
        ("put", "cleo", "cleo", 0, "c", "u1", 1),
        ("transfer", "cleo", ("cleo", 0, "c"), ("cleo", 0, "d"), False),
        ("transfer", "cleo", ("cleo", 0, "d"), ("cleo", "calendar", "d"), True),
        ("transfer", "anna", ("anna", "calendar", "b"), ("anna", "new", "b"), False),
        ("transfer", "anna", ("anna", "new", "d"), ("anna", "calendar", "d"), False),
        ("transfer", "cleo", ("cleo", "calendar", "d"), ("cleo", 0, "e"), False),
        ("pass_on",),
    ]
    done = 0
    for step in steps:
        outcome = await one.perform(step)
        done += step[0] == "transfer" and not isinstance(outcome, (str, tuple))
        alike.require(outcome, await other.perform(step), repr(step))
        await require_same_reads(one, other, alike)
    assert done > 8
