"""What no honest client sends: always refused with 4xx and a reason, never 5xx, and nothing is stored."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.dav.client import Connection
from tests.integration.dav.conftest import Served
from tests.integration.dav.multistatus import caldav
from tests.integration.dav.person import Person, card, event, xml
from tests.integration.dav.test_client_habits import APPLE_HOME

PROPFIND = xml("D:propfind", "<D:prop><D:getetag/></D:prop>")
DEEP = "<X:a>" * 5000 + "</X:a>" * 5000
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + ']><D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop>&j;</D:propfind>'
)

XML = {
    "no XML": b"text",
    "cut off": PROPFIND[:-5].encode(),
    "two roots": PROPFIND.encode() + b"<D:propfind/>",
    "undeclared prefix": b"<D:propfind><D:prop/></D:propfind>",
    "entity": b'<!DOCTYPE x [<!ENTITY e "v">]><D:propfind xmlns:D="DAV:"><D:prop>&e;</D:prop></D:propfind>',
    "external entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hosts">]><a:b xmlns:a="DAV:">&e;</a:b>',
    "external DTD": b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x"><D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>',
    "DTD": b'<!DOCTYPE propfind><D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>',
    "billion laughs": LAUGHS.encode(),
    "deep": xml("D:propfind", DEEP).encode(),
    "NUL": PROPFIND.replace("getetag", "get\x00etag").encode(),
    "control character": xml("D:propfind", "<D:prop>\x01</D:prop>").encode(),
    "not UTF-8": PROPFIND.encode().replace(b"getetag", b"get\xffetag"),
    "UTF-16 without saying so": PROPFIND.split("\n", 1)[1].encode("utf-16-le"),
    "unknown encoding": PROPFIND.replace("utf-8", "x-no-such").encode(),
    "wrong encoding": PROPFIND.replace("utf-8", "utf-16").encode(),
    "huge": xml("D:propfind", "<D:prop>" + "<D:getetag/>" * 500_000 + "</D:prop>").encode(),
    "many properties": xml(
        "D:propfind", "<D:prop>" + "".join(f"<X:p{n}/>" for n in range(1001)) + "</D:prop>"
    ).encode(),
    "long name": xml("D:propfind", f"<D:prop><{'n' * 60_000}/></D:prop>").encode(),
    "many attributes": xml("D:propfind", "<D:prop" + "".join(f" a{n}='1'" for n in range(9000)) + "><D:no/>").encode(),
}


@pytest.mark.parametrize("method", ["PROPFIND", "PROPPATCH", "REPORT", "MKCALENDAR", "MKCOL"])
@pytest.mark.parametrize("body", [name for name in XML if name != "long name"])
async def test_xml_bodies(person: Person, body: str, method: str) -> None:
    path = person.calendar if method not in ("MKCALENDAR", "MKCOL") else f"{person.home}new/"
    reply = await person.http(method, path, XML[body], Depth="0")
    assert 400 <= reply.status < 500, reply.status
    assert reply.body.strip()
    assert len(reply.body) < 5000
    assert len(await person.names(person.home)) == 5


async def test_xml_that_is_too_large_is_413(person: Person) -> None:
    for method in ("PROPFIND", "PROPPATCH", "REPORT", "MKCOL"):
        (await person.http(method, person.calendar, XML["huge"], Depth="0")).refused(413)


async def test_a_name_without_end_is_answered(person: Person) -> None:
    reply = await person.http("PROPFIND", person.calendar, XML["long name"], Depth="0")
    assert reply.status in (207, 400)


BODIES = {
    "empty": b"",
    "NUL": event("1", "a\x00b").encode(),
    "not UTF-8": event("1").encode().replace(b"Meeting", b"Me\xfft"),
    "UTF-16": event("1").encode("utf-16"),
    "binary": bytes(range(256)) * 40,
    "unclosed": event("1").replace("END:VEVENT", "X-A:1").encode(),
    "wrongly closed": event("1").replace("END:VEVENT", "END:VTODO").encode(),
    "deep": ("BEGIN:VCALENDAR\r\n" + "BEGIN:X-A\r\n" * 20_000).encode(),
    "deep and closed": (
        "BEGIN:VCALENDAR\r\n" + "BEGIN:X-A\r\n" * 9_000 + "END:X-A\r\n" * 9_000 + "END:VCALENDAR\r\n"
    ).encode(),
    "many components": event("1", "x", *["BEGIN:VALARM", "END:VALARM"] * 11_000).encode(),
    "too large": event("1", "x" * 11_000_000).encode(),
    "no such date": event("1").replace("20260601T090000Z", "20261301T250000Z").encode(),
    "no such rule": event("1", "x", "RRULE:FREQ=NEVER").encode(),
    "HTML": b"<html><body>sign in</body></html>",
    "long name of a component": event("1", "x", "BEGIN:" + "X" * 9000).encode(),
    "long name of a component without end": f"BEGIN:VCALENDAR\r\nBEGIN:{'X' * 9000}\r\n".encode(),
    "long name of a component in the wrong place": event("1").replace("VEVENT", "X" * 9000).encode(),
    "a card": card("1").encode(),
}


@pytest.mark.parametrize("body", BODIES)
async def test_calendar_objects(person: Person, body: str) -> None:
    reply = await person.http("PUT", f"{person.calendar}1.ics", BODIES[body], Content_Type="text/calendar")
    assert 400 <= reply.status < 500, reply.status
    assert reply.body.strip()
    assert len(reply.body) < 5000
    assert await person.names(person.calendar) == []


@pytest.mark.parametrize("body", ["empty", "NUL", "not UTF-8", "UTF-16", "binary", "HTML", "deep"])
async def test_cards(person: Person, body: str) -> None:
    data = BODIES[body].replace(b"VCALENDAR", b"VCARD").replace(b"VEVENT", b"VCARD")
    reply = await person.http("PUT", f"{person.book}1.vcf", data, Content_Type="text/vcard")
    assert 400 <= reply.status < 500, reply.status
    assert reply.body.strip()
    assert await person.names(person.book) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "PROPFIND", "MKCALENDAR", "DELETE", "MOVE", "REPORT", "OPTIONS"])
@pytest.mark.parametrize(
    "tail",
    [
        "%",
        "%zz",
        "%ff",
        "%c3%28",
        "%ed%a0%80",
        "%00",
        "a%00b",
        "%0a",
        "%0d%0aX:%201",
        "%7f",
        "%2e%2e",
        "..",
        ".",
        "../x",
        "%2e%2e/%2e%2e/etc/passwd",
        "a%2fb",
        "%2f",
        "x" * 1001,
        "a/b/c/d/e/f/g",
        "/".join("abcdefghij" * 30),
        "%C2%85",
    ],
)
async def test_paths(person: Person, tail: str, method: str) -> None:
    body = event("1") if method == "PUT" else PROPFIND if method in ("PROPFIND", "REPORT") else ""
    destination = f"{person.calendar}x" if method == "MOVE" else ""
    media = "text/calendar" if method == "PUT" else ""
    for base in (person.calendar, person.home):
        reply = await person.http(method, base + tail, body, Depth="0", Destination=destination, Content_Type=media)
        if reply.status < 400:
            # what has a meaning may be done: another name for what is there, or a name that is merely odd
            assert method in ("PUT", "MKCALENDAR", "OPTIONS", "GET", "PROPFIND", "DELETE"), (reply.status, base + tail)
            assert tail in ("%", "%zz", "%C2%85")
        else:
            assert reply.status < 500
            assert reply.body.strip()
    # and where it is a destination
    reply = await person.http("MOVE", person.tasks, Destination=person.home + tail)
    assert reply.status < 500


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PROPFIND", {"Depth": "2"}),
        ("PROPFIND", {"Depth": "-1"}),
        ("PROPFIND", {"Depth": "infinite"}),
        ("PROPFIND", {"Depth": "0, 0"}),
        ("DELETE", {"Depth": "x"}),
        ("COPY", {"Overwrite": "maybe", "Destination": "/x"}),
        ("COPY", {"Destination": "x"}),
        ("COPY", {"Destination": "http://["}),
        ("COPY", {"Destination": "/%ff"}),
        ("MOVE", {"Destination": "javascript:alert(1)"}),
        ("MOVE", {}),
        ("PROPFIND", {"If": "(" * 500}),
        ("PROPPATCH", {"If": "<" + "x" * 5000 + "> (<urn:a>)"}),
        ("PROPFIND", {"Authorization": "Basic " + "A" * 20_000}),
        ("PROPFIND", {"X": "y" * 40_000}),
    ],
)
async def test_headers(person: Person, method: str, headers: dict[str, str]) -> None:
    reply = await person.http(method, person.calendar, PROPFIND if method == "PROPFIND" else "", **headers)
    assert reply.status < 500
    if "Authorization" not in headers and "If" not in headers:
        assert reply.status >= 400
    assert reply.body.strip()
    assert len(await person.names(person.home)) == 5


@pytest.mark.parametrize(
    "headers",
    [
        {"If_Match": "\x80\x81"},
        {"If_None_Match": '"' * 9999},
        {"If_Modified_Since": "Mon, 99 Foo 99999 99:99:99 GMT"},
        {"Accept": "\xff"},
        {"Accept_Encoding": "gzip;q=" + "9" * 999},
        {"Prefer": "=;,;=,,return=" + "x" * 5000},
        {"Brief": "\x80"},
        {"Range": "bytes=99999999999999999999-"},
        {"User_Agent": "\xff\xfe"},
        {"Cookie": "a=b; " * 1000},
        {"X_Forwarded_For": "not an address, ::::"},
        {"Content_Type": "\xff/\xff; charset=\xff"},
    ],
)
async def test_headers_that_are_beside_the_point(person: Person, headers: dict[str, str]) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    for path in (f"{person.calendar}1.ics", person.calendar):
        assert (await person.http("GET", path, **headers)).status < 500
    assert (await person.http("PUT", f"{person.calendar}1.ics", event("1"), **headers)).status < 500


MANY = {
    "properties set": ("PROPPATCH", "D:propertyupdate", "<D:set><D:prop>{}</D:prop></D:set>", "<X:p{}/>"),
    "one property set": ("PROPPATCH", "D:propertyupdate", "<D:set><D:prop>{}</D:prop></D:set>", "<X:p/>"),
    "properties removed": ("PROPPATCH", "D:propertyupdate", "<D:remove><D:prop>{}</D:prop></D:remove>", "<X:p{}/>"),
    "properties of a calendar": ("MKCALENDAR", "C:mkcalendar", "<D:set><D:prop>{}</D:prop></D:set>", "<X:p{}/>"),
    "conditions": (
        "REPORT",
        "C:calendar-query",
        '<C:filter><C:comp-filter name="VCALENDAR">{}</C:comp-filter></C:filter>',
        '<C:comp-filter name="VEVENT"/>',
    ),
    "properties to expand": ("REPORT", "D:expand-property", "{}", '<D:property name="displayname"/>'),
    "entries of an ACL": (
        "ACL",
        "D:acl",
        "{}",
        "<D:ace><D:principal><D:all/></D:principal><D:grant><D:privilege><D:read/></D:privilege></D:grant></D:ace>",
    ),
}


@pytest.mark.parametrize("what", MANY)
async def test_very_many_of_something_are_refused_before_they_are_looked_at(person: Person, what: str) -> None:
    """What is done for each, and again for each of the others, would keep everybody waiting for minutes."""
    method, root, around, one = MANY[what]
    inner = around.format("".join(one.format(number) for number in range(20_000)))
    path = person.calendar if method != "MKCALENDAR" else f"{person.home}many/"
    async with asyncio.timeout(30):
        reply = await person.http(method, path, xml(root, inner), Depth="0")
    assert reply.status in (400, 403)
    assert len(reply.body) < 5000


async def test_what_is_quoted_is_short(person: Person) -> None:
    """A reason is for people: it does not send back what came. A large filter that is refused is named only."""
    many = "<D:prop><D:getetag/></D:prop>" * 900
    inner = f'<D:prop/><C:filter><C:comp-filter name="VCALENDAR">{many}</C:comp-filter></C:filter>'
    reply = await person.report(person.calendar, "C:calendar-query", inner)
    named = reply.refused(403, caldav("supported-filter"))
    assert named is not None
    assert [(item.tag, item.get("name"), len(item)) for item in named] == [(caldav("comp-filter"), "VCALENDAR", 0)]
    assert len(reply.body) < 5000


async def test_a_reason_tells_the_line_once(person: Person) -> None:
    reply = await person.put(
        f"{person.calendar}1.ics", event("1").replace("BEGIN:VEVENT", "METHOD:REQUEST\r\nBEGIN:VEVENT")
    )
    assert reply.text.lower().count("line 4") == 1


@pytest.mark.parametrize("method", ["POST", "LOCK", "PURGE"])
async def test_a_method_that_is_not_offered_is_told_in_words(person: Person, method: str) -> None:
    reply = await person.http(method, person.calendar)
    assert reply.status in (405, 501)
    assert "protocol itself" not in reply.text
    assert len(reply.text.split()) >= 4


# -- below HTTP --------------------------------------------------------------------------------------------------------


async def exchange(served: Served, data: bytes, replies: int = 1) -> list[int]:
    """Sends bytes on a new connection and gives the statuses of what comes back."""
    connection = await Connection.open(served.port)
    try:
        await connection.send(data)
        async with asyncio.timeout(30):
            return [(await connection.reply()).status for _ in range(replies)]
    finally:
        connection.close()


async def test_bytes_that_are_no_request(served: Served) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
    ):
        (status,) = await exchange(served, data)
        assert 400 <= status < 500, data[:60]


async def test_bytes_in_paths_and_headers(served: Served, person: Person) -> None:
    sign_in = f"Host: a\r\nRemote-User: {person.name}\r\nDepth: 0\r\n".encode()
    for path in (b"\xff", b"\xed\xa0\x80", b"caf\xe9.ics", b"\xc0\xaf"):
        target = person.calendar.encode() + path
        for line in (b"PROPFIND " + target, b"MKCALENDAR " + target, b"DELETE " + target):
            (status,) = await exchange(served, line + b" HTTP/1.1\r\n" + sign_in + b"\r\n")
            assert 400 <= status < 500
        for name in (b"Destination: ", b"If: <"):
            head = b"MOVE " + person.tasks.encode() + b" HTTP/1.1\r\n" + sign_in.replace(b"Depth: 0\r\n", b"")
            tail = b"> (<urn:a>)" if name == b"If: <" else b""
            more = b"" if name == b"Destination: " else b"Destination: /x\r\n"
            (status,) = await exchange(served, head + more + name + target + tail + b"\r\n\r\n")
            assert 400 <= status < 500


async def test_bodies_in_broken_chunks(served: Served, person: Person) -> None:
    head = f"PUT {person.calendar}1.ics HTTP/1.1\r\nHost: a\r\nRemote-User: {person.name}\r\n"
    for chunks in (b"zz\r\nab\r\n0\r\n\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n", b"-1\r\n\r\n"):
        (status,) = await exchange(served, head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert 400 <= status < 500
    assert await person.names(person.calendar) == []
    body = event("1").encode()
    chunks = (
        b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:100], body[100:])) + b"0\r\n\r\n"
    )
    assert await exchange(served, head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks) == [201]


async def test_half_a_request_stores_nothing(served: Served, person: Person) -> None:
    data = person.http.message("PUT", f"{person.calendar}1.ics", event("1"), Content_Type="text/calendar")
    for cut in (10, data.index(b"\r\n\r\n") + 4, len(data) - 20, len(data) - 1):
        connection = await Connection.open(served.port)
        await connection.send(data[:cut])
        connection.close()
    short = data.replace(b"Content-Length: ", b"Content-Length: 1")  # more is announced than comes
    connection = await Connection.open(served.port)
    await connection.send(short)
    connection.close()
    assert await person.names(person.calendar) == []


async def test_requests_that_come_together_are_answered_in_order(served: Served, person: Person) -> None:
    """Pipelining (RFC 9112 §9.3.2)."""
    messages = [
        person.http.message("PUT", f"{person.calendar}1.ics", event("1"), Content_Type="text/calendar"),
        person.http.message("GET", f"{person.calendar}1.ics"),
        person.http.message("GET", f"{person.calendar}no.ics"),
        person.http.message("PROPFIND", person.calendar, b"<broken", Depth="0"),
        person.http.message("DELETE", f"{person.calendar}1.ics"),
        person.http.message("GET", f"{person.calendar}1.ics"),
    ]
    assert await exchange(served, b"".join(messages), 6) == [201, 200, 404, 400, 204, 404]


async def test_after_a_refusal_the_connection_still_serves(served: Served, person: Person) -> None:
    """A body that was refused before it was read is no request."""
    messages = [
        person.http.message("PUT", f"{person.calendar}1.ics", event("1"), If_Match='"x"', Content_Type="text/calendar"),
        person.http.message("PUT", f"{person.calendar}1.ics", event("1"), Content_Type="text/plain"),
        person.http.message("GET", person.calendar),
    ]
    assert await exchange(served, b"".join(messages), 3) == [412, 403, 200]


# -- mutations of what is sent every day -------------------------------------------------------------------------------

SEEDS = [
    ("PROPFIND", "{calendar}", APPLE_HOME.encode()),
    (
        "PROPPATCH",
        "{calendar}",
        xml(
            "D:propertyupdate",
            "<D:set><D:prop><X:p a='1'>v</X:p></D:prop></D:set><D:remove><D:prop><X:q/></D:prop></D:remove>",
        ).encode(),
    ),
    (
        "REPORT",
        "{calendar}",
        xml(
            "C:calendar-query",
            "<D:prop><D:getetag/><C:calendar-data/></D:prop><C:filter><C:comp-filter name='VCALENDAR'>"
            "<C:comp-filter name='VEVENT'><C:prop-filter name='SUMMARY'><C:text-match>x</C:text-match>"
            "</C:prop-filter><C:time-range start='20260101T000000Z' end='20270101T000000Z'/></C:comp-filter>"
            "</C:comp-filter></C:filter>",
        ).encode(),
    ),
    (
        "REPORT",
        "{book}",
        xml(
            "A:addressbook-query",
            "<D:prop><A:address-data><A:prop name='FN'/></A:address-data></D:prop><A:filter test='anyof'>"
            "<A:prop-filter name='FN'><A:text-match match-type='equals'>x</A:text-match></A:prop-filter></A:filter>"
            "<A:limit><A:nresults>3</A:nresults></A:limit>",
        ).encode(),
    ),
    (
        "REPORT",
        "{home}",
        xml(
            "D:sync-collection",
            "<D:sync-token>koyomi-sync:h-1-1-1</D:sync-token><D:sync-level>infinite</D:sync-level>"
            "<D:limit><D:nresults>2</D:nresults></D:limit><D:prop><D:getetag/></D:prop>",
        ).encode(),
    ),
    (
        "REPORT",
        "{calendar}",
        xml("C:calendar-multiget", "<D:prop><D:getetag/></D:prop><D:href>/calendars/x/y/z/a</D:href>").encode(),
    ),
    (
        "PUT",
        "{calendar}m.ics",
        event("m", "x", "RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=9", "EXDATE:20260608T090000Z").encode(),
    ),
    ("PUT", "{book}m.vcf", card("m", "N", "TEL;TYPE=work,voice:+1", "EMAIL:a@example.com").encode()),
]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """A real body in which bytes are changed, doubled, swapped, or left out."""
    method, path, body = draw(st.sampled_from(SEEDS))
    data = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(0, 40))
        kind = draw(st.sampled_from(["cut", "insert", "replace", "double", "swap"]))
        if kind == "cut":
            del data[at : at + length]
        elif kind == "insert":
            data[at:at] = draw(
                st.sampled_from([b"\x00", b"\xff", b"<", b"&", b"]]>", b"\r\n", b'"', b"/>", b"%", b":", b";"])
            )
        elif kind == "replace":
            data[at : at + length] = draw(st.binary(max_size=20))
        elif kind == "double":
            data[at:at] = data[at : at + length] * draw(st.integers(1, 30))
        else:
            other = draw(st.integers(0, max(0, len(data) - 1)))
            data[at : at + 8], data[other : other + 8] = data[other : other + 8], data[at : at + 8]
    return method, path, bytes(data)


@pytest.fixture
async def victim(new_person) -> Person:
    return await new_person()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=mutated())
async def test_mutated_bodies(victim: Person, sent: tuple[str, str, bytes]) -> None:
    method, path, body = sent
    target = path.format(calendar=victim.calendar, book=victim.book, home=victim.home)
    media = {"PUT": "text/vcard" if target.endswith(".vcf") else "text/calendar"}.get(method, "application/xml")
    reply = await victim.http(method, target, body, Depth="1", Content_Type=media)
    assert reply.status < 500, reply.body
    if reply.status >= 400:
        assert reply.body.strip()
    elif method == "PUT":
        assert (await victim.http("GET", target)).body == body
