"""Computing off the event loop: a bounded number of threads, a deadline, and errors of the work itself."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from server.calendar.work import Work, until
from server.domain.errors import BadRequest, TooManyInstances, Unavailable
from server.process import computing
from server.process.computing import THREADS, computed


async def test_the_number_of_threads_is_bounded() -> None:
    release = threading.Event()
    lock = threading.Lock()
    running: list[int] = []
    most = 0

    def work(number: int) -> int:
        nonlocal most
        with lock:
            running.append(number)
            most = max(most, len(running))
        release.wait(10)
        with lock:
            running.remove(number)
        return number

    tasks = [asyncio.create_task(computed(work, number)) for number in range(2 * THREADS)]
    while most < THREADS:
        await asyncio.sleep(0.001)
    release.set()
    assert await asyncio.gather(*tasks) == list(range(2 * THREADS))
    assert most == THREADS


async def test_what_finds_no_thread_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    blocking = [asyncio.create_task(computed(release.wait, 10)) for _ in range(THREADS)]
    await asyncio.sleep(0)
    monkeypatch.setattr(computing, "DEADLINE", 0.05)
    monkeypatch.setattr(computing, "_GRACE", 0.0)
    began: list[bool] = []
    with pytest.raises(Unavailable):
        await computed(began.append, True)
    release.set()
    await asyncio.gather(*blocking)
    assert began == [], "what was given up is not computed later"


async def test_a_recurrence_stops_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "DEADLINE", 0.05)
    monkeypatch.setattr(computing, "_GRACE", 30.0)

    def spend_for_ever() -> None:
        work = Work(10**12)
        while True:
            work.spend(100)

    with pytest.raises(TooManyInstances):
        await computed(spend_for_ever)


def test_the_deadline_holds_inside_only() -> None:
    with until(time.monotonic() - 1), pytest.raises(TooManyInstances):
        Work(100_000).spend(50_000)
    Work(100_000).spend(50_000)


async def test_errors_of_the_work_are_raised() -> None:
    def refuse() -> None:
        raise BadRequest("no")

    with pytest.raises(BadRequest, match="no"):
        await computed(refuse)
