"""Loads settings from the file, the environment and the command line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from server.domain.errors import ConfigurationError
from server.settings.explain import explain
from server.settings.model import PREFIX, Settings, parts

DEFAULT_FILE = Path("config/koyomi.toml")
"""Read when it exists and no other file is named."""
_NOT_OPTIONS = re.compile(
    r"KOYOMI_(CONFIG|CI|TEST_\w+|(\w+_)?SERVICE_(HOST|PORT\w*)|(\w+_)?PORT_\d+_\w+)", re.IGNORECASE
)
"""Variables with our prefix that are no options: the file's path, those of the tests, and what Kubernetes sets for
services whose names begin with koyomi."""
_KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://")
"""For these services Kubernetes also sets variables ending with PORT, to a URL, which is never a port of ours."""


def load(file: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """The settings of the file, the environment and the command line.

    `file` is the settings file; without it `KOYOMI_CONFIG` names one, else `config/koyomi.toml` is read if it exists.
    `overrides` are values by option name, as `network.port`, of which None means not given. Raises
    `ConfigurationError`, whose message has a line for each wrong setting: its name, its value, where it came from and
    what is allowed.
    """
    named = file or (Path(os.environ["KOYOMI_CONFIG"]) if os.environ.get("KOYOMI_CONFIG") else None)
    path = named or DEFAULT_FILE
    given = {
        str(path): _read(path) if named or path.exists() else {},
        "environment": _environment(),
        "command line": {name: value for name, value in (overrides or {}).items() if value is not None},
    }
    origins = {name: origin for origin, values in given.items() for name in values}
    values = {name: value for part in given.values() for name, value in part.items()}
    try:
        return Settings.model_validate(nested(values))
    except ValidationError as error:
        lines = [
            explain(_option_at(each["loc"]), each["msg"], values, origins)
            for each in error.errors(include_input=False, include_context=False)
        ]
    raise ConfigurationError("\n".join(dict.fromkeys(lines)))


def _option_at(location: tuple[int | str, ...]) -> str:
    """The name of the option, or of what was taken for one, at a place in the nested values."""
    depth = 1
    while ".".join(str(step) for step in location[:depth]) in parts() and depth < len(location):
        depth += 1
    return ".".join(str(step) for step in location[:depth])


def nested(values: Mapping[str, object]) -> dict[str, object]:
    """Values by option name as the model takes them: a mapping for each part."""
    nested: dict[str, object] = {}
    tables: dict[str, dict[str, object]] = {}
    for part in parts():
        above, _, name = part.rpartition(".")
        tables[part] = tables.get(above, nested)[name] = {}
    for name, value in values.items():
        part, _, option = name.rpartition(".")
        if part in tables and name not in tables:
            tables[part][option] = value
        elif name in tables:
            above, _, last = name.rpartition(".")
            tables.get(above, nested)[last] = value
        else:
            nested[name] = value
    return nested


def _read(path: Path) -> dict[str, object]:
    """What a settings file says, by option name."""
    try:
        tables = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigurationError(f"The settings file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"The settings file {path} is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"The settings file {path} is not TOML: {error}") from None
    return _by_option(tables)


def _by_option(tables: Mapping[str, object], above: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in tables.items():
        if f"{above}{name}" in parts() and isinstance(value, dict):
            found |= _by_option(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found


def _environment() -> dict[str, object]:
    """What the environment says, by option name; of a variable that is no option the part stays undivided."""
    return {
        _option_of(variable): value
        for variable, value in os.environ.items()
        if variable.startswith(PREFIX)
        and not _NOT_OPTIONS.fullmatch(variable)
        and not (variable.endswith("PORT") and _KUBERNETES_PORT.match(value))
    }


def _option_of(variable: str) -> str:
    name = variable.removeprefix(PREFIX).lower()
    begun = {part: f"{part.replace('.', '_')}_" for part in parts()}
    part = max((part for part, text in begun.items() if name.startswith(text)), key=len, default=None)
    return name if part is None else f"{part}.{name.removeprefix(begun[part])}"
