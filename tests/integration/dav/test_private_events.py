"""Private events in shared calendars: what sharees see of them in every answer, and that they can write none of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from server.domain.etags import etag_of
from server.services.views import render
from storage_plugins.postgres.changes.views import render_shared
from storage_plugins.postgres.upkeep.check import check
from storage_plugins.postgres.upkeep.rederivation import rederive
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import caldav, dav
from tests.integration.dav.person import Person, calendar, event
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
from tests.integration.dav.sharing import Share, shown


@dataclass(frozen=True, slots=True)
class Three:
    """The owner of a calendar, who may write in it, and who may read it; with the calendar's URL of each."""

    owner: Person
    writer: Person
    reader: Person
    owners: str
    writers: str
    readers: str

    @property
    def sharees(self) -> tuple[tuple[Person, str], ...]:
        """By their own URL, and by that of the owner."""
        return (
            (self.writer, self.writers),
            (self.reader, self.readers),
            (self.writer, self.owners),
            (self.reader, self.owners),
        )


@pytest_asyncio.fixture(loop_scope="session")
async def three(person: Person, other: Person, new_person: NewPerson, share: Share) -> Three:
    third = await new_person()
    await share(person, other, "write")
    await share(person, third, "read")
    (writers,), (readers,) = await shown(other), await shown(third)
    return Three(person, other, third, person.calendar, writers, readers)


@pytest.mark.parametrize("mark", MARKS)
async def test_nothing_hidden_is_in_any_answer(three: Three, mark: str) -> None:
    href = f"{three.owners}1.ics"
    await three.owner.has(href, private(mark))
    await three.owner.set(href, f"<X:note xmlns:X='urn:x'>{CANARY}</X:note>")
    for person, path in three.sharees:
        assert (await person.http("GET", f"{path}1.ics")).text == BLOCK
        for answer in await answers(person, path):
            assert CANARY not in answer
    assert CANARY in "".join(await answers(three.owner, three.owners))


@pytest.mark.parametrize("condition", FILTERS.values(), ids=FILTERS)
async def test_no_filter_finds_what_is_hidden(three: Three, condition: str) -> None:
    await three.owner.has(f"{three.owners}1.ics", private())
    assert f"{three.owners}1.ics" in (await query(three.owner, three.owners, condition)).text
    for person, path in three.sharees:
        assert "1.ics" not in (await query(person, path, condition)).text


@pytest.mark.parametrize("condition", FINDING.values(), ids=FINDING)
async def test_filters_find_the_block(three: Three, condition: str) -> None:
    await three.owner.has(f"{three.owners}1.ics", private())
    for person, path in three.sharees:
        assert "1.ics" in (await query(person, path, condition)).text


async def test_a_block_cannot_be_written(three: Three) -> None:
    href = f"{three.owners}1.ics"
    etag = await three.owner.has(href, private())
    await three.owner.has(f"{three.owners}2.ics", event("2"))
    note = "<D:set><D:prop><X:note xmlns:X='urn:x'>1</X:note></D:prop></D:set>"
    for person, path in three.sharees:
        refused = await refusals(person, path, f"{person.calendar}away.ics")
        for number, reply in enumerate(refused):
            assert reply.status == 403, (number, reply.status, reply.text)
            assert "need-privileges" in reply.text
        assert (await person.proppatch(f"{path}1.ics", note)).status in (207, 403)
        held = await person.prop(f"{path}1.ics", "D:current-user-privilege-set")
        assert not {name for name in ("write", "bind", "unbind", "all") if f"{name}/>" in held}
        assert ("write" in await person.prop(path, "D:current-user-privilege-set")) == (person is three.writer)
    reply = await three.owner.http("GET", href)
    assert (reply.text, reply.etag) == (private(), etag)
    assert "urn:x" not in (await three.owner.http("PROPFIND", href, Depth="0")).text


async def test_each_change_of_class_reaches_both_sides(three: Three) -> None:
    href = f"{three.owners}1.ics"
    await three.owner.has(href, event("1", CANARY))
    mine = event("1", CANARY, "BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-P1D", "END:VALARM")
    await three.reader.has(f"{three.readers}1.ics", mine)
    for _ in range(2):
        tokens = [(await person.sync(path)).token or "" for person, path in three.sharees]
        await three.owner.has(href, private())
        for (person, path), token in zip(three.sharees, tokens, strict=True):
            changed = await person.sync(path, token)
            assert changed.hrefs == [f"{path}1.ics"]
            reply = await person.http("GET", f"{path}1.ics")
            assert reply.text == BLOCK
            assert changed[f"{path}1.ics"].found[dav("getetag")] == reply.etag
        tokens = [(await person.sync(path)).token or "" for person, path in three.sharees]
        await three.owner.has(href, event("1", CANARY))
        for (person, path), token in zip(three.sharees, tokens, strict=True):
            assert (await person.sync(path, token)).hrefs == [f"{path}1.ics"]
            # Their own alarm was kept.
            expected = mine if person is three.reader else event("1", CANARY)
            assert (await person.http("GET", f"{path}1.ics")).text == expected


