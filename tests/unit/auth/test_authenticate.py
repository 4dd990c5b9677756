"""Signing in: what is cached, what is computed, what is counted."""

import asyncio
import base64
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from multidict import CIMultiDict

from server.auth import app_passwords, htpasswd, throttle
from server.auth.authenticate import Authenticator
from server.auth.credential_cache import CredentialCache
from server.auth.passwords import PasswordHasher
from server.domain.errors import SignInDelayed, SignInRequired, Unavailable
from server.domain.principals import Principal
from server.domain.recent import Recent
from server.http.client_address import ClientAddresses
from server.storage.sign_in import AppPasswordHash, SignInAttempt, ThrottleRules
from tests.unit.auth.directory_in_memory import CountingHasher, DirectoryInMemory, Person

LOCAL = "127.0.0.1"
HASHER = CountingHasher()
ANNA_HASH = HASHER._argon2.hash(b"anna's password")


def basic(login: str, password: str) -> CIMultiDict[str]:
    return CIMultiDict({"Authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()})


def make(directory: DirectoryInMemory, **changes: object) -> tuple[Authenticator, CountingHasher]:
    hasher = CountingHasher()
    parts: dict[str, object] = {
        "hasher": hasher,
        "cache": CredentialCache(100, 600),
        "rules": ThrottleRules(),
        "addresses": ClientAddresses(),
    }
    return Authenticator(directory, **{**parts, **changes}), hasher  # type: ignore[arg-type]


def anna() -> Person:
    return Person(7, "anna", ANNA_HASH, version=3)


async def test_right_credentials_cost_one_hash_and_one_read_however_often_they_come() -> None:
    directory = DirectoryInMemory(anna())
    authenticator, hasher = make(directory)
    for _ in range(5):
        sign_in = await authenticator.authenticate(basic("Anna", "anna's password"), LOCAL)
        assert (sign_in.principal_id, sign_in.credential_version) == (7, 3)
    assert hasher.computed == 1
    assert directory.reads == 1


@pytest.mark.parametrize("login", ["anna", "nobody", "room", "gone", "nopassword", "x" * 3000, "  "])
@pytest.mark.parametrize("password", ["wrong", app_passwords.generate(), "x" * 2000])
async def test_every_wrong_attempt_costs_exactly_one_hash(login: str, password: str) -> None:
    directory = DirectoryInMemory(
        anna(), Person(8, "room", may=False), Person(9, "gone", ANNA_HASH, may=False), Person(10, "nopassword")
    )
    authenticator, hasher = make(directory)
    with pytest.raises(SignInRequired):
        await authenticator.authenticate(basic(login, password), LOCAL)
    assert hasher.computed == 1
    assert directory.reads == 1
    assert sum(directory.failures.values()) == 3


async def test_those_who_may_not_sign_in_do_not_with_the_right_password() -> None:
    authenticator, _ = make(DirectoryInMemory(replace(anna(), may=False)))
    with pytest.raises(SignInRequired):
        await authenticator.authenticate(basic("anna", "anna's password"), LOCAL)


async def test_a_changed_version_is_noticed_and_what_is_forgotten_is_verified_again() -> None:
    person = anna()
    authenticator, hasher = make(DirectoryInMemory(person))
    headers = basic("anna", "anna's password")
    first = await authenticator.authenticate(headers, LOCAL)
    viewer = Principal(7, "u", "individual", "anna", "Anna", (), frozenset(), False, 3)
    assert authenticator.still_holds(first, viewer)
    assert not authenticator.still_holds(first, replace(viewer, disabled=True))
    assert not authenticator.still_holds(first, None)
    person.version, person.password_hash = 4, HASHER._argon2.hash(b"another password")
    assert not authenticator.still_holds(first, replace(viewer, credential_version=4))
    authenticator.forget(first)
    with pytest.raises(SignInRequired):
        await authenticator.authenticate(headers, LOCAL)
    second = await authenticator.authenticate(basic("anna", "another password"), LOCAL)
    assert second.credential_version == 4
    authenticator.forget(first)  # a late one leaves what was verified since
    computed = hasher.computed
    assert await authenticator.authenticate(basic("anna", "another password"), LOCAL) == second
    assert hasher.computed == computed


async def test_the_same_credentials_at_once_are_verified_once() -> None:
    authenticator, hasher = make(DirectoryInMemory(anna()))
    headers = basic("anna", "anna's password")
    found = await asyncio.gather(*(authenticator.authenticate(headers, LOCAL) for _ in range(50)))
    assert {sign_in.principal_id for sign_in in found} == {7}
    assert hasher.computed == 1


async def test_a_client_that_goes_away_does_not_take_the_others_with_it() -> None:
    authenticator, _ = make(DirectoryInMemory(anna()))
    headers = basic("anna", "anna's password")
    gone, stays = (asyncio.create_task(authenticator.authenticate(headers, LOCAL)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await stays).principal_id == 7
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_many_at_once_compute_no_more_hashes_than_there_are_threads() -> None:
    directory = DirectoryInMemory(anna())
    authenticator, hasher = make(directory)
    attempts = (authenticator.authenticate(basic("anna", f"wrong {n}"), LOCAL) for n in range(60))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert all(isinstance(result, SignInRequired) for result in results)
    assert hasher.computed == 60
    assert hasher.most_at_once <= hasher.threads
    assert directory.failures["account", "7"] == 60


async def test_those_who_wait_are_bounded_in_number() -> None:
    directory = DirectoryInMemory(anna())
    authenticator, _ = make(directory)
    attempts = (authenticator.authenticate(basic("anna", f"wrong {n}"), LOCAL) for n in range(400))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    kinds = {type(result) for result in results}
    assert kinds == {SignInRequired, Unavailable}


async def test_the_same_wrong_password_is_counted_and_computed_once() -> None:
    directory = DirectoryInMemory(anna())
    authenticator, hasher = make(directory)
    for _ in range(10):
        with pytest.raises(SignInRequired):
            await authenticator.authenticate(basic("anna", "the old one"), LOCAL)
    assert hasher.computed == 1
    assert directory.failures["account", "7"] == 1


async def test_a_password_that_was_wrong_works_once_it_has_become_right() -> None:
    person = anna()
    authenticator, _ = make(DirectoryInMemory(person))
    headers = basic("anna", "the next one")
    with pytest.raises(SignInRequired):
        await authenticator.authenticate(headers, LOCAL)
    person.version, person.password_hash = 4, HASHER._argon2.hash(b"the next one")
    assert (await authenticator.authenticate(headers, LOCAL)).credential_version == 4


async def test_failures_delay_others_but_not_credentials_that_are_cached() -> None:
    directory = DirectoryInMemory(anna())
    authenticator, hasher = make(directory)
    await authenticator.authenticate(basic("anna", "anna's password"), LOCAL)
    directory.wait = 12.3
    with pytest.raises(SignInDelayed) as delayed:
        await authenticator.authenticate(basic("anna", "wrong"), LOCAL)
    assert delayed.value.retry_after == 13
    with pytest.raises(SignInDelayed):
        await authenticator.authenticate(basic("nobody", "wrong"), LOCAL)
    await authenticator.authenticate(basic("anna", "anna's password"), LOCAL)
    assert hasher.computed == 1
    assert not directory.failures


async def test_signing_in_clears_the_failures_of_the_account_from_that_address_only() -> None:
    directory = DirectoryInMemory(anna())
    authenticator, _ = make(directory)
    with pytest.raises(SignInRequired):
        await authenticator.authenticate(basic("anna", "wrong"), LOCAL)
    await authenticator.authenticate(basic("anna", "anna's password"), LOCAL)
    assert dict(+directory.failures) == {("address", LOCAL): 1, ("account", "7"): 1}


async def test_in_the_slow_lane_attempts_on_an_account_are_decided_one_after_the_other() -> None:
    directory = DirectoryInMemory(anna(), Person(8, "bert", ANNA_HASH))
    directory.slow = True
    authenticator, hasher = make(directory, rules=ThrottleRules(delay=0.01), basic_insecure=True)
    attempts = [authenticator.authenticate(basic("anna", f"wrong {n}"), f"192.0.2.{n}") for n in range(40)]
    found = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(each) for each in found].count(SignInRequired) == hasher.computed == throttle.MAX_IN_LANE
    assert [type(each) for each in found].count(SignInDelayed) == 40 - throttle.MAX_IN_LANE
    assert hasher.most_at_once == 1
    # who waits there holds nobody else up, and the lane is left behind clean
    assert (await authenticator.authenticate(basic("bert", "anna's password"), LOCAL)).principal_id == 8
    assert (await authenticator.authenticate(basic("anna", "anna's password"), LOCAL)).principal_id == 7
    assert not authenticator._slow_lanes._lanes


async def test_app_passwords_are_not_delayed_by_failures_on_their_account() -> None:
    secret = app_passwords.generate()
    plain = app_passwords.normalise(secret)
    assert plain is not None
    person = anna()
    hashed = HASHER._argon2.hash(plain.encode())
    person.app_passwords[app_passwords.selector(plain)] = AppPasswordHash(5, hashed, None)
    directory = DirectoryInMemory(person)
    directory.wait, directory.slow = 99.0, True
    authenticator, _ = make(directory)
    assert (await authenticator.authenticate(basic("anna", secret), LOCAL)).app_password_id == 5
    wrong = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    with pytest.raises(SignInRequired):
        await authenticator.authenticate(basic("anna", wrong), LOCAL)
    assert dict(+directory.failures) == {("address", LOCAL): 1}


async def test_app_passwords_work_until_they_end_and_cost_one_hash_however_many_there_are() -> None:
    secret = app_passwords.generate()
    plain = app_passwords.normalise(secret)
    assert plain is not None
    now = datetime.now(UTC)
    person = anna()
    app = AppPasswordHash(5, HASHER._argon2.hash(plain), now + timedelta(hours=1))
    person.app_passwords[app_passwords.selector(plain)] = app
    directory = DirectoryInMemory(person)
    authenticator, hasher = make(directory)
    for typed in (secret, secret.upper(), plain, secret.replace("-", " ")):
        assert (await authenticator.authenticate(basic("anna", typed), LOCAL)).app_password_id == 5
    assert hasher.computed == 4
    assert directory.used == [5] * 4
    assert (await authenticator.authenticate(basic("anna", "anna's password"), LOCAL)).app_password_id is None
    for over in (replace(app, expires_at=now - timedelta(seconds=1)), replace(app, revoked=True)):
        person.app_passwords[app_passwords.selector(plain)] = over
        authenticator, hasher = make(directory)
        with pytest.raises(SignInRequired):
            await authenticator.authenticate(basic("anna", secret), LOCAL)
        assert hasher.computed == 1


async def test_a_cached_app_password_ends_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = app_passwords.generate()
    plain = app_passwords.normalise(secret)
    assert plain is not None
    person = anna()
    ends = datetime.now(UTC) + timedelta(seconds=100)
    person.app_passwords[app_passwords.selector(plain)] = AppPasswordHash(5, HASHER._argon2.hash(plain), ends)
    authenticator, _ = make(DirectoryInMemory(person))
    await authenticator.authenticate(basic("anna", secret), LOCAL)
    await authenticator.authenticate(basic("anna", secret), LOCAL)
    monkeypatch.setattr("time.time", lambda: ends.timestamp() + 1)
    with pytest.raises(SignInRequired):
        await authenticator.authenticate(basic("anna", secret), LOCAL)


async def test_a_hash_of_other_parameters_is_replaced_when_its_owner_signs_in() -> None:
    old = PasswordHasher(time_cost=2, memory_cost=128)._argon2.hash(b"anna's password")
    person = replace(anna(), password_hash=old)
    authenticator, _ = make(DirectoryInMemory(person))
    await authenticator.authenticate(basic("anna", "anna's password"), LOCAL)
    assert person.password_hash is not None
    assert "t=1" in person.password_hash
    authenticator, _ = make(DirectoryInMemory(person))
    await authenticator.authenticate(basic("anna", "anna's password"), LOCAL)


async def test_a_stored_hash_that_is_none_signs_nobody_in() -> None:
    for stored in ("", "$argon2id$", "plain", "$2b$12$" + "a" * 53, "$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA"):
        authenticator, _ = make(DirectoryInMemory(replace(anna(), password_hash=stored)))
        with pytest.raises(SignInRequired):
            await authenticator.authenticate(basic("anna", stored or "x"), LOCAL)


async def test_passwords_are_only_taken_where_they_are_offered() -> None:
    headers = basic("anna", "anna's password")
    authenticator, _ = make(
        DirectoryInMemory(anna()), addresses=ClientAddresses([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])
    )
    for peer, tls in (("127.0.0.1", False), ("::1", False), (None, False), ("192.0.2.1", True), ("10.1.2.3", False)):
        assert (await authenticator.authenticate(headers, peer, tls=tls)).principal_id == 7
        assert authenticator.challenge(headers, peer, tls=tls) == 'Basic realm="Koyomi", charset="UTF-8"'
    with pytest.raises(SignInRequired):
        await authenticator.authenticate(headers, "192.0.2.1")
    assert authenticator.challenge(headers, "192.0.2.1") is None
    authenticator, _ = make(DirectoryInMemory(anna()), basic_insecure=True)
    assert (await authenticator.authenticate(headers, "192.0.2.1")).principal_id == 7


@pytest.mark.parametrize(
    ("peer", "tls", "proto", "offered"),
    [
        ("10.1.2.3", False, "https", True),
        ("10.1.2.3", False, "HTTPS", True),
        ("10.1.2.3", False, "http", False),
        ("10.1.2.3", True, "http", False),
        ("10.1.2.3", False, "https, http", False),
        ("10.1.2.3", False, "https, https", True),
        ("10.1.2.3", False, "nonsense", False),
        # who is no trusted proxy is not believed
        ("192.0.2.1", False, "https", False),
        ("192.0.2.1", True, "http", True),
        ("127.0.0.1", False, "http", True),
    ],
)
async def test_what_a_trusted_proxy_says_of_the_clients_connection_counts(
    peer: str, tls: bool, proto: str, offered: bool
) -> None:
    headers = basic("anna", "anna's password")
    headers["X-Forwarded-Proto"] = proto
    authenticator, hasher = make(DirectoryInMemory(anna()), addresses=ClientAddresses([ip_network("10.0.0.0/8")]))
    assert (authenticator.challenge(headers, peer, tls=tls) is not None) is offered
    if offered:
        assert (await authenticator.authenticate(headers, peer, tls=tls)).principal_id == 7
    else:
        with pytest.raises(SignInRequired):
            await authenticator.authenticate(headers, peer, tls=tls)
        assert hasher.computed == 0


async def test_the_remote_user_is_believed_from_trusted_proxies_alone() -> None:
    directory = DirectoryInMemory(anna(), Person(8, "room", may=False))
    authenticator, hasher = make(
        directory, remote_user_header="Remote-User", addresses=ClientAddresses([ip_network("10.0.0.1/32")])
    )
    headers = CIMultiDict({"remote-user": "Anna"})
    for _ in range(3):
        sign_in = await authenticator.authenticate(headers, "10.0.0.1")
        assert (sign_in.principal_id, sign_in.method) == (7, "remote-user")
    assert (hasher.computed, directory.reads) == (0, 1)
    for peer in ("10.0.0.2", "127.0.0.1", None):
        with pytest.raises(SignInRequired):
            await authenticator.authenticate(headers, peer)
    for name in ("room", "nobody", "x" * 5000):
        with pytest.raises(SignInRequired):
            await authenticator.authenticate(CIMultiDict({"Remote-User": name}), "10.0.0.1")
    assert (await authenticator.authenticate(basic("anna", "anna's password"), "10.0.0.1")).method == "password"


async def test_sign_ins_through_a_proxy_are_recorded_once() -> None:
    directory = DirectoryInMemory(anna(), Person(8, "room", may=False))
    authenticator, _ = make(
        directory,
        remote_user_header="Remote-User",
        addresses=ClientAddresses([ip_network("10.0.0.1/32")]),
        cache=CredentialCache(100, 0),
    )

    async def come(name: str, client: str) -> None:
        await authenticator.authenticate(CIMultiDict({"Remote-User": name, "X-Forwarded-For": client}), "10.0.0.1")

    for _ in range(3):
        await come("anna", "192.0.2.1")
        await come("ANNA", "192.0.2.2")
        for name in ("room", "nobody", "somebody"):
            with pytest.raises(SignInRequired):
                await come(name, "192.0.2.3")
    assert directory.recorded == [
        SignInAttempt(True, 7, "remote-user", None, "192.0.2.1"),
        SignInAttempt(True, 7, "remote-user", None, "192.0.2.2"),
        SignInAttempt(False, 8, "remote-user", None, "192.0.2.3"),
        SignInAttempt(False, None, "remote-user", None, "192.0.2.3"),
    ]


async def test_an_htpasswd_file_is_asked_after_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(htpasswd, "_INTERVAL", 0.0)
    path = tmp_path / "htpasswd"
    path.write_text("Anna:$5$abcdefgh$4Tj82EvIyJKzgj/yUyeYMmkYp/SXWOCtVHowrUhgMn7\nstranger:$5$a$b\n")
    directory = DirectoryInMemory(anna(), Person(8, "room", may=False))
    file = htpasswd.HtpasswdFile(path, HASHER)
    authenticator, hasher = make(directory, htpasswd=file)
    sign_in = await authenticator.authenticate(basic("anna", "geheim 123"), LOCAL)
    assert (sign_in.principal_id, sign_in.method) == (7, "htpasswd")
    assert await authenticator.authenticate(basic("anna", "geheim 123"), LOCAL) == sign_in
    assert hasher.computed == 1
    assert (await authenticator.authenticate(basic("anna", "anna's password"), LOCAL)).method == "password"
    for login in ("stranger", "room", "nobody"):
        with pytest.raises(SignInRequired):
            await authenticator.authenticate(basic(login, "geheim 123"), LOCAL)
    # a changed file takes effect, also on what was verified before, and on what was wrong before
    with pytest.raises(SignInRequired):
        await authenticator.authenticate(basic("anna", "now this"), LOCAL)
    path.write_text(f"anna:{HASHER._argon2.hash(b'now this')}\n")
    assert (await authenticator.authenticate(basic("anna", "now this"), LOCAL)).method == "htpasswd"
    with pytest.raises(SignInRequired):
        await authenticator.authenticate(basic("anna", "geheim 123"), LOCAL)
    path.unlink()
    with pytest.raises(SignInRequired):
        await authenticator.authenticate(basic("anna", "now this"), LOCAL)


async def test_without_credentials_signing_in_is_required() -> None:
    authenticator, hasher = make(DirectoryInMemory(anna()))
    for headers in (CIMultiDict[str](), CIMultiDict({"Authorization": ""}), CIMultiDict({"Authorization": "Bearer x"})):
        with pytest.raises(SignInRequired):
            await authenticator.authenticate(headers, LOCAL)
    assert hasher.computed == 0


async def test_attempts_during_a_reload_of_the_htpasswd_file_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is verified against the old hashes as if the new file said so."""
    monkeypatch.setattr(htpasswd, "_INTERVAL", 0.0)
    path = tmp_path / "htpasswd"
    path.write_text(f"anna:{HASHER._argon2.hash(b'old')}\n")
    person = anna()
    person.password_hash = None
    authenticator, _ = make(DirectoryInMemory(person), htpasswd=htpasswd.HtpasswdFile(path, HASHER))
    path.write_text(f"anna:{HASHER._argon2.hash(b'new')}\n# changed\n")
    may_read, reading, read = threading.Event(), threading.Event(), htpasswd.HtpasswdFile._read

    def slowly(file: htpasswd.HtpasswdFile, version: int) -> object:
        reading.set()
        assert may_read.wait(20)
        return read(file, version)

    monkeypatch.setattr(htpasswd.HtpasswdFile, "_read", slowly)
    first = asyncio.create_task(authenticator.authenticate(basic("anna", "new"), LOCAL))
    assert await asyncio.to_thread(reading.wait, 20)
    second = asyncio.create_task(authenticator.authenticate(basic("anna", "old"), LOCAL))
    await asyncio.wait([second], timeout=0.2)
    may_read.set()
    assert (await first).method == "htpasswd"
    with pytest.raises(SignInRequired):
        await second


async def test_a_sign_in_is_recorded_once_for_an_hour_and_each_wrong_password_once() -> None:
    directory = DirectoryInMemory(anna())
    authenticator, _ = make(directory, basic_insecure=True)
    right, elsewhere = basic("anna", "anna's password"), "192.0.2.7"

    async def again(address: str) -> None:
        authenticator.forget(await authenticator.authenticate(right, address))

    for address in (LOCAL, LOCAL, elsewhere, LOCAL):
        await again(address)
    own = SignInAttempt(True, 7, "password", None, LOCAL)
    assert directory.recorded == [own, replace(own, address=elsewhere)]
    authenticator._recorded = Recent(0.0, 1)
    await again(LOCAL)
    assert directory.recorded[2:] == [own]
    directory.recorded.clear()
    for login, password in (("anna", "wrong"), ("anna", "wrong"), ("anna", "wronger"), ("nobody", "wrong")):
        with pytest.raises(SignInRequired):
            await authenticator.authenticate(basic(login, password), LOCAL)
    refused = SignInAttempt(False, 7, "password", None, LOCAL)
    assert directory.recorded == [refused, refused, replace(refused, principal_id=None)]
