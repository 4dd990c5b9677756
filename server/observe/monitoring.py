"""/healthz, /readyz and /metrics as a front end of their own: on the server's own port, and on one for monitoring."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from server.domain.changes import Cause
from server.domain.errors import AccessDenied, KoyomiError, NotFound
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.domain.scopes import Door
from server.http import unread
from server.http.answer import Answer
from server.http.errors import Refused
from server.http.paths import UrlPath
from server.http.problems import problem
from server.http.routes import ANY, Route, Routes
from server.http.wire import Wire
from server.observe.gauges import gauges
from server.observe.metrics import CONTENT_TYPE, Metrics
from server.services.health import Health
from server.services.lookup import Lookup

_METHODS = ("GET", "HEAD")
_OPEN = frozenset({"/healthz", "/readyz"})
_METRICS = frozenset({"/metrics"})
"""For administrators on the server's own port."""


class MonitoringRequest:
    """A request under way."""

    acting_for: int | None = None
    concerned: int | None = None
    operation = tree = ""

    def __init__(self, wire: Wire, href: str) -> None:
        self.wire = wire
        self.href = href
        self.viewer: Principal | None = None
        """Who is signed in, as far as it is known yet."""

    @property
    def cause(self) -> Cause | None:
        """Who asks, as the journal has it, as far as it is known yet."""
        viewer = self.viewer
        return None if viewer is None else Cause(viewer.id, "monitoring", self.wire.request_id, trace=self.wire.trace)


class Monitoring:
    """Answers what monitoring asks for."""

    door: Door = "apps"

    def __init__(self, health: Health, metrics: Metrics, lookup: Lookup) -> None:
        self._health = health
        self._metrics = metrics
        self._lookup = lookup
        self.routes = Routes(
            [
                *(Route(method, _OPEN, self._answer, open=True) for method in _METHODS),
                *(Route(method, _METRICS, self._answer_administrators) for method in _METHODS),
                Route(ANY, _OPEN | _METRICS, _refuse_method, open=True),
            ],
            _refuse_method,
        )

    def takes(self, path: UrlPath) -> bool:
        """Whether a path is one of monitoring."""
        return path.href in self.routes.kinds

    def open(self, wire: Wire, path: UrlPath) -> MonitoringRequest:
        """Begin with a request."""
        return MonitoringRequest(wire, path.href)

    def kind_of(self, request: MonitoringRequest) -> str:
        """The path: each is a kind of its own."""
        return request.href

    def refuse(self, error: KoyomiError, request: MonitoringRequest | None) -> Answer:
        """The answer to an error."""
        answer = problem(error)
        if answer.status == 405:
            answer.headers["Allow"] = ", ".join(_METHODS)
        return answer

    async def _answer(self, request: MonitoringRequest) -> Answer:
        return await self._shown(request.href)

    async def _answer_administrators(self, request: MonitoringRequest) -> Answer:
        found = await request.wire.confirmed(lambda id_: self._lookup.resolve(id_, None, text=False))
        request.viewer = viewer = found.viewer
        if viewer is None or not viewer.is_admin:
            raise AccessDenied(request.href, Privilege.READ)
        return await self._shown(request.href)

    async def _shown(self, href: str) -> Answer:
        """What is at a path, for clients that may read it. Raises `NotFound`."""
        if href == "/healthz":
            return _json(200, {"status": "alive"})
        if href == "/readyz":
            obstacle = await self._health.obstacle()
            if obstacle is None:
                # Requests are answered as always: what these services are for waits for them.
                unavailable = await self._metrics.unavailable()
                if unavailable:
                    return _json(200, {"status": "degraded", "unavailable": unavailable})
                return _json(200, {"status": "ready"})
            return _json(503, {"status": "not ready", "reasons": [obstacle]})
        if href == "/metrics":
            headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
            return Answer(200, await self._metrics.text(gauges(await self._health.figures())), headers)
        raise NotFound

    def to_everyone(self) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """aiohttp's handler of a port for monitoring, where everyone is answered."""

        async def handle(http: web.BaseRequest) -> web.StreamResponse:
            try:
                if http.method not in _METHODS:
                    raise _not_allowed()
                answer = await self._shown(http.path)
            except KoyomiError as error:
                answer = self.refuse(error, None)
            response = web.Response(status=answer.status, body=answer.body, headers=answer.headers)
            if not http.content.is_eof():
                await unread.discard(http, response)
            return response

        return handle


async def _refuse_method(request: MonitoringRequest) -> Answer:
    raise _not_allowed()


def _not_allowed() -> Refused:
    return Refused(405, f"Only {', '.join(_METHODS)} can be done here.")


def _json(status: int, value: dict[str, object]) -> Answer:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Answer(status, json.dumps(value).encode() + b"\n", headers)
