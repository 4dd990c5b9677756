"""Runs jobs (`server.storage.jobs`) in a worker. The runners of all workers of all servers share one queue.

A failed job is tried again after a pause that doubles each time, with a random part, so that many jobs do not run again
at the same moment. It delays no other job. A run whose heartbeat could not be renewed in time is cancelled before
another runner may take its job over.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import structlog

from server.domain.errors import JobAbandoned
from server.domain.events import JOBS, Change
from server.observe.background import failed, run_forever
from server.observe.metrics import Metrics
from server.storage.jobs import Jobs, Periodic, TakenJob

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run that succeeded."""

    rows: int = 0
    """Number of rows or objects that were processed; a number above 0 is logged."""
    next_run: float | None = None
    """Seconds until a periodic job runs next, instead of its usual time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of jobs."""

    name: str
    handler: Callable[[TakenJob], Awaitable[Result]]
    """Must be idempotent, and may be cancelled at any point. Any exception is a failure of the job."""
    tries: int = 12
    """Number of tries, in about an hour, after which a job that is not periodic has failed finally."""
    every: float | None = None
    """Seconds between two runs; None for jobs that are not periodic."""
    lock_key: str | None = None
    """Lock key of the periodic job."""
    stays: bool = False
    """Whether the handler waits for work: it is cancelled at once when the runner stops."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Times in seconds."""

    lease: float = 20.0
    """Age of a heartbeat from which another runner takes the job over."""
    beat: float = 4.0
    """Time between two heartbeats."""
    poll: float = 5.0
    """Longest time between two queries for jobs."""
    first_pause: float = 1.0
    """Time before the second try of a job."""
    longest_pause: float = 3600.0
    grace: float = 3.0
    """How long handlers may continue when the runner stops."""


TIMING = Timing()
_PARTS = 5
"""The lease divided by this is how long each statement of a heartbeat may take: a database that does not answer is
noticed before the lease ends."""
AT_ONCE = 4
"""Jobs that a runner runs at a time."""


@dataclass(slots=True)
class _Run:
    """A run under way."""

    task: asyncio.Task[None]
    job: TakenJob
    renewed: float = field(default_factory=time.monotonic)
    """When the heartbeat was last renewed: the time before the statement was sent."""
    lost: bool = False
    """Whether another runner may have taken the job over."""
    settling: bool = False
    """Whether its handler has returned, so that only the result is left to store."""


