"""Options that all commands share: they select the data, and the command gets the settings."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from server.settings.model import Settings


def with_serving_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `koyomi serve`, and `settings` as its only argument."""

    @click.option("--host", help="Address to listen on.  [127.0.0.1]")
    @click.option("--port", help="Port to listen on; 0 lets the system choose.  [5232]")
    @click.option("--workers", metavar="N", help="Processes that serve requests.  [one for each core]")
    @with_settings("network.host", "network.port", "network.workers")
    @functools.wraps(command)
    def run(settings: Settings) -> Any:
        return command(settings)

    return run


def with_settings(*overriding: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command `--config`, `--data` and `--database`, and `settings` as its first argument.

    `overriding` names options of the settings, as `network.port`. The command's parameters of these names (`port`) go
    there instead of to the command. The command may be a coroutine function. A wrong setting raises
    `ConfigurationError`.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.option("--config", type=click.Path(path_type=Path), help="The settings file.  [config/koyomi.toml]")
        @click.option("--data", metavar="DIR", help="Folder of the embedded PostgreSQL and all else.  [var]")
        @click.option("--database", metavar="URL", help="Use this PostgreSQL database instead of the embedded one.")
        @functools.wraps(command)
        def run(config: Path | None, **arguments: Any) -> Any:
            from server.settings.load import load

            names = ("storage.data", "storage.database", *overriding)
            overrides = {name: arguments.pop(name.rpartition(".")[2]) for name in names}
            settings = load(config, overrides)
            result = command(settings, **arguments)
            return asyncio.run(result) if inspect.iscoroutine(result) else result

        return run

    return decorate
