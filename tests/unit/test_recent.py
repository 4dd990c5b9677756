"""What was met lately counts once, for a time and within bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.domain.recent import Recent


@given(st.lists(st.tuples(st.floats(0, 4), st.integers(0, 5)), max_size=60), st.integers(1, 4))
def test_a_key_is_new_once_in_its_time_unless_others_displace_it(steps: list[tuple[float, int]], most: int) -> None:
    now = 0.0
    recent = Recent[int](5.0, most, lambda: now)
    counted: dict[int, float] = {}
    order: list[int] = []
    for pause, key in steps:
        now += pause
        new = recent.is_new(key)
        expected = key not in counted or now - counted[key] >= 5.0
        assert new == expected
        if new:
            if key in order:
                order.remove(key)
            elif len(order) == most:
                counted.pop(order.pop(0))
            order.append(key)
            counted[key] = now
        assert len(recent._met) <= most


def test_what_is_forgotten_is_new_again() -> None:
    recent = Recent[str](5.0, 2)
    assert recent.is_new("a")
    assert not recent.is_new("a")
    recent.forget("a")
    recent.forget("never met")
    assert recent.is_new("a")
