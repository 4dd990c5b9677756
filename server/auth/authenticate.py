"""Signing in: from a request's headers to who it is.

Nearly every request carries credentials that were verified before. Those are found in a cache, without a statement and
without a hash. The request's own statement then shows whether they are still valid:

    sign_in = await authenticator.authenticate(headers, peer)
    resolution = await storage.resolve(sign_in.principal_id, target)
    if not authenticator.still_holds(sign_in, resolution.viewer):
        authenticator.forget(sign_in)       # and once more from the top

Other credentials are verified in one of a few slots. One statement finds the person, the hash and the earlier failures.
Exactly one hash is computed, whether or not there is such a person. A failure is counted. Failures on an account from
one address delay that address; many from all addresses together put the account in the slow lane.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from server.auth import app_passwords, basic, service_tokens, throttle
from server.auth.credential_cache import CredentialCache
from server.auth.htpasswd import HtpasswdFile
from server.auth.passwords import PasswordHasher
from server.auth.settings import SignInSettings
from server.domain.errors import CredentialsRefused, SignInDelayed, SignInRequired
from server.domain.principals import Principal, name_key
from server.domain.recent import Recent
from server.domain.scopes import Door
from server.http.client_address import ClientAddresses, failure_key
from server.http.sign_in import Method, SignIn
from server.storage.service_tokens import ServiceTokens
from server.storage.sign_in import SignInAttempt, SignInMaterial, SignIns, ThrottleRules

__all__ = ["Authenticator", "SignIn"]

MAX_LOGIN = 512
"""Characters of a name that is looked up."""
_KNOWN_WRONG = 10_000
"""Wrong credentials that are remembered."""
_RECORDED = 10_000
"""Sign-ins that are remembered as recorded."""
_RECORDED_FOR = 3600.0
"""Seconds in which a sign-in is recorded once: of one person, with one kind of password, from one address. So is the
refusal of somebody whom a proxy names."""
_log = structlog.get_logger(__name__)
_HOPS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
"""Headers that tell of a proxy."""
_State = tuple[int | None, int, int]
"""The state for which credentials were found wrong: principal id, credential version, version of the htpasswd file."""


_REFUSED: Mapping[Method, str] = {
    "password": "A person's own password opens the API from the server's own machine only. Use an app password that is "
    "made for the API, or a service token.",
    "htpasswd": "A person's own password opens the API from the server's own machine only. Use a service token.",
    "app-password": "This app password does not open this part of the server.",
    "remote-user": "A proxy does not sign anybody in here.",
    "token": "A service token opens the API only.",
}


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Credentials that are not in the cache, with the keys of their failures."""

    key: bytes
    """The key of the credentials in the cache."""
    credentials: basic.Credentials
    client: str
    """The client's address."""
    login_key: str
    secret: str | None
    """The password as the secret of an app password; None if it cannot be one."""
    address_key: str
    unknown_key: str
    """The key of the account if it does not exist."""

    @classmethod
    def of(cls, key: bytes, credentials: basic.Credentials, client: str) -> _Attempt:
        login_key = _login_key(credentials.login)
        secret = app_passwords.normalise(credentials.password)
        unknown_key = throttle.unknown_account_key(login_key)
        return cls(key, credentials, client, login_key, secret, failure_key(client), unknown_key)


