"""RFC 6578: collection synchronisation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from server.dav.rfc6578_sync import Changes
from server.domain.rows import Row
from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.multistatus import Multistatus, caldav, dav, example
from tests.integration.dav.person import Person, card, event, task, xml

BOX = "urn:ns.example.com:boxschema"
BIGBOX = f"{{{BOX}}}bigbox"
PROPS = f'<D:getetag/><R:bigbox xmlns:R="{BOX}"/>'
SET_BOX = f'<R:bigbox xmlns:R="{BOX}"><R:BoxType>Box type A</R:BoxType></R:bigbox>'


def body(token: str, more: str = "", level: str = "1", prop: str = "<D:getetag/>\n       <R:bigbox/>") -> str:
    """A request as the examples print it."""
    return f"""<?xml version="1.0" encoding="utf-8" ?>
   <D:sync-collection xmlns:D="DAV:">
     {token}
     <D:sync-level>{level}</D:sync-level>
     {more}
     <D:prop xmlns:R="urn:ns.example.com:boxschema">
       {prop}
     </D:prop>
   </D:sync-collection>"""


async def ask(person: Person, path: str, text: str) -> Multistatus:
    reply = await person.http("REPORT", path, text, Depth="0", Content_Type='text/xml; charset="utf-8"')
    return reply.multistatus


def row(href: str, etag: str, *, box: bool = False) -> str:
    """A response as the examples print it."""
    value = f'<R:bigbox xmlns:R="{BOX}"><R:BoxType>Box type A</R:BoxType></R:bigbox>' if box else ""
    missing = (
        ""
        if box
        else f"""<D:propstat>
         <D:prop>
           <R:bigbox xmlns:R="{BOX}"/>
         </D:prop>
         <D:status>HTTP/1.1 404 Not Found</D:status>
       </D:propstat>"""
    )
    return f"""<D:response>
       <D:href>http://webdav.example.com{href}</D:href>
       <D:propstat>
         <D:prop>
           <D:getetag>{etag}</D:getetag>{value}
         </D:prop>
         <D:status>HTTP/1.1 200 OK</D:status>
       </D:propstat>{missing}
     </D:response>"""


def printed(*rows: str, token: str | None) -> Multistatus:
    return example(f'<D:multistatus xmlns:D="DAV:">{"".join(rows)}<D:sync-token>{token}</D:sync-token></D:multistatus>')


def gone(href: str) -> str:
    return f"<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>"


def more(href: str) -> str:
    return (
        f"<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 507 Insufficient Storage</D:status>"
        "<D:error><D:number-of-matches-within-limits/></D:error></D:response>"
    )


@pytest.mark.parametrize("where", ["calendar", "book"])
async def test_3_8_initial_then_3_9_with_token(person: Person, where: str) -> None:
    path, make = (person.calendar, event) if where == "calendar" else (person.book, card)
    etags = {name: await person.has(path + name, make(name)) for name in ("test.doc", "vcard.vcf", "calendar.ics")}
    await person.set(f"{path}test.doc", SET_BOX)
    initial = await ask(person, path, body("<D:sync-token/>"))
    assert initial.token
    assert initial == printed(
        row(f"{path}test.doc", etags["test.doc"], box=True),
        row(f"{path}vcard.vcf", etags["vcard.vcf"]),
        row(f"{path}calendar.ics", etags["calendar.ics"]),
        token=initial.token,
    )
    assert initial.token == await person.prop(path, "D:sync-token")
    # §3.9: something is added, changed and removed
    etags["file.xml"] = await person.has(f"{path}file.xml", make("file.xml"))
    etags["vcard.vcf"] = await person.has(f"{path}vcard.vcf", make("vcard.vcf", "Changed"))
    assert (await person.http("DELETE", f"{path}test.doc")).status == 204
    later = await ask(person, path, body(f"<D:sync-token>{initial.token}</D:sync-token>"))
    assert later.token != initial.token
    assert later == printed(
        row(f"{path}file.xml", etags["file.xml"]),
        row(f"{path}vcard.vcf", etags["vcard.vcf"]),
        gone(f"{path}test.doc"),
        token=later.token,
    )
    # and then nothing
    last = await ask(person, path, body(f"<D:sync-token>{later.token}</D:sync-token>"))
    assert last == printed(token=later.token)


async def test_3_10_a_server_that_need_not_truncates_nothing(person: Person) -> None:
    """A client that sent no limit gets everything (some clients do not know 507)."""
    for number in range(30):
        await person.has(f"{person.calendar}{number}.ics", event(str(number)))
    found = await ask(person, person.calendar, body("<D:sync-token/>", prop="<D:getetag/>"))
    assert len(found.hrefs) == 30
    assert {response.status for response in found.responses.values()} == {None}


async def test_3_11_initial_with_limit_and_then_the_rest(person: Person) -> None:
    etags = {name: await person.has(person.calendar + name, event(name)) for name in ("test.doc", "b", "c")}
    limit = """<D:limit>
       <D:nresults>1</D:nresults>
     </D:limit>"""
    found = await ask(person, person.calendar, body("<D:sync-token/>", limit))
    assert found == printed(
        row(f"{person.calendar}test.doc", etags["test.doc"]), more(person.calendar), token=found.token
    )
    assert found.hrefs[-1] == person.calendar, "the row that says so is the last"
    second = await ask(person, person.calendar, body(f"<D:sync-token>{found.token}</D:sync-token>", limit))
    assert second == printed(row(f"{person.calendar}b", etags["b"]), more(person.calendar), token=second.token)
    third = await ask(person, person.calendar, body(f"<D:sync-token>{second.token}</D:sync-token>", limit))
    assert third == printed(row(f"{person.calendar}c", etags["c"]), token=third.token)
    assert third.token == await person.prop(person.calendar, "D:sync-token")


async def test_3_12_any_limit_can_be_held(person: Person) -> None:
    token = (await person.sync(person.calendar)).token
    await person.has(f"{person.calendar}1.ics", event("1"))
    limit = """<D:limit>
       <D:nresults>100</D:nresults>
     </D:limit>"""
    found = await ask(person, person.calendar, body(f"<D:sync-token>{token}</D:sync-token>", limit))
    assert found.hrefs == [f"{person.calendar}1.ics"]


async def test_3_13_infinite(person: Person) -> None:
    etag = await person.has(f"{person.calendar}test.doc", event("1"))
    await person.set(f"{person.calendar}test.doc", SET_BOX)
    await person.set(person.calendar, SET_BOX)
    found = await ask(person, person.home, body("<D:sync-token/>", level="infinite"))
    below = [f"{person.home}{name}/" for name in ("calendar", "inbox", "notification", "outbox", "tasks")]
    assert sorted(found.hrefs) == sorted([*below, f"{person.calendar}test.doc"])
    box = f"<{{{BOX}}}BoxType>Box type A</>"
    assert found[f"{person.calendar}test.doc"].props == {200: {dav("getetag"): etag, BIGBOX: box}}
    assert found[person.calendar].found[BIGBOX] == box
    assert found[person.tasks].status_of(BIGBOX) == 404
    assert found.token == await person.prop(person.home, "D:sync-token")
    # what happens at every level is told
    await person.has(f"{person.tasks}t.ics", task("t"))
    await person.http("DELETE", f"{person.calendar}test.doc")
    await person.http("MKCALENDAR", f"{person.home}new/")
    await person.has(f"{person.home}new/n.ics", event("n"))
    later = await ask(person, person.home, body(f"<D:sync-token>{found.token}</D:sync-token>", level="infinite"))
    assert set(later.hrefs) == {
        person.tasks,
        f"{person.tasks}t.ics",
        person.calendar,
        f"{person.calendar}test.doc",
        f"{person.home}new/",
        f"{person.home}new/n.ics",
    }
    assert later[f"{person.calendar}test.doc"].status == 404
    await person.http("DELETE", f"{person.home}new/")
    last = await ask(person, person.home, body(f"<D:sync-token>{later.token}</D:sync-token>", level="infinite"))
    assert last[f"{person.home}new/"].status == 404


async def test_3_3_level_1_of_a_home_tells_its_collections(person: Person) -> None:
    token = (await person.sync(person.home)).token or ""
    await person.has(f"{person.calendar}1.ics", event("1"))
    found = await person.sync(person.home, token)
    assert found.hrefs == [person.calendar]
    token = found.token or ""
    await person.set(person.tasks, "<D:displayname>Things</D:displayname>")
    found = await person.sync(person.home, token, props="<D:displayname/>")
    assert {href: response.found for href, response in found.responses.items()} == {
        person.tasks: {dav("displayname"): "Things"}
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_3_6_pages_of_a_home_add_up(person: Person, limit: int) -> None:
    """With changes between the pages: in the end the client knows what there is."""
    for number in range(5):
        await person.has(f"{person.calendar}{number}.ics", event(str(number)))
        await person.has(f"{person.tasks}{number}.ics", task(str(number)))
    known: dict[str, str | None] = {}
    token = ""
    for turn in range(60):
        found = await person.sync(person.home, token, level="infinite", limit=limit)
        truncated = found.responses.get(person.home)
        assert truncated is None or truncated.status == 507
        rows = {href: response for href, response in found.responses.items() if href != person.home}
        assert len(rows) <= limit
        for href, response in rows.items():
            known[href] = None if response.status == 404 else response.found.get(dav("getetag"))
        token = found.token or ""
        if truncated is None:
            break
        if turn == 1:
            await person.http("DELETE", f"{person.calendar}0.ics")
            await person.has(f"{person.tasks}9.ics", task("9"))
            await person.has(f"{person.calendar}4.ics", event("4", "Changed"))
    assert truncated is None
    state = {href: tag for href, tag in known.items() if tag is not None}
    expected = {}
    for path in await person.names(person.home):
        listed = await person.propfind(path, "D:getetag", depth="1")
        expected |= {href: response.found[dav("getetag")] for href, response in listed.responses.items()}
    assert state == expected


async def test_3_5_2_what_came_and_went_is_told_as_gone(person: Person) -> None:
    token = (await person.sync(person.calendar)).token or ""
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.http("DELETE", f"{person.calendar}1.ics")
    found = await person.sync(person.calendar, token)
    assert found[f"{person.calendar}1.ics"].status == 404
    # but not to who begins anew
    assert (await person.sync(person.calendar)).hrefs == []
    # deleted and made again: it is there
    await person.has(f"{person.calendar}1.ics", event("1", "Again"))
    assert (await person.sync(person.calendar, token))[f"{person.calendar}1.ics"].status is None


@pytest.mark.parametrize(
    "token", ["garbage", "koyomi-sync:c-1-1-1", "koyomi-sync:c-x", "http://example.com/ns/sync/1", "0", "暦"]
)
async def test_3_2_an_invalid_token(person: Person, token: str) -> None:
    for path in (person.calendar, person.book, person.home):
        inner = f"<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>"
        (await person.report(path, "D:sync-collection", inner, "0")).refused(403, dav("valid-sync-token"))


async def test_3_2_tokens_of_elsewhere_and_of_the_future(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await other.has(f"{other.calendar}1.ics", event("1"))
    tokens = [await person.prop(path, "D:sync-token") for path in (person.tasks, person.home, person.book)]
    tokens.append(await other.prop(other.calendar, "D:sync-token"))
    own = await person.prop(person.calendar, "D:sync-token")
    head, _, revision = own.rpartition("-")
    tokens.append(f"{head}-{int(revision) + 1}")
    for token in tokens:
        inner = f"<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level><D:prop/>"
        (await person.report(person.calendar, "D:sync-collection", inner, "0")).refused(403, dav("valid-sync-token"))


async def test_3_2_no_token_element_begins_anew(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    for token in ("", "<D:sync-token/>", "<D:sync-token></D:sync-token>", "<D:sync-token>\n  </D:sync-token>"):
        found = await ask(person, person.calendar, body(token))
        assert found.hrefs == [f"{person.calendar}1.ics"]


async def test_3_2_depth_1_without_a_level_is_taken(person: Person) -> None:
    """A deviation that is meant: older clients ask so."""
    await person.has(f"{person.calendar}1.ics", event("1"))
    reply = await person.report(person.calendar, "D:sync-collection", "<D:sync-token/><D:prop><D:getetag/></D:prop>")
    assert reply.multistatus.hrefs == [f"{person.calendar}1.ics"]


@pytest.mark.parametrize(
    "more_xml", ["<D:limit><D:nresults>0</D:nresults></D:limit>", "<D:limit><D:nresults>x</D:nresults></D:limit>"]
)
async def test_6_4_limits_that_are_none_are_400(person: Person, more_xml: str) -> None:
    reply = await person.http("REPORT", person.calendar, body("<D:sync-token/>", more_xml), Depth="0")
    reply.refused(400)


async def test_4_the_token_is_a_uri_and_not_in_allprop(person: Person) -> None:
    for path in (person.calendar, person.book, person.home, person.books, f"{person.home}inbox/"):
        token = await person.prop(path, "D:sync-token")
        assert token.partition(":")[0].isascii()
        assert ":" in token
        everything = await person.http("PROPFIND", path, xml("D:propfind", "<D:allprop/>"), Depth="0")
        assert dav("sync-token") not in everything.multistatus.only.found
    for path in ("/", person.principal):
        assert (await person.propfind(path, "D:sync-token")).only.status_of(dav("sync-token")) == 404


async def test_3_the_inbox_synchronises_and_principals_do_not(person: Person) -> None:
    assert (await person.sync(f"{person.home}inbox/")).hrefs == []
    (await person.report(person.principal, "D:sync-collection", "<D:sync-token/><D:prop/>", "0")).refused(
        403, dav("supported-report")
    )


async def test_the_same_content_put_again_is_told(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    token = (await person.sync(person.calendar)).token or ""
    await person.has(f"{person.calendar}1.ics", event("1"))
    assert (await person.sync(person.calendar, token)).hrefs == [f"{person.calendar}1.ics"]


async def test_properties_of_a_collection_are_no_changes_of_members(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    token = (await person.sync(person.calendar)).token or ""
    await person.set(person.calendar, "<D:displayname>Other</D:displayname>")
    assert (await person.sync(person.calendar, token)).hrefs == []


async def test_data_can_come_along(person: Person) -> None:
    """CALDAV:calendar-data in a sync report is no property of the resource (RFC 4791 §9.6)."""
    await person.has(f"{person.calendar}1.ics", event("1"))
    found = await person.sync(person.calendar, props="<D:getetag/><C:calendar-data/>")
    assert dav("getetag") in found.only.found
    assert found.only.status_of(caldav("calendar-data")) in (200, 404)


async def test_a_calendar_made_anew_under_an_old_name(person: Person) -> None:
    path = f"{person.home}new/"
    await person.http("MKCALENDAR", path)
    await person.has(f"{path}old.ics", event("1"))
    token = (await person.sync(path)).token or ""
    whole = (await person.sync(person.home, level="infinite")).token or ""
    one = (await person.sync(person.home)).token or ""
    await person.http("DELETE", path)
    await person.http("MKCALENDAR", path)
    inner = "<D:sync-token>{}</D:sync-token><D:sync-level>{}</D:sync-level><D:prop/>".format
    (await person.report(path, "D:sync-collection", inner(token, "1"), "0")).refused(403, dav("valid-sync-token"))
    assert (await person.sync(person.home, one))[path].status is None
    # a client that knows the old members by an infinite token must begin anew, or be told that they are gone
    reply = await person.report(person.home, "D:sync-collection", inner(whole, "infinite"), "0")
    if reply.status == 207:
        assert reply.multistatus[f"{path}old.ics"].status == 404
    else:
        reply.refused(403, dav("valid-sync-token"))


async def test_3_6_a_limit_bounds_what_is_read_of_all_collections(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the limit for each collection that changed."""
    calendars = [f"{person.home}c{number}/" for number in range(8)]
    for path in calendars:
        assert (await person.http("MKCALENDAR", path)).status == 201
        for number in range(12):
            await person.has(f"{path}{number}.ics", event(f"{number}"))
    counted: Counter[str] = Counter()
    changed, write = PostgresStorage.members_changed, Changes.write

    async def reading(self: PostgresStorage, *arguments: Any, **named: Any) -> Sequence[Row]:
        rows = await changed(self, *arguments, **named)
        counted["read"] += len(rows)
        return rows

    def writing(self: Changes, row: Row) -> str:
        counted["written"] += 1
        return write(self, row)

    monkeypatch.setattr(PostgresStorage, "members_changed", reading)
    monkeypatch.setattr(Changes, "write", writing)
    token, seen, pages, more = "", [], 0, True
    while more:
        counted.clear()
        last = await person.sync(person.home, token, level="infinite", limit=10)
        # Of the collection in which the page lies, and a row of each other whose changes may come before its end.
        assert counted["read"] <= 2 * 10 + len(calendars)
        assert counted["written"] <= 10
        seen += [href for href in last.hrefs if href.endswith(".ics")]
        token, pages, more = last.token, pages + 1, person.home in last.responses
    assert sorted(seen) == sorted(f"{path}{number}.ics" for path in calendars for number in range(12))
    assert pages >= 10