async def test_the_etag_follows_the_block_alone(three: Three) -> None:
    href = f"{three.owners}1.ics"
    await three.owner.has(href, private())
    before = [await person.prop(f"{path}1.ics", "D:getetag") for person, path in three.sharees]
    await three.owner.has(href, private("CLASS:CONFIDENTIAL", "COMMENT:more"))
    assert [await person.prop(f"{path}1.ics", "D:getetag") for person, path in three.sharees] == before


async def test_a_meeting_that_is_private_shows_no_schedule_tag(three: Three) -> None:
    me = f"/principals/__uids__/{three.owner.uid}/"
    people = (f"ORGANIZER:{me}", f"ATTENDEE:{me}", f"ATTENDEE:mailto:{CANARY}@example.net")
    await three.owner.has(f"{three.owners}1.ics", private("CLASS:PRIVATE", *people))
    assert await three.owner.prop(f"{three.owners}1.ics", "C:schedule-tag")
    for person, path in three.sharees:
        reply = await person.http("GET", f"{path}1.ics")
        assert "Schedule-Tag" not in reply.headers
        found = await person.propfind(f"{path}1.ics", "C:schedule-tag")
        assert caldav("schedule-tag") not in found.only.found
        for answer in await answers(person, path):
            assert CANARY not in answer


async def test_who_makes_something_private_in_anothers_calendar_sees_a_block(three: Three) -> None:
    reply = await three.writer.put(f"{three.writers}1.ics", private())
    assert reply.status == 201
    assert "ETag" not in reply.headers
    assert (await three.writer.http("GET", f"{three.writers}1.ics")).text == BLOCK
    assert CANARY in (await three.owner.http("GET", f"{three.owners}1.ics")).text
    await three.writer.has(f"{three.writer.calendar}2.ics", private(uid="2"))
    moved = await three.writer.http(
        "MOVE", f"{three.writer.calendar}2.ics", Destination=f"{three.writers}2.ics", Overwrite="F"
    )
    assert moved.status == 201
    found = await three.writer.http("GET", f"{three.writers}2.ics")
    assert CANARY not in found.text
    assert moved.headers.get("ETag", found.etag) == found.etag


async def test_a_copy_of_the_calendar_has_blocks(three: Three) -> None:
    await three.owner.has(f"{three.owners}1.ics", private())
    await three.owner.set(f"{three.owners}1.ics", f"<X:note xmlns:X='urn:x'>{CANARY}</X:note>")
    copied = await three.reader.http("COPY", three.readers, Destination=f"{three.reader.home}mine/")
    assert copied.status == 201, copied.text
    for answer in await answers(three.reader, f"{three.reader.home}mine/"):
        assert CANARY not in answer
    assert (await three.reader.put(f"{three.reader.home}mine/1.ics", event("1"))).status == 204


async def test_a_private_override_hides_itself_alone(three: Three) -> None:
    series = (*TIMES, "SUMMARY:all see it", "RRULE:FREQ=DAILY;COUNT=3", "END:VEVENT")
    override = (*TIMES, "RECURRENCE-ID:20260602T090000Z", f"SUMMARY:{CANARY}", "CLASS:PRIVATE", "END:VEVENT")
    await three.owner.has(f"{three.owners}1.ics", calendar(*series, *override))
    for person, path in three.sharees:
        text = (await person.http("GET", f"{path}1.ics")).text
        assert text == calendar(*series, *TIMES, "RECURRENCE-ID:20260602T090000Z", "END:VEVENT")
        assert (await person.put(f"{path}1.ics", text)).status == 403


async def test_what_a_version_before_has_written_is_rendered(three: Three, served: Served) -> None:
    """It knew no blocks: the neutral text was the whole."""
    database = served.storage.database
    await three.owner.has(f"{three.owners}1.ics", private())
    await database.fetch(
        "update object set derived = derived - 1, summary = summary - 'others', "
        "neutral_text = replace(text, 'VALARM', 'X-A') where uid = '1' and name = '1.ics' and home_id in "
        "(select h.id from home h join principal p on p.id = h.principal_id where p.uid = $1)",
        three.owner.uid,
    )
    assert CANARY in (await three.reader.http("GET", f"{three.readers}1.ics")).text
    assert await rederive(database, datetime.now(UTC)) >= 1
    assert (await three.writer.put(f"{three.writers}1.ics", BLOCK)).status == 403
    assert await render_shared(database, render) >= 1
    for person, path in three.sharees:
        assert (await person.http("GET", f"{path}1.ics")).text == BLOCK


async def test_what_is_stored_is_consistent(three: Three, served: Served) -> None:
    """As `koyomi db check` computes it."""
    mine = event("1", CANARY, "BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-P1D", "END:VALARM")
    await three.owner.has(f"{three.owners}1.ics", event("1", CANARY))
    await three.reader.has(f"{three.readers}1.ics", mine)
    await three.owner.has(f"{three.owners}1.ics", private())
    home = await served.storage.database.fetchval(
        "select h.id from home h join principal p on p.id = h.principal_id where p.uid = $1 and h.kind = 'calendar'",
        three.owner.uid,
    )
    found = [each async for each in check(served.storage.database, etag_of, render) if each.home_id == home]
    assert found == []
