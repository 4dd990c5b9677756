"""Free time, against a count of minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.booking.free_time import (
    Period,
    ceiled,
    conflict,
    crowded,
    free_until,
    merged,
    next_free,
)

DAY = datetime(2027, 1, 4, 8, tzinfo=UTC)
MINUTES = st.integers(0, 120)
PERIODS = st.lists(st.tuples(MINUTES, MINUTES), max_size=8)


def at(minute: int) -> datetime:
    return DAY + timedelta(minutes=minute)


def periods(pairs: list[tuple[int, int]]) -> list[Period]:
    return [(at(start), at(end)) for start, end in pairs]


def running(pairs: list[tuple[int, int]], minute: int) -> int:
    return sum(start <= minute < end for start, end in pairs)


def runs(minutes: list[bool]) -> list[Period]:
    """The stretches of minutes for which something holds."""
    found: list[Period] = []
    for minute, holds in enumerate(minutes):
        if holds and found and found[-1][1] == at(minute):
            found[-1] = found[-1][0], at(minute + 1)
        elif holds:
            found.append((at(minute), at(minute + 1)))
    return found


@given(PERIODS, st.integers(1, 4))
def test_a_pool_is_taken_when_all_its_pieces_are(pairs: list[tuple[int, int]], count: int) -> None:
    assert crowded(periods(pairs), count) == runs([running(pairs, minute) >= count for minute in range(121)])


@given(PERIODS, MINUTES, st.integers(1, 60), MINUTES, st.sampled_from([1, 5, 15]))
def test_the_next_free_slot_is_the_first_of_all(
    pairs: list[tuple[int, int]], start: int, length: int, until: int, step: int
) -> None:
    def free(minute: int) -> bool:
        return not any(running(pairs, each) for each in range(minute, minute + length))

    starts = [start, *(minute for minute in range(start + 1, 240) if minute % step == 0)]
    first = next((each for each in starts if each + length <= until and free(each)), None)
    found = next_free(merged(periods(pairs)), at(start), timedelta(minutes=length), at(until), timedelta(minutes=step))
    assert found == (None if first is None else (at(first), at(first + length)))


@given(PERIODS, MINUTES, st.integers(1, 60))
def test_a_conflict_is_the_first_run_of_taken_minutes(pairs: list[tuple[int, int]], start: int, length: int) -> None:
    taken = merged(periods(pairs))
    clashes = [run for run in runs([running(pairs, minute) > 0 for minute in range(121)]) if run[1] > at(start)]
    expected = clashes[0] if clashes and clashes[0][0] < at(start + length) else None
    assert conflict(taken, at(start), at(start + length)) == expected
    assert free_until(taken, at(start)) == (max(clashes[0][0], at(start)) if clashes else None)


def test_a_time_is_rounded_up_to_the_quarter_of_an_hour() -> None:
    quarter = timedelta(minutes=15)
    assert ceiled(at(0), quarter) == at(0)
    assert ceiled(at(1), quarter) == at(15)
    assert ceiled(at(15) + timedelta(seconds=1), quarter) == at(30)
