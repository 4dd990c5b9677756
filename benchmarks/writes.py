"""What writes cost beside an earlier commit: `python -m benchmarks.writes --before COMMIT`.

Puts new events, changes events at unchanged times and deletes events, as `benchmarks.in_turn` says. Without `--now` the
code beside the commit's is that of this folder.
"""

from __future__ import annotations

import random

from benchmarks.events import member, put
from benchmarks.in_turn import Client, Request, act, both_sides, measure, options

STORED = 500
"""Events of each person before the first turn."""


def put_new(client: Client, number: int) -> Request:
    """A new event, while its name is free."""
    return put(client.person, f"new-{number}", 0, new=True)


def put_update(client: Client, number: int) -> Request:
    """Another text for an event at the time that it has."""
    name = f"stored-{random.Random(number).randrange(STORED)}"
    return put(client.person, name, number + 1)


def delete(client: Client, number: int) -> Request:
    """Delete a new event."""
    return Request("DELETE", member(client.person, f"new-{number}"), 204)


def stored(client: Client, number: int) -> Request:
    """Store one of the events that `put_update` changes."""
    return put(client.person, f"stored-{number}", 0, new=True)


def main() -> None:
    """Start both servers, fill and measure them."""
    asked = options(__doc__ or "", rounds=300)
    with both_sides(asked) as sides:
        for side in sides:
            act(side.clients, stored, range(STORED))
        measure(sides, {"put-new": put_new, "put-update": put_update, "delete": delete}, asked, log=True)


if __name__ == "__main__":
    main()
