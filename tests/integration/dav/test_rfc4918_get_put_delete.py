"""RFC 4918 §9.4 to §9.7 with RFC 9110: GET, HEAD, PUT and DELETE of members and collections, ETags, codings, Expect."""

from __future__ import annotations

import gzip
from email.utils import parsedate_to_datetime

import pytest

from tests.integration.dav.client import Connection
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import caldav, carddav, dav
from tests.integration.dav.person import Person, card, event, task, xml


async def test_get_gives_what_was_put_byte_by_byte(person: Person) -> None:
    text = event("1", "Ünïcode 暦", "X-UNKNOWN;X-P=1:kept", "DESCRIPTION:a folded\r\n  line").replace("\r\nX-", "\nX-")
    for path, content in ((f"{person.calendar}1.ics", text), (f"{person.book}1.vcf", "\ufeff" + card("1", "Zoë"))):
        created = await person.put(path, content)
        assert created.status == 201
        got = await person.http("GET", path)
        assert (got.status, got.body) == (200, content.encode())
        assert got.etag == created.etag
        assert got.headers["Last-Modified"] == created.headers["Last-Modified"]
        assert int(got.headers["Content-Length"]) == len(content.encode())
    assert (await person.http("GET", f"{person.calendar}1.ics")).headers["Content-Type"].startswith("text/calendar;")
    assert (await person.http("GET", f"{person.book}1.vcf")).headers["Content-Type"] == "text/vcard; charset=utf-8"


async def test_lines_folded_inside_a_character_are_stored_as_text(person: Person) -> None:
    """RFC 5545 §3.1, RFC 6350 §3.2: folds are between octets. What is stored differs, so no ETag (RFC 4791 §5.3.4)."""
    for path, content in ((f"{person.calendar}1.ics", event("1", "Café")), (f"{person.book}1.vcf", card("1", "Zoé"))):
        torn = content.encode().replace(b"\xc3\xa9", b"\xc3\r\n \xa9")
        created = await person.put(path, torn)
        assert (created.status, "ETag" in created.headers) == (201, False)
        assert (await person.put(path, torn)).status == 204
        got = await person.http("GET", path)
        assert got.body == content.replace("é", "\r\n é").encode()
        assert await person.has(path, got.body) == got.etag


async def test_8_6_etags_are_strong_and_stable(person: Person) -> None:
    path, other = f"{person.calendar}1.ics", f"{person.home}tasks2/1.ics"
    assert (await person.http("MKCALENDAR", f"{person.home}tasks2/")).status == 201
    first = await person.has(path, event("1"))
    assert first.startswith('"')
    assert first.endswith('"')
    # one content has one tag, wherever it is and however often it is put
    assert await person.has(path, event("1")) == first
    assert await person.has(other, event("1")) == first
    changed = await person.has(path, event("1", "Other"))
    assert changed != first
    assert await person.has(path, event("1")) == first
    for tag in (
        (await person.http("GET", path)).etag,
        (await person.http("HEAD", path)).etag,
        await person.prop(path, "D:getetag"),
        (await person.propfind(person.calendar, "D:getetag", depth="1"))[path].found[dav("getetag")],
        (await person.sync(person.calendar))[path].found[dav("getetag")],
    ):
        assert tag == first


