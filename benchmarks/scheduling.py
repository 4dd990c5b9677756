"""What scheduling costs beside Cyrus: `make bench`, or alone `python -m benchmarks.scheduling`.

Both servers run with the same people. In turns, one of them invites 1, 10, 50 and 200 people, lets an attendee answer,
moves the meeting, and asks through its outbox when 20 people are busy in 30 days. Each server's CPU time, of all its
processes and its database, is taken from the request until nothing more happens. Then every copy is read: only those
with the right times and the right PARTSTAT count. `--bursts` also prints how long a meeting of 200 people takes until
the last copy is there, and 200 answers that come within a second until all are merged.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from benchmarks.meetings import (
    Meeting,
    answered,
    busy_expected,
    busy_in,
    free_busy_request,
    own_event,
)
from benchmarks.scheduling_servers import ICS, Side, cyrus, koyomi

SIZES = (1, 10, 50, 200)
ROUNDS = 3
BATCHES = {1: 20, 10: 5}
"""Meetings of one size that are measured together: one of few people costs less than what the clock tells apart."""
CONNECTIONS = 8
LONGEST = 60.0
"""Seconds for which the benchmark waits until all answers are merged."""
BUSY_PEOPLE = 20
BUSY_DAYS = 30
OWN_EVENTS = 100
"""Events of each of those people in these days."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operation took."""

    seconds: float
    """CPU seconds."""
    right: int
    """Copies, or answers, that are right afterwards."""
    wanted: int

    @property
    def each(self) -> float:
        """CPU milliseconds for each right copy; infinite without any."""
        return 1000 * self.seconds / self.right if self.right else float("inf")


class Work:
    """The operations of one round, on the same meetings at every server."""

    def __init__(self, sizes: Sequence[int], start: datetime, run: str) -> None:
        self.sizes = sizes
        self.start = start
        self.run = run
        self.people = [f"user{number:02}" for number in range(1, max(*sizes, BUSY_PEOPLE) + 2)]

    async def fill(self, side: Side) -> None:
        """Store the events of those who are asked when they are busy."""
        for person in self.people[:BUSY_PEOPLE]:
            path = side.calendar.format(user=person)
            events = [own_event(person, number, self.start) for number in range(OWN_EVENTS)]
            await asyncio.gather(*(side.put(person, f"{path}{event.uid}.ics", event.text) for event in events))

    def meetings(self, size: int, round_: int) -> list[Meeting]:
        """The meetings of a size in a round, organized by the first person."""
        organizer, *others = self.people
        # Long after the times for which somebody asks when people are busy.
        start = self.start + timedelta(days=100 + round_)
        return [
            Meeting(f"{self.run}-{size}-{round_}-{n}.", organizer, others[:size], start) for n in range(batch_of(size))
        ]

    async def invite(self, side: Side, meetings: Sequence[Meeting]) -> Cost:
        """Store the meetings in the organizer's calendar."""
        return await self._stored(side, meetings)

    async def move(self, side: Side, meetings: Sequence[Meeting]) -> Cost:
        """Store the meetings at another time. Who had answered is asked anew."""
        for meeting in meetings:
            meeting.start += timedelta(hours=2)
            meeting.sequence += 1
            meeting.answers.clear()
        return await self._stored(side, meetings)

    async def _stored(self, side: Side, meetings: Sequence[Meeting]) -> Cost:
        before, _ = await side.until_quiet()
        for meeting in meetings:
            await side.put(meeting.organizer, self._path(side, meeting), meeting.text)
        seconds = (await side.until_quiet())[0] - before
        return Cost(seconds, *await self._right(side, meetings, [meeting.attendees for meeting in meetings]))

    async def answer(self, side: Side, meetings: Sequence[Meeting]) -> Cost:
        """The first attendee of each meeting accepts. The organizer and all others see it."""
        copies = [await side.copy(meeting.attendees[0], meeting.uid) for meeting in meetings]
        before, _ = await side.until_quiet()
        for meeting, copy in zip(meetings, copies, strict=True):
            if copy is not None:
                person = meeting.attendees[0]
                meeting.answers[person] = "ACCEPTED"
                await side.put(person, copy.path, answered(copy.text, person))
        seconds = (await side.until_quiet())[0] - before
        told = [[meeting.organizer, *meeting.attendees[1:]] for meeting in meetings]
        return Cost(seconds, *await self._right(side, meetings, told))

    async def _right(self, side: Side, meetings: Sequence[Meeting], people: Sequence[Sequence[str]]) -> tuple[int, int]:
        """How many people's copies are right, and of how many."""
        right = 0
        for meeting, those in zip(meetings, people, strict=True):
            right += sum(meeting.is_right(copy.text) for copy in (await side.copies(those, meeting.uid)).values())
        return right, sum(map(len, people))

    async def ask(self, side: Side, times: int) -> Cost:
        """Ask when 20 people are busy in 30 days."""
        people = self.people[:BUSY_PEOPLE]
        text = free_busy_request(people, self.start, BUSY_DAYS)
        before, _ = await side.until_quiet()
        right = 0
        answers = []
        for _ in range(times):
            path = side.outbox.format(user=people[0])
            status, answer = await side.request("POST", people[0], path, text, ICS)
            if status != 200:
                raise RuntimeError(f"{side.title}: {status} for POST {path}: {answer[:300]}")
            answers.append(answer)
        seconds = (await side.until_quiet())[0] - before
        for answer in answers:
            busy = busy_in(answer)
            right += sum(busy.get(person) == busy_expected(person, OWN_EVENTS, self.start) for person in people)
        return Cost(seconds, right, len(people) * times)

    def _path(self, side: Side, meeting: Meeting) -> str:
        return f"{side.calendar.format(user=meeting.organizer)}{meeting.uid}.ics"

    async def burst(self, side: Side, number: int) -> None:
        """Print how long a large meeting, and the answers of all its attendees, take until all copies are right."""
        meeting = Meeting(
            f"{self.run}-burst-{number}.", self.people[0], self.people[1 : max(self.sizes) + 1], self.start
        )
        meeting.start += timedelta(days=200)
        await side.until_quiet()
        began = time.monotonic()
        await side.put(meeting.organizer, self._path(side, meeting), meeting.text)
        put = time.monotonic() - began
        there = (await side.until_quiet())[1] - began
        copies = await side.copies(meeting.attendees, meeting.uid)
        right = sum(meeting.is_right(copy.text) for copy in copies.values())
        print(f"{side.title}: PUT {put:.2f} s, {right} of {len(meeting.attendees)} copies right after {there:.2f} s")
        began = time.monotonic()
        answers: list[float] = []
        merged = 0.0

        async def accept(place: int, person: str) -> None:
            await asyncio.sleep(place / len(meeting.attendees))
            await side.put(person, copies[person].path, answered(copies[person].text, person))
            answers.append(time.monotonic() - began)

        await asyncio.gather(*(accept(place, person) for place, person in enumerate(copies)))
        meeting.answers = dict.fromkeys(copies, "ACCEPTED")
        while time.monotonic() - began < LONGEST and not merged:
            own = await side.copy(meeting.organizer, meeting.uid)
            if own is not None and meeting.is_right(own.text):
                merged = time.monotonic() - began
            await asyncio.sleep(0.1)
        refreshed = (await side.until_quiet())[1] - began
        copies = await side.copies(meeting.attendees, meeting.uid)
        right = sum(meeting.is_right(copy.text) for copy in copies.values())
        print(
            f"{side.title}: {len(answers)} answers, the last response after {max(answers):.2f} s, "
            f"all merged after {merged or LONGEST:.2f} s, {right} copies right after {refreshed:.2f} s"
        )


