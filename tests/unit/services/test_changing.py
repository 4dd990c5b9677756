"""The loop that repeats a write after a conflict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import NotFound, TooManyConflicts, WriteConflict
from server.services.changing import ATTEMPTS, change


class Store:
    """A number that others increase just before each of the first writes."""

    def __init__(self, rivals: int) -> None:
        self.value = self.reads = 0
        self.rivals = rivals

    async def read(self) -> int:
        self.reads += 1
        return self.value

    async def add_ten(self, seen: int) -> int:
        if self.rivals:
            self.rivals -= 1
            self.value += 1
        if seen != self.value:
            raise WriteConflict
        self.value += 10
        return self.value


@given(st.integers(0, ATTEMPTS - 1))
def test_a_write_is_decided_by_what_was_read_last(rivals: int) -> None:
    store = Store(rivals)
    assert asyncio.run(change(store.read, store.add_ten)) == rivals + 10 == store.value
    assert store.reads == rivals + 1


def test_it_gives_up_when_others_are_always_faster() -> None:
    store = Store(1000)
    with pytest.raises(TooManyConflicts) as raised:
        asyncio.run(change(store.read, store.add_ten))
    assert raised.value.retry_after == 1
    assert store.reads == store.value == ATTEMPTS


def test_other_errors_end_it() -> None:
    store = Store(0)

    async def refuse(_: int) -> None:
        raise NotFound

    with pytest.raises(NotFound):
        asyncio.run(change(store.read, refuse))
    assert store.reads == 1


async def test_a_repetition_reads_and_decides_in_its_turn() -> None:
    done: list[str] = []

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        done.append("turn")
        yield
        done.append("end")

    async def read() -> int:
        done.append("read")
        return 1

    async def decide(seen: int) -> int:
        done.append("decide")
        if "turn" in done:
            return seen
        error = WriteConflict()
        error.turn = turn
        raise error

    assert await change(read, decide) == 1
    assert done == ["read", "decide", "turn", "read", "decide", "end"]
