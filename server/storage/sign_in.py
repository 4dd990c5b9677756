"""The protocol for signing in: credentials, and failed attempts, which delay further ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from server.domain.scopes import Door

FailureScope = Literal["address", "account", "pair"]
"""The counters of failed sign-ins: for a client address, an account, and an account from one address."""


@dataclass(frozen=True, slots=True)
class AppPasswordHash:
    """The app password with a selector, which is the first group of its secret."""

    id: int
    hash: str
    expires_at: datetime | None
    revoked: bool = False
    doors: frozenset[Door] = frozenset({"apps"})


@dataclass(frozen=True, slots=True)
class Throttle:
    """The delays and counts of failures for an attempt to sign in to an account from an address."""

    address_wait: float = 0.0
    """Seconds until the next attempt from this address is allowed on any account; 0 now."""
    pair_wait: float = 0.0
    """The same for this account from this address."""
    pair_failures: int = 0
    """Failures on this account from this address."""
    slow: bool = False
    """Whether the account is in the slow lane: there were too many failures from all addresses together."""

    @property
    def wait(self) -> float:
        """Seconds until the next attempt with a password is allowed; 0 now."""
        return max(self.address_wait, self.pair_wait)


@dataclass(frozen=True, slots=True)
class SignInMaterial:
    """All data for the decision on an attempt to sign in, read by one statement.

    `principal_id` is None, and the fields after it are empty, if nobody has the name or address. Hashes are set only
    for people who are not disabled.
    """

    principal_id: int | None
    credential_version: int = 0
    may_sign_in: bool = False
    """Whether this is a person and not disabled."""
    name: str = ""
    password_hash: str | None = None
    app_password: AppPasswordHash | None = None
    throttle: Throttle = Throttle()


@dataclass(frozen=True, slots=True)
class ThrottleRules:
    """How failed attempts to sign in are slowed down.

    Failures from one address never delay an account for other addresses, unless `slow_lane_failures` is set lower than
    `failures_per_account`.
    """

    delay: float = 1.0
    """Seconds to wait after the third failure on an account from one address; doubles with each further one. In the
    slow lane, seconds that each attempt takes."""
    max_delay: float = 300.0
    """The longest such wait, in seconds."""
    failures_per_account: int = 30
    """Failures on one account from one address after which the account refuses the address, until they are
    forgotten."""
    slow_lane_failures: int = 100
    """Failures on one account from all addresses after which it is in the slow lane until they are forgotten: an
    address that failed there is refused, and attempts from others are decided one after the other."""
    failures_per_address: int = 100
    """Failures from one client address after which it is refused until they are forgotten."""
    window: float = 900.0
    """Seconds after the first failure in which further ones are added; then all are forgotten."""

    def limit(self, scope: FailureScope) -> int:
        """Failures after which all attempts are refused."""
        limits = {
            "account": self.slow_lane_failures,
            "address": self.failures_per_address,
            "pair": self.failures_per_account,
        }
        return limits[scope]

    def waits(self, scope: FailureScope) -> list[float]:
        """Seconds to wait after the first, second, ... failure, up to the longest wait.

        Many people may share a client address, and some mistype: waits for an address begin at a tenth of its limit (at
        most at 50 failures). Failures on an account from all addresses cause no waits, only the slow lane.
        """
        if scope == "account":
            return [0.0]
        first = 3 if scope == "pair" else max(3, min(self.failures_per_address // 10, 50))
        waits = [0.0] * (min(first, self.limit(scope)) - 1)
        step = self.delay
        while 0 < step < self.max_delay:
            waits.append(step)
            step *= 2
        return [*waits, self.max_delay if step else 0.0]


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """An attempt to sign in whose credentials were verified, for the journal."""

    succeeded: bool
    principal_id: int | None
    """None: nobody has the name."""
    method: str
    app_password_id: int | None
    address: str
    """The client's address."""
    service_token_id: int | None = None


@runtime_checkable
class SignIns(Protocol):
    """Reads and writes for signing in."""

    async def sign_in_material(
        self, login_key: str, selector: str | None, address_key: str, unknown_account_key: str
    ) -> SignInMaterial:
        """The person with this name or address (a `name_key`), and the failures that delay the attempt; one statement.

        `selector` is the first group of an app password's secret, if the attempt has one. The failures of an account
        that does not exist are those of `unknown_account_key`.
        """

    async def record_failure(self, address_key: str, account_key: str | None, rules: ThrottleRules) -> None:
        """Count a failed attempt for the address, and for the account unless it is None.

        Concurrent attempts are all counted.
        """

    async def record_sign_in(self, attempt: SignInAttempt) -> None:
        """Record an attempt in the journal."""

    async def clear_failures(self, address_key: str, account_key: str) -> None:
        """Delete the failures on an account from one address, after its owner has signed in from there."""

    async def forget_failures(self, window: float) -> int:
        """Delete counters that have ended, after `window` seconds. Returns their number."""

    async def replace_password_hash(self, principal_id: int, old: str, new: str) -> None:
        """Store a hash with newer parameters of the same password, unless the password was changed meanwhile."""

    async def app_password_used(self, app_password_id: int) -> None:
        """Note that an app password was used."""
