"""The cache of credentials, app passwords' secrets, hashes, htpasswd files, the waits."""

from pathlib import Path
from types import SimpleNamespace

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth import app_passwords, credential_cache, htpasswd, passwords, sha_crypt
from server.auth.credential_cache import CredentialCache
from server.auth.htpasswd import HtpasswdFile
from server.domain.errors import ConfigurationError, InvalidPrincipal
from server.domain.principals import name_key
from server.http.sign_in import SignIn
from server.storage.sign_in import ThrottleRules
from tests.unit.auth.directory_in_memory import CountingHasher


def test_the_cache_is_bounded_and_the_oldest_go_first() -> None:
    cache = CredentialCache(3, 600)
    keys = [cache.key(b"basic", str(n)) for n in range(5)]
    for number, key in enumerate(keys):
        cache.put(key, SignIn(number, 0))
    assert len(cache) == 3
    assert [cache.get(key) is not None for key in keys] == [False, False, True, True, True]


def test_entries_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(credential_cache.time, "monotonic", lambda: now)
    cache = CredentialCache(3, 600)
    key = cache.key(b"basic", "x")
    cache.put(key, SignIn(1, 0))
    now += 600
    assert cache.get(key) is not None
    now += 1
    assert cache.get(key) is None
    assert len(cache) == 0


@pytest.mark.parametrize(("size", "seconds"), [(0, 600.0), (10, 0.0)])
def test_a_cache_of_nothing_remembers_nothing(size: int, seconds: float) -> None:
    cache = CredentialCache(size, seconds)
    key = cache.key(b"basic", "x")
    cache.put(key, SignIn(1, 0))
    assert cache.get(key) is None


def test_keys_differ_by_process_and_by_header() -> None:
    one, two = CredentialCache(1, 1), CredentialCache(1, 1)
    assert one.key(b"basic", "x") == one.key(b"basic", "x")
    assert one.key(b"basic", "x") != two.key(b"basic", "x")
    assert one.key(b"basic", "x") != one.key(b"remote user", "x")
    assert one.key(b"basic", "\udce9\ud800")


