"""Rules that would take for ever: they are taken with a bounded answer or refused, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.calendar_texts import event
from tests.e2e.conftest import load_people, observed
from tests.e2e.http_connection import Connection
from tests.server_process import ServerProcess

HOSTILE = "/calendars/users/hostile/calendar/"
QUIET = "/calendars/users/quiet/calendar/1.ics"
_SPACES = "xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'"
BEGIN = datetime(2026, 6, 1)
SECOND = timedelta(seconds=1)
_EVERY = ";".join(
    f"{name}={','.join(map(str, values))}"
    for name, values in (
        ("BYSECOND", range(60)),
        ("BYMINUTE", range(60)),
        ("BYHOUR", range(24)),
        ("BYMONTHDAY", range(1, 32)),
        ("BYMONTH", range(1, 13)),
    )
)


def _dates(name: str, count: int, value: str = "") -> Iterator[str]:
    """Lines with that many values, a second apart, 50 in a line; `value` follows each time."""
    for at in range(0, count, 50):
        times = (f"{BEGIN + n * SECOND:%Y%m%dT%H%M%SZ}{value}" for n in range(at, min(at + 50, count)))
        yield f"{name}{';VALUE=PERIOD' if value else ''}:{','.join(times)}"


def texts() -> dict[str, str]:
    """What is sent, by name."""
    found = {
        "secondly": event("secondly", rule="FREQ=SECONDLY"),
        "every-value": event("every-value", rule=f"FREQ=YEARLY;{_EVERY}"),
        "every-value-last": event("every-value-last", rule=f"FREQ=YEARLY;{_EVERY};BYSETPOS=-1"),
        "a-billion": event("a-billion", rule="FREQ=SECONDLY;COUNT=1000000000"),
        "a-billion-rare": event("a-billion-rare", rule="FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=29;COUNT=1000000000"),
        "never": event("never", rule="FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30"),
    }
    for name, lines in (
        ("exdates", _dates("EXDATE", 500_000)),
        ("rdates", _dates("RDATE", 200_000)),
        ("periods", _dates("RDATE", 200_000, "/P30D")),
    ):
        head, tail = event(name, rule="FREQ=SECONDLY").split("RRULE:FREQ=SECONDLY\r\n")
        rule = "RRULE:FREQ=SECONDLY\r\n" if name == "exdates" else ""
        found[name] = head + rule + "".join(line + "\r\n" for line in lines) + tail
    return found


def query(name: str, year: int) -> str:
    """A question about a day."""
    span = f"start='{year}0615T000000Z' end='{year}0616T000000Z'"
    if name == "free-busy":
        return f"<C:free-busy-query {_SPACES}><C:time-range {span}/></C:free-busy-query>"
    data = f"<C:calendar-data><C:expand {span}/></C:calendar-data>" if name == "expand" else ""
    return (
        f"<C:calendar-query {_SPACES}><D:prop><D:getetag/>{data}</D:prop><C:filter><C:comp-filter name='VCALENDAR'>"
        f"<C:comp-filter name='VEVENT'><C:time-range {span}/></C:comp-filter></C:comp-filter></C:filter>"
        "</C:calendar-query>"
    )


@pytest.fixture(scope="module")
async def server(server_folder: Path) -> AsyncIterator[ServerProcess]:
    """One worker."""
    process = ServerProcess(server_folder / "rules", server_folder / "rules.log", {"workers": 1})
    load_people(process, ["hostile", "quiet"])
    with observed(process):
        yield process


async def test_others_are_served_while_rules_are_computed(server: ServerProcess) -> None:
    """Each is answered, none with an error of the server's own; the longest wait of another is printed (pytest -s)."""
    hostile = Connection(server.port, "hostile", "hostile")
    quiet = Connection(server.port, "quiet", "quiet")
    assert (await quiet.request("PUT", QUIET, event("1"))).status == 201
    done = asyncio.Event()
    waits: list[tuple[float, str]] = []
    current = ""

    async def ask() -> None:
        while not done.is_set():
            began = time.perf_counter()
            assert (await quiet.request("GET", QUIET)).status == 200
            waits.append((time.perf_counter() - began, current))
            await asyncio.sleep(0.005)

    asking = asyncio.create_task(ask())
    statuses: dict[str, int] = {}
    try:
        for name, text in texts().items():
            current = f"PUT {name}"
            began = time.perf_counter()
            statuses[current] = (await hostile.request("PUT", f"{HOSTILE}{name}.ics", text)).status
            print(f"{current}: {statuses[current]} in {time.perf_counter() - began:.2f} s")
        for name in ("query", "expand", "free-busy"):
            for year in (2026, 2300):
                current = f"{name} of {year}"
                began = time.perf_counter()
                headers = {"Depth": "1", "Content-Type": "application/xml"}
                reply = await hostile.request("REPORT", HOSTILE, query(name, year), headers)
                statuses[current] = reply.status
                print(f"{current}: {reply.status} in {time.perf_counter() - began:.2f} s, {len(reply.body)} bytes")
    finally:
        done.set()
        await asking
    worst = sorted(waits, reverse=True)
    print("longest waits of another, ms:", *(f"{seconds * 1e3:.0f} ({during})" for seconds, during in worst[:8]))
    print("median, ms:", f"{worst[len(worst) // 2][0] * 1e3:.1f}", "of", len(worst))
    assert all(status in (200, 201, 207, 403, 413, 507) for status in statuses.values()), statuses
    assert len(waits) > len(statuses)
