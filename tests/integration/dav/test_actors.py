"""Who a request's actor is: the person signed in, and for whom they act as a delegate."""

from __future__ import annotations

import pytest

from server.auth.passwords import PasswordHasher
from server.domain.actors import Actor
from server.observe.log import request_id
from server.services.lookup import Found, Lookup
from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.dav.client import Reply, basic
from tests.integration.dav.conftest import NewPerson, Serve
from tests.integration.dav.multistatus import dav
from tests.integration.dav.person import Person, event
from tests.integration.dav.sharing import Share, shown
from tests.integration.dav.test_rfc6638 import address, copy_of, line, meeting, text_of


@pytest.fixture
def actors(monkeypatch: pytest.MonkeyPatch) -> dict[str, Actor]:
    """The actor of each request that looks something up, by the request's id."""
    seen: dict[str, Actor] = {}
    find = Lookup.find

    async def noted(lookup: Lookup, actor: Actor, *arguments: object, **options: object) -> Found:
        assert seen.setdefault(request_id.get(), actor) is actor, "a request has one actor"
        return await find(lookup, actor, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Lookup, "find", noted)
    return seen


def who(actors: dict[str, Actor], reply: Reply) -> tuple[int, int | None, str]:
    actor = actors[reply.headers["X-Request-Id"]]
    assert actor.principal is not None
    assert actor.request_id == reply.headers["X-Request-Id"]
    return actor.principal.id, actor.acting_for, actor.origin


async def test_delegates_act_for_the_owner(
    person: Person,
    other: Person,
    new_person: NewPerson,
    share: Share,
    actors: dict[str, Actor],
    dav_storage: PostgresStorage,
) -> None:
    sharee, admin = await new_person(), await new_person(roles=frozenset({"admin"}))
    await share(person, sharee, "write")
    members = f"<D:group-member-set><D:href>{other.principal}</D:href></D:group-member-set>"
    path = f"{person.principal}calendar-proxy-write/"
    assert (await person.proppatch(path, f"<D:set><D:prop>{members}</D:prop></D:set>")).status == 207
    database = dav_storage.database
    for somebody, acting_for in ((person, None), (other, person.id), (sharee, None), (admin, None)):
        put = await somebody.put(f"{person.calendar}{somebody.id}.ics", event(f"by-{somebody.id}"))
        assert put.status == 201
        assert who(actors, put) == (somebody.id, acting_for, "caldav")
        recorded = await database.fetchrow(
            f"select principal_id, acting_for, trace from {ENTRIES} where request_id = $1", put.headers["X-Request-Id"]
        )
        assert recorded is not None
        assert tuple(recorded) == (somebody.id, acting_for, None)
    copy = await other.http("COPY", f"{person.calendar}{other.id}.ics", Destination=f"{other.calendar}copy.ics")
    assert who(actors, copy) == (other.id, person.id, "caldav")
    own = await other.http("GET", other.calendar)
    assert who(actors, own) == (other.id, None, "caldav")
    book = await other.http("PROPFIND", other.books, Depth="0")
    assert who(actors, book) == (other.id, None, "carddav")


ENTRIES = """(
    select request_id, principal_id, acting_for, trace from outbox
    union all select request_id, principal_id, acting_for, trace from journal
) as entry"""
"""What is recorded, whether it is in the journal yet or not."""
TYPE = {"Content-Type": "text/calendar; charset=utf-8"}
TRACE = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@pytest.mark.parametrize(
    ("sent", "trace"),
    [
        (f"00-{TRACE}-01", f"00-{TRACE}-01"),
        (f"00-{TRACE}-00", f"00-{TRACE}-00"),
        (f"ff-{TRACE}-01", None),
        (f"00-{TRACE.upper()}-01", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-01'; drop table outbox; --", None),
        ("", None),
    ],
)
async def test_a_change_is_recorded_with_the_trace_context_of_a_trusted_proxy(
    person: Person, dav_storage: PostgresStorage, sent: str, trace: str | None
) -> None:
    put = await person.http("PUT", f"{person.calendar}traced.ics", event("traced"), **{**TYPE, "traceparent": sent})
    assert put.status == 201
    sql = f"select trace from {ENTRIES} where request_id = $1"
    assert await dav_storage.database.fetchval(sql, put.headers["X-Request-Id"]) == trace


async def test_the_trace_context_of_others_is_not_recorded(
    new_person: NewPerson, serve: Serve, dav_storage: PostgresStorage
) -> None:
    person = await new_person(password_hash=await PasswordHasher().hash("correct horse battery"))
    async with serve({"network.trusted_proxies": ["192.0.2.1/32"]}) as served:
        client = served.client(Authorization=basic(person.name, "correct horse battery"))
        put = await client("PUT", f"{person.calendar}u.ics", event("u"), **TYPE, traceparent=f"00-{TRACE}-01")
    assert put.status == 201
    sql = f"select count(*) from {ENTRIES} where request_id = $1 and trace is null"
    assert await dav_storage.database.fetchval(sql, put.headers["X-Request-Id"]) == 1


async def test_a_delegate_invites_for_the_owner(
    person: Person, other: Person, new_person: NewPerson, dav_storage: PostgresStorage
) -> None:
    """The owner organizes, SENT-BY and the record say who acts (RFC 5545 §3.2.18)."""
    guest = await new_person()
    members = f"<D:group-member-set><D:href>{other.principal}</D:href></D:group-member-set>"
    path = f"{person.principal}calendar-proxy-write/"
    assert (await person.proppatch(path, f"<D:set><D:prop>{members}</D:prop></D:set>")).status == 207
    put = await other.put(f"{person.calendar}m.ics", meeting(address(other), address(guest)))
    assert put.status == 201
    sent_by = f'SENT-BY="{address(other)}"'
    for who, place in ((person, f"{person.calendar}m.ics"), (guest, await copy_of(guest))):
        assert sent_by in line(await text_of(who, place), person, "ORGANIZER")
    sql = f"select distinct principal_id, acting_for from {ENTRIES} where request_id = $1"
    rows = await dav_storage.database.fetch(sql, put.headers["X-Request-Id"])
    assert [tuple(row) for row in rows] == [(other.id, person.id)]


async def test_a_sharee_invites_for_the_owner_if_the_sharing_says_so(
    person: Person, other: Person, new_person: NewPerson, share: Share, dav_storage: PostgresStorage
) -> None:
    guest = await new_person()
    await share(person, other, "write")
    (own,) = await shown(other)
    outbox, text = f"{person.home}outbox/", meeting(address(other), address(guest))
    for path in (f"{own}m.ics", f"{person.calendar}m.ics"):
        refused = await other.put(path, text)
        refused.refused(403, dav("need-privileges"))
        assert f"<D:href>{outbox}</D:href>" in refused.text
        assert "schedule-send-invite" in refused.text
    await share(person, other, "write", may_invite=True)
    put = await other.put(f"{own}m.ics", text)
    assert put.status == 201
    assert f'SENT-BY="{address(other)}"' in line(await text_of(guest, await copy_of(guest)), person, "ORGANIZER")
    sql = f"select distinct principal_id, acting_for from {ENTRIES} where request_id = $1"
    rows = await dav_storage.database.fetch(sql, put.headers["X-Request-Id"])
    assert [tuple(row) for row in rows] == [(other.id, person.id)]
    granted = await person.prop(outbox, "D:acl")
    assert other.principal in granted
    assert "schedule-send-invite" in granted
    assert (await other.http("DELETE", f"{own}m.ics")).status == 204
    await share(person, other, "write")
    assert other.principal not in await person.prop(outbox, "D:acl")
