"""RFC 7240 Prefer with RFC 8144: minimal, representation, depth-noroot; and the older Brief header."""

from __future__ import annotations

from typing import Any

import pytest

from server.services.objects import Put
from server.services.scheduling.implicit import Scheduling
from tests.integration.dav.client import Client, Connection
from tests.integration.dav.conftest import Served
from tests.integration.dav.multistatus import caldav, dav
from tests.integration.dav.person import Person, calendar, card, event, xml

FOOBAR = "{http://ns.example.com/foobar/}foobar"
TWO = """<?xml version="1.0" encoding="UTF-8"?>
   <D:propfind xmlns:D="DAV:" xmlns:X="http://ns.example.com/foobar/">
     <D:prop>
       <D:resourcetype/>
       <X:foobar/>
     </D:prop>
   </D:propfind>"""
UNKNOWN = TWO.replace("<D:resourcetype/>", "")


async def test_8144_b_1_1_typical(person: Person) -> None:
    await person.has(f"{person.calendar}foo.txt", event("1"))
    reply = await person.http("PROPFIND", person.calendar, TWO, Depth="1")
    assert "Preference-Applied" not in reply.headers
    for href in (person.calendar, f"{person.calendar}foo.txt"):
        assert set(reply.multistatus[href].props) == {200, 404}


@pytest.mark.parametrize(
    "prefer",
    [
        "return=minimal, depth-noroot",
        "depth-noroot,return=minimal",
        'return="minimal"; foo="some parameter", depth-noroot',
        "respond-async, wait=10, Return = Minimal , depth-noroot",
    ],
)
async def test_8144_b_1_2_minimal_and_noroot(person: Person, prefer: str) -> None:
    await person.has(f"{person.calendar}foo.txt", event("1"))
    reply = await person.http("PROPFIND", person.calendar, TWO, Depth="1", Prefer=prefer)
    assert set(reply.headers["Preference-Applied"].split(", ")) == {"return=minimal", "depth-noroot"}
    assert "Prefer" in reply.headers["Vary"]
    found = reply.multistatus
    assert found.hrefs == [f"{person.calendar}foo.txt"]
    assert found.only.props == {200: {dav("resourcetype"): ""}}
    below = (await person.http("PROPFIND", person.home, TWO, Depth="1", Prefer=prefer)).multistatus
    assert person.home not in below.hrefs
    assert {status for response in below.responses.values() for status in response.props} == {200}


