"""What every command shares: the options that say which data it works on, and the settings that follow."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def with_settings(*overriding: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command `--config`, `--data` and `--database`, and `settings` as its first argument.

    Parameters of the command named in `overriding` are options of the settings: they go there instead of to the
    command. The command may be a coroutine function. A wrong setting raises `ConfigurationError`.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.option("--config", type=click.Path(path_type=Path), help="The settings file.  [config/koyomi.toml]")
        @click.option("--data", metavar="DIR", help="Folder of the embedded PostgreSQL and all else.  [var]")
        @click.option("--database", metavar="URL", help="Use this PostgreSQL database instead of the embedded one.")
        @functools.wraps(command)
        def run(config: Path | None, **arguments: Any) -> Any:
            from server import settings as model

            overrides = {name: arguments.pop(name) for name in ("data", "database", *overriding)}
            settings = model.load(config, overrides)
            result = command(settings, **arguments)
            return asyncio.run(result) if inspect.iscoroutine(result) else result

        return run

    return decorate
