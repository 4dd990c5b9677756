"""Principals and signing in on a real PostgreSQL."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio

from server.auth.authenticate import Authenticator
from server.auth.credential_cache import CredentialCache
from server.auth.throttle import unknown_account_key
from server.domain.actors import Actor
from server.domain.errors import AlreadyExists, InvalidPrincipal, NameTaken, NotFound, SignInDelayed, SignInRequired
from server.domain.objects import Target
from server.http.client_address import ClientAddresses
from server.services.principals import changes as principals
from server.storage.directory import Directory, PrincipalChange, RelationChange
from server.storage.sign_in import SignIns, ThrottleRules
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.storage import PostgresStorage
from tests.unit.auth.directory_in_memory import CountingHasher

ACTOR = Actor(None, "test", "request 1")
CAUSE = ACTOR.cause
PASSWORD = "a long password"
NEW_PASSWORD = "another password"
LOCAL = "127.0.0.1"
RULES = ThrottleRules()
NO_DELAY = ThrottleRules(delay=0)


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database: str) -> AsyncIterator[PostgresStorage]:
    async with PostgresStorage(database, DatabaseLimits(connections=8), notify=False) as opened:
        yield opened


@pytest.fixture
def directory(storage: PostgresStorage) -> PostgresDirectory:
    return PostgresDirectory(storage.database)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


def basic(login: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()}


def make_authenticator(directory: SignIns, rules: ThrottleRules = RULES) -> Authenticator:
    return Authenticator(
        directory,
        hasher=CountingHasher(),
        cache=CredentialCache(100, 600),
        rules=rules,
        addresses=ClientAddresses(),
        basic_insecure=True,
    )


async def add(directory: Directory, hasher: CountingHasher, name: str, *addresses: str) -> int:
    return await principals.add_person(ACTOR, directory, hasher, name, PASSWORD, addresses=addresses)


async def signs_in(authenticator: Authenticator, storage: PostgresStorage, login: str, password: str) -> bool:
    """Sign in as a request does: with the comparison that its own statement allows."""
    while True:
        try:
            sign_in = await authenticator.authenticate(basic(login, password), LOCAL)
        except SignInRequired:
            return False
        resolution = await storage.resolve(sign_in.principal_id, None)
        if authenticator.still_holds(sign_in, resolution.viewer):
            return True
        authenticator.forget(sign_in)


def test_it_offers_what_the_protocol_asks(directory: PostgresDirectory) -> None:
    assert isinstance(directory, Directory)
    assert isinstance(directory, SignIns)


async def test_a_new_person_has_homes_and_signs_in_by_name_and_by_address(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    await add(directory, hasher, "Anna", "Anna@Example.org", "a@example.org")
    authenticator = make_authenticator(directory, NO_DELAY)
    for login in ("anna", "ANNA", "anna@example.ORG", "a@example.org"):
        assert await signs_in(authenticator, storage, login, PASSWORD)
        assert not await signs_in(authenticator, storage, login, PASSWORD + "x")
    viewer = await directory.principal("anna")
    assert viewer is not None
    resolution = await storage.resolve(viewer.id, Target("anna", "individual", "calendar", "calendar"))
    assert resolution.viewer is not None
    assert resolution.viewer.emails == ("Anna@Example.org", "a@example.org")
    assert resolution.collection is not None
    assert resolution.collection.components == ("VEVENT",)
    assert (await storage.resolve(viewer.id, Target("anna", "individual", "addressbook", "addressbook"))).collection


async def test_rooms_groups_and_equipment_never_sign_in(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    stored = await hasher.hash(PASSWORD)
    await directory.write_principals(
        [
            PrincipalChange(kind="room", name="room", password_hash=stored),
            PrincipalChange(kind="group", name="group", addresses=("group@example.org",), password_hash=stored),
            PrincipalChange(kind="resource", name="beamer", password_hash=stored),
        ],
        CAUSE,
    )
    authenticator = make_authenticator(directory, NO_DELAY)
    for login in ("room", "group", "group@example.org", "beamer"):
        assert not await signs_in(authenticator, storage, login, PASSWORD)


async def test_a_changed_password_takes_effect_at_once_on_every_worker(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    await add(directory, hasher, "anna")
    workers = [make_authenticator(directory, NO_DELAY) for _ in range(3)]
    for worker in workers:
        assert await signs_in(worker, storage, "anna", PASSWORD)
    await principals.set_password(ACTOR, directory, hasher, "anna", NEW_PASSWORD)
    for worker in workers:
        assert not await signs_in(worker, storage, "anna", PASSWORD)
        assert await signs_in(worker, storage, "anna", NEW_PASSWORD)


async def test_no_old_password_works_after_a_change_was_answered_while_clients_sign_in(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    await add(directory, hasher, "anna")
    rules = ThrottleRules(0, failures_per_account=10_000, failures_per_address=10_000, slow_lane_failures=10_000)
    workers = [make_authenticator(directory, rules) for _ in range(3)]
    passwords = [f"password number {number}" for number in range(8)]
    answered = -1
    begun = -1
    wrong: list[str] = []

    async def sign_in_on_and_on(worker: Authenticator) -> None:
        while answered < len(passwords) - 1:
            before = answered
            for number, password in enumerate(passwords):
                held = await signs_in(worker, storage, "anna", password)
                if held and (number < before or number > begun):
                    wrong.append(f"{number} signed in though {before} was answered and {begun} begun")
            await asyncio.sleep(0)

    clients = [asyncio.create_task(sign_in_on_and_on(worker)) for worker in workers]
    for number, password in enumerate(passwords):
        begun = number
        await principals.set_password(ACTOR, directory, hasher, "anna", password)
        answered = number
        await asyncio.sleep(0.01)
    await asyncio.gather(*clients)
    assert not wrong


async def test_disabling_renaming_and_deleting_take_effect_at_once(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    await add(directory, hasher, "anna", "anna@example.org")
    authenticator = make_authenticator(directory, NO_DELAY)
    assert await signs_in(authenticator, storage, "anna", PASSWORD)
    assert await principals.set_disabled(ACTOR, directory, "anna", True)
    assert not await principals.set_disabled(ACTOR, directory, "anna", True)
    assert not await signs_in(authenticator, storage, "anna", PASSWORD)
    assert await principals.set_disabled(ACTOR, directory, "anna", False)
    assert await signs_in(authenticator, storage, "anna", PASSWORD)
    renamed = await principals.rename(ACTOR, directory, "anna", "Änne")
    assert not await signs_in(authenticator, storage, "anna", PASSWORD)
    assert await signs_in(authenticator, storage, "änne", PASSWORD)
    found = await storage.resolve(renamed.id, Target(renamed.uid, "uid", "calendar", "calendar"))
    assert found.owner is not None
    assert found.owner.name == "Änne"
    assert found.collection is not None
    await principals.delete(ACTOR, directory, "änne", purge=False)
    for login in ("änne", "anna@example.org"):
        assert not await signs_in(authenticator, storage, login, PASSWORD)


async def test_app_passwords_are_named_end_and_are_revoked(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    await add(directory, hasher, "anna")
    authenticator = make_authenticator(directory, NO_DELAY)
    phone = await principals.add_app_password(ACTOR, directory, hasher, "anna", "Phone", valid_for=timedelta(days=1))
    laptop = await principals.add_app_password(ACTOR, directory, hasher, "anna", "Laptop")
    over = await principals.add_app_password(ACTOR, directory, hasher, "anna", "Old", valid_for=timedelta(seconds=-1))
    with pytest.raises(AlreadyExists):
        await principals.add_app_password(ACTOR, directory, hasher, "anna", "Phone")
    assert await signs_in(authenticator, storage, "anna", phone.secret)
    assert await signs_in(authenticator, storage, "anna", laptop.secret)
    assert not await signs_in(authenticator, storage, "anna", over.secret)
    listed = {app.name: app for app in await principals.list_app_passwords(ACTOR, directory, "anna")}
    assert list(listed) == ["Phone", "Laptop", "Old"]
    assert listed["Phone"].last_used_at is not None
    assert listed["Old"].last_used_at is None
    await principals.revoke_app_password(ACTOR, directory, "anna", "Phone")
    assert not await signs_in(authenticator, storage, "anna", phone.secret)
    assert await signs_in(authenticator, storage, "anna", laptop.secret)
    assert await signs_in(authenticator, storage, "anna", PASSWORD)
    with pytest.raises(NotFound):
        await principals.revoke_app_password(ACTOR, directory, "anna", "Phone")
    again = await principals.add_app_password(ACTOR, directory, hasher, "anna", "Phone")
    assert await signs_in(authenticator, storage, "anna", again.secret)


async def test_names_and_addresses_are_one_name_space(directory: PostgresDirectory, hasher: CountingHasher) -> None:
    await add(directory, hasher, "anna", "anna@example.org")
    await directory.write_principals([PrincipalChange(kind="room", name="Saal")], CAUSE)
    for name, addresses in (
        ("ANNA", ()),
        ("saal", ()),
        ("Anna@Example.Org", ()),
        ("bob", ("ANNA@example.org",)),
    ):
        with pytest.raises(NameTaken):
            await add(directory, hasher, name, *addresses)
    await add(directory, hasher, "carl@example.org", "carl@example.org")
    with pytest.raises(NameTaken):
        await add(directory, hasher, "bob", "Carl@example.org")
    with pytest.raises(NameTaken):
        await principals.rename(ACTOR, directory, "anna", "SAAL")
    await principals.rename(ACTOR, directory, "anna", "ANNA")
    assert await directory.principal("bob") is None


async def test_addresses_that_somebody_had_stay_theirs_until_another_gets_them(
    directory: PostgresDirectory, hasher: CountingHasher, storage: PostgresStorage
) -> None:
    async def has(id_: int, *addresses: str) -> None:
        await directory.write_principals([PrincipalChange(id=id_, addresses=addresses)], CAUSE)

    async def former(*names: str) -> list[tuple[str, ...]]:
        return [record.former_addresses for name in names if (record := await directory.principal(name))]

    anna = await add(directory, hasher, "anna", "Anna@example.org", "a@example.org")
    bob = await add(directory, hasher, "bob", "bob@example.org")
    await has(anna, "a@example.org", "anna@example.com")
    assert await former("anna", "bob") == [("Anna@example.org",), ()]
    # the same ones in another order, and one that returns
    await has(anna, "anna@example.com", "a@example.org")
    assert await former("anna", "bob") == [("Anna@example.org",), ()]
    await has(anna, "anna@example.com", "ANNA@example.org")
    assert await former("anna", "bob") == [("a@example.org",), ()]
    # what goes from one person to another at once was never only former
    swap = [
        PrincipalChange(id=anna, addresses=("bob@example.org",)),
        PrincipalChange(id=bob, addresses=("anna@example.com",)),
    ]
    await directory.write_principals(swap, CAUSE)
    assert await former("anna", "bob") == [("a@example.org", "ANNA@example.org"), ()]
    # another gets it, who may be new; nobody signs in by a former one
    await has(bob, "anna@example.com", "A@example.org")
    assert await former("anna", "bob") == [("ANNA@example.org",), ()]
    carl = await add(directory, hasher, "carl", "anna@example.org")
    assert await former("anna", "bob", "carl") == [(), (), ()]
    await has(carl)
    assert await former("carl") == [("anna@example.org",)]
    assert await directory.principal("anna@example.org") is None
    await directory.delete_principal(carl, CAUSE, purge=False)
    assert await storage.database.fetchval("select count(*) from former_address") == 0


async def test_of_those_who_take_a_name_at_once_one_gets_it(
    directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    attempts = [add(directory, hasher, "x@example.org") for _ in range(6)]
    attempts += [add(directory, hasher, f"person{n}", "X@example.org") for n in range(6)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, int) for result in results) == 1
    assert sum(isinstance(result, NameTaken) for result in results) == 11


@pytest.mark.parametrize("name", ["", " ", "a/b", ".", "..", "a:b", "a\nb", "x" * 256, "\ud800", "a\x00"])
async def test_names_that_cannot_be(directory: PostgresDirectory, hasher: CountingHasher, name: str) -> None:
    with pytest.raises(InvalidPrincipal):
        await add(directory, hasher, name)


async def test_every_change_leaves_its_rows_and_a_failed_one_leaves_none(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    person = await add(directory, hasher, "anna", "anna@example.org")
    await principals.set_password(ACTOR, directory, hasher, "anna", NEW_PASSWORD)
    await principals.add_app_password(ACTOR, directory, hasher, "anna", "Phone")
    await principals.revoke_app_password(ACTOR, directory, "anna", "Phone")
    with pytest.raises(NameTaken):
        await directory.write_principals(
            [PrincipalChange(kind="room", name="one"), PrincipalChange(kind="room", name="anna")], CAUSE
        )
    await directory.write_relations([RelationChange(person, delegates=frozenset())], CAUSE)
    with pytest.raises(NotFound):
        await directory.write_relations([RelationChange(person, delegates=frozenset({(999, "read")}))], CAUSE)
    actions = ["created", "changed", "added", "revoked", "delegates"]
    rows = await storage.database.fetch(
        "select kind, subject_id, origin, request_id from outbox where home_id = 0 order by id"
    )
    assert [row["kind"].rsplit("-", 1)[-1] for row in rows] == actions
    assert {(row["subject_id"], row["origin"], row["request_id"]) for row in rows} == {(person, "test", "request 1")}
    details = await storage.database.fetch("select details from outbox where details is not null")
    assert "example.org" not in json.dumps([row["details"] for row in details])
    assert await directory.principal("one") is None


async def test_a_purge_leaves_nothing_and_others_untouched(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage_plugins.postgres.changes.principal_removal.BATCH", 7)
    anna, bob = [await add(directory, hasher, name, f"{name}@example.org") for name in ("anna", "bob")]
    (group,) = await directory.write_principals([PrincipalChange(kind="group", name="group")], CAUSE)
    await directory.write_relations(
        [
            RelationChange(group, members=frozenset({anna, bob})),
            RelationChange(bob, delegates=frozenset({(anna, "write"), (group, "read")})),
            RelationChange(anna, delegates=frozenset({(bob, "read")})),
        ],
        CAUSE,
    )
    await principals.add_app_password(ACTOR, directory, hasher, "anna", "Phone")
    for owner in (anna, bob):
        await storage.database.fetch(
            """
            insert into object (home_id, collection_id, created_revision, revision, created_at, modified_at, size, name,
                                uid, component, etag, time_key, text)
            select c.home_id, c.id, 1, 1, now(), now(), 1, n || '.ics', n::text, 'VEVENT', 'e', '', 't'
            from collection c join home h on h.id = c.home_id, generate_series(1, 50) as n
            where h.principal_id = $1 and c.kind = 'calendar'
            """,
            owner,
        )
    # Bob sees a calendar of Anna's.
    await storage.database.fetch(
        """
        insert into binding (home_id, name, collection_home_id, collection_id, rights, created_revision, revision)
        select b.id, 'of-anna', c.home_id, c.id, 'read', 1, 1
        from home a join collection c on c.home_id = a.id and c.kind = 'calendar' and c.components = '{VEVENT}',
             home b
        where a.principal_id = $1 and a.kind = 'calendar' and b.principal_id = $2 and b.kind = 'calendar'
        """,
        anna,
        bob,
    )
    before = await counts(storage)
    await principals.delete(ACTOR, directory, "anna", purge=False)
    kept = await counts(storage)
    assert {table for table in kept if kept[table] != before[table]} == {
        "principal_address",
        "password",
        "app_password",
        "membership",
        "delegate",
    }
    found = await storage.database.fetchrow("select uid from principal where id = $1", anna)
    assert found is not None
    with pytest.raises(NotFound):
        await principals.find(ACTOR, directory, found["uid"])
    await add(directory, hasher, "anna", "anna@example.org")  # name and address are free
    await principals.delete(ACTOR, directory, found["uid"], purge=True)
    with pytest.raises(NotFound):
        await principals.delete(ACTOR, directory, found["uid"], purge=True)
    after = await counts(storage)
    assert after["object"] == 100
    assert {table for table in after if after[table] != before[table]} == {
        "object",
        "app_password",
        "membership",
        "delegate",
        "binding",
    }
    assert not await storage.database.fetchval("select count(*) from home where principal_id = $1", anna)
    homes = await storage.database.fetchrow(
        "select sync_floor, infinite_sync_floor, revision from home where principal_id = $1 and kind = 'calendar'", bob
    )
    assert homes is not None
    assert homes["sync_floor"] == homes["infinite_sync_floor"] == homes["revision"] > 0


async def counts(storage: PostgresStorage) -> dict[str, int]:
    tables = ("principal", "principal_address", "password", "app_password", "membership", "delegate")
    tables += ("home", "collection", "binding", "object")
    return {table: await storage.database.fetchval(f"select count(*) from {table}") for table in tables}


# -- failures ---------------------------------------------------------------------------------------------------------


async def failures(storage: PostgresStorage) -> dict[tuple[str, str], tuple[int, float]]:
    rows = await storage.database.fetch(
        "select scope, key, failures, extract(epoch from blocked_until - last_at)::float8 as wait from signin_failure"
    )
    return {(row["scope"], row["key"]): (row["failures"], row["wait"]) for row in rows}


async def test_waits_grow_with_the_failures(storage: PostgresStorage, directory: PostgresDirectory) -> None:
    rules = ThrottleRules(delay=2, max_delay=10, failures_per_account=8, failures_per_address=20, window=100)
    waits = []
    for _ in range(9):
        await directory.record_failure("192.0.2.1", "7", rules)
        found = await failures(storage)
        waits.append(found["pair", "7 192.0.2.1"][1])
    assert waits[:7] == pytest.approx([0, 0, 2, 4, 8, 10, 10])
    assert 90 < waits[7] <= 100
    assert found["address", "192.0.2.1"] == (9, pytest.approx(10))
    assert found["account", "7"] == (9, 0)


@pytest.mark.parametrize("limit", [1, 2])
async def test_a_low_limit_holds_from_the_start(
    storage: PostgresStorage, directory: PostgresDirectory, limit: int
) -> None:
    rules = ThrottleRules(failures_per_account=limit, window=50)
    for _ in range(limit):
        await directory.record_failure("192.0.2.1", "7", rules)
    assert (await failures(storage))["pair", "7 192.0.2.1"] == (limit, pytest.approx(50, abs=10))


async def test_failures_are_forgotten_after_the_window(storage: PostgresStorage, directory: PostgresDirectory) -> None:
    rules = ThrottleRules(window=100)
    for key in ("7", "8"):
        for _ in range(5):
            await directory.record_failure("192.0.2.1", key, rules)
    await storage.database.fetch(
        "update signin_failure set first_at = now() - interval '101 s', blocked_until = now() - interval '60 s' "
        "where key not like '8%'"
    )
    await directory.record_failure("192.0.2.1", "7", rules)
    found = await failures(storage)
    assert found["account", "7"] == found["pair", "7 192.0.2.1"] == (1, 0)
    assert found["account", "8"][0] == found["pair", "8 192.0.2.1"][0] == 5
    await storage.database.fetch("update signin_failure set last_at = now() - interval '101 s' where key like '7%'")
    assert await directory.forget_failures(100) == 2
    assert set(await failures(storage)) == {
        ("account", "8"),
        ("pair", "8 192.0.2.1"),
        ("address", "192.0.2.1"),
    }


async def test_failures_at_the_same_time_are_all_counted(
    storage: PostgresStorage, directory: PostgresDirectory
) -> None:
    rules = ThrottleRules()
    await asyncio.gather(*(directory.record_failure(f"192.0.2.{n % 3}", "7", rules) for n in range(60)))
    found = await failures(storage)
    assert found["account", "7"][0] == 60
    assert [found["address", f"192.0.2.{n}"][0] for n in range(3)] == [20, 20, 20]


async def test_guesses_at_the_same_time_do_not_get_past_the_limit(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    person = await add(directory, hasher, "anna")
    rules = ThrottleRules(delay=60, max_delay=60)
    workers = [make_authenticator(directory, rules) for _ in range(3)]
    attempts = [workers[number % 3].authenticate(basic("anna", f"guess {number}"), "192.0.2.7") for number in range(90)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    verified = sum(isinstance(result, SignInRequired) for result in results)
    assert verified + sum(isinstance(result, SignInDelayed) for result in results) == 90
    counted = (await failures(storage))["pair", f"{person} 192.0.2.7"][0]
    # the third failure begins the wait; each worker may be deciding as many more as it has slots
    assert 3 <= verified == counted <= 3 + 3 * hasher.threads
    with pytest.raises(SignInDelayed) as delayed:
        await workers[0].authenticate(basic("anna", PASSWORD), "192.0.2.7")
    assert 50 < delayed.value.retry_after <= 60


async def test_an_account_that_nobody_has_is_delayed_alike(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    await add(directory, hasher, "anna")
    authenticator = make_authenticator(directory, ThrottleRules(delay=60, max_delay=60))

    async def outcomes(login: str, network: int) -> list[type]:
        found = []
        for number in range(5):
            with pytest.raises((SignInRequired, SignInDelayed)) as raised:
                await authenticator.authenticate(basic(login, f"guess {number}"), f"192.0.2.{network}")
            found.append(raised.type)
        return found

    assert await outcomes("anna", 2) == await outcomes("nobody", 3) == [SignInRequired] * 3 + [SignInDelayed] * 2
    keys = {key for scope, key in await failures(storage) if scope == "account"}
    assert unknown_account_key("nobody") in keys
    assert not any("nobody" in key for key in keys)


async def test_a_delayed_account_serves_those_who_are_cached(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    person = await add(directory, hasher, "anna")
    authenticator = make_authenticator(directory)
    assert await signs_in(authenticator, storage, "anna", PASSWORD)
    rules = replace(ThrottleRules(), failures_per_account=1)
    await directory.record_failure(LOCAL, str(person), rules)
    assert await signs_in(authenticator, storage, "anna", PASSWORD)
    with pytest.raises(SignInDelayed):
        await make_authenticator(directory).authenticate(basic("anna", PASSWORD), LOCAL)


async def test_an_address_that_failed_too_often_is_delayed_for_every_account(
    directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    await add(directory, hasher, "anna")
    authenticator = make_authenticator(directory, ThrottleRules(failures_per_address=4))
    for number in range(4):
        with pytest.raises(SignInRequired):
            await authenticator.authenticate(basic(f"nobody{number}", "x"), f"2001:db8::{number}")
        await _let_pass(directory, "address")
    with pytest.raises(SignInDelayed):
        await authenticator.authenticate(basic("anna", PASSWORD), "2001:db8::ffff")
    assert (await authenticator.authenticate(basic("anna", PASSWORD), "2001:db8:0:1::1")).principal_id


async def test_wrong_passwords_from_elsewhere_lock_nobody_out(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    """The owner signs in at once on a worker that remembers nothing; the attacker's address is refused."""
    person = await add(directory, hasher, "anna")
    attacked, attacker = make_authenticator(directory, NO_DELAY), "2001:db8::bad"
    refused = 0
    for number in range(1000):
        try:
            await attacked.authenticate(basic("anna", f"guess {number}"), attacker)
        except SignInRequired:
            pass
        except SignInDelayed:
            refused += 1
    found = await failures(storage)
    assert refused == 1000 - RULES.failures_per_account
    assert found["account", str(person)] == (RULES.failures_per_account, 0)
    slow = replace(RULES, delay=60)
    fresh = make_authenticator(directory, slow)
    async with asyncio.timeout(slow.delay / 2):  # an attempt in the slow lane takes longer
        assert (await fresh.authenticate(basic("anna", PASSWORD), "192.0.2.1")).principal_id == person
    with pytest.raises(SignInDelayed):
        # the same /64 network
        await make_authenticator(directory).authenticate(basic("anna", PASSWORD), "2001:db8::1")
    # signing in from elsewhere gives the attacker no further guesses
    with pytest.raises(SignInDelayed):
        await attacked.authenticate(basic("anna", "guess"), attacker)


