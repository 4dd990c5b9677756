"""What jobs deliver, over HTTP: to many, and everything."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.dav.conftest import NewPerson, Serve, Served, make_person
from tests.integration.dav.person import Person
from tests.integration.dav.test_implicit_scheduling import answer, line, meeting, settled, text_of
from tests.integration.storage.conftest import deadlocks


async def agree(organizer: Person, attendees: list[Person], partstats: list[str]) -> None:
    """All copies say the same of everybody."""
    texts = [await text_of(organizer, f"{organizer.calendar}m.ics")]
    for each in attendees:
        (path,) = await each.names(each.calendar)
        texts.append(await text_of(each, path))
    for each, partstat in zip(attendees, partstats, strict=True):
        assert [f"PARTSTAT={partstat}" in line(text, each) for text in texts] == [True] * len(texts)


async def test_many_get_the_meeting_and_answer_at_once(served: Served, person: Person) -> None:
    before = await deadlocks(served.storage)
    people = [await make_person(served) for _ in range(60)]
    path = f"{person.calendar}m.ics"
    assert (await person.put(path, meeting(person, *people))).status == 201
    await settled(served)
    text = await text_of(person, path)
    assert [line(text, each).count("SCHEDULE-STATUS=1.2") for each in people] == [1] * 60
    for each in people:
        assert len(await each.names(each.calendar)) == len(await each.names(f"{each.home}inbox/")) == 1
    partstats = [("ACCEPTED", "DECLINED", "TENTATIVE")[number % 3] for number in range(60)]
    outcomes = await asyncio.gather(*(answer(each, said) for each, said in zip(people, partstats, strict=True)))
    assert set(outcomes) == {204}
    await settled(served)
    await agree(person, people, partstats)
    assert len(await person.names(f"{person.home}inbox/")) == 60
    for each in people:
        (path,) = await each.names(each.calendar)
        assert "SCHEDULE-STATUS=1.2" in line(await text_of(each, path), person, "ORGANIZER")
    assert await deadlocks(served.storage) == before


@pytest.mark.parametrize("recipients", [0, 1])
async def test_what_jobs_deliver_ends_as_what_requests_do(
    serve: Serve, person: Person, new_person: NewPerson, recipients: int
) -> None:
    async with serve({"scheduling.direct_recipients": recipients, "scheduling.direct_refreshes": 0}) as other:
        people = [await new_person() for _ in range(3)]
        anna, ben, cleo, dora = (
            Person(other.client(Remote_User=each.name), each.id, each.uid, each.name, each.kind)
            for each in (person, *people)
        )
        path = f"{anna.calendar}m.ics"
        assert (await anna.put(path, meeting(anna, ben, cleo, dora))).status == 201
        await settled(other)
        assert await answer(ben, "ACCEPTED") == 204
        assert await answer(cleo, "DECLINED") == 204
        await settled(other)
        await agree(anna, [ben, cleo], ["ACCEPTED", "DECLINED"])
        assert (await anna.http("DELETE", path)).status == 204
        await settled(other)
        for each in (ben, cleo, dora):
            (copy,) = await each.names(each.calendar)
            assert "STATUS:CANCELLED" in await text_of(each, copy)
            assert len(await each.names(f"{each.home}inbox/")) == 2
