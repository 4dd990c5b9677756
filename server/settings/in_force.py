"""The settings of this server as administrators see them, without secrets."""

from __future__ import annotations

import json
from typing import Any

from pydantic import SecretStr

from server.services.system import SettingInForce
from server.settings.model import Settings, options

_WITH_CREDENTIALS = ("url", "database")
"""Ends of the names of options whose values may have a password in them, although they are no secrets as a whole."""


def in_force(settings: Settings) -> tuple[SettingInForce, ...]:
    """All settings, in the order of the reference. What may hold a password is left out."""
    dumped, defaults = settings.model_dump(mode="json"), Settings().model_dump(mode="json")
    return tuple(
        _in_force(name, _value(settings, name), _value(dumped, name), _value(defaults, name), field.description or "")
        for name, field in options().items()
    )


def _in_force(name: str, value: object, dumped: object, default: object, description: str) -> SettingInForce:
    secret = isinstance(value, SecretStr)
    given = value.get_secret_value() if isinstance(value, SecretStr) else dumped
    shown = "" if secret else dumped if isinstance(dumped, str) else json.dumps(dumped)
    if name.endswith(_WITH_CREDENTIALS) and "@" in shown:
        secret, shown = True, ""
    return SettingInForce(name, shown, not given if secret and not default else given == default, secret, description)


def _value(settings: Any, name: str) -> Any:
    for part in name.split("."):
        settings = settings[part] if isinstance(settings, dict) else getattr(settings, part)
    return settings
