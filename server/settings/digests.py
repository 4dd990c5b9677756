"""Digests of settings, by which a server tells which of them have changed since it was started last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from server.settings.model import Settings, options

_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1}
"""About 50 ms for each secret: somebody who reads the digests must not find out a short password by guessing."""


def digests(settings: Settings, salt: bytes) -> dict[str, str]:
    """A digest of the value of each option, in hexadecimal digits."""
    dumped = settings.model_dump(mode="json")
    return {name: _digest(name, _value(settings, name), _value(dumped, name), salt) for name in options()}


def changed(settings: Settings, before: Mapping[str, str], salt: bytes) -> list[str]:
    """The names of the options whose values are not those of the digests `before`, in order. An option that was not
    there before had its default."""
    now, defaults = digests(settings, salt), digests(Settings(), salt)
    return sorted(name for name, digest in now.items() if before.get(name, defaults[name]) != digest)


def _digest(name: str, value: object, dumped: object, salt: bytes) -> str:
    secret = value.get_secret_value() if isinstance(value, SecretStr) else ""
    said = json.dumps([name, secret or dumped], sort_keys=True).encode()
    return (hashlib.scrypt(said, salt=salt, **_SCRYPT) if secret else hashlib.sha256(salt + said).digest()).hex()


def _value(settings: Any, name: str) -> Any:
    for part in name.split("."):
        settings = settings[part] if isinstance(settings, dict) else getattr(settings, part)
    return settings
