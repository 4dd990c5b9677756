"""A request whose write has to be repeated is answered as if it had succeeded at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest

from server.dav.core.front_end import not_offered
from server.dav.core.registry import build
from server.dav.standards import standards
from server.domain.errors import WriteConflict
from server.observe.log import request_id
from storage_plugins.postgres.database import Connection, Database
from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.person import Person, card, event, xml
from tests.integration.dav.sharing import Share

READING = frozenset({"OPTIONS", "GET", "HEAD", "PROPFIND", "REPORT"})
WANTED = {"Prefer": "return=representation"}


@dataclass
class Conflicts:
    """Rolls the first write of each request back, and raises `WriteConflict`, as a deadlock does."""

    enabled: bool = False
    raised: set[str] = field(default_factory=set)

    def concerns(self) -> bool:
        return self.enabled and bool(request_id.get()) and request_id.get() not in self.raised

    async def check(self, connection: Connection) -> None:
        """Raises `WriteConflict` where the transaction has written something."""
        if await connection.fetchval("select pg_current_xact_id_if_assigned() is not null"):
            self.raised.add(request_id.get())
            raise WriteConflict


@pytest.fixture
def conflicts(monkeypatch: pytest.MonkeyPatch) -> Conflicts:
    found = Conflicts()
    fetchrow, transaction = Database.fetchrow, Database.transaction

    async def conflicting(self: Database, sql: str, *args: object) -> asyncpg.Record | None:
        if not found.concerns():
            return await fetchrow(self, sql, *args)
        async with transaction(self) as connection:
            row = await connection.fetchrow(sql, *args)
            await found.check(connection)
            return row

    @contextlib.asynccontextmanager
    async def conflicting_transaction(self: Database) -> AsyncIterator[Connection]:
        async with transaction(self) as connection:
            yield connection
            if found.concerns():
                await found.check(connection)

    monkeypatch.setattr(Database, "fetchrow", conflicting)
    monkeypatch.setattr(Database, "transaction", conflicting_transaction)
    return found


Send = Callable[[Person, Person], Awaitable[Reply]]
"""Sends the request as the first person; the second one is there to be named."""
CASES: dict[str, Send] = {}


def case(send: Send) -> Send:
    CASES[send.__name__] = send
    return send


def calendar_body(*more: str) -> str:
    props = "".join(("<D:displayname>Name</D:displayname>", *more))
    return f"<D:set><D:prop>{props}</D:prop></D:set>"


@case
async def put_new(person: Person, other: Person) -> Reply:
    return await person.put(f"{person.calendar}new.ics", event("new"))


@case
async def put_over(person: Person, other: Person) -> Reply:
    return await person.put(f"{person.calendar}1.ics", event("1", "Changed"), **WANTED)


@case
async def put_card(person: Person, other: Person) -> Reply:
    return await person.put(f"{person.book}new.vcf", card("new"), If_None_Match="*")


@case
async def put_taken_uid(person: Person, other: Person) -> Reply:
    return await person.put(f"{person.calendar}new.ics", event("1"))


@case
async def post_event(person: Person, other: Person) -> Reply:
    return await person.http("POST", f"{person.calendar};add-member", event("new"), Content_Type="text/calendar")


@case
async def post_event_with_representation(person: Person, other: Person) -> Reply:
    path = f"{person.calendar};add-member"
    return await person.http("POST", path, event("new"), Content_Type="text/calendar", **WANTED)


@case
async def post_card(person: Person, other: Person) -> Reply:
    return await person.http("POST", f"{person.book};add-member", card("new"), Content_Type="text/vcard", **WANTED)


@case
async def delete_member(person: Person, other: Person) -> Reply:
    return await person.http("DELETE", f"{person.calendar}1.ics")


@case
async def delete_calendar(person: Person, other: Person) -> Reply:
    return await person.http("DELETE", person.calendar)


@case
async def delete_last_book(person: Person, other: Person) -> Reply:
    return await person.http("DELETE", person.book)


@case
async def proppatch_calendar(person: Person, other: Person) -> Reply:
    return await person.proppatch(person.calendar, calendar_body("<X:note>1</X:note>"))


@case
async def proppatch_member(person: Person, other: Person) -> Reply:
    return await person.proppatch(f"{person.calendar}1.ics", "<D:set><D:prop><X:note>1</X:note></D:prop></D:set>")


@case
async def proppatch_home(person: Person, other: Person) -> Reply:
    return await person.proppatch(person.home, "<D:set><D:prop><X:note>1</X:note></D:prop></D:set>")


@case
async def proppatch_delegates(person: Person, other: Person) -> Reply:
    members = f"<D:group-member-set><D:href>{other.principal}</D:href></D:group-member-set>"
    path = f"{person.principal}calendar-proxy-read/"
    return await person.proppatch(path, f"<D:set><D:prop>{members}</D:prop></D:set>")


@case
async def mkcalendar(person: Person, other: Person) -> Reply:
    return await person.http("MKCALENDAR", f"{person.home}new/", xml("C:mkcalendar", calendar_body()))


@case
async def mkcalendar_minimal(person: Person, other: Person) -> Reply:
    return await person.http("MKCALENDAR", f"{person.home}new/")


@case
async def mkcol_calendar(person: Person, other: Person) -> Reply:
    kind = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>"
    return await person.http("MKCOL", f"{person.home}new/", xml("D:mkcol", calendar_body(kind)))


@case
async def mkcol_book(person: Person, other: Person) -> Reply:
    kind = "<D:resourcetype><D:collection/><A:addressbook/></D:resourcetype>"
    return await person.http("MKCOL", f"{person.books}new/", xml("D:mkcol", calendar_body(kind)))


@case
async def copy_member(person: Person, other: Person) -> Reply:
    target = f"{person.home}second/new.ics"
    return await person.http("COPY", f"{person.calendar}2.ics", Destination=target)


@case
async def copy_over_with_representation(person: Person, other: Person) -> Reply:
    target = f"{person.home}second/1.ics"
    return await person.http("COPY", f"{person.calendar}1.ics", Destination=target, **WANTED)


@case
async def copy_calendar(person: Person, other: Person) -> Reply:
    return await person.http("COPY", person.calendar, Destination=f"{person.home}new/")


@case
async def move_member(person: Person, other: Person) -> Reply:
    return await person.http("MOVE", f"{person.calendar}1.ics", Destination=f"{person.calendar}new.ics")


@case
async def move_over_with_representation(person: Person, other: Person) -> Reply:
    target = f"{person.home}second/1.ics"
    return await person.http("MOVE", f"{person.calendar}1.ics", Destination=target, **WANTED)


@case
async def move_relative_with_representation(person: Person, other: Person) -> Reply:
    target = f"http://127.0.0.1:{person.http.port}{person.calendar}new.ics"
    return await person.http("MOVE", f"{person.calendar}1.ics", Destination=target, **WANTED)


@case
async def move_calendar(person: Person, other: Person) -> Reply:
    return await person.http("MOVE", person.calendar, Destination=f"{person.home}new/")


@case
async def move_calendar_over(person: Person, other: Person) -> Reply:
    return await person.http("MOVE", person.calendar, Destination=f"{person.home}second/")


@case
async def acl(person: Person, other: Person) -> Reply:
    ace = (
        f"<D:ace><D:principal><D:href>{other.principal}</D:href></D:principal>"
        "<D:grant><D:privilege><D:read/></D:privilege></D:grant></D:ace>"
    )
    return await person.http("ACL", person.calendar, xml("D:acl", ace))


@case
async def put_of_a_sharee(person: Person, other: Person) -> Reply:
    alarm = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-PT5M", "END:VALARM")
    return await other.put(f"{person.home}shared/1.ics", event("shared", "Meeting", *alarm), **WANTED)


@case
async def post_of_a_sharee(person: Person, other: Person) -> Reply:
    path = f"{person.home}shared/;add-member"
    return await other.http("POST", path, event("new"), Content_Type="text/calendar", **WANTED)


async def prepare(person: Person, other: Person, share: Share) -> None:
    await person.invite_elsewhere()
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{person.calendar}2.ics", event("2"))
    await person.has(f"{person.book}1.vcf", card("1"))
    for name in ("second", "shared"):
        assert (await person.http("MKCALENDAR", f"{person.home}{name}/")).status == 201
    await person.has(f"{person.home}second/1.ics", event("1", "Other"))
    await person.has(f"{person.home}shared/1.ics", event("shared"))
    await share(person, other, "write", "shared")


async def state(person: Person) -> list[str]:
    """What is there, with the texts."""
    found = []
    for home in (person.home, person.books):
        for collection in (await person.propfind(home, "D:displayname", depth="1")).hrefs[1:]:
            found.append(collection)
            for href in (await person.propfind(collection, "D:getetag", depth="1")).hrefs[1:]:
                found.append(f"{href} {(await person.http('GET', href)).text}")
    return found


def alike(text: str, *people: Person) -> str:
    """A text without what differs from person to person and from run to run."""
    for number, person in enumerate(people):
        for name in (person.uid, person.name.title(), person.name):
            text = re.sub(rf"{re.escape(name)}(?!\d)", f"who{number}", text)
    text = re.sub(r"[0-9a-f]{32}\.(ics|vcf)", r"chosen.\1", text)
    return re.sub(r'"[0-9a-f-]+"|koyomi-sync:[\w-]+', "tag", text)


def answer(reply: Reply, *people: Person) -> tuple[int, dict[str, str], str]:
    varying = {"Date", "X-Request-Id", "Last-Modified", "Content-Length"}
    headers = {name: alike(value, *people) for name, value in reply.headers.items() if name not in varying}
    return reply.status, headers, alike(reply.text, *people)


@pytest.mark.parametrize("name", CASES)
async def test_a_repeated_write_is_answered_as_the_first(
    new_person: NewPerson, share: Share, conflicts: Conflicts, name: str
) -> None:
    outcomes = []
    for enabled in (False, True):
        person, other = await new_person(), await new_person()
        await prepare(person, other, share)
        conflicts.enabled, conflicts.raised = enabled, set()
        reply = await CASES[name](person, other)
        conflicts.enabled = False
        if enabled and name != "put_taken_uid":
            assert conflicts.raised == {reply.headers["X-Request-Id"]}
        kept = sorted(alike(each, person, other) for each in await state(person))
        outcomes.append((answer(reply, person, other), kept))
    assert outcomes[0] == outcomes[1]


def test_the_cases_have_every_method_that_writes() -> None:
    methods = {name.partition("_")[0].upper() for name in CASES}
    assert methods == build(standards(b""), not_offered).routes.methods - READING
