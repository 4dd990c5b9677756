"""The place of one worker among those of a server: its process is started, watched, replaced and ended here."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import pickle
import socket
import sys
import time
from collections.abc import Awaitable

import structlog

from server.observe.background import failed
from server.process.listening import IDLE, Counts
from server.process.signals import Signals
from server.process.worker import JOB_LENGTH, READY, STOP, Job, Post

log = structlog.get_logger()

_GRACE_SECONDS = 10.0
"""How much longer than its requests a worker may take to end before it is killed."""
_FIRST_PAUSE = 0.1
"""Seconds before a worker that died is started again; doubled each time it dies young."""
_LONGEST_PAUSE = 30.0
"""Seconds; a worker that lived this long did not die young."""
_START_SECONDS = 60.0
"""How long a successor may take until it accepts connections."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Worker:
    """A worker's process."""

    post: Post
    process: asyncio.subprocess.Process
    channel: socket.socket
    ended: asyncio.Future[int]
    """Done with the exit status."""


class Slot:
    """The place of one worker: one that dies is followed by another."""

    def __init__(self, job: Job, post: Post, counts: Counts, signals: Signals, serving: asyncio.Event) -> None:
        """`serving` is shared by all slots, and set when the first worker accepts connections: workers can start.

        Until then a worker that ends is not followed by another.
        """
        self._job = job
        self._post = post
        self._counts = counts
        self._signals = signals
        self._serving = serving
        self._retire = asyncio.Event()
        self._successor: _Worker | None = None
        self._channels: set[socket.socket] = set()
        self.accepting = asyncio.Event()
        """Whether there is a worker that accepts connections."""

    async def keep(self) -> None:
        """Have a worker until told to stop."""
        pause = _FIRST_PAUSE
        while not self._signals.stop.is_set():
            born = time.monotonic()
            self._retire.clear()
            worker, self._successor = self._successor, None
            try:
                if worker is None:
                    worker = await self._start(self._post)
                    await self._one_life(worker, accepts=await self._accepts(worker))
                else:
                    self._post = worker.post
                    await self._one_life(worker, accepts=True)
            except Exception as error:
                # Such as no process, memory or descriptor left.
                failed("worker", error)
            self.accepting.clear()
            if self._signals.stop.is_set() or not self._serving.is_set():
                break
            if self._successor is not None:
                continue
            self._post = dataclasses.replace(self._post, reason="died")
            pause = min(pause * 2, _LONGEST_PAUSE) if time.monotonic() - born < _LONGEST_PAUSE else _FIRST_PAUSE
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._signals.stop.wait(), pause)
        if self._successor is not None:
            await self._end(self._successor)

    def tell(self, message: bytes) -> None:
        """Send a message to the worker; one that is just being started reads everything by itself."""
        for channel in self._channels:
            with contextlib.suppress(OSError):
                channel.send(message)

    async def replace(self) -> bool:
        """Start another worker, and let the old one finish its requests once that accepts connections.

        Returns True when the old worker has exited, or at the stop. Returns False when the new worker does not start;
        then the old one stays.
        """
        number = (self._post.number + self._post.workers // 2) % self._post.workers
        successor = await self._start(dataclasses.replace(self._post, number=number, reason="replaced"))
        accepts = False
        try:
            async with asyncio.timeout(_START_SECONDS):
                accepts = await self._accepts(successor)
        except TimeoutError:
            pass
        finally:
            if not accepts:
                await self._end(successor)
        if not accepts:
            return self._signals.stop.is_set()
        self._successor = successor
        self._channels.add(successor.channel)
        self.accepting.clear()
        self._retire.set()
        await first(self.accepting.wait(), self._signals.stop.wait())
        return True

    async def _accepts(self, worker: _Worker) -> bool:
        """Wait until a worker accepts connections; False when it ends before, or at the stop."""
        hearing = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(worker.channel, 1))
        try:
            await first(asyncio.shield(worker.ended), asyncio.shield(hearing), self._signals.stop.wait())
            return hearing.done() and not hearing.exception() and hearing.result() == READY
        finally:
            hearing.cancel()

    async def _one_life(self, worker: _Worker, *, accepts: bool) -> None:
        """Wait for the end of a worker, or bring it about when it is to retire or the server stops."""
        try:
            if accepts:
                self._channels.add(worker.channel)
                self.accepting.set()
                self._serving.set()
                await first(asyncio.shield(worker.ended), self._signals.stop.wait(), self._retire.wait())
            if worker.ended.done() and self._serving.is_set():
                log.error("worker_died", worker=worker.post.number, status=worker.ended.result())
        finally:
            await self._end(worker)

    async def _start(self, post: Post) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-c",
                "from server.process.worker import main; main()",
                str(theirs.fileno()),
                str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), post.counts, *post.listeners, *post.monitoring, *post.mail),
                # Ctrl-C at the terminal reaches the parent alone, which then stops the workers.
                process_group=0,
            )
        ours.setblocking(False)
        with contextlib.suppress(OSError):
            job = pickle.dumps((self._job, post))
            await asyncio.get_running_loop().sock_sendall(ours, len(job).to_bytes(JOB_LENGTH, "big") + job)
        return _Worker(post, process, ours, asyncio.ensure_future(process.wait()))

    async def _end(self, worker: _Worker) -> None:
        """Let a worker finish its requests and exit, within the limit; returns at once if it has exited."""
        try:
            if not worker.ended.done():
                with contextlib.suppress(OSError):
                    worker.channel.send(STOP)
                limit = self._job.stop_timeout + _GRACE_SECONDS
                await first(asyncio.shield(worker.ended), self._signals.stop_now.wait(), asyncio.sleep(limit))
            if not worker.ended.done():
                log.warning("worker_killed", worker=worker.post.number)
                worker.process.kill()
                await worker.ended
        finally:
            self._counts[worker.post.number] = IDLE
            self._channels.discard(worker.channel)
            worker.channel.close()


async def first(*awaitables: Awaitable[object]) -> None:
    """Wait until one of them is done; cancel the others."""
    futures = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in futures:
            future.cancel()
