from __future__ import annotations

import pytest

from server.domain.errors import MailDelayed
from server.observe.breakers import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, PATIENCE, Breaker


class Gauge:
    value = -1.0

    def set(self, value: float) -> None:
        self.value = value


class World:
    """A service with its breaker, and a clock that only tests move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.gauge = Gauge()
        self.breaker = Breaker("service", self.gauge, MailDelayed, lambda: self.now)

    def call(self, error: Exception | None = None) -> None:
        with self.breaker.call(OSError):
            self.asked += 1
            if error is not None:
                raise error

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(OSError):
                self.call(OSError())


@pytest.fixture
def world() -> World:
    return World()


def test_it_opens_after_failures_in_a_row_and_calls_fail_at_once(world: World) -> None:
    world.fail(FAILURES - 1)
    world.call()
    world.fail(FAILURES - 1)
    assert world.gauge.value == 1
    world.fail()
    assert world.gauge.value == 0
    asked = world.asked
    with pytest.raises(MailDelayed, match="service"):
        world.call()
    assert world.asked == asked


def test_one_call_is_let_through_after_a_pause_and_closes_it(world: World) -> None:
    world.fail(FAILURES)
    world.now += FIRST_PAUSE
    with world.breaker.call(OSError), pytest.raises(MailDelayed):
        world.call()
    assert world.gauge.value == 1
    world.call()


def test_pauses_grow_up_to_the_longest(world: World) -> None:
    world.fail(FAILURES)
    pause = FIRST_PAUSE
    for _ in range(10):
        world.now += pause * 0.99
        with pytest.raises(MailDelayed):
            world.call()
        world.now += pause * 0.011
        world.fail()
        pause = min(2 * pause, LONGEST_PAUSE)
    assert pause == LONGEST_PAUSE
    world.now += LONGEST_PAUSE
    world.call()
    world.fail(FAILURES)
    world.now += FIRST_PAUSE
    world.call()


def test_other_errors_are_answers(world: World) -> None:
    for _ in range(FAILURES + 1):
        with pytest.raises(ZeroDivisionError):
            world.call(ZeroDivisionError())
    world.fail(FAILURES)
    world.now += FIRST_PAUSE
    with pytest.raises(ZeroDivisionError):
        world.call(ZeroDivisionError())
    assert world.gauge.value == 1


def test_a_call_that_was_cancelled_lets_the_next_one_find_out(world: World) -> None:
    world.fail(FAILURES)
    world.now += FIRST_PAUSE
    with pytest.raises(KeyboardInterrupt), world.breaker.call(OSError):
        raise KeyboardInterrupt
    world.call()
    assert world.gauge.value == 1


def test_a_call_that_never_ends_does_not_keep_others_away_for_ever(world: World) -> None:
    world.fail(FAILURES)
    world.now += FIRST_PAUSE
    hanging = world.breaker.call(OSError)
    hanging.__enter__()
    with pytest.raises(MailDelayed):
        world.call()
    world.now += PATIENCE
    world.call()
