"""A directory of a few people in memory, and a hasher that counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from server.auth.passwords import PasswordHasher, Verification
from server.storage.sign_in import AppPasswordHash, SignInAttempt, SignInMaterial, Throttle, ThrottleRules


@dataclass
class Person:
    id: int
    name: str
    password_hash: str | None = None
    version: int = 0
    may: bool = True
    app_passwords: dict[str, AppPasswordHash] = field(default_factory=dict)


class DirectoryInMemory:
    def __init__(self, *people: Person) -> None:
        self.people = {person.name: person for person in people}
        self.failures: Counter[tuple[str, str]] = Counter()
        self.wait = 0.0
        self.slow = False
        self.reads = 0
        self.used: list[int] = []
        self.recorded: list[SignInAttempt] = []

    async def sign_in_material(
        self, login_key: str, selector: str | None, address_key: str, unknown_account_key: str
    ) -> SignInMaterial:
        self.reads += 1
        person = self.people.get(login_key)
        key = unknown_account_key if person is None else str(person.id)
        throttle = Throttle(0.0, self.wait, self.failures["pair", f"{key} {address_key}"], self.slow)
        if person is None:
            return SignInMaterial(None, throttle=throttle)
        if not person.may:
            return SignInMaterial(person.id, person.version, False, person.name, throttle=throttle)
        app = person.app_passwords.get(selector or "")
        return SignInMaterial(person.id, person.version, True, person.name, person.password_hash, app, throttle)

    async def record_failure(self, address_key: str, account_key: str | None, rules: ThrottleRules) -> None:
        self.failures["address", address_key] += 1
        if account_key is not None:
            self.failures["account", account_key] += 1
            self.failures["pair", f"{account_key} {address_key}"] += 1

    async def record_sign_in(self, attempt: SignInAttempt) -> None:
        self.recorded.append(attempt)

    async def clear_failures(self, address_key: str, account_key: str) -> None:
        del self.failures["pair", f"{account_key} {address_key}"]

    async def forget_failures(self, window: float) -> int:
        return 0

    async def replace_password_hash(self, principal_id: int, old: str, new: str) -> None:
        for person in self.people.values():
            if person.id == principal_id and person.password_hash == old:
                person.password_hash = new

    async def app_password_used(self, app_password_id: int) -> None:
        self.used.append(app_password_id)


class CountingHasher(PasswordHasher):
    """Cheap parameters; counts the hashes that are computed to verify."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**{"time_cost": 1, "memory_cost": 64, **parameters})
        self.computed = 0
        self.at_once = 0
        self.most_at_once = 0

    def verify_now(self, stored: str | None, password: str) -> Verification:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return super().verify_now(stored, password)
        finally:
            self.at_once -= 1

    def _fits(self, stored: str, prepared: bytes) -> bool:
        self.computed += 1
        return super()._fits(stored, prepared)
