"""Rules that would take too long are stored with a bounded answer or refused, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e import processes
from tests.e2e.calendar_texts import event
from tests.e2e.conftest import load_people, observed
from tests.e2e.http_connection import Connection, Reply
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
        "minutely": event("minutely", rule="FREQ=MINUTELY"),
        "daily": event("daily", rule="FREQ=DAILY"),
        "yearly": event("yearly", rule="FREQ=YEARLY;BYMONTH=6;BYMONTHDAY=15"),
        "single": event("single"),
        "every-value": event("every-value", rule=f"FREQ=YEARLY;{_EVERY}"),
        "every-value-last": event("every-value-last", rule=f"FREQ=YEARLY;{_EVERY};BYSETPOS=-1"),
        "a-billion": event("a-billion", rule="FREQ=SECONDLY;COUNT=1000000000"),
        "a-billion-rare": event("a-billion-rare", rule="FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=29;COUNT=1000000000"),
        "never": event("never", rule="FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30"),
    }
    found = {name: re.sub("DTSTART:.*", "DTSTART:19700101T000000Z", text) for name, text in found.items()}
    found["all-day"] = re.sub("DTSTART:.*\n.*", "DTSTART;VALUE=DATE:19700101", event("all-day", rule="FREQ=DAILY"))
    for name, lines in (
        ("exdates", _dates("EXDATE", 500_000)),
        ("rdates", _dates("RDATE", 200_000)),
        ("periods", _dates("RDATE", 200_000, "/P30D")),
    ):
        head, tail = event(name, rule="FREQ=SECONDLY").split("RRULE:FREQ=SECONDLY\r\n")
        rule = "RRULE:FREQ=SECONDLY\r\n" if name == "exdates" else ""
        found[name] = head + rule + "".join(line + "\r\n" for line in lines) + tail
    # In these two nothing but the parsed text tells that there is a rule.
    head, end, tail = event("exrules").partition("END:VEVENT")
    dates = "".join(line + "\r\n" for line in _dates("RDATE", 1500))
    found["exrules"] = head + dates + "EXRULE:FREQ=SECONDLY;INTERVAL=7\r\n" * 600 + end + tail
    head, end, tail = event("excluded", rule="FREQ=SECONDLY").partition("END:VEVENT")
    found["excluded"] = head + "EXRULE:FREQ=SECONDLY\r\n" + end + tail
    head, end, tail = event("overrides", rule="FREQ=MINUTELY").partition("END:VEVENT")
    overrides = "".join(
        f"BEGIN:VEVENT\r\nUID:overrides\r\nDTSTAMP:20260101T000000Z\r\n"
        f"RECURRENCE-ID;RANGE=THISANDFUTURE:{BEGIN + n * SECOND:%Y%m%dT%H%M%SZ}\r\n"
        f"DTSTART:{BEGIN + (n + 7) * SECOND:%Y%m%dT%H%M%SZ}\r\nDURATION:PT2H\r\nEND:VEVENT\r\n"
        for n in range(2000)
    )
    found["overrides"] = f"{head}{end}\r\n{overrides}{tail.lstrip()}"
    head, end, tail = event("folded").partition("END:VEVENT")
    found["folded"] = head + "RRU\r\n LE:FREQ=SECONDLY\r\n" + "EXRU\r\n LE:FREQ=SECONDLY\r\n" * 5 + end + tail
    return found


WINDOWS = {
    "a day": ("20260615T000000Z", "20260616T000000Z"),
    "a day in 2300": ("23000615T000000Z", "23000616T000000Z"),
    "8,000 years": ("19000101T000000Z", "99000101T000000Z"),
}


def query(name: str, window: tuple[str, str]) -> str:
    """A question about a stretch of time."""
    span = f"start='{window[0]}' end='{window[1]}'"
    if name == "free-busy":
        return f"<C:free-busy-query {_SPACES}><C:time-range {span}/></C:free-busy-query>"
    data = f"<C:calendar-data><C:expand {span}/></C:calendar-data>" if name == "expand" else ""
    return (
        f"<C:calendar-query {_SPACES}><D:prop><D:getetag/>{data}</D:prop><C:filter><C:comp-filter name='VCALENDAR'>"
        f"<C:comp-filter name='VEVENT'><C:time-range {span}/></C:comp-filter></C:comp-filter></C:filter>"
        "</C:calendar-query>"
    )


_TYPES = {"PUT": "text/calendar", "REPORT": "application/xml"}


@pytest.fixture(scope="module")
async def server(server_folder: Path) -> AsyncIterator[ServerProcess]:
    """One worker."""
    process = ServerProcess(server_folder / "rules", server_folder / "rules.log", {"network.workers": 1})
    load_people(process, ["hostile", "quiet"])
    with observed(process):
        quiet = Connection(process.port, "quiet", "quiet")
        assert (await quiet.request("PUT", QUIET, event("1"))).status == 201
        quiet.drop()
        yield process


_NOISE = 0.1
"""Seconds that a request may wait on a busy machine although nothing blocks the event loop."""
_TICK = 0.02
"""Seconds that the system's count of processor time may lag behind."""
_LONGEST = 2.0
"""Seconds in which each request is answered, or of the worker's processor time where others use the processors too."""
_ATTEMPTS = 3
"""What takes too long counts if it does each time that the request is sent."""
_MAX_ROWS = 5000


