"""Somebody who is erased: their name and addresses leave the meetings of others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from server.domain.errors import AccessDenied
from server.services.scheduling import erasure
from server.services.scheduling.erasure import Erased, Erasure
from server.storage.scheduling import MeetingPlace
from tests.unit.services.world import INSTALLATION, NOW, World, event

PEOPLE = (
    "ORGANIZER:mailto:ann@example.com",
    "ATTENDEE;PARTSTAT=ACCEPTED:mailto:ann@example.com",
    "ATTENDEE:mailto:bea@example.com",
    "ATTENDEE;CN=C;EMAIL=carl@example.com:MAILTO:Carl@Example.com",
)


async def office() -> World:
    made = World()
    for name in ("ann", "bea", "carl"):
        await made.add(name, addresses=(f"{name}@example.com",), display_name=name.title())
    for uid, start in (("plan", "20260401T090000Z"), ("past", "20260101T090000Z")):
        await made.invite("ann", f"ann/calendar/{uid}.ics", event(uid, *PEOPLE, start=start))
    return made


async def erase(made: World, name: str, *, past: bool = False, actor: str = "cli") -> Erased:
    person = await made.directory.principal(name)
    assert person is not None
    acts = Erasure(
        made.storage, made.objects, made.objects.write_limits, await made.actor(actor), past=past, now=lambda: NOW
    )
    return await acts.erase(person)


async def text_of(made: World, name: str, uid: str) -> str:
    (mailbox,) = await made.storage.mailboxes(made.ids[name], [made.ids[name]], uid)
    assert mailbox.object is not None
    return (mailbox.object.text or "").replace("\r\n ", "")


@pytest.mark.parametrize("past", [False, True])
async def test_an_attendee_is_erased(past: bool) -> None:
    made = await office()
    before = len(made.memory.tables.jobs)
    done = await erase(made, "carl", past=past)
    for name in ("ann", "bea"):
        text = await text_of(made, name, "plan")
        assert "carl" not in text.lower().replace("id-carl", "")
        assert "CN=former member" in text
        assert "urn:x-uid:id-carl" in text
        assert ("carl@" in (await text_of(made, name, "past")).lower()) is not past
    assert done.people == 2
    assert len(made.memory.tables.jobs) == before
    assert (await erase(made, "carl", past=past)).objects == 0
    # The organizer goes on with the meeting.
    changed = (await text_of(made, "ann", "plan")).replace("DTSTART:20260401T09", "DTSTART:20260401T10")
    await made.invite("ann", "ann/calendar/plan.ics", changed)
    assert "DTSTART:20260401T10" in await text_of(made, "bea", "plan")


async def test_an_organizer_is_erased() -> None:
    made = await office()
    await erase(made, "ann")
    text = await text_of(made, "bea", "plan")
    assert "ORGANIZER;CN=former member:urn:x-uid:id-ann" in text
    assert "ann@" not in text
    # The copies of the person go with their home.
    assert "ann@" in await text_of(made, "ann", "plan")


async def test_who_deleted_the_copy_is_erased_too() -> None:
    made = await office()
    (mailbox,) = await made.storage.mailboxes(made.ids["carl"], [made.ids["carl"]], "plan")
    assert mailbox.object is not None
    await made.cancel("carl", f"carl/calendar/{mailbox.object.name}")
    await erase(made, "carl")
    assert "carl@" not in (await text_of(made, "ann", "plan")).lower()


async def test_only_administrators_erase() -> None:
    made = await office()
    with pytest.raises(AccessDenied):
        await erase(made, "carl", actor="bea")
    assert INSTALLATION.principal is None


async def test_copies_are_found_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a meeting has: no more places than a page has, and one text, are read at once."""
    monkeypatch.setattr(erasure, "_PAGE", 2)
    made = World()
    names = [f"p{number}" for number in range(7)]
    for name in ("ann", "carl", *names):
        await made.add(name, addresses=(f"{name}@example.com",))
    people = [*PEOPLE[:2], PEOPLE[3], *(f"ATTENDEE:mailto:{name}@example.com" for name in names)]
    await made.invite("ann", "ann/calendar/plan.ics", event("plan", *people, start="20260401T090000Z"))
    places, pages = made.storage.meeting_places, list[int]()

    async def counted(uid: str, *, after: tuple[int, int], limit: int) -> Sequence[MeetingPlace]:
        page = await places(uid, after=after, limit=limit)
        pages.append(len(page))
        return page

    monkeypatch.setattr(made.storage, "meeting_places", counted)
    done = await erase(made, "carl")
    assert (done.people, done.objects, done.refused) == (8, 15, 0), (
        "copies and items of all, and the organizer's object"
    )
    assert max(pages) == 2
    for name in ("ann", *names):
        assert "carl@" not in (await text_of(made, name, "plan")).lower()
