"""Passwords from an htpasswd file: bcrypt, argon2id, SHA-256 and SHA-512 crypt.

The unsalted and MD5 schemes of the format are not accepted; `htpasswd -B FILE NAME` makes an accepted line. The file is
read again when it has changed. Lines of people who are not in the database are ignored.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from server.auth import sha_crypt
from server.auth.passwords import MAX_LENGTH, PasswordHasher, prepare
from server.domain.errors import ConfigurationError
from server.domain.principals import name_key

MAX_SIZE = 64 << 20
"""Bytes of the file that are read at most."""
_INTERVAL = 1.0
"""Seconds between two checks whether the file has changed."""
_BCRYPT = ("$2a$", "$2b$", "$2y$")
_BCRYPT_MAX_COST = 16
_log = structlog.get_logger(__name__)
_Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Reading:
    """The content of one version of the file."""

    version: int
    hashes: Mapping[str, str]
    """Hashes by folded name."""
    nobodys: str
    """A hash that costs as much time as the first one of the file, for people who are not in the file."""


class HtpasswdFile:
    """The hashes of an htpasswd file. Raises `ConfigurationError` when made on a file that cannot be used."""

    def __init__(self, path: Path, hasher: PasswordHasher) -> None:
        self._path = path
        self._hasher = hasher
        self._looked = time.monotonic()
        self._version = 0
        self._reloading = asyncio.Lock()
        self._signature: _Signature | None = None
        try:
            self._signature = self._look()
            self._reading = self._read(self._version)
        except OSError as error:
            raise ConfigurationError(f"sign_in.htpasswd_file: cannot read {path}: {error.strerror}") from None

    def version(self) -> int:
        """Changes with the file: earlier verifications may no longer be valid. The file is checked at most once a
        second."""
        now = time.monotonic()
        if now - self._looked >= _INTERVAL:
            self._looked = now
            try:
                signature: _Signature | None = self._look()
            except OSError:
                signature = None
            if signature != self._signature:
                self._signature = signature
                self._version += 1
        return self._version

    async def verify(self, name: str | None, password: str) -> int | None:
        """The version of the file in which this is the person's password; None if it is not.

        Takes the same time for people who are not in the file, and for None.
        """
        reading = await self._current()
        stored = reading.hashes.get(name_key(name)) if name is not None else None
        fits = await asyncio.to_thread(_verify, self._hasher, stored or reading.nobodys, password)
        return reading.version if fits and stored is not None else None

    async def _current(self) -> _Reading:
        """The current content of the file. Attempts that find it changed wait until it has been read again."""
        async with self._reloading:
            version = self.version()
            if self._reading.version != version:
                self._reading = await asyncio.to_thread(self._reload, version)
            return self._reading

    def _look(self) -> _Signature:
        status = os.stat(self._path)
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _reload(self, version: int) -> _Reading:
        try:
            return self._read(version)
        except (OSError, ConfigurationError) as error:
            _log.warning("htpasswd_unreadable", path=str(self._path), reason=str(error))
            return _Reading(version, {}, self._reading.nobodys)

    def _read(self, version: int) -> _Reading:
        with open(self._path, "rb") as file:
            text = file.read(MAX_SIZE).decode("utf-8", "replace")
        hashes: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), 1):
            name, colon, stored = line.strip().partition(":")
            if not name or name.startswith("#"):
                continue
            problem = "no colon" if not colon else _problem(stored)
            if problem:
                _log.warning("htpasswd_line_ignored", path=str(self._path), line=number, why=problem)
                continue
            hashes[name_key(name)] = stored
        first = next(iter(hashes.values()), None)
        return _Reading(version, hashes, first or self._hasher.nobodys)


def _bcrypt() -> Callable[[bytes, bytes], bool]:
    try:
        check: Callable[[bytes, bytes], bool] = importlib.import_module("bcrypt").checkpw
    except ImportError:
        raise ConfigurationError(
            "sign_in.htpasswd_file: bcrypt hashes need the extra: pip install 'koyomi-server[htpasswd]'"
        ) from None
    return check


def _problem(stored: str) -> str:
    """Why a hash is not accepted; empty if it is accepted."""
    if stored.startswith(_BCRYPT):
        _bcrypt()
        cost = stored[4:6]
        if len(stored) != 60 or not cost.isdigit() or not 4 <= int(cost) <= _BCRYPT_MAX_COST:
            return "not a bcrypt hash of a cost that is accepted"
        return ""
    if stored.startswith("$argon2id$") or sha_crypt.understands(stored):
        return ""
    return "only bcrypt (htpasswd -B), argon2id, SHA-256 and SHA-512 crypt are accepted"


def _verify(hasher: PasswordHasher, stored: str, password: str) -> bool:
    prepared = prepare(password)
    if len(prepared) > MAX_LENGTH:
        return False
    if stored.startswith(_BCRYPT):
        try:
            # bcrypt reads 72 bytes, and refuses passwords with NUL.
            return _bcrypt()(prepared[:72], stored.encode())
        except ValueError:
            return False
    if sha_crypt.understands(stored):
        return sha_crypt.verify(stored, prepared)
    return hasher.verify_now(stored, password).fits
