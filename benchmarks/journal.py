"""What writes cost at a fixed rate, all included: `python -m benchmarks.journal --before COMMIT`.

Both servers get equal PUTs in turn, 200 a second. What counts is the CPU time of everything that belongs to the
server, over a turn and the second after it: the workers, what they do in the background, PostgreSQL with its autovacuum
and what ended meanwhile. Of both sides an idle turn of the same length is measured, too.
"""

from __future__ import annotations

import statistics
import time

import psutil

from benchmarks.events import put
from benchmarks.in_turn import Client, Request, Side, act, both_sides, options

RATE = 200
"""Writes a second."""
TURN = 10.0
"""Seconds."""
AFTER = 1.0
"""Seconds after a turn that belong to it."""
STORED = 200


def stored(client: Client, number: int) -> Request:
    """Store one of the events that are changed."""
    return put(client.person, f"stored-{number}", 0, new=True)


def changed(client: Client, number: int) -> Request:
    """Another text for an event."""
    return put(client.person, f"stored-{number % STORED}", number + 1)


def used(side: Side) -> float:
    """CPU seconds of a server and of all its processes, those that ended included."""
    total = 0.0
    for root in side.server.root_pids():
        parent = psutil.Process(root)
        for each in (parent, *parent.children(recursive=True)):
            try:
                times = each.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


def turn(side: Side, first: int) -> tuple[float, int]:
    """Write for a turn; returns the CPU seconds and the number of writes of each client."""
    step = len(side.clients) / RATE
    before, began, number = used(side), time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < TURN:
        time.sleep(max(0.0, number * step - elapsed))
        act(side.clients, changed, [first + number])
        number += 1
    time.sleep(AFTER)
    return used(side) - before, number


def idle(side: Side) -> float:
    """CPU seconds of a turn without writes."""
    before = used(side)
    time.sleep(TURN + AFTER)
    return used(side) - before


def main() -> None:
    """Measure in turn, and print the medians and the ratio."""
    asked = options(__doc__ or "", rounds=6)
    with both_sides(asked) as sides:
        for side in sides:
            act(side.clients, stored, range(STORED))
            turn(side, STORED)
        costs: list[list[float]] = [[], []]
        first = 10_000
        for _ in range(asked.rounds):
            for index, side in enumerate(sides):
                seconds, number = turn(side, first)
                costs[index].append(1000 * seconds / (number * len(side.clients)))
            first += 10_000
        resting = [idle(side) for side in sides]
    for side, found, rest in zip(sides, costs, resting, strict=True):
        share = 1000 * rest / (TURN + AFTER)
        print(f"{side.title:10} {statistics.median(found):.3f} ms of CPU a write, idle {share:.1f} ms a second")
    ratios = [now / before for before, now in zip(*costs, strict=True)]
    print(f"ratio      {statistics.median(ratios):.3f} of {len(ratios)}, {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
