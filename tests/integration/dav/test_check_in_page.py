"""The page of check-ins beside the other front ends of the server."""

from __future__ import annotations

from tests.integration.dav.conftest import Served


async def test_the_page_answers_without_a_sign_in(served: Served) -> None:
    shown = await served.client()("GET", "/check-in/nothing")
    assert shown.status == 404
    assert shown.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "This link is not valid, or has expired." in shown.text
    assert (await served.client()("GET", "/check-in")).status == 401, "other paths are those of DAV"
