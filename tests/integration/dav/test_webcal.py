"""GET on collections: a calendar as one .ics, an address book as one .vcf, a page for a browser."""

from __future__ import annotations

import pytest

from tests.integration.dav.person import Person, calendar, card, event, xml

ZONE = (
    "BEGIN:VTIMEZONE",
    "TZID:Custom",
    "BEGIN:STANDARD",
    "DTSTART:19700101T000000",
    "TZOFFSETFROM:+0100",
    "TZOFFSETTO:+0100",
    "END:STANDARD",
    "END:VTIMEZONE",
)


def zoned(uid: str) -> str:
    return calendar(
        *ZONE,
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T000000Z",
        "DTSTART;TZID=Custom:20260601T090000",
        "END:VEVENT",
    )


async def test_a_calendar_is_one_stream(person: Person) -> None:
    await person.set(person.calendar, "<D:displayname>My, Calendar</D:displayname>")
    await person.has(f"{person.calendar}1.ics", zoned("1"))
    await person.has(f"{person.calendar}2.ics", zoned("2"))
    await person.has(f"{person.calendar}3.ics", event("3", "暦 " * 60))
    reply = await person.http("GET", person.calendar)
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/calendar; charset=utf-8")
    lines = reply.text.split("\r\n")
    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-2:] == ["END:VCALENDAR", ""]
    assert lines.count("BEGIN:VTIMEZONE") == 1
    assert lines.count("BEGIN:VEVENT") == 3
    assert lines.index("BEGIN:VTIMEZONE") < lines.index("BEGIN:VEVENT")
    assert [line for line in lines if line.startswith("X-WR-CALNAME")] == ["X-WR-CALNAME:My\\, Calendar"]


async def test_an_empty_calendar_is_an_empty_stream(person: Person) -> None:
    reply = await person.http("GET", person.calendar)
    assert reply.status == 200
    assert reply.text.startswith("BEGIN:VCALENDAR\r\n")
    assert reply.text.endswith("END:VCALENDAR\r\n")
    assert "BEGIN:V" not in reply.text.removeprefix("BEGIN:VCALENDAR")


async def test_an_address_book_is_one_stream(person: Person) -> None:
    await person.has(f"{person.book}1.vcf", card("1", "One"))
    await person.has(f"{person.book}2.vcf", card("2", "Two").replace("\r\n", "\n").rstrip("\n"))
    reply = await person.http("GET", person.book)
    assert reply.headers["Content-Type"].startswith("text/vcard")
    lines = reply.text.splitlines()
    assert lines.count("BEGIN:VCARD") == lines.count("END:VCARD") == 2
    assert "" not in lines


@pytest.mark.parametrize("where", ["calendar", "book", "home", "books"])
async def test_subscriptions_ask_whether_there_is_something_new(person: Person, where: str) -> None:
    path = {"calendar": person.calendar, "book": person.book, "home": person.home, "books": person.books}[where]
    first = await person.http("GET", path)
    for headers in ({"If_None_Match": first.etag}, {"If_Modified_Since": first.headers["Last-Modified"]}):
        again = await person.http("GET", path, **headers)
        assert (again.status, again.raw, again.etag) == (304, b"", first.etag)
        assert (await person.http("HEAD", path, **headers)).status == 304
    if where in ("calendar", "home"):
        await person.has(f"{person.calendar}1.ics", event("1"))
    else:
        await person.has(f"{person.book}1.vcf", card("1"))
    changed = await person.http("GET", path, If_None_Match=first.etag)
    assert changed.status == 200
    assert changed.etag != first.etag


async def test_a_browser_gets_a_page(person: Person) -> None:
    await person.has(f"{person.calendar}%3Cscript%3E&amp;.ics", event("1"))
    for path in (
        "/",
        "/principals/",
        "/calendars/",
        person.principal,
        person.home,
        person.calendar,
        person.books,
        person.book,
    ):
        reply = await person.http("GET", path, Accept="text/html,application/xhtml+xml,*/*;q=0.8")
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
        assert reply.text.startswith("<!DOCTYPE html>")
        assert "<script" not in reply.text
    page = await person.http("GET", person.home, Accept="text/html")
    assert f'href="{person.calendar}"' in page.text


async def test_without_its_slash_a_collection_is_redirected(person: Person) -> None:
    for path in (person.home, person.calendar, person.book, person.principal, "/principals/"):
        reply = await person.http("GET", path.rstrip("/"))
        assert (reply.status, reply.headers["Location"]) == (301, path)
    # other methods take both
    reply = await person.http("PROPFIND", person.calendar.rstrip("/"), xml("D:propfind", "<D:prop/>"), Depth="0")
    assert reply.multistatus.hrefs == [person.calendar]


async def test_a_long_calendar_comes_in_pages(person: Person, serve) -> None:
    for number in range(25):
        await person.has(f"{person.calendar}{number:02}.ics", event(str(number)))
    async with serve({"storage.page_size": 10}) as small:
        client = small.client(Remote_User=person.name)
        whole = await client("GET", person.calendar)
        assert whole.text.count("BEGIN:VEVENT") == 25
        assert whole.body == (await person.http("GET", person.calendar)).body
        body = xml("D:propfind", "<D:prop><D:getetag/></D:prop>")
        listed = (await client("PROPFIND", person.calendar, body, Depth="1")).multistatus
        assert listed.hrefs == [person.calendar, *(f"{person.calendar}{number:02}.ics" for number in range(25))]
        assert listed == (await person.http("PROPFIND", person.calendar, body, Depth="1")).multistatus
        page = await client("GET", person.calendar, Accept="text/html")
        assert page.text.count("<li>") == 25
        client.close()
