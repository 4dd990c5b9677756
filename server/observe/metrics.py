"""Metrics of a server, for Prometheus.

Each worker counts in files with its number, in a folder that all workers of a server share. The next worker with this
number continues to count there. The worker that answers the request for metrics adds all files. A server that starts
counts from zero.

Requests are counted in memory; once a second the worker writes the counts to its files, so that requests do not wait
for that.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from server.observe import background
from server.observe.breakers import Breaker
from server.observe.incoming_mail_counts import IncomingMailCounts
from server.observe.mail_counts import MailCounts
from server.observe.scheduling_counts import SchedulingCounts

if TYPE_CHECKING:
    from server.observe.costs import Costs

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bounds of durations."""

LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Bounds of event loops' lags, in seconds."""

JOB_SECONDS = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0)
"""Bounds of the durations of jobs."""

READ_TRIES = 10
READ_PAUSE = 0.01
"""Seconds between two tries to read the files of all workers."""
WRITTEN_EVERY = 1.0
"""Seconds."""
WATCHED_EVERY = 0.05
"""Seconds between measurements of the event loop's lag."""

T = TypeVar("T")

Key = tuple[str, str, str]
"""Method, report and family of clients."""


@dataclass(frozen=True, slots=True)
class Momentary:
    """A gauge, or a counter, whose values are read at each request for metrics."""

    name: str
    described: str
    values: Mapping[tuple[str, ...], float]
    """By the values of the labels."""
    labels: tuple[str, ...] = ()
    rises: bool = False
    """Whether it is a counter: it never falls. Its name ends in `_total`."""


def share(folder: Path, worker: int) -> None:
    """Count in a folder together with other processes, as the worker of this number; before a `Metrics` is made."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = _buffered(values.MultiProcessValue(lambda: worker))  # type: ignore[no-untyped-call]


_unwritten: set[Any] = set()


def _buffered(shared: Any) -> Any:
    """A kind of values that are counted in memory and, when `_write` is called, in the shared file."""

    class BufferedValue(shared):  # type: ignore[misc]
        def inc(self, amount: float) -> None:
            self._value += amount
            _unwritten.add(self)

        def set(self, value: float, timestamp: float | None = None) -> None:
            self._value = value
            _unwritten.add(self)

        def get(self) -> float:
            return float(self._value)

        def write(self) -> None:
            self._file.write_value(self._key, self._value, 0.0)

    return BufferedValue


def _write() -> None:
    while _unwritten:
        _unwritten.pop().write()


class _Tally:
    """Requests of one kind with one status since they were last added to the counters.

    A request adds to these numbers only: adding to each counter of Prometheus's client would take longer.
    """

    __slots__ = ("buckets", "database", "expansion", "requests", "rows", "seconds", "statements")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin with zero."""
        self.requests = self.statements = self.rows = 0
        self.seconds = self.database = self.expansion = 0.0
        self.buckets = [0] * (len(SECONDS) + 1)
        """Requests by the bound of their durations in `SECONDS`, and longer ones."""

    def add(self, seconds: float, costs: Costs) -> None:
        """Count a request."""
        self.requests += 1
        self.seconds += seconds
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.statements += costs.statements
        self.database += costs.database_seconds
        self.rows += costs.rows
        self.expansion += costs.expansion_seconds


