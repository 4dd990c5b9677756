"""The way from a request to an answer, with two toy front ends on real connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network

import pytest
from aiohttp import web

from server.domain.changes import Cause
from server.domain.errors import (
    AccessDenied,
    KoyomiError,
    QuotaExceeded,
    SignInDelayed,
    SignInRequired,
    Unavailable,
    WriteConflict,
)
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.domain.scopes import Door
from server.http.answer import Answer
from server.http.client_address import ClientAddresses
from server.http.dispatch import Dispatcher
from server.http.errors import Refused
from server.http.paths import UrlPath
from server.http.problems import problem
from server.http.request_log import RequestLog
from server.http.routes import ANY, Route, Routes
from server.http.sign_in import SignIn
from server.http.wire import Wire
from server.observe.costs import Costs
from tests.integration.dav.client import Client, Connection


class Numbers:
    """Verifies credentials: `Authorization` is a number, or anything else for nobody."""

    def __init__(self) -> None:
        self.addresses = ClientAddresses()
        self.offered = True
        self.stale = 0
        """How many sign-ins do not hold any more when the database is asked."""
        self.verified = 0

    def challenge(self, headers: Mapping[str, str], peer: str | None, *, tls: bool = False) -> str | None:
        return "Toy" if self.offered else None

    async def authenticate(
        self, headers: Mapping[str, str], peer: str | None, *, tls: bool = False, door: Door = "apps"
    ) -> SignIn:
        self.verified += 1
        value = headers.get("Authorization", "")
        if value == "slow down":
            raise SignInDelayed(7)
        if not value.isdigit():
            raise SignInRequired
        return SignIn(int(value), 1)

    def still_holds(self, sign_in: SignIn, viewer: Principal | None) -> bool:
        if self.stale:
            self.stale -= 1
            return False
        return viewer is not None

    def forget(self, sign_in: SignIn) -> None:
        pass


@dataclass
class Found:
    viewer: Principal | None


async def look_up(id_: int) -> Found:
    return Found(Principal(id_, "uid", "individual", "name", "Name", (), frozenset(), False, 1))


class ToyRequest:
    acting_for = None
    operation = ""
    tree = "toys"
    concerned = 17

    def __init__(self, wire: Wire, path: UrlPath) -> None:
        self.wire = wire
        self.path = path
        self.viewer: Principal | None = None
        self.cause: Cause | None = None


async def hello(request: ToyRequest) -> Answer:
    return Answer(200, f"hello {request.path.href}".encode())


async def echo(request: ToyRequest) -> Answer:
    await request.wire.confirmed(look_up)
    return Answer(200, await request.wire.read(100))


async def denied(request: ToyRequest) -> Answer:
    """Denies, and knows whom if somebody is signed in."""
    if "Authorization" in request.wire.headers:
        sign_in = await request.wire.sign_in()
        request.cause = Cause(sign_in.principal_id, "toys", request.wire.request_id)
    raise AccessDenied("/toys", Privilege.WRITE)


async def rash(request: ToyRequest) -> Answer:
    """Reads the body before the sign-in is confirmed."""
    return Answer(200, await request.wire.read(100))


async def streamed(request: ToyRequest) -> Answer:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    return Answer(200, stream=chunks())


def raising(error: Callable[[], Exception]) -> Callable[[ToyRequest], object]:
    async def handler(request: ToyRequest) -> Answer:
        raise error()

    return handler


async def otherwise(request: ToyRequest) -> Answer:
    raise Refused(405, "Not here.")


class Toys:
    """A front end whose kinds are the last segments of paths; answers errors as problem+json."""

    door: Door = "apps"

    routes: Routes[ToyRequest] = Routes(
        [
            Route("GET", frozenset({"open", "toys"}), hello, open=True),
            Route("GET", frozenset({"closed"}), hello),
            Route("GET", frozenset({"streamed"}), streamed, open=True),
            Route("POST", frozenset({"open"}), rash, open=True),
            Route("POST", frozenset({"rash"}), rash),
            Route("POST", frozenset({"echo"}), echo),
            Route("DELETE", frozenset({"closed"}), hello, takes_body=False),
            Route(ANY, frozenset({"busy"}), raising(lambda: Unavailable(retry_after=9)), open=True),
            Route(ANY, frozenset({"denied"}), denied, open=True),
            Route(ANY, frozenset({"full"}), raising(QuotaExceeded), open=True),
            Route(ANY, frozenset({"conflict"}), raising(WriteConflict), open=True),
            Route(ANY, frozenset({"broken"}), raising(lambda: ZeroDivisionError("secret")), open=True),
        ],
        otherwise,
    )

    def takes(self, path: UrlPath) -> bool:
        return path.segments[:1] == ("toys",)

    def open(self, wire: Wire, path: UrlPath) -> ToyRequest:
        return ToyRequest(wire, path)

    def kind_of(self, request: ToyRequest) -> str:
        return request.path.segments[-1]

    def refuse(self, error: KoyomiError, request: ToyRequest | None) -> Answer:
        return problem(error)


class Rest:
    """Answers everything with its path, and errors with a line."""

    door: Door = "apps"
    routes: Routes[ToyRequest] = Routes([Route(ANY, frozenset({"all"}), hello, open=True)], otherwise)

    def takes(self, path: UrlPath) -> bool:
        return True

    def open(self, wire: Wire, path: UrlPath) -> ToyRequest:
        return ToyRequest(wire, path)

    def kind_of(self, request: ToyRequest) -> str:
        return "all"

    def refuse(self, error: KoyomiError, request: ToyRequest | None) -> Answer:
        return Answer(400, b"refused by the rest")


@dataclass
class Counts:
    """Stands for metrics."""

    requests: list[tuple[tuple[str, str, str], int]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def request(self, key: tuple[str, str, str], status: int, seconds: float, costs: Costs) -> None:
        self.requests.append((key, status))

    def refused(self, label: str) -> None:
        self.refusals.append(label)


@dataclass
class Running:
    client: Client
    port: int
    verifier: Numbers
    counts: Counts


@asynccontextmanager
async def serving(**options: object) -> AsyncIterator[Running]:
    verifier, counts = Numbers(), Counts()
    log = RequestLog(methods={"GET"}, operations={}, addresses=verifier.addresses, metrics=counts)  # type: ignore[arg-type]
    dispatcher = Dispatcher([Toys(), Rest()], verifier, log, **options)  # type: ignore[arg-type]
    server = web.Server(dispatcher)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    client = Client(port, {})
    try:
        yield Running(client, port, verifier, counts)
    finally:
        client.close()
        listener.close()
        await server.shutdown(1)


async def test_the_first_front_end_that_takes_the_path_answers() -> None:
    async with serving(prefix="/dav") as running:
        ask = running.client
        assert (await ask("GET", "/toys/open")).body == b"hello /toys/open"
        assert (await ask("GET", "//toys/%6fpen/?x")).body == b"hello /toys/open"
        assert (await ask("GET", "/dav/toys/open")).body == b"hello /toys/open"
        assert (await ask("GET", "http://elsewhere/toys/open")).body == b"hello /toys/open"
        assert (await ask("GET", "/toy/open")).body == b"hello /toy/open"
        assert (await ask("OPTIONS", "*")).body == b"hello /"
        for path in ("/a/../b", "/%ff", "/a%2Fb"):
            assert (await ask("GET", path)).body == b"refused by the rest"


async def test_refusals_to_people_are_noted() -> None:
    noted = []

    async def note(cause: Cause, concerned: int | None, need: Privilege, method: str) -> None:
        noted.append((cause.principal_id, cause.request_id, concerned, need, method))

    async with serving(note_refusal=note) as running:
        assert (await running.client("GET", "/toys/denied")).status == 403
        assert (await running.client("GET", "/toys/full", Authorization="1")).status == 507
        assert noted == []
        reply = await running.client("GET", "/toys/denied", Authorization="1")
        assert (await running.client("PATCH", "/toys/denied", Authorization="2")).status == 403
    assert reply.status == 403
    assert noted[0] == (1, reply.headers["X-Request-Id"], 17, Privilege.WRITE, "GET")
    assert (noted[1][0], noted[1][4]) == (2, "other")


async def test_only_open_routes_need_no_sign_in() -> None:
    async with serving() as running:
        reply = await running.client("GET", "/toys/closed")
        assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Toy")
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert (await running.client("GET", "/toys/closed", Authorization="1")).status == 200
        assert (await running.client("PUT", "/toys/closed")).status == 401
        assert (await running.client("PUT", "/toys/closed", Authorization="1")).status == 405
        reply = await running.client("GET", "/toys/closed", Authorization="slow down")
        assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
        running.verifier.offered = False
        reply = await running.client("GET", "/toys/closed")
        assert (reply.status, json.loads(reply.body)["detail"]) == (403, "Signing in needs TLS here.")
        assert "WWW-Authenticate" not in reply.headers


async def test_a_body_is_read_of_those_only_whose_sign_in_is_confirmed() -> None:
    """Neither an open route nor accepted credentials give a handler the body."""
    async with serving() as running:
        assert (await running.client("POST", "/toys/open", b"secret")).status == 401
        assert (await running.client("POST", "/toys/rash", b"secret", Authorization="1")).status == 401
        reply = await running.client("POST", "/toys/echo", b"secret", Authorization="1")
        assert (reply.status, reply.body) == (200, b"secret")
        reply = await running.client("POST", "/toys/echo", b"x" * 101, Authorization="1")
        assert reply.status == 413


async def test_a_stale_sign_in_is_verified_again() -> None:
    async with serving() as running:
        running.verifier.stale = 2
        assert (await running.client("POST", "/toys/echo", b"a", Authorization="1")).status == 200
        assert running.verifier.verified == 3
        running.verifier.stale = 9
        assert (await running.client("POST", "/toys/echo", b"a", Authorization="1")).status == 401


async def test_a_body_that_a_method_does_not_define_is_refused_after_the_sign_in() -> None:
    async with serving() as running:
        assert (await running.client("DELETE", "/toys/closed", b"a")).status == 401
        assert (await running.client("DELETE", "/toys/closed", b"a", Authorization="1")).status == 415
        assert (await running.client("DELETE", "/toys/closed", Authorization="1")).status == 200


async def test_errors_become_answers_and_are_counted() -> None:
    async with serving() as running:
        reply = await running.client("GET", "/toys/busy")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "9")
        assert (await running.client("GET", "/toys/full")).status == 507
        assert (await running.client("GET", "/toys/conflict")).status == 503
        assert running.counts.refusals == ["Unavailable", "QuotaExceeded", "WriteConflict"]
        reply = await running.client("GET", "/toys/broken")
        assert (reply.status, json.loads(reply.body)["type"]) == (500, "/problems/internal-error")
        assert b"secret" not in reply.body
        await running.client("PURGE", "/toys/open", User_Agent="curl/8")
        assert running.counts.requests[-2:] == [(("GET", "", "none"), 500), (("other", "", "curl"), 401)]


@pytest.mark.parametrize(
    ("seconds", "protocol", "expected"), [(60, "https", "max-age=60"), (60, "http", None), (0, "https", None)]
)
async def test_every_answer_says_what_browsers_may_not_do(seconds: int, protocol: str, expected: str | None) -> None:
    async with serving(hsts_seconds=seconds) as running:
        running.verifier.addresses = ClientAddresses([IPv4Network("127.0.0.0/8")])
        for path in ("/toys/open", "/toys/closed", "/toys/broken", "/%ff"):
            reply = await running.client("GET", path, X_Forwarded_Proto=protocol)
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert len(reply.headers["X-Request-Id"]) == 12
            assert reply.headers.get("Strict-Transport-Security") == expected


async def test_streams_and_heads() -> None:
    async with serving() as running:
        assert (await running.client("GET", "/toys/streamed")).body == b"one two"
        connection = await Connection.open(running.port)
        await connection.send(b"HEAD /anything HTTP/1.1\r\nHost: a\r\n\r\n")
        reply = await connection.reply("HEAD")
        assert (reply.status, reply.headers["Content-Length"], reply.body) == (200, "15", b"")
        connection.close()
