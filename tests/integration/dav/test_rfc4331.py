"""RFC 4331: quota properties, and writes that would exceed the quota."""

from __future__ import annotations

from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.multistatus import dav
from tests.integration.dav.person import Person, card, event

AVAILABLE, USED = dav("quota-available-bytes"), dav("quota-used-bytes")


async def quota(person: Person, path: str) -> tuple[int, int]:
    """Available and used bytes, asked for as in §5."""
    body = """<?xml version="1.0" ?>
         <D:propfind xmlns:D="DAV:">
           <D:prop>
             <D:quota-available-bytes/>
             <D:quota-used-bytes/>
           </D:prop>
         </D:propfind>"""
    reply = await person.http("PROPFIND", path, body, Depth="0", Content_Type="text/xml")
    found = reply.multistatus.only.found
    return int(found[AVAILABLE]), int(found[USED])


async def test_5_propfind(new_person: NewPerson) -> None:
    person = await new_person(quota_bytes=1_000_000)
    for path in (person.home, person.calendar, person.books, person.book):
        assert await quota(person, path) == (1_000_000, 0)
    text = event("1")
    await person.has(f"{person.calendar}1.ics", text)
    size = len(text.encode())
    assert await quota(person, person.home) == (1_000_000 - size, size)
    await person.http("DELETE", f"{person.calendar}1.ics")
    assert await quota(person, person.home) == (1_000_000, 0)


async def test_3_both_are_protected(person: Person) -> None:
    for name in ("quota-available-bytes", "quota-used-bytes"):
        found = await person.set(person.home, f"<D:{name}>5</D:{name}>")
        assert found.errors == {dav("cannot-modify-protected-property")}


def assert_exceeded(reply: Reply) -> None:
    """The answer of §6."""
    assert reply.status == 507
    assert reply.xml.tag == dav("error")
    assert [item.tag for item in reply.xml] == [dav("quota-not-exceeded")]


async def test_6_writes_beyond_the_quota(new_person: NewPerson) -> None:
    person = await new_person(quota_bytes=1500)
    path = f"{person.calendar}1.ics"
    assert_exceeded(await person.put(path, event("1", "x" * 2000)))
    assert not await person.exists(path)
    await person.has(path, event("1", "x" * 700))
    assert_exceeded(await person.put(f"{person.calendar}2.ics", event("2", "x" * 700)))
    assert_exceeded(await person.put(path, event("1", "x" * 2000)))
    assert (await person.http("GET", path)).text == event("1", "x" * 700)
    assert_exceeded(
        await person.http("POST", f"{person.calendar};add-member", event("2", "x" * 700), Content_Type="text/calendar")
    )
    # what gets smaller, and what goes, is always possible
    await person.has(path, event("1", "x" * 100))
    await person.has(f"{person.calendar}2.ics", event("2", "x" * 700))
    assert (await person.http("DELETE", path)).status == 204
    assert_exceeded(await person.put(f"{person.book}1.vcf", card("1", "x" * 2000)))
