"""Reports of synchronisation while others write: what one leaves out the next one must tell (RFC 6578 §3.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.dav.client import Client
from tests.integration.dav.multistatus import Multistatus
from tests.integration.dav.person import Person, event

Act = Callable[[], Awaitable[object]]
Meanwhile = Callable[[str, int, Act], None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Does something just before the server's n-th call of a method of its storage."""

    def arrange(method: str, call: int, act: Act) -> None:
        real = getattr(PostgresStorage, method)
        calls = 0

        async def wrapped(*args: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                monkeypatch.setattr(PostgresStorage, method, real)
                await act()
            return await real(*args, **named)

        monkeypatch.setattr(PostgresStorage, method, wrapped)

    return arrange


@pytest.fixture
def other(person: Person) -> Iterator[Person]:
    """The same person on another connection."""
    same = Person(Client(person.http.port, person.http.headers), person.id, person.uid, person.name)
    yield same
    same.http.close()


def apply(state: dict[str, str], report: Multistatus) -> dict[str, str]:
    """A client's ETags by href after a report."""
    state = dict(state)
    for href, response in report.responses.items():
        if response.status == 404:
            state = {name: etag for name, etag in state.items() if not name.startswith(href)}
        elif response.status is None:
            state[href] = response.found.get("{DAV:}getetag", "")
    return state


def members(state: dict[str, str], calendar: str) -> dict[str, str]:
    return {href: etag for href, etag in state.items() if href.startswith(calendar) and href != calendar}


async def truth(person: Person, calendar: str) -> dict[str, str]:
    found = await person.propfind(calendar, "D:getetag", depth="1")
    return {href: r.found["{DAV:}getetag"] for href, r in found.responses.items() if href != calendar}


async def test_a_collection_that_changes_between_lookup_and_list(
    person: Person, other: Person, meanwhile: Meanwhile
) -> None:
    before = await person.sync(person.home, level="infinite")
    state = apply({}, before)
    await person.has(f"{person.calendar}first.ics", event("first"))
    meanwhile("home_changes", 1, lambda: other.has(f"{person.calendar}second.ics", event("second")))
    for _ in range(2):
        before = await person.sync(person.home, before.token, level="infinite")
        state = apply(state, before)
    assert members(state, person.calendar) == await truth(person, person.calendar)


async def test_a_collection_that_is_made_anew_between_lookup_and_list(
    person: Person, other: Person, meanwhile: Meanwhile
) -> None:
    path = f"{person.home}again/"
    await person.http("MKCALENDAR", path)
    await person.has(f"{path}old.ics", event("old"))
    known = await person.sync(person.home, level="infinite")
    assert f"{path}old.ics" in apply({}, known)
    await person.http("DELETE", path)
    meanwhile("home_changes", 1, lambda: other.http("MKCALENDAR", path))
    body = "<D:sync-level>infinite</D:sync-level><D:prop><D:getetag/></D:prop>"
    reply = await person.report(
        person.home, "D:sync-collection", f"<D:sync-token>{known.token}</D:sync-token>{body}", "0"
    )
    # The new calendar says nothing of the old one's members: the client must begin anew.
    reply.refused(403, "{DAV:}valid-sync-token")


@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize("level", ["1", "infinite"])
async def test_a_member_that_changes_during_the_report_is_in_it(
    person: Person, other: Person, meanwhile: Meanwhile, level: str, limit: int | None
) -> None:
    path = person.calendar if level == "1" else person.home
    before = await person.sync(path, level=level)
    await person.has(f"{person.calendar}one.ics", event("one"))
    await person.has(f"{person.calendar}two.ics", event("two"))
    meanwhile("members_changed", 1, lambda: other.has(f"{person.calendar}one.ics", event("one", "Changed")))
    report = await person.sync(path, before.token, level=level, limit=limit)
    expected = await truth(person, person.calendar)
    assert members(apply({}, report), person.calendar) == expected


async def test_an_initial_synchronisation_in_pages_begun_anew_by_a_limit(
    person: Person, other: Person, meanwhile: Meanwhile
) -> None:
    for n in range(3):
        await person.has(f"{person.calendar}{n}.ics", event(str(n)))
    # What is removed before the first page was never told of, and what changes there is told of once.
    meanwhile("members_changed", 1, lambda: other.http("DELETE", f"{person.calendar}0.ics"))
    first = await person.sync(person.calendar, limit=1)
    assert [r.status for href, r in first.responses.items() if href != person.calendar] == [None]
    second = await person.sync(person.calendar, first.token, limit=5)
    third = await person.sync(person.calendar, second.token)
    state = apply(apply(apply({}, first), second), third)
    assert state == await truth(person, person.calendar)


@pytest.fixture
async def in_pages(serve: Any, person: Person) -> AsyncIterator[Person]:
    """The person on a server that reads ten rows at a time."""
    async with serve({"storage.page_size": 10}) as paged:
        same = Person(paged.client(Remote_User=person.name), person.id, person.uid, person.name)
        yield same
        same.http.close()


async def test_a_report_of_many_pages_tells_each_member_once(
    in_pages: Person, other: Person, meanwhile: Meanwhile
) -> None:
    person = in_pages
    before = await person.sync(person.calendar)
    names = [f"{person.calendar}{n:02}.ics" for n in range(25)]
    for href in names:
        await person.has(href, event(href))

    async def act() -> None:
        # One that has been sent, one that has not, and one that is new.
        for n in (3, 20, 99):
            href = f"{person.calendar}{n:02}.ics"
            await other.has(href, event(href, "Changed"))

    meanwhile("members_changed", 2, act)
    reply = await person.report(
        person.calendar,
        "D:sync-collection",
        f"<D:sync-token>{before.token}</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>",
        "0",
    )
    hrefs = [element.text for element in reply.xml.iter("{DAV:}href")]
    assert len(hrefs) == len(set(hrefs)), "a member was reported twice"
    assert set(names) <= set(hrefs)
    state = apply(apply({}, reply.multistatus), await person.sync(person.calendar, reply.multistatus.token))
    assert state == await truth(person, person.calendar)
