"""RFC 4918 §10.1 and §18: what OPTIONS tells of each resource, and the methods that are not offered."""

from __future__ import annotations

import pytest

from tests.integration.dav.person import Person, card, event

COMMON = {"1", "3", "access-control"}
READ = {"OPTIONS", "GET", "HEAD", "PROPFIND", "REPORT"}
WRITE = {"PROPPATCH", "DELETE", "COPY", "MOVE"}


def resources(person: Person) -> dict[str, tuple[set[str], set[str]]]:
    """Tokens and methods by path."""
    calendars, books = {"calendar-access", "calendar-query-extended"}, {"addressbook"}
    return {
        "/": (calendars | books, READ),
        "/principals/": (set(), READ),
        "/calendars/": (set(), READ),
        "/addressbooks/": (set(), READ),
        person.principal: (calendars | books | {"calendarserver-home-sync"}, READ),
        person.home: (
            calendars | {"extended-mkcol", "calendarserver-home-sync"},
            READ | {"PROPPATCH", "MKCOL", "MKCALENDAR"},
        ),
        person.books: (books | {"extended-mkcol", "calendarserver-home-sync"}, READ | {"PROPPATCH", "MKCOL"}),
        person.calendar: (calendars, READ | WRITE | {"POST"}),
        person.book: (books, READ | WRITE | {"POST"}),
        f"{person.home}inbox/": (calendars, READ | {"PROPPATCH"}),
        f"{person.calendar}1.ics": (calendars, READ | WRITE | {"PUT", "POST"}),
        f"{person.book}1.vcf": (books, READ | WRITE | {"PUT"}),
    }


async def test_10_1_tokens_and_methods_of_each_resource(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{person.book}1.vcf", card("1"))
    for path, (tokens, methods) in resources(person).items():
        reply = await person.http("OPTIONS", path)
        assert (reply.status, reply.body) == (200, b"")
        classes = set(reply.headers["DAV"].split(", "))
        assert classes >= COMMON, path
        named = {"addressbook", "extended-mkcol", "calendarserver-home-sync"}
        named |= {"calendar-access", "calendar-query-extended"}
        assert classes & named == tokens, path
        assert set(reply.headers["Allow"].split(", ")) - {"ACL"} == methods, path


async def test_18_class_2_and_what_is_not_there_yet_is_not_claimed(person: Person) -> None:
    for path in ("/", person.home, person.calendar, person.principal):
        classes = set((await person.http("OPTIONS", path)).headers["DAV"].split(", "))
        assert not classes & {"2", "bind"}


async def test_rfc6638_2_scheduling_is_claimed_where_calendars_are(person: Person) -> None:
    scheduled = (person.home, person.calendar, f"{person.home}inbox/", f"{person.home}outbox/", person.principal)
    tokens = {"calendar-auto-schedule", "calendarserver-private-comments", "calendarserver-partstat-changes"}
    for path in (*scheduled, "/", person.books, person.book):
        classes = set((await person.http("OPTIONS", path)).headers["DAV"].split(", "))
        assert classes & tokens == (tokens if path in scheduled else set()), path


async def test_10_1_unmapped_urls_say_what_can_be_made(person: Person) -> None:
    for path, methods in (
        (f"{person.home}new/", {"OPTIONS", "MKCALENDAR", "MKCOL"}),
        (f"{person.books}new/", {"OPTIONS", "MKCOL"}),
        (f"{person.calendar}new.ics", {"OPTIONS", "PUT"}),
        (f"{person.book}new.vcf", {"OPTIONS", "PUT"}),
    ):
        reply = await person.http("OPTIONS", path)
        assert reply.status == 200
        assert set(reply.headers["Allow"].split(", ")) == methods


@pytest.mark.parametrize("method", ["LOCK", "UNLOCK", "PATCH", "TRACE", "SEARCH", "BIND"])
async def test_9_10_locks_and_the_like_are_405_with_allow(person: Person, method: str) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    body = '<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope></D:lockinfo>'
    for path in (
        f"{person.calendar}1.ics",
        person.calendar,
        person.home,
        person.principal,
        f"{person.calendar}new.ics",
    ):
        reply = await person.http(method, path, body if method in ("LOCK", "PATCH", "SEARCH") else "")
        reply.refused(405)
        allow = reply.headers["Allow"].split(", ")
        assert "OPTIONS" in allow
        assert method not in allow
    assert not await person.exists(f"{person.calendar}new.ics"), "LOCK makes no empty resources"


async def test_a_method_that_nobody_knows_is_501(person: Person) -> None:
    """RFC 9110 §9.1."""
    (await person.http("PURGE", person.calendar)).refused(501)
    assert (await person.http("FROBNICATE", person.calendar)).status in (400, 501)
    assert (await person.http("*", person.calendar)).status in (400, 501)


async def test_methods_that_a_kind_of_resource_lacks_say_what_is_possible(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    for method, path in (
        ("POST", person.home),
        ("POST", f"{person.book}1.vcf"),
        ("PUT", person.calendar),
        ("MKCOL", person.calendar),
    ):
        reply = await person.http(method, path, event("2") if method in ("PUT", "POST") else "")
        assert reply.status == 405
        assert method not in reply.headers["Allow"].split(", ")


async def test_allow_of_405_is_that_of_options(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    for path in resources(person):
        if path.endswith(".vcf"):
            continue
        refused, options = await person.http("LOCK", path), await person.http("OPTIONS", path)
        assert set(refused.headers["Allow"].split(", ")) == set(options.headers["Allow"].split(", ")), path


async def test_options_of_the_server(person: Person) -> None:
    """RFC 9110 §9.3.7."""
    reply = await person.http("OPTIONS", "*")
    assert reply.status == 200
    assert set(reply.headers["DAV"].split(", ")) >= COMMON
