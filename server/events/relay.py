"""Brings the messages of the journal to the bus: one worker at a time, at least once, in the order of the journal.

The next batch is read when the bus has stored the one before, so that a slow bus takes no memory: what waits lies in
the journal. The relay's position moves after that. So when a relay dies, the next one sends its last batch again; one
that was stopped and goes on sends old messages. Consumers drop both.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from server.domain.errors import BusUnavailable, WriteConflict
from server.domain.events import ANYTHING, JOURNAL, Change
from server.events.bus import Publisher
from server.events.consuming import no_effect
from server.observe.background import failed
from server.observe.metrics import Metrics
from server.storage.bus import BusRecords
from server.storage.journal import Journal, Position, Transaction, Turn

RELAY = "relay"
"""The relay's name among the consumers of the journal."""
BATCH = 2000
"""Messages that are sent at once."""
POLL = 1.0
"""Seconds after which the journal is read, and the turn tried, even if nothing was announced."""
MEASURED_EVERY = 15.0
"""Seconds between two looks at how far consumers are behind."""
FIRST_PAUSE = 0.5
"""Seconds until the next try after a failure."""
LONGEST_PAUSE = 5.0
"""Seconds until the next try after many."""

log = structlog.get_logger()


class Relay:
    """The relay of one worker, while `run` lasts."""

    def __init__(
        self, journal: Journal, records: BusRecords, publisher: Publisher, turn: Turn, metrics: Metrics
    ) -> None:
        """`publisher` is left alone for a while after repeated failures."""
        self._journal = journal
        self._records = records
        self._publisher = publisher
        self._turn = turn
        self._metrics = metrics
        self._breaker = metrics.breaker("kafka", BusUnavailable)
        self._position: Position | None = None
        """As it was when this worker moved it last; None: it has to be taken over first."""
        self._leads = False
        """Whether this worker had the turn when it looked last."""
        self._wake = asyncio.Event()
        self._looked = 0.0
        """When it looked for dead letters, and whether it is still the one, last."""

    def hear(self, change: Change) -> None:
        """Look for messages; a listener for `server.storage.Storage.subscribe`."""
        if change.home_id in (JOURNAL.home_id, ANYTHING.home_id):
            self._wake.set()

    async def run(self) -> None:
        """Send messages until cancelled."""
        pause = FIRST_PAUSE
        try:
            while True:
                try:
                    self._wake.clear()
                    sent = await self.step()
                    pause = FIRST_PAUSE
                except Exception as error:
                    failed("relay", error)
                    self._position = None
                    # The next connection finds out anew how many partitions there are.
                    await self._publisher.close()
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                if sent is None:
                    await asyncio.sleep(POLL)
                elif sent < BATCH:
                    await self._rest()
        finally:
            await self.close()

    async def step(self) -> int | None:
        """Send the next messages. Returns their number; None: another worker has the turn.

        Raises `BusUnavailable`, `WriteConflict` if another worker has taken the turn meanwhile, and what the database
        raises.
        """
        self._leads = await self._turn.take()
        if not self._leads:
            self._position = None
            return None
        # After a failure the position is taken over again, and the topics are looked at.
        position, self._position = self._position, None
        if position is None:
            position = await self._take_over()
        messages = await self._journal.entries(position, BATCH)
        if messages:
            with self._breaker.call(BusUnavailable):
                await self._publisher.publish(messages)
            last = messages[-1]
            position = await self._journal.move(position, last.seq, last.month, no_effect)
            self._metrics.relayed.inc(len(messages))
        if time.monotonic() > self._looked + POLL:
            self._looked = time.monotonic()
            if await self._journal.position(RELAY) != position:
                # Somebody lets it begin again, because the topics are divided in another way.
                raise WriteConflict
            await self._send_dead_letters()
        self._position = position
        return len(messages)

    async def _send_dead_letters(self) -> None:
        letters = await self._records.unsent(BATCH)
        if letters:
            with self._breaker.call(BusUnavailable):
                await self._publisher.publish_dead(letters)
            await self._records.sent(letters)

    async def measure(self) -> None:
        """Show how far consumers are behind on the bus, as long as this worker has the turn, until cancelled."""
        shown: set[str] = set()
        while True:
            try:
                found = dict.fromkeys(shown, 0)
                if self._leads:
                    found |= await self._publisher.lags(await self._records.consumers())
                for name, lag in found.items():
                    self._metrics.bus_lag.labels(name).set(lag)
                shown = set(found)
            except Exception as error:
                failed("bus_lag", error)
            await asyncio.sleep(MEASURED_EVERY)

    async def close(self) -> None:
        """Let another worker go on."""
        self._position = None
        self._leads = False
        await self._turn.give_up()
        await self._publisher.close()

    async def _take_over(self) -> Position:
        with self._breaker.call(BusUnavailable):
            layout = await self._publisher.start()
        journal = self._journal
        await journal.keep_partitions(RELAY, (0,))
        position = await journal.take_over(await journal.position(RELAY))

        async def begin(transaction: Transaction) -> None:
            if position.anew:
                await journal.start_anew_behind(transaction)
            # What comes behind this position is divided so; consumers read what comes before it in the journal.
            await self._records.set_layout(transaction, layout)

        if position.anew:
            # The bus gets only what happens from now on.
            log.warning("relay_starts_anew", position=position.seq)
            return await journal.move(position, *await journal.end(), begin)
        if layout != await self._records.layout():
            log.info("partitions_changed", partitions=dict(layout))
            return await journal.move(position, position.seq, position.month, begin)
        return position

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(POLL):
                await self._wake.wait()
        except TimeoutError:
            pass
