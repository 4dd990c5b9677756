"""Runs the sequencer in every worker; one of them has the turn.

A worker that hears of commits, and of no new rows of the journal after them, takes the place of one that was stopped:
its session may hold the turn for long. The turn of a worker that died ends with its session.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from server.domain.errors import KoyomiError
from server.domain.events import JOBS, JOURNAL, Change
from server.observe.background import failed
from server.observe.metrics import Metrics
from server.storage.journal import Sequencer

PAUSE = 0.04
"""Seconds between two runs, in which commits are collected."""
POLL = 1.0
"""Seconds after which the outbox is read even if no commit was announced."""
PATIENCE = 2.0
"""Seconds after a commit from which a worker without the turn no longer waits for the one that has it."""
_FAILED = 0.5
"""Seconds until the next try after a failure."""


class Sequencing:
    """The sequencer of one worker, while `run` lasts."""

    def __init__(self, sequencer: Sequencer, announce: Callable[[Change], None], metrics: Metrics) -> None:
        """`announce` tells all workers of new rows of the journal."""
        self._sequencer = sequencer
        self._announce = announce
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._unanswered: float | None = None
        """When the first commit was heard of after which no row of the journal was announced."""

    def hear(self, change: Change) -> None:
        """Look for rows after a commit; a listener for `server.storage.Storage.subscribe`."""
        if change.home_id == JOURNAL.home_id:
            self._unanswered = None
        elif change != JOBS:
            if self._unanswered is None:
                self._unanswered = time.monotonic()
            self._wake.set()

    async def run(self) -> None:
        """Move rows until cancelled."""
        try:
            while True:
                try:
                    await self._step()
                except KoyomiError as error:
                    failed("sequencer", error)
                    await asyncio.sleep(_FAILED)
        finally:
            await self._sequencer.close()

    async def _step(self) -> None:
        self._wake.clear()
        forced = self._unanswered is not None and time.monotonic() - self._unanswered > PATIENCE
        done = await self._sequencer.run(forced=forced)
        if done.moved:
            self._metrics.sequenced.inc(done.moved)
            self._metrics.sequencer_lag.observe(done.longest)
            self._announce(Change(JOURNAL.home_id, None, done.last_seq))
        elif forced:
            # What was heard of changed nothing that is recorded.
            self._unanswered = None
        if done.more:
            await asyncio.sleep(PAUSE)
        elif done.led:
            await self._pause(POLL)
            await asyncio.sleep(PAUSE)
        else:
            # Without the turn commits are no reason to look: only what stays unanswered is.
            await asyncio.sleep(POLL)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
