"""/api as a front end: it finds the operation of a request, checks what came with it, and answers in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from admin_api import openapi, page
from admin_api.calls import Call, Reply, encoded, entity_tag
from admin_api.models import Model
from admin_api.operations import BASE, Operation
from admin_api.parsing import body_of, query_of
from admin_api.rates import Rates
from admin_api.requests import ORIGIN, ApiRequest
from admin_api.site import ApiSite
from admin_api.table import OPERATIONS
from server.domain.actors import Actor
from server.domain.errors import KoyomiError, NotFound, ScopeMissing, SignInRequired, TooManyRequests
from server.domain.scopes import Door, allows
from server.http.answer import Answer
from server.http.conditions import unmodified
from server.http.errors import Refused
from server.http.paths import UrlPath
from server.http.problems import problem
from server.http.routes import ANY, Route, Routes, media_type
from server.http.wire import Wire

_ROOT = BASE.split("/")[1]
_PAGE, _DOCUMENT = f"/{_ROOT}", f"{BASE}/openapi.json"
_FOREIGN = frozenset({"cross-site", "same-site"})
"""Values of Sec-Fetch-Site with which a browser tells that a page of somebody else sends a request."""
_SEGMENTS = len(BASE.split("/")) - 1


class ApiFrontEnd:
    """Answers the JSON API."""

    door: Door = "api"

    def __init__(self, site: ApiSite, operations: Iterable[Operation] = OPERATIONS) -> None:
        self._site = site
        self._rates = Rates(site.requests_per_minute)
        self._rows: dict[tuple[str, str], Operation] = {(row.method, row.path): row for row in operations}
        self._templates = [(tuple(path.split("/")[1:]), path) for path in dict.fromkeys(path for _, path in self._rows)]
        document = openapi.document(tuple(self._rows.values()), site.prefix)
        self._open = {
            _DOCUMENT: Answer(200, openapi.encoded(document), {"Content-Type": "application/json"}),
            _PAGE: Answer(200, page.html(document), dict(page.HEADERS)),
        }
        fixed = [
            Route(method, frozenset({kind}), self._show, open=True, takes_body=False)
            for kind in self._open
            for method in ("GET", "HEAD")
        ]
        rows = [
            Route(method, frozenset({row.path}), self._call, takes_body=row.request is not None)
            for row in self._rows.values()
            for method in ((row.method, "HEAD") if row.method == "GET" else (row.method,))
        ]
        others = Route(ANY, frozenset({*self._open, *(path for _, path in self._rows)}), _refuse_method, open=True)
        self.routes: Routes[ApiRequest] = Routes([*fixed, *rows, others], _find_nothing)

    def takes(self, path: UrlPath) -> bool:
        """Whether a path is one of the API."""
        return path.segments[:1] == (_ROOT,)

    def open(self, wire: Wire, path: UrlPath) -> ApiRequest:
        """Begin with a request."""
        if path.href in self._open:
            return ApiRequest(wire, path.href, None, {})
        if path.href.startswith(f"{BASE}/"):
            given = path.segments[_SEGMENTS:]
            for template, kind in self._templates:
                found = _matched(template, given)
                if found is not None:
                    method = "GET" if wire.method == "HEAD" else wire.method
                    return ApiRequest(wire, kind, self._rows.get((method, kind)), found)
        return ApiRequest(wire, "", None, {})

    def kind_of(self, request: ApiRequest) -> str:
        """The template of the path."""
        return request.kind

    def refuse(self, error: KoyomiError, request: ApiRequest | None) -> Answer:
        """The answer to an error."""
        answer = problem(error, "" if request is None else request.wire.request_id)
        if request is not None:
            answer.headers |= request.rate
            if answer.status == 405:
                answer.headers["Allow"] = ", ".join(self._allowed(request.kind))
        return answer

    def _allowed(self, kind: str) -> list[str]:
        methods = ["GET"] if kind in self._open else [method for method, path in self._rows if path == kind]
        return sorted({*methods, *(("HEAD",) if "GET" in methods else ())})

    async def _show(self, request: ApiRequest) -> Answer:
        """The document and the page, which say nothing about the installation."""
        shown = self._open[request.kind]
        headers = {**shown.headers, "Cache-Control": "no-cache", "ETag": entity_tag(shown.body)}
        if unmodified(request.wire.headers, request.wire.method, headers["ETag"], None):
            return Answer(304, headers=headers)
        return Answer(200, shown.body, headers)

    async def _call(self, request: ApiRequest) -> Answer:
        row, wire = request.row, request.wire
        assert row is not None
        sign_in = wire.signed_in
        goes_on, request.rate = self._rates.take(sign_in.principal_id)
        if not goes_on:
            raise TooManyRequests(self._rates.wait(sign_in.principal_id))
        if not allows(sign_in.scopes, row.area, row.access):
            raise ScopeMissing(f"This operation needs the scope {row.area}:{row.access}.")
        if row.method != "GET" and wire.headers.get("Sec-Fetch-Site", "").lower() in _FOREIGN:
            raise Refused(403, "Pages of other sites may not change anything here.")
        found = await wire.confirmed(lambda id_: self._site.lookup.resolve(id_, None, text=False))
        request.viewer = viewer = found.viewer
        if viewer is None:
            raise SignInRequired
        call = Call(
            self._site,
            Actor(viewer, ORIGIN, wire.request_id, trace=wire.trace),
            viewer,
            wire.signed_in.scopes,
            request.path,
            query_of(row.query, wire.target),
            await self._body(row, wire),
            wire.headers,
        )
        return self._answer(request, row, await row.handler(call))

    async def _body(self, row: Operation, wire: Wire) -> Model | None:
        if row.request is None:
            return None
        # Forms of other sites can send none of these types (https://fetch.spec.whatwg.org, CORS-safelisted).
        if media_type(wire.headers) not in (row.media_type, "application/json"):
            raise Refused(415, f"The body must be {row.media_type}.")
        return body_of(row.request, await wire.read(self._site.max_body))

    def _answer(self, request: ApiRequest, row: Operation, reply: Reply) -> Answer:
        headers = {"Cache-Control": "private, no-cache" if row.tagged else "no-store", **request.rate}
        if reply.location:
            headers["Location"] = f"{self._site.prefix}{BASE}{reply.location}"
        if reply.value is None:
            return Answer(row.status, headers=headers)
        body = encoded(reply.value)
        headers["Content-Type"] = "application/json"
        if row.tagged:
            headers["ETag"] = tag = entity_tag(body)
            if row.method == "GET" and unmodified(request.wire.headers, request.wire.method, tag, None):
                return Answer(304, headers=headers)
        return Answer(row.status, body, headers)


def _matched(template: tuple[str, ...], given: tuple[str, ...]) -> Mapping[str, str] | None:
    """The parameters with which a template is a path; None where it is not."""
    if len(template) != len(given):
        return None
    found = {}
    for part, segment in zip(template, given, strict=True):
        if part.startswith("{"):
            found[part[1:-1]] = segment
        elif part != segment:
            return None
    return found


async def _refuse_method(request: ApiRequest) -> Answer:
    raise Refused(405, "This method is not one of the resource's.")


async def _find_nothing(request: ApiRequest) -> Answer:
    raise NotFound
