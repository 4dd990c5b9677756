"""Who a request's actor is: the person signed in, and for whom they act as a delegate."""

from __future__ import annotations

import pytest

from server.domain.actors import Actor
from server.observe.log import request_id
from server.services.lookup import Found, Lookup
from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.person import Person, event
from tests.integration.dav.sharing import Share


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
    person: Person, other: Person, new_person: NewPerson, share: Share, actors: dict[str, Actor]
) -> None:
    sharee, admin = await new_person(), await new_person(roles=frozenset({"admin"}))
    await share(person, sharee, "write")
    members = f"<D:group-member-set><D:href>{other.principal}</D:href></D:group-member-set>"
    path = f"{person.principal}calendar-proxy-write/"
    assert (await person.proppatch(path, f"<D:set><D:prop>{members}</D:prop></D:set>")).status == 207
    for somebody, acting_for in ((person, None), (other, person.id), (sharee, None), (admin, None)):
        put = await somebody.put(f"{person.calendar}{somebody.id}.ics", event(f"by-{somebody.id}"))
        assert put.status == 201
        assert who(actors, put) == (somebody.id, acting_for, "caldav")
    copy = await other.http("COPY", f"{person.calendar}{other.id}.ics", Destination=f"{other.calendar}copy.ics")
    assert who(actors, copy) == (other.id, person.id, "caldav")
    own = await other.http("GET", other.calendar)
    assert who(actors, own) == (other.id, None, "caldav")
    book = await other.http("PROPFIND", other.books, Depth="0")
    assert who(actors, book) == (other.id, None, "carddav")
