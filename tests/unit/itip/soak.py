"""Plays many conversations about a meeting in all processors (`make soak`); ends with 1 if copies disagree in one.

    python -m tests.unit.itip.soak --conversations 1000000 [--first SEED] [--bytes 80] [--edits further]

Conversation N is that of the seed N: a failure names it, with the bytes for an `@example` in `test_meeting_machine`.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from tests.unit.itip.delegations import Delegations
from tests.unit.itip.further_edits import FurtherEdits
from tests.unit.itip.meeting_machine import MeetingMachine
from tests.unit.itip.range_edits import AllEdits, RangeEdits
from tests.unit.itip.wider_world import WiderWorld

_BATCH = 500
_MACHINES = {
    "ordinary": MeetingMachine,
    "further": FurtherEdits,
    "delegations": Delegations,
    "ranges": RangeEdits,
    "all": AllEdits,
    "wider": WiderWorld,
}


def disagreement(seed: int, longest: int, edits: str = "ordinary") -> str | None:
    """What is wrong after the conversation of a seed; None when all copies agree.

    :param edits: which edits the conversation has: a key of `_MACHINES`.
    """
    source = random.Random(seed)
    data = source.randbytes(source.randint(1, longest))
    machine = _MACHINES[edits](data)
    try:
        machine.play()
        machine.check()
    except Exception as error:
        return f"seed {seed}, bytes {list(data)}: {type(error).__name__}: {str(error)[:2000]}"
    return None


def _batch(first: int, count: int, longest: int, edits: str) -> list[str]:
    found = (disagreement(seed, longest, edits) for seed in range(first, first + count))
    return [each for each in found if each is not None]


def _played(first: int, conversations: int, longest: int, edits: str) -> Iterator[str]:
    starts = range(first, first + conversations, _BATCH)
    counts = (min(_BATCH, first + conversations - start) for start in starts)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(_batch, starts, counts, repeat(longest), repeat(edits)):
            yield from found


def main() -> int:
    """Play them, and tell of those that fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--bytes", type=int, default=80)
    parser.add_argument("--edits", choices=_MACHINES, default="ordinary", help="which edits people make")
    options = parser.parse_args()
    failures = 0
    for failure in _played(options.first, options.conversations, options.bytes, options.edits):
        failures += 1
        print(failure, flush=True)
    print(f"{options.conversations} conversations, {failures} in which copies disagree")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
