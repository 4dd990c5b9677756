"""Whether queries by time cost the same however long a calendar is: `python -m benchmarks.time_flatness`.

Fills one calendar for each size with events of equal density (20 in a day, so that larger calendars are longer), an
event of 400 days and 50 endless series, through the import. Then asks each for weeks, as they are and expanded, and for
free-busy of 30 days around today, and for the same 30 years later. Prints the CPU microseconds of server and PostgreSQL
for each instance in the window, and the slowest SQL statement of these questions. With --data the calendars are kept
for the next run.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import http.client
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from server.calendar.filters import TimeRange
from server.calendar.zones import UTC_ZONE
from server.commands.session import open_storage
from server.domain.objects import Target
from server.observe import costs
from server.services.lookup import Found
from server.services.permissions import collection_of
from server.services.time.free_busy import busy_periods
from server.services.time.time_ranges import objects_in, stored_in
from server.settings.load import load
from server.storage import Storage
from tests.found import collection_found
from tests.server_process import ServerProcess, running

PER_DAY = 20
SERIES = 50
DAY = timedelta(days=1)
FAR = timedelta(days=30 * 365)
MOST_IMPORTED = 20_000
"""Events of one file that is imported."""


class Window(NamedTuple):
    start: datetime
    end: datetime

    @property
    def attributes(self) -> str:
        return f'start="{_utc(self.start)}" end="{_utc(self.end)}"'


class Figure(NamedTuple):
    microseconds: float
    """CPU of server and PostgreSQL for each instance."""
    milliseconds: float
    """CPU for each request."""
    instances: float
    """In the window of a request."""


def _utc(time: datetime) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ")


# -- calendars ---------------------------------------------------------------------------------------------------------


def events(size: int, today: datetime) -> Iterator[list[str]]:
    """Lines of events around today: single ones, some all-day, some series of four weeks, evenly."""
    begin = today - timedelta(days=size / PER_DAY / 2)
    text = "A description of some length, as events have it, with the agenda and who brings what along. " * 3
    for number in range(size - SERIES - 1):
        start = (begin + number * DAY / PER_DAY).replace(second=0, microsecond=0)
        lines = [f"UID:event-{number}", f"SUMMARY:Meeting {number}", f"DESCRIPTION:{text}"]
        if number % 10 == 0:
            lines += [f"DTSTART;VALUE=DATE:{start:%Y%m%d}", "TRANSP:TRANSPARENT"]
        else:
            lines += [f"DTSTART:{_utc(start)}", "DURATION:PT45M"]
        if number % 20 == 7:
            lines.append("RRULE:FREQ=WEEKLY;COUNT=4")
        yield lines
    for number in range(SERIES):
        start = (today - timedelta(days=20) + number * timedelta(hours=3)).replace(minute=0, second=0)
        rule = ("FREQ=WEEKLY", "FREQ=DAILY;INTERVAL=3", "FREQ=WEEKLY;BYDAY=MO,WE,FR")[number % 3]
        yield [f"UID:series-{number}", f"DTSTART:{_utc(start)}", "DURATION:PT30M", f"RRULE:{rule}"]
    yield ["UID:long", f"DTSTART:{_utc(today - 200 * DAY)}", f"DTEND:{_utc(today + 200 * DAY)}", "TRANSP:TRANSPARENT"]


def fill(server: ServerProcess, size: int, today: datetime, folder: Path) -> None:
    """A person with a calendar of that many events."""
    name = f"flat{size}"
    people = [{"id": name, "name": name, "kind": "individual", "display_name": name, "emails": [], "password": name}]
    accounts = folder / "accounts.json"
    accounts.write_text(json.dumps({"principals": people}))
    server.command("principals", "load", str(accounts))
    waiting = list(events(size, today))
    for at in range(0, len(waiting), MOST_IMPORTED):
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Koyomi//time_flatness//EN"]
        for event in waiting[at : at + MOST_IMPORTED]:
            lines += ["BEGIN:VEVENT", "DTSTAMP:20260101T000000Z", *event, "END:VEVENT"]
        file = folder / "events.ics"
        file.write_text("\r\n".join((*lines, "END:VCALENDAR", "")))
        print(server.command("import", str(file), "--user", name, "--collection", "calendar").strip(), flush=True)


# -- measuring ---------------------------------------------------------------------------------------------------------


def cpu_seconds(roots: Sequence[int]) -> float:
    """CPU that process trees have used, with that of processes of theirs that have ended."""
    total = 0.0
    for root in roots:
        process = psutil.Process(root)
        total += sum(process.cpu_times()[:4])
        for child in process.children(recursive=True):
            if child.pid not in roots:
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += sum(child.cpu_times()[:4])
    return total


class Client:
    """One connection of one person."""

    def __init__(self, server: ServerProcess, name: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        self._path = f"/calendars/users/{name}/calendar/"
        credentials = base64.b64encode(f"{name}:{name}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/xml", "Depth": "1"}

    def report(self, name: str, inner: str) -> str:
        body = f'<C:{name} xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">{inner}</C:{name}>'
        self._connection.request("REPORT", self._path, body, self._headers)
        reply = self._connection.getresponse()
        text = reply.read().decode()
        if reply.status not in (200, 207):
            raise RuntimeError(f"{reply.status}: {text[:500]}")
        return text

    def query(self, window: Window, data: str = "<C:calendar-data/>") -> str:
        return self.report(
            "calendar-query",
            f"<D:prop><D:getetag/>{data}</D:prop>"
            '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
            f"<C:time-range {window.attributes}/></C:comp-filter></C:comp-filter></C:filter>",
        )

    def free_busy(self, window: Window) -> str:
        return self.report("free-busy-query", f"<C:time-range {window.attributes}/>")

    def expand(self, window: Window) -> str:
        return self.query(window, f"<C:calendar-data><C:expand {window.attributes}/></C:calendar-data>")

    def instances(self, window: Window) -> int:
        return self.expand(window).count("BEGIN:VEVENT")


def measured(
    server: ServerProcess, ask: Callable[[Window], str], windows: Sequence[Window], instances: float, seconds: float
) -> Figure:
    """The cost of a question, asked in turn for each window until it has used some seconds of CPU."""
    for window in windows:
        ask(window)
    roots = server.root_pids()
    before, requests = cpu_seconds(roots), 0
    while (used := cpu_seconds(roots) - before) < seconds or requests < 2 * len(windows):
        for window in windows:
            ask(window)
        requests += len(windows)
    return Figure(1e6 * used / requests / max(instances, 1), 1e3 * used / requests, instances)


def windows_of(today: datetime, days: int) -> list[Window]:
    """Windows of a length in the time that the smallest calendar has events in: ten days to both sides of today."""
    starts = [today + timedelta(days=shift) - timedelta(days=days / 2) for shift in (-5, -3, -1, 0, 2, 4)]
    return [Window(start, start + timedelta(days=days)) for start in starts]


def measure(server: ServerProcess, sizes: Sequence[int], today: datetime, seconds: float) -> None:
    """Print the table."""
    print("| question | events | instances | CPU ms/request | CPU µs/instance | of the smallest |")
    print("| --- | --: | --: | --: | --: | --: |")
    for label, days, shift, ask in (
        ("7 days with data", 7, timedelta(0), Client.query),
        ("7 days expanded", 7, timedelta(0), Client.expand),
        ("free-busy of 30 days", 30, timedelta(0), Client.free_busy),
        ("7 days with data, in 30 years", 7, FAR, Client.query),
        ("7 days expanded, in 30 years", 7, FAR, Client.expand),
        ("free-busy of 30 days, in 30 years", 30, FAR, Client.free_busy),
    ):
        first: float | None = None
        for size in sizes:
            client = Client(server, f"flat{size}")
            windows = windows_of(today + shift, days)
            instances = sum(map(client.instances, windows)) / len(windows)
            found = measured(server, partial(ask, client), windows, instances, seconds)
            first = first or found.microseconds
            print(
                f"| {label} | {size:,} | {instances:.0f} | {found.milliseconds:.2f} | {found.microseconds:.1f} "
                f"| {found.microseconds / first:.2f} |",
                flush=True,
            )


async def slowest(server: ServerProcess, size: int, today: datetime) -> None:
    """Print the slowest statement of each question to a calendar, as a client of the database sees it."""
    settings = load(None, {"storage.data": str(server.data)})
    async with open_storage(settings) as session:
        found = await session.storage.resolve(None, Target(f"flat{size}", "individual", "calendar", "calendar"))
        assert found.collection is not None
        print("| question | slowest statement, ms | its rows |")
        print("| --- | --: | --: |")
        for label, days, shift in (("7 days", 7, timedelta(0)), ("7 days, in 30 years", 7, FAR)):
            for name, question in (("query", _query), ("expand", stored_in), ("free-busy", _busy)):
                account = costs.Costs(timeline=True)
                costs.current.set(account)
                for window in windows_of(today + shift, days) * 3:
                    await question(session.storage, collection_found(found.collection), TimeRange(*window), UTC_ZONE)
                statements = [entry for entry in account.timeline or () if entry[0] == "SQL"]
                _, _, duration, rows = max(statements, key=lambda entry: entry[2])
                print(f"| {name} of {label} | {duration * 1e3:.1f} | {rows} |", flush=True)


async def _query(storage: Storage, found: Found, time_range: TimeRange, zone: object) -> None:
    ids = sorted(await objects_in(storage, found, time_range, UTC_ZONE))
    for at in range(0, len(ids), 100):
        await storage.members_by_id(collection_of(found), ids[at : at + 100], ("name", "etag", "text"))


async def _busy(storage: Storage, found: Found, time_range: TimeRange, zone: object) -> None:
    assert time_range.start is not None
    assert time_range.end is not None
    await busy_periods(storage, [found], time_range.start, time_range.end)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--sizes", default="1000,10000,100000", help="events of each calendar")
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU seconds that each question is asked for")
    parser.add_argument("--data", type=Path, help="where the calendars are kept")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.data or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        server = ServerProcess(folder / "data", folder / "server.log", {"network.workers": 1})
        kept = folder / "today"
        today = datetime.fromisoformat(kept.read_text()) if kept.exists() else datetime.now(UTC).replace(microsecond=0)
        with running(server):
            for size in sizes:
                if not (done := folder / f"filled-{size}").exists():
                    fill(server, size, today, folder)
                    done.touch()
            kept.write_text(today.isoformat())
            measure(server, sizes, today, options.seconds)
            asyncio.run(slowest(server, max(sizes), today))


if __name__ == "__main__":
    main()