class Measured(NamedTuple):
    """What a hostile request cost."""

    reply: Reply
    own: float
    processor: float
    """Seconds that the worker computed meanwhile, for the other person too."""
    longest: float
    """Seconds that another waited meanwhile, or that the worker computed in that time: what others computed delays
    requests as well."""

    @property
    def cheap(self) -> bool:
        """Whether no other waited longer than a tenth of the request's own time, and that is bounded."""
        return self.longest <= max(self.own / 10, _NOISE) and min(self.own, self.processor) <= _LONGEST


async def measured(server: ServerProcess, method: str, path: str, body: str) -> Measured:
    """Send a hostile request while another person asks for something small."""
    hostile = Connection(server.port, "hostile", "hostile")
    quiet = Connection(server.port, "quiet", "quiet")
    done = asyncio.Event()
    waits: list[float] = []

    def computed() -> float:
        return sum(worker.cpu_times()[:2])

    async def ask() -> None:
        while not done.is_set():
            began, before = time.perf_counter(), computed()
            assert (await quiet.request("GET", QUIET)).status == 200
            waits.append(min(time.perf_counter() - began, computed() - before + _TICK))
            await asyncio.sleep(0.002)

    assert (await quiet.request("GET", QUIET)).status == 200
    (worker,) = processes.workers(server)
    asking = asyncio.create_task(ask())
    await asyncio.sleep(0.02)
    began, before = time.perf_counter(), computed()
    reply = await hostile.request(method, path, body, {"Depth": "1", "Content-Type": _TYPES[method]})
    own, processor = time.perf_counter() - began, computed() - before
    done.set()
    await asking
    hostile.drop()
    quiet.drop()
    return Measured(reply, own, processor, max(waits))


async def cheapest(server: ServerProcess, what: str, method: str, path: str, body: str) -> Measured:
    """The first of some attempts that is cheap, else the last."""
    for attempt in range(_ATTEMPTS):
        if attempt and method == "PUT":
            # What is put again unchanged is not computed again.
            await Connection(server.port, "hostile", "hostile").request("DELETE", path)
        found = await measured(server, method, path, body)
        print(f"{what}: {found.reply.status} in {found.own:.2f} s ({found.processor:.2f} s of CPU)", end="; ")
        print(f"another waited {found.longest * 1e3:.0f} ms")
        if found.cheap:
            break
    return found


def response_of(name: str, reply: Reply) -> bytes:
    """The part of a multistatus that is about an object."""
    return reply.body.partition(f"/{name}.ics</D:href>".encode())[2].partition(b"</D:response>")[0]


async def test_hostile_rules_cost_bounded_work_and_delay_nobody(server: ServerProcess) -> None:
    found: dict[str, Measured] = {}
    for name, text in texts().items():
        found[name] = await cheapest(server, f"PUT {name}", "PUT", f"{HOSTILE}{name}.ics", text)
    assert all(item.reply.status in (201, 204, 403) for item in found.values()), found
    stored = {name for name, item in found.items() if item.reply.status != 403}
    assert stored >= {"secondly", "minutely", "every-value", "exrules", "excluded", "folded", "overrides"}
    async with processes.database(server) as connection:
        rows = await connection.fetch("select object_id, count(*) from occurrence group by object_id")
    assert max(row["count"] for row in rows) <= _MAX_ROWS
    for name in ("query", "expand", "free-busy"):
        for told, window in WINDOWS.items():
            what = f"{name} of {told}"
            found[what] = await cheapest(server, what, "REPORT", HOSTILE, query(name, window))
    dear = {name: item[1:] for name, item in found.items() if not item.cheap}
    assert not dear
    for name in ("query", "expand"):
        for told in WINDOWS:
            reply = found[f"{name} of {told}"].reply
            assert reply.status == 207
            ordinary = "single" if told == "8,000 years" else "yearly"
            assert b"200 OK" in response_of(ordinary, reply), (name, told)
            if name == "query":
                assert b"200 OK" in response_of("secondly", reply), told
    assert found["free-busy of a day"].reply.status == 200
    assert found["free-busy of a day in 2300"].reply.status == 200
    assert found["free-busy of 8,000 years"].reply.status == 403
    assert b"number-of-matches-within-limits" in found["free-busy of 8,000 years"].reply.body
