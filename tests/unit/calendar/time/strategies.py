"""Hypothesis strategies for rules and starts."""

from __future__ import annotations

from datetime import datetime

from hypothesis import strategies as st

from server.calendar.rrule import Frequency, RecurrenceRule


def numbers(least: int, greatest: int, most: int, *, signed: bool = False) -> st.SearchStrategy[tuple[int, ...]]:
    one = st.integers(least, greatest)
    if signed:
        one = one | one.map(lambda number: -number)
    return st.lists(one, min_size=1, max_size=most).map(lambda found: tuple(sorted(set(found))))


def maybe(strategy: st.SearchStrategy[tuple[int, ...]], weight: int = 2) -> st.SearchStrategy[tuple[int, ...]]:
    """Mostly nothing: rules with every part match nothing."""
    return st.integers(0, weight).flatmap(lambda drawn: strategy if drawn == 0 else st.just(()))


def weekday_numbers(ordinals: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[tuple[int, int], ...]]:
    pair = st.tuples(ordinals, st.integers(0, 6))
    return st.lists(pair, min_size=1, max_size=5).map(lambda found: tuple(sorted(set(found))))


def whole_second(time: datetime) -> datetime:
    """The time without parts of a second, and the first of two with the same local time."""
    return time.replace(microsecond=0, fold=0)


starts = st.datetimes(datetime(1901, 1, 1), datetime(2150, 12, 31)).map(whole_second)


@st.composite
def rules(draw: st.DrawFn, freqs: tuple[Frequency, ...] = tuple(Frequency)) -> RecurrenceRule:
    freq = draw(st.sampled_from(freqs))
    ordinals = st.just(0)
    if freq is Frequency.MONTHLY:
        ordinals = st.sampled_from((0, 0, 1, 2, 3, 4, 5, -1, -2, -5))
    elif freq is Frequency.YEARLY:
        ordinals = st.sampled_from((0, 0, 1, 2, 5, 20, 52, 53, -1, -2, -53))
    longest = {Frequency.YEARLY: 4, Frequency.SECONDLY: 100_000, Frequency.MINUTELY: 5_000}.get(freq, 40)
    return RecurrenceRule(
        freq=freq,
        interval=draw(st.just(1) | st.integers(1, 4) | st.integers(1, longest)),
        count=draw(st.none() | st.none() | st.integers(1, 40)),
        by_month=draw(maybe(numbers(1, 12, 4), 3)),
        by_week_no=draw(maybe(numbers(1, 53, 4, signed=True), 4 if freq is Frequency.YEARLY else 15)),
        by_year_day=draw(maybe(numbers(1, 366, 6, signed=True), 5)),
        by_month_day=draw(maybe(numbers(1, 31, 5, signed=True), 3)),
        by_day=draw(st.just(()) | weekday_numbers(ordinals)),
        by_hour=draw(maybe(numbers(0, 23, 4), 3)),
        by_minute=draw(maybe(numbers(0, 59, 4), 4)),
        by_second=draw(maybe(numbers(0, 59, 4), 5)),
        by_set_pos=draw(maybe(numbers(1, 6, 3, signed=True) | numbers(1, 366, 3, signed=True), 3)),
        wkst=draw(st.sampled_from((0, 0, 6, 5, 2))),
    )
