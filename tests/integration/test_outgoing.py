"""Requests to other servers, made to real ones on this machine."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

import pytest
import trustme
from aiohttp import web

from server.domain.errors import OutgoingFailed, OutgoingRefused, OutgoingTimedOut, OutgoingTooLarge
from server.http.outgoing import Credentials, Response, request
from server.http.rules import Rules

HERE = Rules(networks=(ip_network("127.0.0.1/32"),), max_size=100_000, max_redirects=3)


class Names:
    """A resolver that answers in turn, and then with the last; it counts."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): each for name, each in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.answers:
            raise OSError("name not known")
        found = self.answers[host]
        return found.pop(0) if len(found) > 1 else found[0]


@dataclass
class Server:
    port: int = 0
    seen: list[web.BaseRequest] = field(default_factory=list)
    location: dict[str, tuple[int, str]] = field(default_factory=dict)

    async def answer(self, asked: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(asked)
        if asked.path in self.location:
            status, where = self.location[asked.path]
            return web.Response(status=status, headers={"Location": where})
        if asked.path in {"/bomb", "/truncated", "/gzip", "/after"}:
            body = gzip.compress(b"0" * (50_000_000 if asked.path == "/bomb" else 50_000))
            body = {"/truncated": body[:-9], "/after": body + b"more"}.get(asked.path, body)
            return web.Response(body=body, headers={"Content-Encoding": "gzip"})
        if asked.path == "/brotli":
            return web.Response(body=b"x", headers={"Content-Encoding": "br"})
        if asked.path == "/large":
            return web.Response(body=b"x" * 100_001)
        if asked.path in {"/endless", "/slow", "/silent"}:
            made = web.StreamResponse()
            if asked.path == "/silent":
                await asyncio.sleep(3600)
            await made.prepare(asked)
            while True:
                await made.write(b"x" * (10_000 if asked.path == "/endless" else 1))
                await asyncio.sleep(0.01 if asked.path == "/slow" else 0)
        return web.Response(body=f"{asked.method} {asked.path}".encode())

    async def start(self, tls: ssl.SSLContext | None = None) -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(self.answer, handler_cancellation=True), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    runner = await made.start()
    yield made
    await runner.cleanup()


@pytest.fixture
async def other() -> AsyncIterator[Server]:
    made = Server()
    runner = await made.start()
    yield made
    await runner.cleanup()


async def get(url: str, rules: Rules = HERE, names: Names | None = None) -> Response:
    return await request("GET", url, rules, resolve=names or Names())


async def test_an_allowed_address_is_asked(server: Server) -> None:
    got = await get(server.url("/x"))
    assert (got.status, got.body, got.url) == (200, b"GET /x", server.url("/x"))


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "[::1]", "169.254.169.254", "[::ffff:127.0.0.1]"])
async def test_an_address_that_is_not_allowed_is_refused(server: Server, host: str) -> None:
    with pytest.raises(OutgoingRefused):
        await get(server.url(host=host), Rules())
    assert server.seen == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1"])
async def test_other_forms_of_an_address_are_refused(server: Server, host: str) -> None:
    with pytest.raises((OutgoingRefused, OutgoingFailed)):
        await request("GET", server.url(host=host), Rules())
    assert server.seen == []


async def test_a_name_is_allowed_wherever_it_leads(server: Server) -> None:
    names = Names(intranet_test=[["127.0.0.1"]])
    rules = Rules(hosts=frozenset({"intranet.test"}))
    assert (await get(server.url(host="Intranet.test"), rules, names)).status == 200
    assert server.seen[0].headers["Host"] == f"intranet.test:{server.port}"


async def test_one_refused_address_refuses_the_name(server: Server) -> None:
    names = Names(mixed_test=[["127.0.0.1", "10.0.0.1"]])
    with pytest.raises(OutgoingRefused):
        await get(server.url(host="mixed.test"), names=names)
    assert server.seen == []


async def test_a_name_is_resolved_once_and_the_checked_address_connected_to(server: Server) -> None:
    """The second answer would be refused: it is never asked for, also not for a redirect to the same host."""
    names = Names(rebinding_test=[["127.0.0.1"], ["127.0.0.2"]])
    server.location["/"] = (302, "/there")
    got = await get(server.url(host="rebinding.test"), names=names)
    assert got.body == b"GET /there"
    assert names.asked == ["rebinding.test"]


async def test_a_public_answer_first_does_not_lead_to_this_machine_later(server: Server) -> None:
    names = Names(rebinding_test=[["192.0.2.1"], ["127.0.0.1"]])
    rules = Rules(networks=(ip_network("192.0.2.0/24"),), connect_timeout=0.2)
    with pytest.raises(OutgoingFailed):
        await get(server.url(host="rebinding.test"), rules, names)
    assert names.asked == ["rebinding.test"]
    assert server.seen == []


