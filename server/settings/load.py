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
from server.settings.model import PREFIX, Settings

DEFAULT_FILE = Path("config/koyomi.toml")
"""Read when it exists and no other file is named."""
_NOT_OPTIONS = re.compile(
    r"KOYOMI_(CONFIG|CI|TEST_\w+|(\w+_)?SERVICE_(HOST|PORT\w*)|(\w+_)?PORT_\d+_\w+)", re.IGNORECASE
)
"""Variables with our prefix that are no options: the file's path, those of the tests, and what Kubernetes sets for a
service named koyomi."""
_KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://")
"""Kubernetes also sets KOYOMI_PORT, to a URL, which is never a port of ours."""


def load(file: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """The settings of the file, the environment and the command line.

    `file` is the settings file; without it `KOYOMI_CONFIG` names one, else `config/koyomi.toml` is read if it exists.
    `overrides` are values by option name, of which None means not given. Raises `ConfigurationError`, whose message has
    a line for each wrong setting: its name, its value, where it came from and what is allowed.
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
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = [
            explain(str(each["loc"][0]) if each["loc"] else "", each["msg"], values, origins)
            for each in error.errors(include_input=False, include_context=False)
        ]
    raise ConfigurationError("\n".join(dict.fromkeys(lines)))


def _read(path: Path) -> dict[str, object]:
    """What a settings file says, by name."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigurationError(f"The settings file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"The settings file {path} is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"The settings file {path} is not TOML: {error}") from None


def _environment() -> dict[str, object]:
    """What the environment says, by option name."""
    return {
        variable.removeprefix(PREFIX).lower(): value
        for variable, value in os.environ.items()
        if variable.startswith(PREFIX)
        and not _NOT_OPTIONS.fullmatch(variable)
        and not (variable == "KOYOMI_PORT" and _KUBERNETES_PORT.match(value))
    }