async def test_9_7_1_put_answers_201_then_204(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    created = await person.put(path, event("1"))
    assert (created.status, created.body) == (201, b"")
    changed = await person.put(path, event("1", "Other"))
    assert (changed.status, changed.body) == (204, b"")
    assert changed.etag != created.etag


async def test_9_7_1_put_without_a_parent_is_409(person: Person) -> None:
    (await person.put(f"{person.home}no/1.ics", event("1"))).refused(409)
    (await person.put(f"{person.books}no/1.vcf", card("1"))).refused(409)
    (await person.put(f"{person.calendar}no/1.ics", event("1"))).refused(409)


async def test_9_7_2_put_on_a_collection_is_405(person: Person) -> None:
    for path in (person.calendar, person.home, person.book):
        reply = await person.put(path, event("1"))
        reply.refused(405)
        assert "PUT" not in reply.headers["Allow"]
    assert await person.names(person.calendar) == []


async def test_put_where_nothing_can_be_put(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    for path in (
        f"{other.calendar}1.ics",
        f"{person.home}inbox/1.ics",
        f"{person.home}outbox/1.ics",
        f"{person.home}notification/1.xml",
    ):
        (await person.put(path, event("1"))).refused(403, dav("need-privileges"))
    for path in ("/", "/calendars/", "/principals/users/x", f"{person.principal}x"):
        assert (await person.put(path, event("1"))).status in (403, 404, 405, 409)


async def test_put_with_a_part_of_the_content_is_400(person: Person) -> None:
    """RFC 9110 §14.5."""
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    (await person.put(path, event("1", "Part"), Content_Range="bytes 0-10/100")).refused(400)
    assert "Meeting" in (await person.http("GET", path)).text


async def test_put_with_a_coded_body(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    coded = await person.http(
        "PUT", path, gzip.compress(event("1").encode()), Content_Type="text/calendar", Content_Encoding="gzip"
    )
    assert coded.status == 201
    assert (await person.http("GET", path)).text == event("1")
    for coding in ("gzip", "deflate"):
        reply = await person.http("PUT", path, b"not so", Content_Type="text/calendar", Content_Encoding=coding)
        reply.refused(400)
    (await person.http("PUT", path, b"x", Content_Type="text/calendar", Content_Encoding="rot13")).refused(415)


async def test_put_with_a_bomb_for_a_body(person: Person) -> None:
    bomb = gzip.compress(b"X" * 200_000_000)
    reply = await person.http(
        "PUT", f"{person.calendar}1.ics", bomb, Content_Type="text/calendar", Content_Encoding="gzip"
    )
    reply.refused(403, caldav("max-resource-size"))
    body = gzip.compress(b"<D:propfind xmlns:D='DAV:'>" + b" " * 50_000_000)
    reply = await person.http("PROPFIND", person.calendar, body, Depth="0", Content_Encoding="gzip")
    assert 400 <= reply.status < 500


async def test_head_is_get_without_the_body(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{person.book}1.vcf", card("1"))
    paths = ["/", person.home, person.calendar, person.book, person.principal]
    for path in [*paths, f"{person.calendar}1.ics", f"{person.book}1.vcf", f"{person.calendar}no.ics"]:
        got, head = await person.http("GET", path), await person.http("HEAD", path)
        assert head.raw == b""
        for reply in (got, head):
            for name in ("Date", "X-Request-Id"):
                reply.headers.popall(name, None)
        if "Transfer-Encoding" in got.headers:
            got.headers.pop("Transfer-Encoding")
            head.headers.popall("Transfer-Encoding", None)
        assert (head.status, dict(head.headers)) == (got.status, dict(got.headers)), path


async def test_get_conditional_on_the_etag(person: Person) -> None:
    """RFC 9110 §13.1.2, §15.4.5."""
    path = f"{person.calendar}1.ics"
    etag = await person.has(path, event("1"))
    for method in ("GET", "HEAD"):
        for value in (etag, f'"other", {etag}', f"W/{etag}", "*"):
            reply = await person.http(method, path, If_None_Match=value)
            assert (reply.status, reply.raw, reply.etag) == (304, b"", etag), value
        for value in ('"other"', etag.strip('"')):
            assert (await person.http(method, path, If_None_Match=value)).status == 200
        assert (await person.http(method, path, If_Match=etag)).status == 200
        assert (await person.http(method, path, If_Match='"other"')).status == 412
        assert (await person.http(method, path, If_Match=f"W/{etag}")).status == 412, "If-Match compares strongly"


async def test_get_conditional_on_the_date(person: Person) -> None:
    """RFC 9110 §13.1.3, §13.1.4."""
    path = f"{person.calendar}1.ics"
    etag = await person.has(path, event("1"))
    date = (await person.http("GET", path)).headers["Last-Modified"]
    assert parsedate_to_datetime(date)
    early, never = "Mon, 12 Jan 1998 09:25:56 GMT", "not a date"
    assert (await person.http("GET", path, If_Modified_Since=date)).status == 304
    assert (await person.http("GET", path, If_Modified_Since=early)).status == 200
    assert (await person.http("GET", path, If_Modified_Since=never)).status == 200
    assert (await person.http("GET", path, If_Unmodified_Since=date)).status == 200
    assert (await person.http("GET", path, If_Unmodified_Since=early)).status == 412
    assert (await person.http("GET", path, If_Unmodified_Since=never)).status == 200
    # the tag outweighs the date (§13.2.2)
    assert (await person.http("GET", path, If_None_Match='"other"', If_Modified_Since=date)).status == 200
    assert (await person.http("GET", path, If_Match=etag, If_Unmodified_Since=early)).status == 200


async def test_a_range_is_answered_with_everything(person: Person) -> None:
    """RFC 9110 §14.2: a server may ignore Range."""
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    reply = await person.http("GET", path, Range="bytes=0-3")
    assert (reply.status, reply.text) == (200, event("1"))


async def test_gzip_where_it_is_accepted(person: Person) -> None:
    for number in range(30):
        await person.has(f"{person.calendar}{number}.ics", event(str(number), "long " * 20))
    body = xml("D:propfind", "<D:prop><D:getetag/><D:resourcetype/></D:prop>")
    plain = await person.http("PROPFIND", person.calendar, body, Depth="1")
    assert "Content-Encoding" not in plain.headers
    coded = await person.http("PROPFIND", person.calendar, body, Depth="1", Accept_Encoding="gzip, deflate")
    assert coded.headers["Content-Encoding"] == "gzip"
    assert "accept-encoding" in ", ".join(coded.headers.getall("Vary")).lower()
    assert len(coded.raw) < len(plain.raw) / 3
    assert coded.multistatus == plain.multistatus
    whole = await person.http("GET", person.calendar, Accept_Encoding="gzip")
    assert whole.headers["Content-Encoding"] == "gzip"
    assert whole.body == (await person.http("GET", person.calendar)).body
    for refusal in ("identity", "gzip;q=0", "br", ""):
        reply = await person.http("PROPFIND", person.calendar, body, Depth="1", Accept_Encoding=refusal)
        assert "Content-Encoding" not in reply.headers, refusal


async def test_expect_100_continue(person: Person, served: Served) -> None:
    """RFC 9110 §10.1.1."""
    path = f"{person.calendar}1.ics"
    body = event("1").encode()
    message = person.http.message("PUT", path, body, Content_Type="text/calendar", Expect="100-continue")
    head, _, _ = message.partition(b"\r\n\r\n")
    connection = await Connection.open(served.port)
    await connection.send(head + b"\r\n\r\n")
    status, _ = await connection._head()
    assert status == 100
    await connection.send(body)
    assert (await connection.reply()).status == 201
    # the connection goes on
    await connection.send(person.http.message("GET", path))
    assert (await connection.reply()).body == body
    connection.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_Match": '"other"'}, 412),
        ({"Remote_User": "nobody-of-that-name"}, 401),
        ({"Content_Type": "text/plain"}, 403),
    ],
)
async def test_expect_100_continue_is_refused_before_the_body(
    person: Person, served: Served, headers: dict[str, str], status: int
) -> None:
    path = f"{person.calendar}1.ics"
    message = person.http.message(
        "PUT", path, event("1"), **({"Content_Type": "text/calendar"} | headers), Expect="100-continue"
    )
    head, _, body = message.partition(b"\r\n\r\n")
    connection = await Connection.open(served.port)
    await connection.send(head + b"\r\n\r\n")
    reply = await connection.reply()
    assert (reply.status, reply.interim) == (status, [])
    # nobody can know whether the body still comes, so that this connection can carry nothing else
    assert reply.headers["Connection"].lower() == "close"
    connection.close()
    assert not await person.exists(path)


async def test_expect_100_continue_with_the_body_sent_at_once(person: Person) -> None:
    reply = await person.put(f"{person.calendar}1.ics", event("1"), Expect="100-continue")
    assert reply.status == 201


async def test_9_6_delete_of_a_member(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    etag = await person.has(path, event("1"))
    (await person.http("DELETE", path, If_Match='"other"')).refused(412)
    reply = await person.http("DELETE", path, If_Match=etag)
    assert (reply.status, reply.body) == (204, b"")
    assert (await person.http("GET", path)).status == 404
    assert (await person.http("DELETE", path)).status == 404
    assert await person.names(person.calendar) == []
    # what is deleted can be made anew
    assert (await person.put(path, event("1"), If_None_Match="*")).status == 201


async def test_9_6_1_delete_of_a_collection(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.invite_elsewhere()
    for depth in ("0", "1"):
        (await person.http("DELETE", person.calendar, Depth=depth)).refused(400)
    assert (await person.http("DELETE", person.calendar, Depth="infinity")).status == 204
    for path in (person.calendar, f"{person.calendar}1.ics"):
        assert (await person.http("GET", path)).status == 404
    assert person.calendar not in await person.names(person.home)
    assert (await person.http("MKCALENDAR", person.calendar)).status == 201
    assert await person.names(person.calendar) == []


async def test_9_6_delete_of_what_everybody_has_is_refused(person: Person) -> None:
    paths = [f"{person.home}{name}/" for name in ("inbox", "outbox", "notification")]
    for path in ["/", "/calendars/", "/principals/", person.principal, person.home, person.books, *paths]:
        (await person.http("DELETE", path)).refused(403, dav("need-privileges"))
    assert len(await person.names(person.home)) == 5


@pytest.mark.parametrize("method", ["DELETE", "COPY", "MOVE"])
async def test_8_4_a_body_that_would_be_ignored_is_415(person: Person, method: str) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    (await person.http(method, path, xml("X:extension"), Destination=f"{person.calendar}2.ics")).refused(415)
    assert await person.names(person.calendar) == [path]


async def test_refusals_say_what_is_wrong_and_where(person: Person) -> None:
    """The preconditions of RFC 4791 §5.3.2.1, with the line."""
    path = f"{person.calendar}1.ics"
    lines = event("1").split("\r\n")
    broken = "\r\n".join([*lines[:6], "no property", *lines[6:]])
    found = (await person.put(path, broken)).refused(403, caldav("valid-calendar-data"))
    assert found is not None
    assert (found.text or "").startswith("Line 7 ")
    for text, precondition in (
        ("", "valid-calendar-data"),
        ("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "valid-calendar-object-resource"),
        (event("1").replace("UID:1", "X-NO:1"), "valid-calendar-data"),
        (event("1").replace("END:VCALENDAR", "METHOD:REQUEST\r\nEND:VCALENDAR"), "valid-calendar-object-resource"),
        (task("1"), "supported-calendar-component"),
        (event("1").replace("20260601T090000Z", "00000601T090000Z"), "valid-calendar-data"),
        (event("1", "x" * 10_500_000), "max-resource-size"),
        (
            event("1", "x", *(f"ATTENDEE:mailto:{number}@example.com" for number in range(2001))),
            "max-attendees-per-instance",
        ),
    ):
        found = (await person.put(path, text)).refused(403, caldav(precondition))
        assert found is not None
        assert (found.text or "").strip(), precondition
    assert await person.names(person.calendar) == []
    card_path = f"{person.book}1.vcf"
    for text, precondition in (
        ("", "valid-address-data"),
        (card("1") + card("2"), "valid-address-data"),
        (card("1").replace("FN:", "no property\r\nFN:"), "valid-address-data"),
        (card("1", "x" * 10_500_000), "max-resource-size"),
    ):
        (await person.put(card_path, text)).refused(403, carddav(precondition))
    assert await person.names(person.book) == []


async def test_media_types_that_a_collection_does_not_take(person: Person) -> None:
    (await person.put(f"{person.calendar}1", event("1"), Content_Type="text/plain")).refused(
        403, caldav("supported-calendar-data")
    )
    (await person.put(f"{person.calendar}1", card("1"), Content_Type="text/vcard")).refused(
        403, caldav("supported-calendar-data")
    )
    (await person.put(f"{person.book}1", event("1"), Content_Type="text/calendar")).refused(
        403, carddav("supported-address-data")
    )
    for charset in ("iso-8859-1", "utf-16", "no-such"):
        (await person.put(f"{person.calendar}1", event("1"), Content_Type=f"text/calendar; charset={charset}")).refused(
            403, caldav("valid-calendar-data")
        )
    for media in ("text/calendar", 'TEXT/Calendar; component=VEVENT; charset="UTF-8"', ""):
        assert (await person.put(f"{person.calendar}1", event("1"), Content_Type=media)).status in (201, 204)


async def test_no_uid_conflict_names_the_other(person: Person) -> None:
    """RFC 4791 §5.3.2.1, RFC 6352 §6.3.2.1."""
    for folder, make, precondition in (
        (person.calendar, event, caldav("no-uid-conflict")),
        (person.book, card, carddav("no-uid-conflict")),
    ):
        await person.has(f"{folder}a%20b", make("1"))
        found = (await person.put(f"{folder}other", make("1"))).refused(403, precondition)
        assert found is not None
        assert [item.text for item in found] == [f"{folder}a%20b"]
        # another UID may not come over one that is there either
        found = (await person.put(f"{folder}a%20b", make("2"))).refused(403, precondition)
        assert found is not None
        assert [item.text for item in found] == [f"{folder}a%20b"]
        # hrefs have the form asked in
        by_name = folder.replace(f"__uids__/{person.uid}", f"users/{person.name}")
        found = (await person.put(f"{by_name}other", make("1"))).refused(403, precondition)
        assert found is not None
        assert [item.text for item in found] == [f"{by_name}a%20b"]
        assert (await person.http("DELETE", f"{folder}a%20b")).status == 204
        await person.has(f"{folder}other", make("1"))


@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_head_of_something_long(person: Person, coding: str) -> None:
    """What GET would be compressed for is told by its length alone, and nothing comes after the headers."""
    path = f"{person.calendar}long.ics"
    text = event("long", "x" * 5000)
    await person.has(path, text)
    for _ in range(2):
        reply = await person.http("HEAD", path, Accept_Encoding=coding)
        assert (reply.status, reply.headers["Content-Length"]) == (200, str(len(text)))
        assert (await person.http("HEAD", person.calendar, Accept_Encoding=coding)).status == 200
    connection = await Connection.open(person.http.port)
    for target in (path, person.calendar, path):
        await connection.send(person.http.message("HEAD", target, Accept_Encoding=coding))
        assert (await connection.reply("HEAD")).status == 200
    connection.close()
