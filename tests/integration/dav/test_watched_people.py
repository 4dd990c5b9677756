"""What people do without a change is in the journal: sign-ins through a proxy, refusals, reading by administrators."""

from __future__ import annotations

from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.person import Person, event

ACTS = """
    select kind, subject_id, origin, request_id, details from (
        select kind, subject_id, principal_id, origin, request_id, details, home_id, at from outbox
        union all select kind, subject_id, principal_id, origin, request_id, details, home_id, at from journal
    ) as entry
    where home_id = 0 and kind = any($2) and (principal_id = $1 or subject_id = $1) order by at
"""


async def acts(storage: PostgresStorage, person: Person, *kinds: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await storage.database.fetch(ACTS, person.id, kinds)]


async def test_a_sign_in_through_a_proxy(person: Person, dav_storage: PostgresStorage) -> None:
    for _ in range(3):
        await person.propfind(person.home, "D:displayname")
    found = await acts(dav_storage, person, "signed-in")
    assert found == [("signed-in", person.id, "sign-in", "", {"method": "remote-user"})]


async def test_an_administrator_reads(person: Person, new_person: NewPerson, dav_storage: PostgresStorage) -> None:
    admin = await new_person(roles=frozenset({"admin"}))
    await person.has(f"{person.calendar}a.ics", event("a"))
    first = await admin.http("GET", f"{person.calendar}a.ics")
    assert first.status == 200
    await admin.sync(person.calendar)
    await admin.propfind(admin.home, "D:displayname")
    await admin.http("PROPFIND", person.books, Depth="1")
    assert await acts(dav_storage, person, "administrator-read") == [
        ("administrator-read", person.id, "caldav", first.headers["X-Request-Id"], {"home": "calendar"}),
        *(await acts(dav_storage, admin, "administrator-read"))[1:],
    ]
    assert [each[4] for each in await acts(dav_storage, admin, "administrator-read")] == [
        {"home": "calendar"},
        {"home": "addressbook"},
    ]


async def test_refusals(person: Person, other: Person, dav_storage: PostgresStorage) -> None:
    await person.has(f"{person.calendar}a.ics", event("a"))
    for _ in range(3):
        assert (await other.http("GET", f"{person.calendar}a.ics")).status == 403
    assert (await other.http("DELETE", f"{person.calendar}a.ics")).status == 403
    found = await acts(dav_storage, other, "access-refused")
    assert [(each[1], each[2], each[4]) for each in found] == [
        (person.id, "caldav", {"need": "read", "method": "GET"}),
        (person.id, "caldav", {"need": "unbind", "method": "DELETE"}),
    ]
