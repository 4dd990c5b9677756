"""Tasks in the background go on after failures."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from server.domain.errors import Unavailable
from server.observe import background
from server.observe.background import run_forever


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.001)


async def run_until(name: str, step: Callable[[], Awaitable[object]], done: asyncio.Event) -> None:
    task = asyncio.create_task(run_forever(name, step))
    try:
        async with asyncio.timeout(30):
            await done.wait()
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert task.cancelled()


async def test_failures_are_logged_and_counted_and_the_next_step_follows() -> None:
    errors: list[Exception | None] = [ValueError("x"), Unavailable(), None, KeyError("y"), None]
    done = asyncio.Event()
    before = background.failures["test"]

    async def step() -> None:
        if not errors:
            done.set()
            await asyncio.sleep(60)
        error = errors.pop(0)
        if error is not None:
            raise error

    with capture_logs() as lines:
        await run_until("test", step, done)
    assert [(line["event"], line["task"], line["reason"], line["log_level"]) for line in lines] == [
        ("background_task_failed", "test", "ValueError", "error"),
        ("background_task_failed", "test", "Unavailable", "warning"),
        ("background_task_failed", "test", "KeyError", "error"),
    ]
    assert background.failures["test"] - before == 3


async def test_pauses_grow_with_repeated_failures_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LONGEST_PAUSE", 0.02)
    pauses: list[float] = []
    done = asyncio.Event()
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds <= background.LONGEST_PAUSE:  # what runs on elsewhere on this event loop waits for longer
            pauses.append(seconds)
            if len(pauses) == 8:
                done.set()
        await sleep(seconds)

    async def step() -> None:
        raise ValueError

    monkeypatch.setattr(asyncio, "sleep", noted)
    with capture_logs():
        await run_until("test", step, done)
    assert pauses[:6] == [0.001, 0.002, 0.004, 0.008, 0.016, 0.02]


def test_names_of_log_events_are_snake_case() -> None:
    """`server/observe/log.py` says how events are named; a name that is no constant would not be found here."""
    import ast
    import re
    from pathlib import Path

    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    wrong = []
    for folder in ("server", "storage_plugins"):
        for path in (Path(__file__).parents[2] / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                logger = node.func.value
                if node.func.attr not in levels or not (isinstance(logger, ast.Name) and logger.id in ("log", "_log")):
                    continue
                name = node.args[0] if node.args else None
                if not (isinstance(name, ast.Constant) and re.fullmatch(r"[a-z][a-z0-9_]*", str(name.value))):
                    wrong.append(f"{path.name}:{node.lineno}")
    assert wrong == []
