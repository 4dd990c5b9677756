"""What reads cost beside an earlier commit: `python -m benchmarks.reads --before COMMIT`.

Asks calendars of 1,000 events what the load harness asks, as `benchmarks.in_turn` says. Without `--now` the code beside
the commit's is that of this folder.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from benchmarks.events import member, put
from benchmarks.in_turn import Client, Operation, Request, act, both_sides, measure, options

STORED = 1000
"""Events of each person."""
CHANGES = 5
"""Events that change after the sync token was given."""
NAMESPACES = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"'
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def stored(client: Client, number: int) -> Request:
    """Store an event."""
    return put(client.person, f"stored-{number}", 0, new=True)


def changed(client: Client, number: int) -> Request:
    """Change an event."""
    return put(client.person, f"stored-{number}", 1)


def _calendar(person: str) -> str:
    return f"/calendars/users/{person}/calendar/"


def _asked(method: str, path: str, depth: int, body: str, status: int = 207) -> Request:
    headers = {"Content-Type": "application/xml; charset=utf-8", "Depth": str(depth)}
    return Request(method, path, status, f'<?xml version="1.0" encoding="utf-8"?>{body}'.encode(), headers)


def _propfind(path: str, depth: int, properties: str) -> Request:
    body = f"<D:propfind {NAMESPACES}><D:prop>{properties}</D:prop></D:propfind>"
    return _asked("PROPFIND", path, depth, body)


def _window(number: int, days: int) -> str:
    start = MONDAY + timedelta(weeks=number % 46)
    return f'start="{start:%Y%m%dT%H%M%SZ}" end="{start + timedelta(days=days):%Y%m%dT%H%M%SZ}"'


def _query(person: str, window: str, data: str) -> Request:
    return _asked(
        "REPORT",
        _calendar(person),
        1,
        f"<C:calendar-query {NAMESPACES}><D:prop><D:getetag/>{data}</D:prop>"
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
        f"<C:time-range {window}/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>",
    )


def discovery(client: Client, number: int) -> Request:
    """Who one is, and where one's calendars are, in turns."""
    if number % 2 == 0:
        return _propfind("/", 0, "<D:current-user-principal/>")
    return _propfind(f"/principals/users/{client.person}/", 0, "<C:calendar-home-set/><D:displayname/>")


def get(client: Client, number: int) -> Request:
    """One event."""
    return Request("GET", member(client.person, f"stored-{random.Random(number).randrange(STORED)}"), 200)


def etags(client: Client, number: int) -> Request:
    """The names and ETags of all events."""
    return _propfind(_calendar(client.person), 1, "<D:getetag/><D:resourcetype/>")


def query(client: Client, number: int) -> Request:
    """The events of a week."""
    return _query(client.person, _window(number, 7), "<C:calendar-data/>")


def expand(client: Client, number: int) -> Request:
    """The instances of 30 days."""
    window = _window(number, 30)
    return _query(client.person, window, f"<C:calendar-data><C:expand {window}/></C:calendar-data>")


def multiget(client: Client, number: int) -> Request:
    """50 events by their names."""
    names = random.Random(number % 20).sample(range(STORED), 50)
    hrefs = "".join(f"<D:href>{member(client.person, f'stored-{name}')}</D:href>" for name in names)
    return _asked(
        "REPORT",
        _calendar(client.person),
        1,
        f"<C:calendar-multiget {NAMESPACES}><D:prop><D:getetag/><C:calendar-data/></D:prop>{hrefs}"
        "</C:calendar-multiget>",
    )


def free_busy(client: Client, number: int) -> Request:
    """When one is busy in 30 days."""
    body = f"<C:free-busy-query {NAMESPACES}><C:time-range {_window(number, 30)}/></C:free-busy-query>"
    return _asked("REPORT", _calendar(client.person), 1, body, 200)


def _sync(person: str, token: str) -> Request:
    return _asked(
        "REPORT",
        _calendar(person),
        0,
        f"<D:sync-collection {NAMESPACES}><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>"
        "<D:prop><D:getetag/></D:prop></D:sync-collection>",
    )


def sync_initial(client: Client, number: int) -> Request:
    """All events, and a sync token."""
    return _sync(client.person, "")


def sync_changes(client: Client, number: int) -> Request:
    """What has changed since the person's sync token."""
    return _sync(client.person, client.sync_token)


def take_tokens(clients: Sequence[Client]) -> None:
    """Give each client the sync token of the person's calendar."""
    for client, answer in zip(clients, act(clients, sync_initial, range(1)), strict=True):
        found = re.search(rb"sync-token>([^<]+)<", answer)
        assert found is not None
        client.sync_token = found[1].decode()


OPERATIONS: Mapping[str, Operation] = {
    "discovery": discovery,
    "get": get,
    "etags": etags,
    "query": query,
    "expand": expand,
    "multiget": multiget,
    "sync-initial": sync_initial,
    "free-busy": free_busy,
    "sync-changes": sync_changes,
}


def main() -> None:
    """Start both servers, fill and measure them."""
    asked = options(__doc__ or "", rounds=60)
    with both_sides(asked) as sides:
        for side in sides:
            act(side.clients, stored, range(STORED))
            take_tokens(side.clients)
            act(side.clients, changed, range(CHANGES))
        measure(sides, OPERATIONS, asked)


if __name__ == "__main__":
    main()