async def test_guesses_from_many_addresses_are_bounded(
    storage: PostgresStorage, directory: PostgresDirectory, hasher: CountingHasher
) -> None:
    """In the slow lane each address has one more guess, and one that has not failed signs in."""
    await add(directory, hasher, "anna")
    rules = ThrottleRules(delay=0, failures_per_account=3, slow_lane_failures=20)
    authenticator = make_authenticator(directory, rules)

    async def guess(address: int, password: str) -> type | None:
        try:
            await authenticator.authenticate(basic("anna", password), f"192.0.2.{address}")
        except (SignInRequired, SignInDelayed) as error:
            return type(error)
        return None

    outcomes = [await guess(address, f"{address} {number}") for number in range(5) for address in range(40)]
    # twenty guesses, after which addresses that have not failed had one each
    assert outcomes.count(SignInRequired) == 40
    assert outcomes.count(SignInDelayed) == 160
    assert await guess(7, PASSWORD) is SignInDelayed
    assert await guess(41, PASSWORD) is None
    assert await guess(42, PASSWORD) is None
    assert await guess(41, "wrong") is SignInRequired


async def _let_pass(directory: PostgresDirectory, scope: str) -> None:
    """Let the growing wait be over, but not the refusal at the limit."""
    await directory._database.fetch(
        "update signin_failure set blocked_until = now() where scope = $1 and blocked_until < now() + interval '60 s'",
        scope,
    )


