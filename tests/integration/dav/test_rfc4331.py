"""RFC 4331: quota properties, and writes that would exceed the quota."""

from __future__ import annotations

from datetime import timedelta

from storage_plugins.postgres.upkeep.pruning import forget_deleted
from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import dav
from tests.integration.dav.person import Person, card, event
from tests.integration.dav.sharing import Share, shown

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


async def test_6_what_is_deleted_counts_until_it_is_forgotten(new_person: NewPerson, served: Served) -> None:
    """All that is kept, seen or not, takes at most twice the quota. A DELETE is never refused."""
    person = await new_person(quota_bytes=3000)
    path, text = f"{person.calendar}1.ics", event("1", "x" * 800)
    for _ in range(20):
        reply = await person.put(path, text)
        if reply.status == 507:
            break
        assert (await person.http("DELETE", path)).status == 204
    assert_exceeded(reply)
    kept = 2 * 3000 // len(text.encode()) * len(text.encode())
    assert await quota(person, person.home) == (2 * 3000 - kept, 0)
    assert_exceeded(await person.put(f"{person.calendar}2.ics", event("2", "x" * 800)))
    database = served.storage.database
    sql = "update {} set deleted_at = deleted_at - interval '31 days' where deleted_at is not null and home_id = {}"
    of_person = f"(select id from home where principal_id = {person.id} and kind = 'calendar')"
    for table in ("object", "trash"):
        await database.fetch(sql.format(table, of_person))
    await forget_deleted(database, timedelta(days=30))
    assert await quota(person, person.home) == (3000, 0)
    await person.has(path, text)


async def test_6_a_deleted_calendar_counts(new_person: NewPerson) -> None:
    person = await new_person(quota_bytes=3000)
    for _ in range(10):
        assert (await person.http("MKCALENDAR", f"{person.home}new/")).status == 201
        statuses = [(await person.put(f"{person.home}new/{n}.ics", event(f"{n}", "x" * 600))).status for n in range(3)]
        assert (await person.http("DELETE", f"{person.home}new/")).status == 204
        if 507 in statuses:
            break
    assert 507 in statuses
    assert (await quota(person, person.home))[0] < len(event("1", "x" * 600))


async def test_6_what_is_copied_and_moved_counts(new_person: NewPerson) -> None:
    person = await new_person(quota_bytes=3000)
    source = f"{person.calendar}1.ics"
    await person.has(source, event("1", "x" * 600))
    copy = f"{person.home}other/1.ics"
    assert (await person.http("MKCALENDAR", f"{person.home}other/")).status == 201
    for _ in range(20):
        reply = await person.http("COPY", source, Destination=copy)
        if reply.status == 507:
            break
        assert (await person.http("DELETE", copy)).status == 204
    assert_exceeded(reply)
    assert (await person.http("MOVE", source, Destination=copy)).status == 201


async def test_6_personal_copies_of_sharees_count(new_person: NewPerson, person: Person, share: Share) -> None:
    """They count where they lie, and leave the owner room."""
    owner = await new_person(quota_bytes=10_000)
    for number in range(4):
        await owner.has(f"{owner.calendar}{number}.ics", event(f"{number}"))
    await share(owner, person, "read")
    (place,) = await shown(person)
    alarm = ("BEGIN:VALARM", "ACTION:DISPLAY", f"DESCRIPTION:{'x' * 1500}", "TRIGGER:-PT10M", "END:VALARM")
    replies = [await person.put(f"{place}{number}.ics", event(f"{number}", "Meeting", *alarm)) for number in range(4)]
    assert [reply.status for reply in replies] == [204, 204, 507, 507]
    assert_exceeded(replies[-1])
    assert await person.exists(f"{place}3.ics")
    await owner.has(f"{owner.calendar}3.ics", event("3", "x" * 5000))
    assert_exceeded(await owner.put(f"{owner.calendar}0.ics", event("0", "x" * 4500)))
    assert (await owner.http("DELETE", f"{owner.calendar}0.ics")).status == 204


def of_size(size: int) -> str:
    return f'<D:set><D:prop><x:y xmlns:x="urn:x">{"x" * size}</x:y></D:prop></D:set>'


async def test_6_dead_properties_count(new_person: NewPerson) -> None:
    """On objects, collections and homes alike; what takes less is always possible."""
    person = await new_person(quota_bytes=20_000)
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    _, before = await quota(person, person.home)
    for place in (path, person.calendar, person.home):
        assert (await person.proppatch(place, of_size(5000))).multistatus.only.found
    available, used = await quota(person, person.home)
    assert before + 15_000 < used < before + 16_000
    assert available == 20_000 - used
    for place in (path, person.calendar, person.home):
        assert_exceeded(await person.proppatch(place, of_size(11_000)))
    assert_exceeded(await person.put(f"{person.calendar}2.ics", event("2", "x" * 5000)))
    assert (await person.http("MKCALENDAR", f"{person.home}other/")).status == 201
    assert_exceeded(await person.http("COPY", path, Destination=f"{person.home}other/1.ics"))
    assert await quota(person, person.home) == (available, used)
    assert (await person.http("DELETE", path)).status == 204
    assert (await quota(person, person.home))[1] < used - 5000
    removal = '<D:remove><D:prop><x:y xmlns:x="urn:x"/></D:prop></D:remove>'
    for place in (person.calendar, person.home):
        assert (await person.proppatch(place, removal)).multistatus.only.found
    assert (await quota(person, person.home))[1] == 0