async def test_8144_b_1_3_an_empty_propstat(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    for path in (person.calendar, f"{person.calendar}1.ics", person.home, person.principal):
        reply = await person.http("PROPFIND", path, UNKNOWN, Depth="0", Prefer="return=minimal")
        assert reply.headers["Preference-Applied"] == "return=minimal"
        assert reply.multistatus.only.props == {200: {}}


async def test_7240_2_preferences_in_several_lines(person: Person, served: Served) -> None:
    message = person.http.message("PROPFIND", person.calendar, TWO, Depth="1", Prefer="return=minimal")
    connection = await Connection.open(served.port)
    await connection.send(message.replace(b"\r\n\r\n", b"\r\nPrefer: priority=5\r\nPrefer: depth-noroot\r\n\r\n", 1))
    reply = await connection.reply()
    connection.close()
    assert set(reply.headers["Preference-Applied"].split(", ")) == {"return=minimal", "depth-noroot"}
    assert reply.multistatus.hrefs == []


async def test_9110_5_3_conditions_in_several_lines(person: Person, served: Served) -> None:
    etag = await person.has(f"{person.calendar}1.ics", event("1"))
    connection = await Connection.open(served.port)
    message = person.http.message("GET", f"{person.calendar}1.ics", If_None_Match='"other"')
    await connection.send(message.replace(b"\r\n\r\n", f"\r\nIf-None-Match: {etag}\r\n\r\n".encode()))
    assert (await connection.reply()).status == 304
    message = person.http.message("DELETE", f"{person.calendar}1.ics", If_Match='"other"')
    await connection.send(message.replace(b"\r\n\r\n", f"\r\nIf-Match: {etag}\r\n\r\n".encode()))
    assert (await connection.reply()).status == 204
    connection.close()


async def test_8144_2_1_what_is_forbidden_is_still_said(person: Person) -> None:
    body = xml("D:propfind", "<D:prop><D:acl/><X:no/></D:prop>")
    found = (await person.http("PROPFIND", "/", body, Depth="0", Prefer="return=minimal")).multistatus
    assert found.only.props == {403: {dav("acl"): ""}}


@pytest.mark.parametrize("header", [{"Prefer": "return=minimal"}, {"Brief": "t"}, {"Brief": "T"}])
async def test_8144_2_1_minimal_reports(person: Person, header: dict[str, str]) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{person.book}1.vcf", card("1"))
    for path, name, inner in (
        (person.calendar, "C:calendar-query", '<C:filter><C:comp-filter name="VCALENDAR"/></C:filter>'),
        (person.calendar, "C:calendar-multiget", f"<D:href>{person.calendar}1.ics</D:href>"),
        (person.calendar, "D:sync-collection", "<D:sync-token/><D:sync-level>1</D:sync-level>"),
        (person.book, "A:addressbook-query", "<A:filter/>"),
        (person.book, "A:addressbook-multiget", f"<D:href>{person.book}1.vcf</D:href>"),
    ):
        asked = f"<D:prop><D:getetag/><X:no/></D:prop>{inner}"
        full = (await person.report(path, name, asked)).multistatus
        assert set(full.only.props) == {200, 404}
        reply = await person.report(path, name, asked, **header)
        assert reply.headers["Preference-Applied"] == "return=minimal"
        assert reply.multistatus.only.props == {200: full.only.props[200]}
    # a member that is gone is still told
    token = (await person.sync(person.calendar)).token
    await person.http("DELETE", f"{person.calendar}1.ics")
    inner = f"<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>"
    reply = await person.report(person.calendar, "D:sync-collection", inner, **header)
    assert reply.multistatus.only.status == 404


async def test_brief_f_is_nothing(person: Person) -> None:
    reply = await person.http("PROPFIND", person.calendar, TWO, Depth="0", Brief="f")
    assert set(reply.multistatus.only.props) == {200, 404}


PROPPATCH = """<?xml version="1.0" encoding="utf-8"?>
   <D:propertyupdate xmlns:D="DAV:">
     <D:set>
       <D:prop>
         <D:displayname>My Container</D:displayname>
       </D:prop>
     </D:set>
   </D:propertyupdate>"""


async def test_8144_b_3_proppatch(person: Person) -> None:
    typical = await person.http("PROPPATCH", person.calendar, PROPPATCH)
    assert typical.multistatus[person.calendar].props == {200: {dav("displayname"): ""}}
    minimal = await person.http("PROPPATCH", person.calendar, PROPPATCH, Prefer="return=minimal")
    assert (minimal.status, minimal.body) == (200, b"")
    assert minimal.headers["Preference-Applied"] == "return=minimal"
    failed = PROPPATCH.replace("displayname", "getetag")
    assert (await person.http("PROPPATCH", person.calendar, failed, Prefer="return=minimal")).status == 207


@pytest.mark.parametrize("method", ["MKCOL", "MKCALENDAR"])
async def test_8144_b_4_making_collections(person: Person, method: str) -> None:
    root = "D:mkcol" if method == "MKCOL" else "C:mkcalendar"
    types = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>" if method == "MKCOL" else ""
    body = xml(root, f"<D:set><D:prop>{types}<D:displayname>My Container</D:displayname></D:prop></D:set>")
    verbose = await person.http(method, f"{person.home}one/", body)
    assert verbose.status == 201
    assert verbose.xml.tag in (dav("mkcol-response"), caldav("mkcalendar-response"))
    minimal = await person.http(method, f"{person.home}two/", body, Prefer="return=minimal")
    assert (minimal.status, minimal.body) == (201, b"")
    assert minimal.headers["Cache-Control"] == "no-cache"
    assert minimal.headers["Preference-Applied"] == "return=minimal"
    failed = body.replace("displayname", "getetag")
    reply = await person.http(method, f"{person.home}three/", failed, Prefer="return=minimal")
    assert reply.status == (403 if method == "MKCOL" else 207)
    assert b"getetag" in reply.body


LUNCH = calendar(
    "BEGIN:VEVENT",
    "UID:CD87465FA",
    "SEQUENCE:0",
    "DTSTAMP:20120602T185254Z",
    "DTSTART:20120602T160000Z",
    "DTEND:20120602T170000Z",
    "TRANSP:OPAQUE",
    "SUMMARY:Lunch",
    'ORGANIZER;CN="Ken Murchison":mailto:murch@example.com',
    'ATTENDEE;CN="Ken Murchison";CUTYPE=INDIVIDUAL;PARTSTAT=ACCEPTED:',
    " mailto:murch@example.com",
    'ATTENDEE;CN="John Doe";CUTYPE=INDIVIDUAL;PARTSTAT',
    " =NEEDS-ACTION;ROLE=REQ-PARTICIPANT;RSVP=TRUE:mailto:jdoe@",
    " example.com",
    "END:VEVENT",
)


async def test_8144_b_5_post_with_representation(person: Person) -> None:
    path = f"{person.calendar};add-member"
    typical = await person.http("POST", path, LUNCH, Content_Type="text/calendar; charset=utf-8")
    assert (typical.status, typical.body) == (201, b"")
    got = await person.http("GET", typical.headers["Location"])
    assert got.text == LUNCH
    reply = await person.http(
        "POST",
        path,
        LUNCH.replace("CD87465FA", "2"),
        Content_Type="text/calendar; charset=utf-8",
        Prefer="return=representation",
    )
    assert reply.status == 201
    assert reply.headers["Content-Location"] == reply.headers["Location"]
    assert reply.headers["Content-Type"].startswith("text/calendar")
    assert reply.headers["Preference-Applied"] == "return=representation"
    assert reply.text == LUNCH.replace("CD87465FA", "2")
    assert reply.etag == (await person.http("GET", reply.headers["Location"])).etag


async def test_8144_b_6_put_with_representation(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    created = await person.put(path, event("1"), Prefer="return=representation")
    assert (created.status, created.text) == (201, event("1"))
    changed = await person.put(path, event("1", "Other"), Prefer="return=representation", If_Match=created.etag)
    assert (changed.status, changed.text) == (200, event("1", "Other"))
    assert changed.headers["Preference-Applied"] == "return=representation"
    # §3.2: one that fails its condition gives what is there
    failed = await person.put(path, event("1", "Third"), Prefer="return=representation", If_Match=created.etag)
    assert (failed.status, failed.text, failed.etag) == (412, event("1", "Other"), changed.etag)
    assert failed.headers["Content-Location"].endswith(path)
    assert failed.headers["Preference-Applied"] == "return=representation"
    plain = await person.put(path, event("1", "Third"), If_Match=created.etag)
    plain.refused(412)


async def test_8144_2_2_a_member_deleted_meanwhile_was_put_all_the_same(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another client deletes the member between the write and the read of its representation."""
    path, put = f"{person.calendar}1.ics", Scheduling.put

    async def put_and_deleted(self: Scheduling, *arguments: Any, **named: Any) -> Put:
        found = await put(self, *arguments, **named)
        deleting = Client(person.http.port, person.http.headers)
        assert (await deleting("DELETE", path)).status == 204
        deleting.close()
        return found

    monkeypatch.setattr(Scheduling, "put", put_and_deleted)
    client = Client(person.http.port, person.http.headers)
    media = {"Content_Type": "text/calendar", "Prefer": "return=representation"}
    reply = await client("PUT", path, event("1"), **media)
    client.close()
    assert (reply.status, reply.body) == (201, b"")
    assert not await person.exists(path)


async def test_8144_3_1_copy_and_move_with_representation(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.http("MKCALENDAR", f"{person.home}new/")
    for method, name, status in (("COPY", "1.ics", 201), ("MOVE", "1.ics", 200)):
        reply = await person.http(
            method, f"{person.calendar}1.ics", Destination=f"{person.home}new/{name}", Prefer="return=representation"
        )
        assert (reply.status, reply.text) == (status, event("1"))


async def test_7240_2_contradictions_are_ignored(person: Person) -> None:
    reply = await person.http(
        "PROPFIND", person.calendar, TWO, Depth="0", Prefer="return=minimal, return=representation"
    )
    assert set(reply.multistatus.only.props) == {200, 404}
    assert "Preference-Applied" not in reply.headers
