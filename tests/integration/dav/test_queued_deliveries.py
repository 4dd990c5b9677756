"""What jobs deliver, over HTTP: to many, and everything."""

from __future__ import annotations

import asyncio
import os
import re

import pytest
from click.testing import CliRunner, Result

from server.cli import main
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


async def explained(dsn: str, uid: str) -> Result:
    environment = {**os.environ, "KOYOMI_STORAGE_DATABASE": dsn}
    return await asyncio.to_thread(CliRunner().invoke, main, ["schedule", "explain", uid], env=environment)


async def test_the_command_line_says_who_got_what(
    serve: Serve, served: Served, person: Person, new_person: NewPerson, dav_dsn: str
) -> None:
    ben, cleo, full = await new_person(), await new_person(), await make_person(served, quota_bytes=0)
    async with serve({"scheduling.direct_recipients": 1}) as other:
        organizer = Person(other.client(Remote_User=person.name), person.id, person.uid, person.name, person.kind)
        text = meeting(organizer, ben, cleo, full, uid="explained").replace(
            "END:VEVENT", "ATTENDEE:mailto:x@example.org\r\nEND:VEVENT"
        )
        assert (await organizer.put(f"{organizer.calendar}m.ics", text)).status == 201
        await settled(other)
        assert await answer(ben, "ACCEPTED") == 204
    said = await explained(dav_dsn, "explained")
    assert said.exit_code == 0, said.output
    rows = {line.split()[0]: line for line in said.output.splitlines() if line.startswith("mailto:")}
    assert f"{person.name} organizes it: calendar/m.ics, SEQUENCE 0, changed at 20" in said.output
    ben_row, cleo_row, full_row = (rows[f"mailto:{each.name}@example.com"] for each in (ben, cleo, full))
    assert re.search("2.0 \\(has answered\\) +ACCEPTED +calendar/", ben_row)
    assert "1.2 (delivered)" in cleo_row
    assert "NEEDS-ACTION" in cleo_row
    assert "REQUEST 20" in cleo_row
    assert "5.1 (their home has no room, or no calendar)" in full_row
    assert "mailto:x@example.org" in rows
    jobs = said.output.partition("Deliveries by jobs:")[2].splitlines()
    assert [line.split("  ")[0] != "" and "REQUEST" in line for line in jobs[2:]] == [True, True]
    assert "it is tried again until 20" in jobs[-1]
    said = await explained(dav_dsn, "unknown")
    assert (said.exit_code, said.output) == (1, "Error: Nobody has anything with the UID unknown.\n")
