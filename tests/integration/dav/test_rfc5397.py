"""RFC 5397: DAV:current-user-principal."""

from __future__ import annotations

from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import dav, hrefs_in
from tests.integration.dav.person import Person, card, event


async def test_3_on_every_resource_it_is_who_asks(person: Person, new_person: NewPerson) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{person.book}1.vcf", card("1"))
    other = await new_person()
    paths = [
        "/",
        "/principals/",
        "/principals/users/",
        "/calendars/",
        "/addressbooks/",
        other.principal,
        person.principal,
    ]
    paths += [person.home, person.calendar, f"{person.calendar}1.ics", person.books, person.book, f"{person.book}1.vcf"]
    for path in paths:
        assert hrefs_in(await person.prop(path, "D:current-user-principal")) == [person.principal]
    # also for all members of a listing
    found = await person.propfind(person.calendar, "D:current-user-principal", depth="1")
    for response in found.responses.values():
        assert hrefs_in(response.found[dav("current-user-principal")]) == [person.principal]


async def test_3_without_a_sign_in_there_is_no_answer(served: Served) -> None:
    client = served.client()
    reply = await client("PROPFIND", "/", Depth="0")
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"].startswith("Basic ")
    assert 'charset="UTF-8"' in reply.headers["WWW-Authenticate"]
    client.close()
