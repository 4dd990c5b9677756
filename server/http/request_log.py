"""What is written down of every request: metrics, the access log, and an explanation of those that are slow."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import structlog
from aiohttp import web

from server.domain.changes import Cause
from server.domain.principals import Principal
from server.http.client_address import ClientAddresses
from server.observe import costs
from server.observe.client_families import family
from server.observe.costs import Costs
from server.observe.log import request_id as logged_request_id
from server.observe.tracing import TRACE_CONTEXT, context_of

if TYPE_CHECKING:
    from server.observe.metrics import Metrics
    from server.observe.tracing import Tracing

ABORTED = 499
"""Stands for the status of a request whose client went away, or whose answer was broken off."""
OTHER = "other"
"""Stands for methods and operations that are not offered."""

_log = structlog.get_logger()


class Logged(Protocol):
    """What the log shows of a request beyond its head."""

    @property
    def viewer(self) -> Principal | None:
        """Who is signed in, as far as it is known yet."""

    @property
    def acting_for(self) -> int | None:
        """The id of the principal for whom a delegate acts, as far as it is known yet."""

    @property
    def cause(self) -> Cause | None:
        """Who acts, and from where, as the journal has it; None: it is not known yet."""

    @property
    def concerned(self) -> int | None:
        """The id of the principal whose resource was looked for last, as far as it is known yet."""

    @property
    def operation(self) -> str:
        """What is asked for where the method does not say, such as the name of a report; empty otherwise."""

    @property
    def tree(self) -> str:
        """Which part of the URLs it concerns, of few; empty for others."""


class RequestLog:
    """Where one worker writes its requests down."""

    def __init__(
        self,
        *,
        methods: Container[str],
        operations: Mapping[str, str],
        addresses: ClientAddresses,
        metrics: Metrics | None = None,
        access_log: bool = False,
        slow: float = 1.0,
        tracing: Tracing | None = None,
    ) -> None:
        """`methods` and `operations` are counted by name, all others as `OTHER`; `operations` maps to names in the log.

        Requests that take longer than `slow` seconds are logged as a warning.
        """
        self.methods = methods
        self.operations = operations
        self.addresses = addresses
        self.metrics = metrics
        self.access_log = access_log
        self.slow = slow
        self.tracing = tracing

    def open(self, http: web.BaseRequest, request_id: str) -> Entry:
        """Begin with a request."""
        return Entry(self, http, request_id)

    def refused(self, label: str) -> None:
        """Count an error that a request was answered with."""
        if self.metrics is not None:
            self.metrics.refused(label)


class Entry:
    """A request under way; a context that ends with it."""

    __slots__ = ("_http", "_log", "_span", "began", "costs", "request", "request_id", "sent", "status", "trace")

    def __init__(self, log: RequestLog, http: web.BaseRequest, request_id: str) -> None:
        self._log = log
        self._http = http
        self.request_id = request_id
        self.request: Logged | None = None
        self.status = ABORTED
        self.sent = 0
        """Bytes of the answer: of a body that is whole, before it is compressed; of a stream, all that was sent."""
        self.costs = Costs(timeline=log.tracing is not None)
        self.began = time.perf_counter()
        trusted = TRACE_CONTEXT in http.headers and log.addresses.is_trusted(http.remote or None)
        parent = http.headers if trusted else None
        self._span = None if log.tracing is None else log.tracing.begin(self.began, parent)
        if self._span is not None:
            self.trace = self._span.context
        else:
            self.trace = "" if parent is None else context_of(parent)

    def __enter__(self) -> Self:
        # The next request on this connection sets them anew.
        costs.current.set(self.costs)
        logged_request_id.set(self.request_id)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ended = time.perf_counter()
        seconds = ended - self.began
        log = self._log
        if log.metrics is not None:
            log.metrics.request((self._method, self._report, self._client), self.status, seconds, self.costs)
        if log.access_log:
            _log.info("request", **self._facts(seconds))
        if seconds > log.slow:
            _log.warning("slow_request", **self._facts(seconds))
        if log.tracing is not None and self._span is not None:
            facts = {**self._facts(seconds), "request_id": self.request_id}
            log.tracing.end(self._span, self.costs, ended, facts)

    @property
    def _method(self) -> str:
        return self._http.method if self._http.method in self._log.methods else OTHER

    @property
    def _report(self) -> str:
        if self.request is None or not self.request.operation:
            return ""
        return self._log.operations.get(self.request.operation, OTHER)

    @property
    def _client(self) -> str:
        return family(self._http.headers.get("User-Agent", ""))

    def _facts(self, seconds: float) -> dict[str, object]:
        """What is logged: nothing that somebody named or wrote."""
        http, request, spent = self._http, self.request, self.costs
        viewer = None if request is None else request.viewer
        return {
            "principal_id": None if viewer is None else viewer.id,
            "acting_for": None if request is None else request.acting_for,
            "address": self._log.addresses.client(http.headers, http.remote or None),
            "client": self._client,
            "method": self._method,
            "report": self._report,
            "tree": "" if request is None else request.tree,
            "status": self.status,
            "bytes": self.sent,
            "ms": round(seconds * 1000, 1),
            "database_ms": round(spent.database_seconds * 1000, 1),
            "statements": spent.statements,
            "rows": spent.rows,
            "expansion_ms": round(spent.expansion_seconds * 1000, 1),
        }