class Authenticator:
    """Authenticates requests. One instance in each process."""

    def __init__(
        self,
        directory: SignIns,
        *,
        hasher: PasswordHasher,
        cache: CredentialCache,
        rules: ThrottleRules,
        addresses: ClientAddresses,
        htpasswd: HtpasswdFile | None = None,
        remote_user_header: str = "",
        basic_insecure: bool = False,
        tokens: ServiceTokens | None = None,
    ) -> None:
        self._directory = directory
        self._hasher = hasher
        self._cache = cache
        self._rules = rules
        self._addresses = addresses
        self._htpasswd = htpasswd
        self._remote_user_header = remote_user_header
        self._basic_insecure = basic_insecure
        self._tokens = tokens
        self._slots = throttle.Slots(hasher.threads)
        self._slow_lanes = throttle.SlowLanes(rules.delay)
        self._under_way: dict[bytes, asyncio.Task[SignIn]] = {}
        self._known_wrong: dict[bytes, _State] = {}
        self._recorded = Recent[SignInAttempt](_RECORDED_FOR, _RECORDED)
        self._failures = 0

    @classmethod
    def from_settings(
        cls, settings: SignInSettings, directory: SignIns, tokens: ServiceTokens, addresses: ClientAddresses
    ) -> Authenticator:
        """The authenticator that the settings describe. Raises `ConfigurationError` for an unusable htpasswd file."""
        hasher = PasswordHasher()
        return cls(
            directory,
            hasher=hasher,
            cache=CredentialCache(settings.credential_cache_size, settings.credential_cache_seconds),
            rules=ThrottleRules(
                delay=settings.delay,
                max_delay=settings.max_delay,
                failures_per_account=settings.failures_per_account,
                failures_per_address=settings.failures_per_address,
                slow_lane_failures=settings.slow_lane_failures,
                window=settings.window,
            ),
            addresses=addresses,
            htpasswd=HtpasswdFile(settings.htpasswd_file, hasher) if settings.htpasswd_file else None,
            remote_user_header=settings.remote_user_header,
            basic_insecure=settings.basic_auth_insecure,
            tokens=tokens,
        )

    @property
    def failures(self) -> int:
        """The number of failed sign-ins."""
        return self._failures

    @property
    def addresses(self) -> ClientAddresses:
        """Finds the addresses of clients behind trusted proxies."""
        return self._addresses

    def challenge(self, headers: Mapping[str, str], peer: str | None, *, tls: bool = False) -> str | None:
        """The value of WWW-Authenticate; None if passwords are not accepted (no TLS, and not local)."""
        return basic.CHALLENGE if self._offers_basic(headers, peer, tls) else None

    async def authenticate(
        self, headers: Mapping[str, str], peer: str | None, *, tls: bool = False, door: Door = "apps"
    ) -> SignIn:
        """Authenticate a request.

        `headers` finds names without regard to case; `peer` is the address at the other end of the connection, None for
        a Unix socket; `tls` says whether the connection to that peer is encrypted. Raises `SignInRequired` without
        credentials and with wrong ones, `SignInDelayed` after too many failures, `CredentialsRefused` for right ones
        that do not open `door`, `Unavailable`.
        """
        sign_in = await self._authenticate(headers, peer, tls, door)
        if door not in sign_in.doors and not (
            sign_in.method in ("password", "htpasswd") and self._is_direct(headers, peer)
        ):
            raise CredentialsRefused(_REFUSED[sign_in.method])
        return sign_in

    async def _authenticate(self, headers: Mapping[str, str], peer: str | None, tls: bool, door: Door) -> SignIn:
        if self._remote_user_header and door == "apps" and self._addresses.is_trusted(peer):
            name = headers.get(self._remote_user_header)
            if name:
                return await self._remote_user(name, self._addresses.client(headers, peer))
        header = headers.get("Authorization")
        if header is None or not self._offers_basic(headers, peer, tls):
            raise SignInRequired
        if door == "api" and (token := service_tokens.in_header(header)) is not None:
            return await self._by_token(token, self._addresses.client(headers, peer))
        key = self._cache.key(b"basic", header)
        sign_in = self._cache.get(key)
        if sign_in is not None and self._file_is_unchanged(sign_in):
            return sign_in
        task = self._under_way.get(key)
        if task is None:
            credentials = basic.parse(header)
            task = asyncio.create_task(self._decide(key, credentials, self._addresses.client(headers, peer)))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(task)

    @staticmethod
    def still_holds(sign_in: SignIn, viewer: Principal | None) -> bool:
        """Whether a sign-in is still valid for the principal as it is stored now."""
        return viewer is not None and viewer.credential_version == sign_in.credential_version and not viewer.disabled

    def forget(self, sign_in: SignIn) -> None:
        """Verify these credentials again at their next use."""
        self._cache.forget(sign_in)

    def close(self) -> None:
        """End the threads that compute hashes."""
        self._hasher.close()

    def _is_direct(self, headers: Mapping[str, str], peer: str | None) -> bool:
        """Whether a request comes from this machine itself, with no proxy in between."""
        local = self._addresses.is_local(peer) and not self._addresses.is_trusted(peer)
        return local and not any(name in headers for name in _HOPS)

    async def _by_token(self, token: service_tokens.Secret, client: str) -> SignIn:
        """The sign-in of a service token.

        A failure delays nobody, since nobody guesses 256 bits. It takes the same time whether there is a token with
        the selector or not.
        """
        key = self._cache.key(b"token", f"{token.selector} {token.secret}")
        sign_in = self._cache.get(key)
        if sign_in is not None:
            return sign_in
        if self._tokens is None:
            raise SignInRequired
        found = await self._tokens.service_token(token.selector)
        fits = service_tokens.fits(token, None if found is None else found.digest)
        if found is None or not (fits and found.is_valid and found.expires_at.timestamp() > time.time()):
            _log.info("sign_in_failed", client_address=client, principal_id=None)
            self._failures += 1
            raise SignInRequired
        await self._tokens.service_token_used(found.id)
        sign_in = SignIn(
            found.principal_id,
            found.credential_version,
            method="token",
            doors=frozenset({"api"}),
            scopes=found.scopes,
            service_token_id=found.id,
        )
        await self._record(SignInAttempt(True, found.principal_id, sign_in.method, None, client, found.id))
        return self._cache.put(key, sign_in, found.expires_at.timestamp())

    def _offers_basic(self, headers: Mapping[str, str], peer: str | None, tls: bool) -> bool:
        return basic.is_offered(headers, peer, self._addresses, tls=tls, insecure=self._basic_insecure)

    def _file_is_unchanged(self, sign_in: SignIn) -> bool:
        if sign_in.method != "htpasswd" or self._htpasswd is None:
            return True
        return sign_in.htpasswd_version == self._htpasswd.version()

    def _finished(self, key: bytes, task: asyncio.Task[SignIn]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            # All requests that waited may have ended; then no other code retrieves the exception.
            task.exception()

    async def _remote_user(self, name: str, client: str) -> SignIn:
        key = self._cache.key(b"remote user", name)
        sign_in = self._cache.get(key)
        if sign_in is not None:
            return sign_in
        login_key = _login_key(name)
        material = await self._directory.sign_in_material(login_key, None, "", "")
        if material.principal_id is None or not material.may_sign_in:
            await self._record(SignInAttempt(False, material.principal_id, "remote-user", None, client))
            raise SignInRequired("The proxy signed in somebody who is not known here.")
        await self._record(SignInAttempt(True, material.principal_id, "remote-user", None, client))
        return self._cache.put(key, SignIn(material.principal_id, material.credential_version, method="remote-user"))

    async def _decide(self, key: bytes, credentials: basic.Credentials, client: str) -> SignIn:
        attempt = _Attempt.of(key, credentials, client)
        async with self._slots.one():
            material = await self._material(attempt)
            if not material.throttle.slow or material.app_password is not None:
                return await self._judge(attempt, material)
        self._demand_allowed(attempt, material)
        account_key = throttle.key_of(material.principal_id, attempt.unknown_key)
        async with self._slow_lanes.turn(account_key), self._slots.one():
            return await self._judge(attempt, await self._material(attempt))

    async def _material(self, attempt: _Attempt) -> SignInMaterial:
        selector = app_passwords.selector(attempt.secret) if attempt.secret else None
        return await self._directory.sign_in_material(
            attempt.login_key, selector, attempt.address_key, attempt.unknown_key
        )

    def _state(self, material: SignInMaterial) -> _State:
        version = self._htpasswd.version() if self._htpasswd else 0
        return material.principal_id, material.credential_version, version

    def _demand_allowed(self, attempt: _Attempt, material: SignInMaterial) -> None:
        """Raises `SignInRequired` for credentials that are known to be wrong, `SignInDelayed` if earlier failures delay
        them.

        Failures on an account do not delay its app passwords, whose secrets cannot be guessed.
        """
        if self._known_wrong.get(attempt.key) == self._state(material):
            # A wrong password that is sent again tells an attacker nothing new, and apps send theirs for days.
            raise SignInRequired
        throttled = material.throttle
        wait = throttled.wait if material.app_password is None else throttled.address_wait
        if wait > 0:
            raise SignInDelayed(math.ceil(wait))

    async def _judge(self, attempt: _Attempt, material: SignInMaterial) -> SignIn:
        """Verify credentials, or count a failure. Raises `SignInRequired`, `SignInDelayed`."""
        state = self._state(material)
        self._demand_allowed(attempt, material)
        sign_in, expires_at = await self._verify(material, attempt.credentials, attempt.secret)
        account_key = throttle.key_of(material.principal_id, attempt.unknown_key)
        if sign_in is None:
            await self._count_failure(attempt, state, None if material.app_password is not None else account_key)
            raise SignInRequired
        if material.throttle.pair_failures:
            await self._directory.clear_failures(attempt.address_key, account_key)
        app = sign_in.app_password_id
        await self._record(SignInAttempt(True, sign_in.principal_id, sign_in.method, app, attempt.client))
        return self._cache.put(attempt.key, sign_in, expires_at)

    async def _verify(
        self, material: SignInMaterial, credentials: basic.Credentials, secret: str | None
    ) -> tuple[SignIn | None, float | None]:
        """The sign-in, and the time (`time.time`) when the credentials expire. Takes the same time for every name."""
        app = material.app_password
        stored = app.hash if app is not None else material.password_hash
        password = secret if app is not None and secret is not None else credentials.password
        result = await self._hasher.verify(stored if material.may_sign_in else None, password)
        principal_id = material.principal_id
        if result.fits and principal_id is not None:
            if app is not None:
                expires_at = app.expires_at.timestamp() if app.expires_at else None
                if app.revoked or (expires_at is not None and expires_at <= time.time()):
                    return None, None
                await self._directory.app_password_used(app.id)
                sign_in = SignIn(
                    principal_id, material.credential_version, app.id, method="app-password", doors=app.doors
                )
                return sign_in, expires_at
            if result.replacement is not None and stored is not None:
                await self._directory.replace_password_hash(principal_id, stored, result.replacement)
            return SignIn(principal_id, material.credential_version), None
        if self._htpasswd is not None:
            name = material.name if material.may_sign_in else None
            version = await self._htpasswd.verify(name, credentials.password)
            if version is not None and principal_id is not None:
                sign_in = SignIn(
                    principal_id,
                    material.credential_version,
                    method="htpasswd",
                    htpasswd_version=version,
                )
                return sign_in, None
        return None, None

    async def _record(self, attempt: SignInAttempt) -> None:
        if not self._recorded.is_new(attempt):
            return
        try:
            await self._directory.record_sign_in(attempt)
        except BaseException:
            self._recorded.forget(attempt)
            raise

    async def _count_failure(self, attempt: _Attempt, state: _State, account_key: str | None) -> None:
        _log.info("sign_in_failed", client_address=attempt.client, principal_id=state[0])
        await self._directory.record_failure(attempt.address_key, account_key, self._rules)
        await self._directory.record_sign_in(SignInAttempt(False, state[0], "password", None, attempt.client))
        while len(self._known_wrong) >= _KNOWN_WRONG:
            del self._known_wrong[next(iter(self._known_wrong))]
        self._known_wrong[attempt.key] = state
        self._failures += 1
        if self._failures % 100 == 0:
            await self._directory.forget_failures(self._rules.window)


def _login_key(login: str) -> str:
    """The name to look up; empty, which is nobody's name, if it is not a possible name."""
    return name_key(login.strip()) if len(login) <= MAX_LOGIN else ""
