"""/check-in/TOKEN as a front end of its own: GET shows a page with a button, and only its POST checks in.

Programs that look at the links of mails send GET. Whoever has the token may check in, so nobody signs in; a token
that is not valid is 404, and no input is repeated in an answer.
"""

from __future__ import annotations

from html import escape

from server.check_in.page import Page, html
from server.domain.errors import KoyomiError, NotFound
from server.domain.principals import Principal
from server.domain.scopes import Door
from server.http.answer import Answer
from server.http.errors import Refused
from server.http.paths import UrlPath
from server.http.problems import problem
from server.http.routes import ANY, Route, Routes
from server.http.wire import Wire
from server.imip.catalogue import CATALOGUE, Language
from server.imip.catalogue.check_ins import CHECK_IN_TEXTS
from server.imip.description import period_in_words
from server.services.rooms.check_in_mails import CHECK_IN_PATH
from server.services.rooms.checking_in import CheckingIn, CheckInView

_KIND = "check-in"
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
_REFUSED = {"nothing": 404, "too_early": 409, "no_show": 409}
"""Status of a POST that does not check in."""


class CheckInRequest:
    """A request under way."""

    acting_for: int | None = None
    operation = tree = ""

    def __init__(self, wire: Wire, token: str) -> None:
        self.wire = wire
        self.token = token
        self.viewer: Principal | None = None
        self.href = f"/{CHECK_IN_PATH}"
        """Without the token, which nobody else should learn from a log."""


class CheckInPages:
    """Shows what a link is about, and checks in."""

    door: Door = "apps"

    def __init__(self, checking_in: CheckingIn, language: Language) -> None:
        self._checking_in, self._language = checking_in, language
        self._texts, self._own = CATALOGUE[language], CHECK_IN_TEXTS[language]
        kinds = frozenset({_KIND})
        self.routes = Routes(
            [
                Route("GET", kinds, self._show, open=True),
                Route("HEAD", kinds, self._show, open=True),
                Route("POST", kinds, self._check_in, open=True),
                Route(ANY, kinds, _refuse_method, open=True),
            ],
            _refuse_method,
        )

    def takes(self, path: UrlPath) -> bool:
        """Whether a path is one of check-ins."""
        return len(path.segments) == 2 and path.segments[0] == CHECK_IN_PATH

    def open(self, wire: Wire, path: UrlPath) -> CheckInRequest:
        """Begin with a request."""
        return CheckInRequest(wire, path.segments[1])

    def kind_of(self, request: CheckInRequest) -> str:
        """There is one kind."""
        return _KIND

    def refuse(self, error: KoyomiError, request: CheckInRequest | None) -> Answer:
        """The answer to an error."""
        if isinstance(error, NotFound):
            page = Page(self._language, escape(self._own.unknown), (escape(self._own.unknown),))
            return Answer(404, html(page), dict(_HEADERS))
        answer = problem(error)
        if answer.status == 405:
            answer.headers["Allow"] = "GET, HEAD, POST"
        return answer

    async def _show(self, request: CheckInRequest) -> Answer:
        return self._shown(200, await self._checking_in.by_link(request.token))

    async def _check_in(self, request: CheckInRequest) -> Answer:
        view = await self._checking_in.check_in_by_link(request.token)
        return self._shown(_REFUSED.get(view.state, 200), view)

    def _shown(self, status: int, view: CheckInView) -> Answer:
        said = {
            "nothing": self._own.nothing,
            "too_early": self._own.too_early.format(when=self._when(view, opens=True)),
            "open": self._own.open,
            "checked_in": self._own.checked_in,
            "no_show": self._own.no_show,
        }[view.state]
        lines = [self._when(view), said] if view.times is not None else [said]
        button = self._own.button if view.state == "open" else None
        page = Page(
            self._language,
            escape(self._own.title.format(room=view.room)),
            tuple(map(escape, lines)),
            None if button is None else escape(button),
        )
        return Answer(status, html(page), dict(_HEADERS))

    def _when(self, view: CheckInView, *, opens: bool = False) -> str:
        if view.times is None or view.opens_at is None:
            return ""
        start, end = (view.opens_at, view.opens_at) if opens else view.times
        return period_in_words(self._texts, start, end, view.zone)


async def _refuse_method(request: CheckInRequest) -> Answer:
    raise Refused(405, "Only GET, HEAD and POST can be done here.")