def test_secrets_of_app_passwords() -> None:
    secrets = {app_passwords.generate() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        plain = app_passwords.normalise(secret)
        assert plain == secret.replace("-", "")
        assert app_passwords.selector(plain) == secret[:5]
    assert app_passwords.normalise(secret + "x") is None
    assert app_passwords.normalise("-" * 1_000_000) is None


@given(st.text())
def test_any_text_may_be_asked_whether_it_is_an_app_password(text: str) -> None:
    plain = app_passwords.normalise(text)
    assert plain is None or len(plain) == 25


async def test_passwords_are_compared_in_nfc() -> None:
    hasher = CountingHasher()
    stored = await hasher.hash("cafe\u0301 noir")
    assert (await hasher.verify(stored, "caf\u00e9 noir")).fits
    assert not (await hasher.verify(stored, "cafe noir")).fits
    assert stored.startswith("$argon2id$")


def test_the_parameters_are_those_that_are_documented() -> None:
    hasher = passwords.PasswordHasher()
    assert "$argon2id$v=19$m=19456,t=3,p=1$" in hasher.nobodys


@pytest.mark.parametrize("password", ["", "a\nb234567", "x" * 1025, "\ud800" * 8, "é" * 513])
def test_passwords_that_cannot_be_set(password: str) -> None:
    with pytest.raises(InvalidPrincipal):
        passwords.check(password, chosen=False)


def test_a_chosen_password_has_a_minimal_length() -> None:
    passwords.check("x" * 8, chosen=True)
    passwords.check("short", chosen=False)
    with pytest.raises(InvalidPrincipal, match="8 characters"):
        passwords.check("x" * 7, chosen=True)


@pytest.mark.parametrize(
    ("stored", "password"),
    [
        # made with libxcrypt
        ("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"),
        ("$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!"),  # noqa: E501
        ("$5$abcdefgh$4Tj82EvIyJKzgj/yUyeYMmkYp/SXWOCtVHowrUhgMn7", "geheim 123"),
        ("$6$rounds=1500$saltsaltsaltsalt$eUVYoK6tnQoANigkPFeHWSdB50YSRUccsuVC5hhLMCkwupM9DoSIBR3NrXutrCB1viLibNOqcS/FD77EqSJt4.", "geheim 123"),  # noqa: E501
        ("$5$rounds=1001$x$I5M.Q.X1g0QbcZxabFjzE9tNO1RrclKUSZ6CoHsrsy1", "ü" * 40),
        ("$6$s$.ZBEl9liET9mKM6jGxl//vp8wOnIJwfkp.7sG2Ahu2q68bf4LasDRE6k5T5NPzLqBFx3oUbMl6xWpBsFfgm6..", ""),
    ],
)  # fmt: skip
def test_sha_crypt(stored: str, password: str) -> None:
    assert sha_crypt.understands(stored)
    assert sha_crypt.verify(stored, password.encode())
    assert not sha_crypt.verify(stored, b"another")


@pytest.mark.parametrize(
    "stored", ["", "$5$", "$6$rounds=999999999$a$b", "$1$a$b", "$5$a", "$5$rounds=x$a$b", "$6$a$\n"]
)
def test_what_sha_crypt_does_not_understand(stored: str) -> None:
    assert not sha_crypt.understands(stored)


async def test_lines_of_an_htpasswd_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = CountingHasher()
    path = tmp_path / "htpasswd"
    hashed = bcrypt.hashpw(b"secret of b", bcrypt.gensalt(4)).decode()
    lines = [
        "# people",
        "",
        f"Bertha:{hashed}",
        f"  carl:{await hasher.hash('secret of c')}",
        "dora:$6$rounds=1500$saltsaltsaltsalt$eUVYoK6tnQoANigkPFeHWSdB50YSRUccsuVC5hhLMCkwupM9DoSIBR3NrXutrCB1viLibNOqcS/FD77EqSJt4.",  # noqa: E501
        "md5:$apr1$zrXoWxzv$0123456789012345678901",
        "sha:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "plain:plain",
        "nocolon",
        "costly:$2b$31$" + "a" * 53,
    ]
    path.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe:x\n")
    told: list[tuple[int, str]] = []
    log = SimpleNamespace(warning=lambda event, *, path, line, why: told.append((line, why)))
    monkeypatch.setattr(htpasswd, "_log", log)
    file = HtpasswdFile(path, hasher)
    assert await file.verify("bertha", "secret of b") == 0
    assert await file.verify("BERTHA", "secret of b") == 0
    assert await file.verify("carl", "secret of c") == 0
    assert await file.verify("dora", "geheim 123") == 0
    for name in ("md5", "sha", "plain", "nocolon", "costly", None):
        assert await file.verify(name, "plain") is None
    for password in ("", "secret of B", "x" * 5000, "nul\x00"):
        assert await file.verify("bertha", password) is None
    assert [line for line, _ in told] == [6, 7, 8, 9, 10, 11]
    assert "htpasswd -B" in told[0][1]


def test_a_file_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="sign_in.htpasswd_file: cannot read"):
        HtpasswdFile(tmp_path / "none", CountingHasher())


def test_waits_grow_from_the_third_failure_to_the_longest() -> None:
    assert ThrottleRules(delay=1, max_delay=10).waits("pair") == [0, 0, 1, 2, 4, 8, 10]
    assert ThrottleRules(delay=0, max_delay=10).waits("pair") == [0, 0, 0]
    assert ThrottleRules(delay=5, max_delay=5).waits("pair") == [0, 0, 5]
    assert ThrottleRules().waits("account") == [0]
    assert ThrottleRules(delay=4, max_delay=5, failures_per_address=50).waits("address") == [0, 0, 0, 0, 4, 5]
    assert ThrottleRules(delay=5, max_delay=5, failures_per_address=1).waits("address") == [5]


def test_names_compare_folded() -> None:
    assert name_key("Stra\u00dfe") == name_key("STRASSE") == "strasse"
    assert name_key("E\u0301MILE") == name_key("\u00e9mile") == "\u00e9mile"
    assert name_key("ANNA@Example.org") == "anna@example.org"


@given(st.text())
def test_folding_is_stable(text: str) -> None:
    assert name_key(name_key(text)) == name_key(text)
