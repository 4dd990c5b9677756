"""Private events to people with whom no calendar was shared: delegates, those with access by a list, administrators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from server.storage.directory import RelationChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import dav
from tests.integration.dav.person import Person, calendar, event, xml
from tests.integration.dav.private_events import (
    BLOCK,
    CANARY,
    FILTERS,
    FINDING,
    MARKS,
    TIMES,
    answers,
    private,
    query,
    refusals,
)
from tests.integration.dav.sharing import CAUSE, Share

LIMITED = ("reading delegate", "reader by list", "writer by list", "administrator")
"""Who sees blocks."""
NOTE = f"<X:note xmlns:X='urn:x'>{CANARY}</X:note>"


Act = Callable[["Several"], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Several:
    """The owner of a calendar, and others who may read it."""

    owner: Person
    others: dict[str, Person]

    @property
    def path(self) -> str:
        return self.owner.calendar


@pytest_asyncio.fixture(loop_scope="session")
async def several(person: Person, new_person: NewPerson, served: Served) -> Several:
    others = {name: await new_person() for name in ("reading delegate", "writing delegate", "reader by list")}
    others["writer by list"] = await new_person()
    others["administrator"] = await new_person(roles=frozenset({"admin"}))
    delegates = frozenset({(others["reading delegate"].id, "read"), (others["writing delegate"].id, "write")})
    change = RelationChange(person.id, delegates=delegates)  # type: ignore[arg-type]
    await PostgresDirectory(served.storage.database).write_relations([change], CAUSE)
    aces = "".join(
        f"<D:ace><D:principal><D:href>{others[name].principal}</D:href></D:principal>"
        f"<D:grant>{''.join(f'<D:privilege><{each}/></D:privilege>' for each in held)}</D:grant></D:ace>"
        for name, held in (("reader by list", ("D:read",)), ("writer by list", ("D:read", "D:write")))
    )
    assert (await person.http("ACL", person.calendar, xml("D:acl", aces))).status == 200
    return Several(person, others)


@pytest.mark.parametrize("who", LIMITED)
@pytest.mark.parametrize("mark", MARKS)
async def test_nothing_hidden_is_in_any_answer(several: Several, who: str, mark: str) -> None:
    path = several.path
    await several.owner.has(f"{path}1.ics", private(mark))
    await several.owner.set(f"{path}1.ics", NOTE)
    person = several.others[who]
    assert (await person.http("GET", f"{path}1.ics")).text == BLOCK
    for answer in await answers(person, path):
        assert CANARY not in answer


async def test_writing_delegates_see_and_write_the_whole(several: Several) -> None:
    path, delegate = several.path, several.others["writing delegate"]
    await several.owner.has(f"{path}1.ics", private())
    reply = await delegate.http("GET", f"{path}1.ics")
    assert reply.text == private()
    assert (await delegate.put(f"{path}1.ics", private("CLASS:PUBLIC"), If_Match=reply.etag)).status == 204
    assert (await several.others["administrator"].http("GET", f"{path}1.ics")).text == private("CLASS:PUBLIC")


@pytest.mark.parametrize("who", LIMITED)
@pytest.mark.parametrize("condition", FILTERS.values(), ids=FILTERS)
async def test_no_filter_finds_what_is_hidden(several: Several, who: str, condition: str) -> None:
    await several.owner.has(f"{several.path}1.ics", private())
    assert "1.ics" in (await query(several.owner, several.path, condition)).text
    assert "1.ics" not in (await query(several.others[who], several.path, condition)).text


@pytest.mark.parametrize("who", LIMITED)
@pytest.mark.parametrize("condition", FINDING.values(), ids=FINDING)
async def test_filters_find_the_block(several: Several, who: str, condition: str) -> None:
    await several.owner.has(f"{several.path}1.ics", private())
    assert "1.ics" in (await query(several.others[who], several.path, condition)).text


@pytest.mark.parametrize("who", LIMITED)
async def test_a_block_cannot_be_written(several: Several, who: str) -> None:
    path, person = several.path, several.others[who]
    etag = await several.owner.has(f"{path}1.ics", private())
    await several.owner.has(f"{path}2.ics", event("2"))
    for number, reply in enumerate(await refusals(person, path, f"{person.calendar}away.ics")):
        assert reply.status == 403, (number, reply.status, reply.text)
        assert "need-privileges" in reply.text
    await person.proppatch(f"{path}1.ics", f"<D:set><D:prop>{NOTE}</D:prop></D:set>")
    reply = await several.owner.http("GET", f"{path}1.ics")
    assert (reply.text, reply.etag) == (private(), etag)
    assert "urn:x" not in (await several.owner.http("PROPFIND", f"{path}1.ics", Depth="0")).text
    # What is not private is as before.
    if who in ("writer by list", "administrator"):
        assert (await person.put(f"{path}2.ics", event("2", "Other"))).status == 204


@pytest.mark.parametrize("who", LIMITED)
async def test_each_change_of_class_is_synchronised(several: Several, who: str) -> None:
    path, person = several.path, several.others[who]
    href = f"{path}1.ics"
    await several.owner.has(href, event("1", CANARY))
    for text, seen in ((private(), BLOCK), (event("1", CANARY), event("1", CANARY))) * 2:
        token = (await person.sync(path)).token or ""
        await several.owner.has(href, text)
        changed = await person.sync(path, token)
        assert changed.hrefs == [href]
        reply = await person.http("GET", href)
        assert reply.text == seen
        assert changed[href].found[dav("getetag")] == reply.etag


async def copied(several: Several) -> str:
    path = f"{several.owner.home}again/"
    assert (await several.owner.http("COPY", several.path, Destination=path)).status == 201
    return path


async def copied_one(several: Several) -> str:
    path = f"{several.owner.home}again/"
    await several.owner.http("MKCALENDAR", path)
    reply = await several.owner.http("COPY", f"{several.path}1.ics", Destination=f"{path}1.ics")
    assert reply.status == 201
    return path


async def moved(several: Several) -> str:
    path = f"{several.owner.home}again/"
    await several.owner.http("MKCALENDAR", path)
    assert (await several.owner.http("MOVE", f"{several.path}1.ics", Destination=f"{path}1.ics")).status == 201
    return path


async def renamed(several: Several) -> str:
    assert (await several.owner.http("MOVE", f"{several.path}1.ics", Destination=f"{several.path}2.ics")).status == 201
    reply = await several.owner.http("MOVE", f"{several.path}2.ics", Destination=f"{several.path}1.ics")
    assert reply.status == 201
    return several.path


@pytest.mark.parametrize(
    ("act", "meeting"),
    [(copied, False), (copied, True), (copied_one, False), (moved, False), (moved, True), (renamed, False)],
)
async def test_what_is_copied_or_moved_stays_private(several: Several, act: Act, meeting: bool) -> None:
    me = f"mailto:{several.owner.name}@example.com"
    people = (f"ORGANIZER:{me}", f"ATTENDEE:{me}", f"ATTENDEE:mailto:{CANARY}@example.net") if meeting else ()
    await several.owner.has(f"{several.path}1.ics", private("CLASS:PRIVATE", *people))
    path = await act(several)
    assert CANARY in (await several.owner.http("GET", f"{path}1.ics")).text
    text = (await several.others["administrator"].http("GET", f"{path}1.ics")).text
    assert "DTSTART:20260601T090000Z" in text
    for answer in await answers(several.others["administrator"], path):
        assert CANARY not in answer


async def test_what_was_shared_after_is_private_too(several: Several, other: Person, share: Share) -> None:
    await several.owner.has(f"{several.path}1.ics", private())
    await share(several.owner, other, "write")
    assert (await other.http("GET", f"{several.path}1.ics")).text == BLOCK
    await several.owner.has(f"{several.path}1.ics", private("CLASS:CONFIDENTIAL"))
    for name in LIMITED:
        assert (await several.others[name].http("GET", f"{several.path}1.ics")).text == BLOCK


async def test_a_private_override_hides_itself_alone(several: Several) -> None:
    series = (*TIMES, "SUMMARY:all see it", "RRULE:FREQ=DAILY;COUNT=3", "END:VEVENT")
    override = (*TIMES, "RECURRENCE-ID:20260602T090000Z", f"SUMMARY:{CANARY}", "CLASS:PRIVATE", "END:VEVENT")
    await several.owner.has(f"{several.path}1.ics", calendar(*series, *override))
    for name in LIMITED:
        text = (await several.others[name].http("GET", f"{several.path}1.ics")).text
        assert text == calendar(*series, *TIMES, "RECURRENCE-ID:20260602T090000Z", "END:VEVENT")


@pytest.mark.parametrize("who", ["reading delegate", "administrator"])
async def test_nothing_hidden_is_in_answers_about_the_home_and_the_inbox(
    several: Several, who: str, new_person: NewPerson
) -> None:
    """Reports on the home, and the messages of a private meeting."""
    owner, person, organizer = several.owner, several.others[who], await new_person()
    await owner.has(f"{several.path}1.ics", private())
    me, you = (f"mailto:{each.name}@example.com" for each in (organizer, owner))
    people = (f"ORGANIZER:{me}", f"ATTENDEE;PARTSTAT=ACCEPTED:{me}", f"ATTENDEE:{you}")
    await organizer.has(f"{organizer.calendar}m.ics", private("CLASS:PRIVATE", *people, uid="m"))
    (item,) = await owner.names(f"{owner.home}inbox/")
    (copy,) = [name for name in await owner.names(several.path) if not name.endswith("/1.ics")]
    assert CANARY in (await owner.http("GET", item)).text
    props = "<D:prop><D:getetag/><C:calendar-data/></D:prop>"
    hrefs = "".join(f"<D:href>{href}</D:href>" for href in (f"{several.path}1.ics", item, copy))
    found = [
        *[await person.http("GET", href) for href in (item, copy)],
        await person.report(owner.home, "C:calendar-multiget", f"{props}{hrefs}"),
        await query(person, owner.home, ""),
        await query(person, f"{owner.home}inbox/", ""),
        await person.http("PROPFIND", owner.home, "<D:propfind xmlns:D='DAV:'><D:allprop/></D:propfind>", Depth="1"),
        await person.report(
            owner.home,
            "D:sync-collection",
            f"<D:sync-token/><D:sync-level>infinite</D:sync-level>{props}",
            "0",
        ),
    ]
    assert any("DTSTART:20260601T090000Z" in reply.text for reply in found)
    for number, reply in enumerate(found):
        assert CANARY not in reply.text, number
    for href in (item, copy):
        assert (await person.http("DELETE", href)).status == 403