async def test_a_redirect_to_a_refused_address_is_refused(server: Server) -> None:
    names = Names(inside_test=[["10.0.0.1"]])
    for number, target in enumerate(("http://10.0.0.1/", "http://inside.test/", "http://[::1]/", "file:///etc/passwd")):
        server.location[f"/{number}"] = (302, target)
        with pytest.raises(OutgoingRefused):
            await get(server.url(f"/{number}"), names=names)


async def test_too_many_redirects_fail(server: Server) -> None:
    server.location["/"] = (302, "/")
    with pytest.raises(OutgoingFailed, match="more than 3 redirects"):
        await get(server.url())
    assert len(server.seen) == 4


async def test_credentials_go_to_the_configured_origin_only(server: Server, other: Server) -> None:
    mine = Credentials("Bearer secret", server.url())
    assert "secret" not in repr(mine)
    server.location |= {"/a": (302, "/b"), "/c": (302, other.url("/d"))}
    other.location["/d"] = (302, server.url("/e"))
    headers = {"X-Token": "secret", "Accept": "text/calendar"}
    await request("GET", server.url("/a"), HERE, credentials=mine, headers=headers)
    await request("GET", server.url("/c"), HERE, credentials=mine, headers=headers)
    await request("GET", other.url("/f"), HERE, credentials=mine)
    sent = {asked.path: asked.headers.get("Authorization") for asked in server.seen + other.seen}
    secret = "Bearer secret"
    assert sent == {"/a": secret, "/b": secret, "/c": secret, "/d": None, "/e": None, "/f": None}
    assert "X-Token" not in other.seen[0].headers
    assert other.seen[0].headers["Accept"] == "text/calendar"


async def test_a_body_is_not_sent_to_another_origin(server: Server, other: Server) -> None:
    server.location |= {"/": (307, other.url()), "/see": (303, other.url("/seen"))}
    with pytest.raises(OutgoingRefused):
        await request("POST", server.url(), HERE, body=b"secret")
    assert other.seen == []
    assert (await request("POST", server.url("/see"), HERE, body=b"secret")).body == b"GET /seen"


async def test_a_caller_cannot_pass_credentials_as_headers(server: Server) -> None:
    with pytest.raises(ValueError, match="cookie"):
        await request("GET", server.url(), HERE, headers={"cookie": "x"})


@pytest.mark.parametrize("path", ["/large", "/endless", "/bomb"])
async def test_an_answer_that_is_too_large_is_not_read(server: Server, path: str) -> None:
    with pytest.raises(OutgoingTooLarge):
        await get(server.url(path))


@pytest.mark.parametrize("path", ["/truncated", "/after", "/brotli"])
async def test_a_broken_coding_fails(server: Server, path: str) -> None:
    with pytest.raises(OutgoingFailed):
        await get(server.url(path))


async def test_gzip_is_decompressed(server: Server) -> None:
    assert (await get(server.url("/gzip"))).body == b"0" * 50_000


@pytest.mark.parametrize("path", ["/slow", "/silent"])
async def test_a_slow_answer_ends(server: Server, path: str) -> None:
    with pytest.raises(OutgoingTimedOut):
        await get(server.url(path), replace(HERE, timeout=0.3))


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://u:p@127.0.0.1/", "http://u@127.0.0.1/", "/x", "http://[x"]
)
async def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(OutgoingRefused):
        await get(url)


async def test_an_unknown_name_fails() -> None:
    with pytest.raises(OutgoingFailed):
        await get("http://nowhere.test/")


async def test_tls_is_checked_against_the_name(server: Server) -> None:
    authority = trustme.CA()
    trusting, serving = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(trusting)
    authority.issue_cert("good.test").configure_cert(serving)
    secure = Server()
    runner = await secure.start(serving)
    names = Names(good_test=[["127.0.0.1"]], bad_test=[["127.0.0.1"]])
    try:
        good = secure.url(host="good.test", scheme="https")
        assert (await request("GET", good, HERE, resolve=names, tls=trusting)).status == 200
        with pytest.raises(OutgoingFailed, match="certificate"):
            await request("GET", secure.url(host="bad.test", scheme="https"), HERE, resolve=names, tls=trusting)
        with pytest.raises(OutgoingFailed, match="certificate"):
            await request("GET", good, HERE, resolve=names)
        secure.location["/"] = (302, server.url())
        with pytest.raises(OutgoingRefused):
            await request("GET", good, HERE, resolve=names, tls=trusting)
        assert server.seen == []
    finally:
        await runner.cleanup()