async def test_hostile_logins_are_looked_for_and_not_found(
    storage: PostgresStorage, directory: PostgresDirectory
) -> None:
    authenticator = make_authenticator(directory, NO_DELAY)
    for login in ("' or 1=1 --", "%", "\\", "\U0001f600", "a" * 3000, "\ufffe", "İ" * 300, "\u202e"):
        assert not await signs_in(authenticator, storage, login, "x")
    assert await storage.database.fetchval("select max(length(key)) from signin_failure") < 100


async def test_the_database_refuses_what_code_would_never_write(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("insert into principal (uid, kind, name, name_key) values ('u', 'group', 'g', 'g')")
        for statement in (
            "insert into installation default values",
            "insert into principal (uid, kind, name, name_key) values ('v', 'robot', 'r', 'r')",
            "insert into principal (uid, kind, name, name_key) values ('v', 'group', 'G', 'g')",
            "insert into principal (uid, kind, name) values ('v', 'group', 'x')",
            "insert into membership select id, id from principal",
            "insert into delegate select id, id, 'read' from principal",
            "insert into delegate select id, id + 1, 'all' from principal",
            "insert into signin_failure (scope, key, failures) values ('planet', 'x', 1)",
        ):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await connection.execute(statement)
    finally:
        await connection.close()
