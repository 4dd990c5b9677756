"""The page of check-ins, on real connections and the storage in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from server.booking.policy import as_json, parse_policy
from server.check_in.pages import CheckInPages
from server.domain.rooms import Room
from server.http.dispatch import Dispatcher
from server.http.request_log import RequestLog
from server.imip.catalogue import Language
from server.imip.check_in_links import CheckInLink, token_of
from server.services.rooms.checking_in import CheckingIn
from server.services.rooms.settings import RoomSettings
from tests.integration.dav.client import Client
from tests.unit.http.test_dispatch import Counts, Numbers, Rest
from tests.unit.services.test_implicit_scheduling import meeting
from tests.unit.services.world import NOW, World

NINE = datetime(2026, 4, 1, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NAME = "Hall <script>alert(1)</script>"


class Place:
    """A room with a booking, and the page about it."""

    def __init__(self) -> None:
        self.world, self.now, self.token = World(), NOW, ""

    async def open(self) -> None:
        await self.world.add("anna")
        policy = as_json(parse_policy({"check_in": "link", "release_no_shows": True}))
        await self.world.add("hall", kind="room", room=Room(0, policy=policy), display_name=NAME)
        await self.world.invite("anna", "anna/calendar/m.ics", meeting("urn:x-uid:id-hall", start="20260401T090000Z"))
        (self.booking,) = await self.world.storage.bookings_to_check_in(self.world.ids["hall"], NINE, NINE)
        self.token = await self.token_until(NINE + 60 * MINUTE)

    async def token_until(self, expires_at: datetime) -> str:
        id_ = self.booking.id
        return token_of(CheckInLink(id_.home_id, id_.object_id, expires_at), await self.world.storage.mail_secret())

    async def state(self) -> str:
        return (await self.world.storage.bookings_to_check_in(self.world.ids["hall"], NINE, NINE))[0].state


@asynccontextmanager
async def serving(place: Place, language: Language = "en") -> AsyncIterator[Client]:
    checking_in = CheckingIn(place.world.storage, RoomSettings(), lambda: place.now)
    verifier = Numbers()
    log = RequestLog(methods={"GET"}, operations={}, addresses=verifier.addresses, metrics=Counts())  # type: ignore[arg-type]
    pages = CheckInPages(checking_in, language)
    server = web.Server(Dispatcher([pages, Rest()], verifier, log, prefix="/koyomi"))  # type: ignore[arg-type]
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    client = Client(listener.sockets[0].getsockname()[1], {})
    try:
        yield client
    finally:
        client.close()
        listener.close()
        await server.shutdown(5)


@pytest.fixture
async def place() -> Place:
    made = Place()
    await made.open()
    return made


async def test_only_the_button_checks_in(place: Place) -> None:
    place.now = NINE
    async with serving(place) as client:
        for method in ("GET", "HEAD", "GET"):
            shown = await client(method, f"/koyomi/check-in/{place.token}")
            assert shown.status == 200
        assert await place.state() == "BOOKED"
        assert '<form method="post"><button type="submit">Check in</button></form>' in shown.text
        done = await client("POST", f"/koyomi/check-in/{place.token}", b"a=b")
        assert (done.status, await place.state()) == (200, "CHECKED_IN")
        assert "It is checked in." in done.text
        assert "<form" not in done.text
        again = await client("POST", f"/check-in/{place.token}")
        assert again.status == 200


async def test_the_page_is_plain_and_nothing_runs_in_it(place: Place) -> None:
    async with serving(place, "de") as client:
        shown = await client("GET", f"/check-in/{place.token}")
    assert "<script" not in shown.text
    assert "Hall &lt;script&gt;" in shown.text
    assert '<html lang="de">' in shown.text
    assert shown.headers["Content-Security-Policy"].startswith("default-src 'none'; form-action 'self'")
    assert "unsafe" not in shown.headers["Content-Security-Policy"]
    assert shown.headers["Content-Type"] == "text/html; charset=utf-8"
    assert shown.headers["Referrer-Policy"] == "no-referrer"
    assert shown.headers["Cache-Control"] == "no-store"
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert "WWW-Authenticate" not in shown.headers


async def test_what_is_too_early_or_released_is_not_checked_in(place: Place) -> None:
    async with serving(place) as client:
        place.now = NINE - 121 * MINUTE
        shown = await client("GET", f"/check-in/{place.token}")
        assert "You can check in from Wednesday, 1 April 2026, 07:00" in shown.text
        assert (await client("POST", f"/check-in/{place.token}")).status == 409
        place.now = NINE + 20 * MINUTE
        assert await place.world.storage.miss(place.booking.id, place.now) == "NO_SHOW"
        refused = await client("POST", f"/check-in/{place.token}")
        assert (refused.status, await place.state()) == (409, "NO_SHOW")
        assert "the room was released" in refused.text


@pytest.mark.parametrize(
    "path",
    [
        "x",
        "%00",
        "%2e%2e",
        "%ff",
        "a" * 1001,
        "%F0%9F%98%80",
        "A" * 47,
        "'><script>",
        "..%2f..%2fetc",
        "%0d%0aSet-Cookie:a",
    ],
)
async def test_what_is_no_link_is_refused(place: Place, path: str) -> None:
    async with serving(place) as client:
        for method in ("GET", "POST"):
            refused = await client(method, f"/check-in/{path}")
            assert 400 <= refused.status < 500
            assert b"script" not in refused.body
            assert "Set-Cookie" not in refused.headers
    assert await place.state() == "BOOKED"


async def test_expired_and_changed_links_and_other_methods_are_refused(place: Place) -> None:
    async with serving(place) as client:
        place.now = NINE
        expired = await place.token_until(NINE)
        changed = place.token[:-2] + ("AA" if place.token[-2:] != "AA" else "BB")
        for token in (expired, changed, place.token + "A", place.token.lower()):
            assert (await client("POST", f"/check-in/{token}")).status == 404
        for method in ("PUT", "DELETE", "PROPFIND", "OPTIONS"):
            refused = await client(method, f"/check-in/{place.token}")
            assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, POST")
        await place.world.cancel("anna", "anna/calendar/m.ics")
        assert (await client("POST", f"/check-in/{place.token}")).status == 404