class Metrics:
    """The counters of one worker."""

    def __init__(self) -> None:
        shared = values.ValueClass is not values.MutexValue
        self._folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR") if shared else None
        self.registry = own = CollectorRegistry()
        kind, request = ("method", "report"), ("method", "report", "client")
        self.durations = Histogram(
            "koyomi_request_duration_seconds", "Until the answer is ready or, where it is streamed, sent.", request,
            buckets=SECONDS, registry=own,
        )  # fmt: skip
        self.requests = Counter("koyomi_requests", "Requests, by status.", (*request, "status"), registry=own)
        self.database_seconds = Counter(
            "koyomi_request_database_seconds", "Time that requests waited for the database.", kind, registry=own
        )
        self.statements = Counter("koyomi_request_statements", "Statements of requests.", kind, registry=own)
        self.rows = Counter("koyomi_request_rows", "Rows that statements of requests gave.", kind, registry=own)
        self.expansion_seconds = Counter(
            "koyomi_request_expansion_seconds", "Time in which stored texts were parsed and expanded.", kind,
            registry=own,
        )  # fmt: skip
        self.refusals = Counter("koyomi_refusals", "Requests refused, by the error.", ("error",), registry=own)
        for known in ("InvalidSyncToken", "TooManyInstances", "Unavailable", "WriteConflict"):
            self.refusals.labels(known)
        self.sign_in_failures = Counter(
            "koyomi_sign_in_failures", "Sign-ins with wrong credentials (repetitions of one are counted once).",
            registry=own,
        )  # fmt: skip
        self.pool_waits = Counter(
            "koyomi_database_pool_waits", "How often a free connection had to be waited for.", registry=own
        )
        self.pool_in_use = Gauge(
            "koyomi_database_pool_in_use", "Connections that statements run on.", registry=own,
            multiprocess_mode="sum",
        )  # fmt: skip
        self.pool_waiting = Gauge(
            "koyomi_database_pool_waiting", "Callers that wait for a connection.", registry=own,
            multiprocess_mode="sum",
        )  # fmt: skip
        self.malformed = Counter(
            "koyomi_malformed_requests", "What came on connections and could not be read as HTTP.", registry=own
        )
        self.lag = Histogram(
            "koyomi_event_loop_lag_seconds", "How much later than due the event loop gets to what waits.",
            buckets=LAGS, registry=own,
        )  # fmt: skip
        self.connections = Gauge(
            "koyomi_connections", "Connections of clients.", ("worker",), registry=own, multiprocess_mode="sum"
        )
        self.worker_starts = Counter(
            "koyomi_worker_starts", "Workers started: with the server, after one died, or to replace one.",
            ("reason",), registry=own,
        )  # fmt: skip
        self.background_failures = Counter(
            "koyomi_background_failures", "Failures of what runs in the background, each followed by another try.",
            ("task",), registry=own,
        )  # fmt: skip
        self.job_runs = Counter("koyomi_job_runs", "Runs of jobs, by outcome.", ("kind", "outcome"), registry=own)
        self.job_seconds = Histogram(
            "koyomi_job_duration_seconds", "How long runs of jobs took.", ("kind",), buckets=JOB_SECONDS, registry=own
        )
        self.job_success = Gauge(
            "koyomi_job_last_success_timestamp_seconds", "When a job of the kind last succeeded.", ("kind",),
            registry=own, multiprocess_mode="max",
        )  # fmt: skip
        self.sequenced = Counter(
            "koyomi_journal_entries", "Entries that this server added to the journal.", registry=own
        )
        self.sequencer_lag = Histogram(
            "koyomi_sequencer_lag_seconds", "The longest time from a write to its entry in the journal, of each run.",
            buckets=SECONDS, registry=own,
        )  # fmt: skip
        self.relayed = Counter(
            "koyomi_relayed_messages", "Messages that this server brought from the journal to the bus.", registry=own
        )
        self.bus_lag = Gauge(
            "koyomi_bus_lag_messages", "Messages on Kafka that a consumer has not read.", ("consumer",), registry=own,
            multiprocess_mode="max",
        )  # fmt: skip
        self.service_available = Gauge(
            "koyomi_service_available", "Whether a service that Koyomi calls answers: 0 after repeated failures.",
            ("service",), registry=own, multiprocess_mode="min",
        )  # fmt: skip
        self.scheduling = SchedulingCounts(own)
        self.incoming_mail = IncomingMailCounts(own)
        self.mails = MailCounts(own)
        self._tallies: dict[tuple[Key, int], _Tally] = {}
        self._totals: dict[Counter, int] = {}

    def request(self, key: Key, status: int, seconds: float, costs: Costs) -> None:
        """Count a request that was answered."""
        tally = self._tallies.get((key, status))
        if tally is None:
            tally = self._tallies[key, status] = _Tally()
        tally.add(seconds, costs)

    def _add_tallies(self) -> None:
        for (key, status), tally in self._tallies.items():
            if not tally.requests:
                continue
            kind = key[:2]
            self.requests.labels(*key, str(status)).inc(tally.requests)
            durations = self.durations.labels(*key)
            durations._sum.inc(tally.seconds)
            for bucket, requests in zip(durations._buckets, tally.buckets, strict=True):
                if requests:
                    bucket.inc(requests)
            self.statements.labels(*kind).inc(tally.statements)
            self.database_seconds.labels(*kind).inc(tally.database)
            self.rows.labels(*kind).inc(tally.rows)
            self.expansion_seconds.labels(*kind).inc(tally.expansion)
            tally.clear()

    def refused(self, error: str) -> None:
        """Count an error that a request was answered with."""
        self.refusals.labels(error).inc()

    def rise(self, counter: Counter, total: int) -> None:
        """Add to a counter by how much a total, which something else counts from 0, has grown since the last call."""
        counter.inc(total - self._totals.get(counter, 0))
        self._totals[counter] = total

    def job_ran(self, kind: str, seconds: float, *, succeeded: bool) -> None:
        """Count a run of a job."""
        self.job_runs.labels(kind, "succeeded" if succeeded else "failed").inc()
        self.job_seconds.labels(kind).observe(seconds)
        if succeeded:
            self.job_success.labels(kind).set(time.time())

    def breaker(self, service: str, open_error: Callable[[str], Exception]) -> Breaker:
        """A breaker whose state is shown as that of a service."""
        return Breaker(service, self.service_available.labels(service), open_error)

    async def unavailable(self) -> list[str]:
        """The services that do not answer some worker of this server."""
        _write()
        found = await asyncio.to_thread(self._read, lambda registry: list(registry.collect()))
        samples = [sample for each in found if each.name == "koyomi_service_available" for sample in each.samples]
        return sorted(sample.labels["service"] for sample in samples if not sample.value)

    async def keep_written(self, sample: Callable[[], None]) -> None:
        """Call `sample` and write the counts to the files, repeatedly until cancelled."""

        def write() -> None:
            sample()
            for task, count in background.failures.items():
                self.rise(self.background_failures.labels(task), count)
            self._add_tallies()
            _write()

        async def step() -> None:
            write()
            await asyncio.sleep(WRITTEN_EVERY)

        try:
            await background.run_forever("metrics", step)
        finally:
            write()

    async def watch_event_loop(self) -> None:
        """Measure the lag of the event loop, repeatedly until cancelled."""

        async def step() -> None:
            began = time.monotonic()
            await asyncio.sleep(WATCHED_EVERY)
            self.lag.observe(max(0.0, time.monotonic() - began - WATCHED_EVERY))

        await background.run_forever("event_loop_watch", step)

    async def text(self, now: Sequence[Momentary] = ()) -> bytes:
        """All workers' counters in Prometheus's text format, and `now`: gauges of this moment."""
        self._add_tallies()
        _write()
        momentary = CollectorRegistry()
        values_were, values.ValueClass = values.ValueClass, values.MutexValue
        try:
            for each in now:
                if each.rises:
                    counter = Counter(each.name, each.described, each.labels, registry=momentary)
                    for labels, value in each.values.items():
                        (counter.labels(*labels) if labels else counter).inc(value)
                    continue
                gauge = Gauge(each.name, each.described, each.labels, registry=momentary)
                for labels, value in each.values.items():
                    (gauge.labels(*labels) if labels else gauge).set(value)
        finally:
            values.ValueClass = values_were
        # Reading the files of all workers would delay requests on the event loop.
        lasting = await asyncio.to_thread(self._lasting)
        return lasting + generate_latest(momentary)

    def _lasting(self) -> bytes:
        return self._read(generate_latest)

    def _read(self, read: Callable[[CollectorRegistry], T]) -> T:
        """Read the counters of all workers."""
        if self._folder is None:
            return read(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, self._folder)  # type: ignore[no-untyped-call]
        for _ in range(READ_TRIES - 1):
            try:
                return read(registry)
            except struct.error:
                # A file that another worker has just created is empty for a moment.
                time.sleep(READ_PAUSE)
        return read(registry)
