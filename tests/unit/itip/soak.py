"""Plays many conversations about a meeting in all processors (`make soak`); ends with 1 if copies disagree in one.

    python -m tests.unit.itip.soak --conversations 1000000 [--first SEED] [--bytes 80] [--further-edits]

Conversation N is that of the seed N: a failure names it, with the bytes for an `@example` in `test_meeting_machine`.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from tests.unit.itip.further_edits import FurtherEdits
from tests.unit.itip.meeting_machine import MeetingMachine

_BATCH = 500


def disagreement(seed: int, longest: int, *, further: bool = False) -> str | None:
    """What is wrong after the conversation of a seed; None when all copies agree.

    :param further: whether the conversation has the edits of `FurtherEdits`, too.
    """
    source = random.Random(seed)
    data = source.randbytes(source.randint(1, longest))
    machine = FurtherEdits(data) if further else MeetingMachine(data)
    try:
        machine.play()
        machine.check()
    except Exception as error:
        return f"seed {seed}, bytes {list(data)}: {type(error).__name__}: {str(error)[:2000]}"
    return None


def _batch(first: int, count: int, longest: int, further: bool) -> list[str]:
    found = (disagreement(seed, longest, further=further) for seed in range(first, first + count))
    return [each for each in found if each is not None]


def _played(first: int, conversations: int, longest: int, further: bool) -> Iterator[str]:
    starts = range(first, first + conversations, _BATCH)
    counts = (min(_BATCH, first + conversations - start) for start in starts)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(_batch, starts, counts, repeat(longest), repeat(further)):
            yield from found


def main() -> int:
    """Play them, and tell of those that fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--bytes", type=int, default=80)
    parser.add_argument("--further-edits", action="store_true", help="with edits that are less common")
    options = parser.parse_args()
    failures = 0
    for failure in _played(options.first, options.conversations, options.bytes, options.further_edits):
        failures += 1
        print(failure, flush=True)
    print(f"{options.conversations} conversations, {failures} in which copies disagree")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
