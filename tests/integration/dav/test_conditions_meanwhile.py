"""Conditions on collections are part of the write: what changes between the check and the write fails the request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import Served
from tests.integration.dav.person import Person, event, xml
from tests.integration.dav.sharing import Share, shown

WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
HOME = """
    select h.id from home h join principal p on p.id = h.principal_id
    where p.uid = $1 and h.kind = 'calendar' for no key update of h
"""
HEADERS = pytest.mark.parametrize("header", ["If-Match", "If", "If of a tagged resource"])
Act = Callable[[Person], Awaitable[Reply]]


async def one_behind_the_other(served: Served, owner: Person, *requests: tuple[Person, Act]) -> list[int]:
    """The statuses of requests that all have read their state before the first of them writes.

    Each waits for the row of the owner's home, in their order.
    """
    database = served.storage.database
    async with database.transaction() as connection:
        assert await connection.fetchval(HOME, owner.uid)
        tasks: list[asyncio.Future[Reply]] = []
        for person, act in requests:
            own_connection = replace(person, http=served.client(Remote_User=person.name))
            tasks.append(asyncio.ensure_future(act(own_connection)))
            async with asyncio.timeout(30):
                while await database.fetchval(WAITING) < len(tasks):
                    assert not tasks[-1].done()
                    await asyncio.sleep(0.01)
    return [reply.status for reply in await asyncio.gather(*tasks)]


def acl(privilege: str, **headers: str) -> Act:
    body = xml(
        "D:acl",
        "<D:ace><D:principal><D:authenticated/></D:principal><D:grant>"
        f"<D:privilege><D:{privilege}/></D:privilege></D:grant></D:ace>",
    )
    return lambda person: person.http("ACL", person.calendar, body, **headers)


def proppatch(path: str, **headers: str) -> Act:
    body = xml("D:propertyupdate", "<D:set><D:prop><D:displayname>new</D:displayname></D:prop></D:set>")
    return lambda person: person.http("PROPPATCH", path, body, **headers)


def transfer(method: str, **headers: str) -> Act:
    return lambda person: person.http(method, person.calendar, Destination=f"{person.home}other/", **headers)


def delete(path: str, **headers: str) -> Act:
    return lambda person: person.http("DELETE", path, **headers)


def put(path: str, **headers: str) -> Act:
    return lambda person: person.put(path, event(path.rpartition("/")[2]), **headers)


async def unchanged(person: Person, header: str, path: str = "") -> dict[str, str]:
    """Headers of a condition that holds while nothing in a collection changes, which is the calendar."""
    path = path or person.calendar
    if header == "If-Match":
        return {"If_Match": await person.prop(path, "D:getetag")}
    token = await person.prop(path, "D:sync-token")
    return {"If": f"(<{token}>)" if header == "If" else f"<{path}> (<{token}>)"}


@HEADERS
async def test_of_two_access_control_lists_one_is_set(served: Served, person: Person, header: str) -> None:
    held = await unchanged(person, header)
    requests = (person, acl("read", **held)), (person, acl("write", **held))
    assert await one_behind_the_other(served, person, *requests) == [200, 412]


@HEADERS
async def test_a_calendar_that_got_a_member_is_not_deleted(served: Served, person: Person, header: str) -> None:
    await person.invite_elsewhere()
    held = await unchanged(person, header)
    path = f"{person.calendar}1.ics"
    requests = (person, put(path)), (person, delete(person.calendar, **held))
    assert await one_behind_the_other(served, person, *requests) == [201, 412]
    assert await person.exists(path)


@HEADERS
@pytest.mark.parametrize("method", ["MOVE", "COPY"])
async def test_a_calendar_that_got_a_member_is_not_moved(
    served: Served, person: Person, header: str, method: str
) -> None:
    held = await unchanged(person, header)
    path = f"{person.calendar}1.ics"
    requests = (person, put(path)), (person, transfer(method, **held))
    assert await one_behind_the_other(served, person, *requests) == [201, 412]
    assert await person.exists(path)


@HEADERS
async def test_properties_of_a_calendar_that_changed_are_not_set(served: Served, person: Person, header: str) -> None:
    held = await unchanged(person, header)
    requests = (person, put(f"{person.calendar}1.ics")), (person, proppatch(person.calendar, **held))
    assert await one_behind_the_other(served, person, *requests) == [201, 412]


@pytest.mark.parametrize("method", ["PUT", "PUT of a member", "DELETE", "PROPPATCH", "MOVE", "COPY"])
async def test_rfc6578_5_1_a_member_is_not_written_if_another_changed(
    served: Served, person: Person, method: str
) -> None:
    path = f"{person.calendar}1.ics"
    assert (await put(path)(person)).status == 201
    held = await unchanged(person, "If of a tagged resource")
    act: Act = {
        "PUT": put(f"{person.calendar}new.ics", **held),
        "PUT of a member": put(path, **held),
        "DELETE": delete(path, **held),
        "PROPPATCH": proppatch(path, **held),
        "MOVE": lambda person: person.http("MOVE", path, Destination=f"{person.calendar}new.ics", **held),
        "COPY": lambda person: person.http("COPY", path, Destination=f"{person.home}other/1.ics", **held),
    }[method]
    assert (await person.http("MKCALENDAR", f"{person.home}other/")).status == 201
    requests = (person, put(f"{person.calendar}2.ics")), (person, act)
    assert await one_behind_the_other(served, person, *requests) == [201, 412]
    assert await person.exists(path)
    assert not await person.exists(f"{person.calendar}new.ics")


async def test_rfc6578_5_2_a_calendar_is_not_made_if_its_home_changed(served: Served, person: Person) -> None:
    held = await unchanged(person, "If of a tagged resource", person.home)
    requests = (
        (person, put(f"{person.calendar}1.ics")),
        (person, lambda person: person.http("MKCALENDAR", f"{person.home}child/", **held)),
    )
    assert await one_behind_the_other(served, person, *requests) == [201, 412]
    assert not await person.exists(f"{person.home}child/")


async def test_properties_of_a_home_that_changed_are_not_set(served: Served, person: Person) -> None:
    held = {"If_Match": await person.prop(person.home, "D:getetag")}
    requests = (person, put(f"{person.calendar}1.ics")), (person, proppatch(person.home, **held))
    assert await one_behind_the_other(served, person, *requests) == [201, 412]


async def test_a_sharee_sets_properties_unless_the_calendar_changed(
    served: Served, person: Person, other: Person, share: Share
) -> None:
    await share(person, other, "write")
    (place,) = await shown(other)
    held = await unchanged(other, "If-Match", place)
    requests = (person, put(f"{person.calendar}1.ics")), (other, proppatch(place, **held))
    assert await one_behind_the_other(served, person, *requests) == [201, 412]
    held = await unchanged(other, "If-Match", place)
    assert (await proppatch(place, **held)(other)).status == 207


async def test_any_state_will_do_for_a_star(served: Served, person: Person) -> None:
    requests = (person, put(f"{person.calendar}1.ics")), (person, proppatch(person.calendar, If_Match="*"))
    assert await one_behind_the_other(served, person, *requests) == [201, 207]
