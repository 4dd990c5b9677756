"""What is written down of every request: metrics, the access log, and an explanation of those that are slow."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from server.dav.core.names import split
from server.observe import costs
from server.observe.client_families import family
from server.observe.costs import Costs
from server.observe.log import request_id as logged_request_id
from server.observe.tracing import TRACE_CONTEXT, context_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from aiohttp import web

    from server.dav.core.request import Request
    from server.http.client_address import ClientAddresses
    from server.observe.metrics import Metrics
    from server.observe.tracing import Tracing

ABORTED = 499
"""Stands for the status of a request whose client went away, or whose answer was broken off."""
OTHER = "other"
"""Stands for methods and reports that are not offered."""
_TREES = frozenset(("principals", "calendars", "addressbooks"))

_log = structlog.get_logger()


class Ledger:
    """Where one worker writes its requests down."""

    def __init__(
        self,
        *,
        methods: Container[str],
        reports: Iterable[str],
        addresses: ClientAddresses,
        metrics: Metrics | None = None,
        access_log: bool = False,
        slow: float = 1.0,
        tracing: Tracing | None = None,
    ) -> None:
        """`methods` and `reports` (qualified names) are those that are told apart.

        Requests that take longer than `slow` seconds are logged as a warning.
        """
        self.methods = methods
        self.reports = {name: split(name)[1] for name in reports}
        self.addresses = addresses
        self.metrics = metrics
        self.access_log = access_log
        self.slow = slow
        self.tracing = tracing

    def open(self, http: web.BaseRequest, request_id: str) -> Entry:
        """Begin with a request."""
        return Entry(self, http, request_id)

    def refused(self, error: BaseException) -> None:
        """Count an error that a request was answered with."""
        if self.metrics is not None:
            self.metrics.refused(type(error).__name__)


class Entry:
    """A request under way; a context that ends with it."""

    __slots__ = ("_http", "_ledger", "_span", "began", "costs", "request", "request_id", "sent", "status", "trace")

    def __init__(self, ledger: Ledger, http: web.BaseRequest, request_id: str) -> None:
        self._ledger = ledger
        self._http = http
        self.request_id = request_id
        self.request: Request | None = None
        self.status = ABORTED
        self.sent = 0
        """Bytes of the answer: of a body that is whole, before it is compressed; of a stream, all that was sent."""
        self.costs = Costs(timeline=ledger.tracing is not None)
        self.began = time.perf_counter()
        trusted = TRACE_CONTEXT in http.headers and ledger.addresses.is_trusted(http.remote or None)
        parent = http.headers if trusted else None
        self._span = None if ledger.tracing is None else ledger.tracing.begin(self.began, parent)
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
        ledger = self._ledger
        if ledger.metrics is not None:
            ledger.metrics.request((self._method, self._report, self._client), self.status, seconds, self.costs)
        if ledger.access_log:
            _log.info("request", **self._facts(seconds))
        if seconds > ledger.slow:
            _log.warning("slow_request", **self._facts(seconds))
        if ledger.tracing is not None and self._span is not None:
            facts = {**self._facts(seconds), "request_id": self.request_id}
            ledger.tracing.end(self._span, self.costs, ended, facts)

    @property
    def _method(self) -> str:
        return self._http.method if self._http.method in self._ledger.methods else OTHER

    @property
    def _report(self) -> str:
        if self.request is None or not self.request.report:
            return ""
        return self._ledger.reports.get(self.request.report, OTHER)

    @property
    def _client(self) -> str:
        return family(self._http.headers.get("User-Agent", ""))

    def _facts(self, seconds: float) -> dict[str, object]:
        """What is logged: nothing that somebody named or wrote."""
        http, request, spent = self._http, self.request, self.costs
        viewer = None if request is None else request.viewer
        tree = "" if request is None else request.path.tree
        return {
            "principal_id": None if viewer is None else viewer.id,
            "acting_for": None if request is None else request.acting_for,
            "address": self._ledger.addresses.client(http.headers, http.remote or None),
            "client": self._client,
            "method": self._method,
            "report": self._report,
            "tree": tree if tree in _TREES else "",
            "status": self.status,
            "bytes": self.sent,
            "ms": round(seconds * 1000, 1),
            "database_ms": round(spent.database_seconds * 1000, 1),
            "statements": spent.statements,
            "rows": spent.rows,
            "expansion_ms": round(spent.expansion_seconds * 1000, 1),
        }
