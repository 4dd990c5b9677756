from __future__ import annotations

import pytest
from multidict import CIMultiDict

from server.http.answer import Answer
from server.http.routes import ANY, Handler, Route, Routes, media_type


def answering(status: int) -> Handler[None]:
    async def handler(_: None) -> Answer:
        return Answer(status)

    return handler


async def found(routes: Routes[None], method: str, kind: str, content_type: str | None = None) -> int:
    headers = CIMultiDict({} if content_type is None else {"content-type": content_type})
    return (await routes.find(method, kind, headers).handler(None)).status


ROUTES = Routes(
    [
        Route("GET", frozenset({"calendar", "outbox"}), answering(1)),
        Route("POST", frozenset({"outbox"}), answering(2), media_types=frozenset({"text/calendar"})),
        Route("POST", frozenset({"outbox"}), answering(3), media_types=frozenset({"text/xml", "application/xml"})),
        Route("POST", frozenset({"calendar"}), answering(4), media_types=frozenset({"text/xml"})),
        Route("POST", frozenset({"calendar"}), answering(5)),
        Route(ANY, frozenset({"outbox", "fixed"}), answering(6)),
    ],
    answering(9),
)


@pytest.mark.parametrize(
    ("method", "kind", "content_type", "status"),
    [
        ("GET", "calendar", None, 1),
        ("GET", "outbox", "text/calendar", 1),
        ("POST", "outbox", "text/calendar", 2),
        ("POST", "outbox", "Text/Calendar; charset=utf-8", 2),
        ("POST", "outbox", "application/xml", 3),
        ("POST", "outbox", "text/html", 6),
        ("POST", "outbox", None, 6),
        ("POST", "calendar", "text/xml", 4),
        ("POST", "calendar", "text/calendar", 5),
        ("POST", "calendar", None, 5),
        ("PUT", "fixed", None, 6),
        ("PUT", "calendar", None, 9),
        ("GET", "elsewhere", None, 9),
        (ANY, "calendar", None, 9),
    ],
)
async def test_a_route_is_found_by_method_kind_and_media_type(
    method: str, kind: str, content_type: str | None, status: int
) -> None:
    assert await found(ROUTES, method, kind, content_type) == status


def test_two_routes_for_one_request_are_a_mistake() -> None:
    types = frozenset({"text/xml"})
    for first, second in (
        (Route("GET", frozenset({"a", "b"}), answering(1)), Route("GET", frozenset({"b"}), answering(2))),
        (
            Route("POST", frozenset({"a"}), answering(1), media_types=types),
            Route("POST", frozenset({"a"}), answering(2), media_types=types | {"text/html"}),
        ),
    ):
        with pytest.raises(ValueError, match="has two routes"):
            Routes([first, second], answering(9))


def test_methods_and_kinds_are_those_of_the_routes() -> None:
    assert ROUTES.methods == {"GET", "POST"}
    assert ROUTES.kinds == {"calendar", "outbox", "fixed"}


@pytest.mark.parametrize(
    ("value", "expected"), [("", ""), (" Text/VCard ;version=4.0", "text/vcard"), (";", ""), ("a", "a")]
)
def test_media_types_are_read_without_parameters_and_case(value: str, expected: str) -> None:
    assert media_type(CIMultiDict({"Content-Type": value})) == expected
