"""Structured logs: one event a line, for people or as JSON, from every process to standard error.

A module logs with `log = structlog.get_logger()` and `log.info("user_signed_in", principal=7)`: the event's name is a
constant in snake case, everything that varies goes into fields. Each name is logged in one place, where the code around
it says what it means. Fields hold ids, never passwords, texts of events or cards, or addresses of people.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Literal, TextIO

import structlog

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the current request; it is a field of every line that is logged for it."""

_WITHHELD = frozenset({"password", "authorization", "cookie", "database", "credentials", "secret"})


def configure(
    level: Literal["debug", "info", "warning", "error"],
    line_format: Literal["auto", "console", "json"],
    stream: TextIO | None = None,
) -> None:
    """Set up the logs of this process, the libraries' own included; the arguments are settings of these names."""
    stream = stream or sys.stderr
    console = line_format == "console" or (line_format == "auto" and stream.isatty())
    threshold: int = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        _add_request_id,
        _withhold,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if console:
        # plain tracebacks: the pretty ones show the values of variables
        final = [
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), repr_native_str=True, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # libraries say more than wanted below warnings; our own code that logs through `logging` keeps to the level
    root.setLevel(max(threshold, logging.WARNING))
    for name in ("server", "storage_plugins"):
        logging.getLogger(name).setLevel(threshold)


def _add_request_id(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if current := request_id.get():
        event.setdefault("request_id", current)
    return event


def _withhold(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A second check that no secret is logged."""
    for key in _WITHHELD & event.keys():
        event[key] = "(not shown)"
    return event