class Runner:
    """Runs the jobs of some kinds, while `run` lasts."""

    def __init__(
        self,
        jobs: Jobs,
        kinds: Sequence[Kind],
        metrics: Metrics,
        *,
        timing: Timing = TIMING,
        at_once: int = AT_ONCE,
    ) -> None:
        self._jobs = jobs
        self._kinds = {kind.name: kind for kind in kinds}
        self._metrics = metrics
        self._timing = timing
        self._at_once = at_once
        self._runs: dict[UUID, _Run] = {}
        self._wake = asyncio.Event()
        self._defined = False

    def hear(self, change: Change) -> None:
        """Look for jobs if some may have become due; a listener for `server.storage.Storage.subscribe`."""
        if change == JOBS:
            self._wake.set()

    async def run(self) -> None:
        """Run jobs until cancelled. Then running handlers end soon, or are cancelled and their jobs put back."""
        beating = asyncio.create_task(run_forever("job_heartbeat", self._beat))
        try:
            await run_forever("jobs", self._step)
        finally:
            await self._stop()
            beating.cancel()
            await asyncio.wait([beating])

    async def _stop(self) -> None:
        tasks = [run.task for run in self._runs.values()]
        if not tasks:
            return
        for run in self._runs.values():
            if self._kinds[run.job.kind].stays and not run.settling:
                run.task.cancel()
        _, late = await asyncio.wait(tasks, timeout=self._timing.grace)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    # -- taking -------------------------------------------------------------------------------------------------------

    async def _step(self) -> None:
        """Start the jobs that are due, then wait until more may be due."""
        self._wake.clear()
        if not self._defined:
            for kind in self._kinds.values():
                if kind.every is not None:
                    await self._jobs.define(Periodic(kind.name, timedelta(seconds=kind.every), kind.lock_key))
            self._defined = True
        names = list(self._kinds)
        pause = self._timing.poll * (0.8 + 0.4 * random.random())  # noqa: S311 - no secret
        while len(self._runs) < self._at_once:
            began = time.monotonic()
            job = await self._jobs.take(names)
            if job is None:
                due = await self._jobs.next_due(names)
                pause = pause if due is None else min(pause, due)
                break
            self._start(job, began)
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _start(self, job: TakenJob, taken: float) -> None:
        task = asyncio.create_task(self._run(job, self._kinds[job.kind]))
        self._runs[job.run] = _Run(task, job, taken)
        task.add_done_callback(lambda _: self._ended(job))

    def _ended(self, job: TakenJob) -> None:
        del self._runs[job.run]
        self._wake.set()

    # -- running ------------------------------------------------------------------------------------------------------

    async def _run(self, job: TakenJob, kind: Kind) -> None:
        began = time.monotonic()
        try:
            if job.attempt > kind.tries and not job.periodic:
                # The processes that ran it died, perhaps because of this job.
                raise JobAbandoned
            result = await kind.handler(job)
        except (Exception, asyncio.CancelledError) as error:
            run = self._runs[job.run]
            if run.task.cancelling():
                if not run.lost:
                    await self._settle(job, self._jobs.give_back(job))
                return
            self._metrics.job_ran(kind.name, time.monotonic() - began, succeeded=False)
            failed(kind.name, error, job=job.id, attempt=job.attempt)
            await self._settle(job, self._jobs.fail(job, type(error).__name__, self._retry(job, kind)))
        else:
            self._metrics.job_ran(kind.name, time.monotonic() - began, succeeded=True)
            if result.rows:
                log.info("job_done", kind=kind.name, job=job.id, rows=result.rows)
            next_run = None if result.next_run is None else timedelta(seconds=result.next_run)
            await self._settle(job, self._jobs.finish(job, next_run))

    def _retry(self, job: TakenJob, kind: Kind) -> timedelta | None:
        """How long after a failure a job is tried again; None: it is not tried again."""
        if job.attempt >= kind.tries and not job.periodic:
            log.error("job_failed", kind=kind.name, job=job.id, attempts=job.attempt)
            return None
        pause = min(self._timing.first_pause * 2.0 ** min(job.attempt - 1, 30), self._timing.longest_pause)
        return timedelta(seconds=pause * (0.5 + random.random()))  # noqa: S311

    async def _settle(self, job: TakenJob, settling: Awaitable[object]) -> None:
        """Wait for the statement that ends a run. If it fails, the job is taken over later and runs again."""
        self._runs[job.run].settling = True
        try:
            await settling
        except Exception as error:
            failed("jobs", error)

    # -- heartbeats ---------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Renew the heartbeats of this runner and take over the jobs of those that died."""
        await asyncio.sleep(self._timing.beat * (0.8 + 0.2 * random.random()))  # noqa: S311
        try:
            async with asyncio.timeout(self._timing.lease / _PARTS):
                await self._renew()
            async with asyncio.timeout(self._timing.lease / _PARTS):
                await self._recover()
        except Exception as error:
            failed("job_heartbeat", error)
        # Another runner may have these at the lease's end, also while the database does not answer here.
        limit = time.monotonic() - self._timing.lease / 2
        for run in self._under_way():
            if run.renewed < limit:
                self._lose(run)

    async def _renew(self) -> None:
        runs = self._under_way()
        if not runs:
            return
        began = time.monotonic()
        renewed = await self._jobs.renew([(run.job.id, run.job.run) for run in runs])
        for run in runs:
            if run.job.run in renewed:
                run.renewed = began
            elif not run.settling:
                self._lose(run)

    async def _recover(self) -> None:
        for kind, job_id in await self._jobs.recover(timedelta(seconds=self._timing.lease)):
            log.warning("job_taken_over", kind=kind, job=job_id)
            self._wake.set()

    def _under_way(self) -> list[_Run]:
        return [run for run in self._runs.values() if not run.settling]

    def _lose(self, run: _Run) -> None:
        if not run.lost:
            run.lost = True
            log.warning("job_lost", kind=run.job.kind, job=run.job.id)
            run.task.cancel()
