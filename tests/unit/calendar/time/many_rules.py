"""The engine against the brute-force evaluation for very many rules, on all processors.

    python -m tests.unit.calendar.time.many_rules 100000

Rules come from a seeded generator without hypothesis, whose bookkeeping would cost more than the comparison.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
from datetime import datetime, timedelta

from server.calendar.recurrence import Series
from server.calendar.rrule import Frequency, RecurrenceRule
from server.calendar.work import Work
from tests.unit.calendar.time.brute_force import instances

REACH = {
    Frequency.YEARLY: timedelta(days=366 * 5),
    Frequency.MONTHLY: timedelta(days=700),
    Frequency.WEEKLY: timedelta(days=400),
    Frequency.DAILY: timedelta(days=300),
    Frequency.HOURLY: timedelta(days=20),
    Frequency.MINUTELY: timedelta(days=1),
    Frequency.SECONDLY: timedelta(hours=1),
}


def random_rule(chance: random.Random) -> RecurrenceRule:
    """As the strategy `rules`."""
    freq = chance.choice(list(Frequency))

    def numbers(rarity: int, least: int, greatest: int, most: int, *, signed: bool = False) -> tuple[int, ...]:
        if chance.randrange(rarity):
            return ()
        found = {chance.randint(least, greatest) for _ in range(chance.randint(1, most))}
        return tuple(sorted({-number if signed and chance.random() < 0.4 else number for number in found}))

    ordinals = {
        Frequency.MONTHLY: (0, 0, 1, 2, 3, 4, 5, -1, -2, -5),
        Frequency.YEARLY: (0, 0, 1, 2, 5, 20, 52, 53, -1, -2, -53),
    }.get(freq, (0,))
    longest = {Frequency.YEARLY: 4, Frequency.SECONDLY: 100_000, Frequency.MINUTELY: 5_000}.get(freq, 40)
    pairs = {(chance.choice(ordinals), chance.randrange(7)) for _ in range(chance.randint(1, 5))}
    return RecurrenceRule(
        freq=freq,
        interval=chance.choice((1, 1, chance.randint(1, 4), chance.randint(1, longest))),
        count=chance.choice((None, None, chance.randint(1, 40))),
        by_month=numbers(4, 1, 12, 4),
        by_week_no=numbers(5 if freq is Frequency.YEARLY else 16, 1, 53, 4, signed=True),
        by_year_day=numbers(6, 1, 366, 6, signed=True),
        by_month_day=numbers(4, 1, 31, 5, signed=True),
        by_day=tuple(sorted(pairs)) if chance.random() < 0.5 else (),
        by_hour=numbers(4, 0, 23, 4),
        by_minute=numbers(5, 0, 59, 4),
        by_second=numbers(6, 0, 59, 4),
        by_set_pos=numbers(4, 1, chance.choice((6, 366)), 3, signed=True),
        wkst=chance.choice((0, 0, 6, 5, 2)),
    )


def compare(seed: int) -> str | None:
    """What differs for the rule of a seed: from the start, and in a window somewhere."""
    chance = random.Random(seed)
    rule = random_rule(chance)
    start = datetime(1901, 1, 1) + timedelta(seconds=chance.randrange(250 * 366 * 86400))
    end = start + REACH[rule.freq]
    expected = instances(rule, start, end)
    begin, finish = sorted(start + (end - start) * chance.random() for _ in range(2))
    begin, finish = begin.replace(microsecond=0), finish.replace(microsecond=0)
    for first, last in ((start, end), (begin, finish)):
        ours = list(Series(rule, start, None, Work(10**7)).between(first, last))
        if ours != [time for time in expected if first <= time < last]:
            return f"seed {seed}: {rule} from {start} in {first} to {last}"
    return None


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with multiprocessing.Pool() as pool:
        differences = [found for found in pool.imap_unordered(compare, range(number), chunksize=200) if found]
    print(*differences[:20], f"{number} rules compared, {len(differences)} differ", sep="\n")
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