def batch_of(size: int) -> int:
    """How many meetings of a size are measured together."""
    return BATCHES.get(size, 1)


async def measure(sides: Sequence[Side], work: Work, rounds: int, bursts: bool) -> str:
    """Measure in turns; returns the table."""
    found: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        for side in sides:
            connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=15)
            timeout = aiohttp.ClientTimeout(total=600)
            side.clients = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=timeout))
            await work.fill(side)
        for round_ in range(rounds + 1):
            for size in work.sizes:
                for side in sides if round_ % 2 else sides[::-1]:
                    meetings = work.meetings(size, round_)
                    acts: dict[str, Callable[[Side, Sequence[Meeting]], Awaitable[Cost]]] = {
                        f"invite {size}": work.invite,
                        f"answer of 1 of {size}": work.answer,
                        f"move {size}": work.move,
                    }
                    for name, act in acts.items():
                        cost = await act(side, meetings)
                        print(f"{round_} {side.title} {name}: {cost.each:.2f} ms", file=sys.stderr, flush=True)
                        if round_:  # connections prepare their statements in the first round
                            found[name, side.title].append(cost)
            for side in sides:
                cost = await work.ask(side, 10)
                if round_:
                    found[f"free-busy of {BUSY_PEOPLE} people", side.title].append(cost)
        if bursts:
            for side in sides:
                for number in range(2):
                    await work.burst(side, number)
    return table(found, [side.title for side in sides])


def table(found: dict[tuple[str, str], list[Cost]], titles: Sequence[str]) -> str:
    """CPU milliseconds for each right copy, medians with their range, and the share of the second server's."""
    lines = [f"| CPU ms for each right copy | {' | '.join(titles)} | share |", f"| --- |{' --: |' * (len(titles) + 1)}"]
    for name in dict.fromkeys(name for name, _ in found):
        cells = []
        for title in titles:
            costs = found[name, title]
            each = [cost.each for cost in costs]
            right, wanted = sum(cost.right for cost in costs), sum(cost.wanted for cost in costs)
            wrong = "" if right == wanted else f" ({100 * right / wanted:.0f} % right)"
            cells.append(f"{statistics.median(each):.2f} [{min(each):.2f}–{max(each):.2f}]{wrong}")
        share = ""
        if len(titles) > 1:
            pairs = zip(*(found[name, title] for title in titles), strict=True)
            share = f"{statistics.median(own.each / other.each for own, other in pairs):.2f}"
        lines.append(f"| {name} | {' | '.join(cells)} | {share} |")
    return "\n".join(lines)


def run(peers: bool, sizes: Sequence[int], rounds: int, workers: int, bursts: bool) -> str:
    """Start the servers and measure them; returns the table."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    work = Work(sizes, start, f"{time.time():.0f}")
    with tempfile.TemporaryDirectory(prefix="koyomi-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)
        sides = [stack.enter_context(koyomi(folder, work.people, workers))]
        if peers:
            sides.append(stack.enter_context(cyrus(work.people)))
        return asyncio.run(measure(sides, work, rounds, bursts))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--sizes", type=lambda text: [int(word) for word in text.split(",")], default=list(SIZES))
    parser.add_argument("--workers", type=int, default=2, help="worker processes of Koyomi")
    parser.add_argument("--alone", action="store_true", help="measure Koyomi only")
    parser.add_argument("--bursts", action="store_true", help="also measure how long copies and answers take")
    options = parser.parse_args()
    print(run(not options.alone, options.sizes, options.rounds, options.workers, options.bursts))


if __name__ == "__main__":
    main()
