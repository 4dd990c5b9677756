"""Long series are divided after a write, if the settings say so."""

from __future__ import annotations

import re

import pytest

from server.domain.limits import Limits
from server.services.scheduling.long_series import SPLITS
from server.services.scheduling.settings import SchedulingSettings
from server.services.transfer.importing import Importer
from tests.unit.auth.directory_in_memory import CountingHasher
from tests.unit.services.test_implicit_scheduling import copies, items, line_of, unfolded
from tests.unit.services.test_moves_by_put import place
from tests.unit.services.world import ALARM, INSTALLATION, World, event

ANNA, BEN, CLEO = (f"urn:x-uid:id-{name}" for name in ("anna", "ben", "cleo"))
ZOE = "mailto:zoe@elsewhere.example"
SERIES = "anna/calendar/s.ics"
START = "20250101T090000Z"


async def world(*, by_jobs: bool = False, on: bool = True, limits: Limits | None = None) -> World:
    direct = 0 if by_jobs else 50
    made = World(limits, SchedulingSettings(split_series=on, split_overrides=3, direct_recipients=direct))
    await made.add("anna", "ben", "cleo")
    return made


def series(*attendees: str, start: str = START, more: tuple[str, ...] = ()) -> str:
    people = [f"ORGANIZER:{ANNA}", f"ATTENDEE;PARTSTAT=ACCEPTED:{ANNA}", *(f"ATTENDEE:{each}" for each in attendees)]
    return event("s", "SUMMARY:Plan", "RRULE:FREQ=DAILY", *more, *(people if attendees else []), start=start)


async def parts(made: World, who: str) -> dict[str, str]:
    """The texts in somebody's calendar by DTSTART of the series."""
    return {re.findall(r"DTSTART:(\w+)", text)[0]: unfolded(text) for text in await copies(made, who)}


LATER = "20260215T090000Z"


@pytest.mark.parametrize("by_jobs", [False, True])
async def test_all_copies_are_divided_and_nobody_is_asked(by_jobs: bool) -> None:
    made = await world(by_jobs=by_jobs)
    await made.invite("anna", SERIES, series(BEN, CLEO, start="20260201T090000Z"))
    held = await place(made, "ben")
    text = unfolded(await made.text("ben", held))
    line = line_of(text, "ATTENDEE", BEN)
    text = text.replace(line, f"ATTENDEE;PARTSTAT=ACCEPTED:{BEN}")
    await made.invite("ben", held, text.replace("END:VEVENT", "\r\n".join((*ALARM, "END:VEVENT"))))
    await made.run_jobs()
    asked = {who: await items(made, who) for who in ("anna", "ben", "cleo")}
    assert [len(await parts(made, who)) for who in asked] == [1, 1, 1], "it has begun lately"
    # The organizer lets it begin earlier, which makes it long.
    own = unfolded(await made.text("anna", SERIES))
    await made.invite("anna", SERIES, own.replace("DTSTART:20260201", "DTSTART:20250101"))
    if not by_jobs:  # else all jobs have run
        text = unfolded(await made.text("ben", held))
        text = text.replace(line_of(text, "ATTENDEE", BEN), f"ATTENDEE;PARTSTAT=ACCEPTED:{BEN}")
        await made.invite("ben", held, text)
        assert [job.delay.total_seconds() for job in made.memory.tables.jobs if job.kind == SPLITS] == [60.0]
    before = {who: await items(made, who) for who in asked}
    await made.run_jobs()
    for who in asked:
        found = await parts(made, who)
        assert set(found) == {START, LATER}
        assert "UNTIL=20260215T085959Z" in found[START]
        assert "UID:s\r" in found[LATER]
        for each in found.values():
            assert f"PARTSTAT={'NEEDS-ACTION' if by_jobs else 'ACCEPTED'}" in line_of(each, "ATTENDEE", BEN)
            assert ("VALARM" in each) is (who == "ben")
            assert "RELTYPE=X-CALENDARSERVER-RECURRENCE-SET" in each
        if not by_jobs:
            assert await items(made, who) == before[who]
    # A further write divides nothing.
    own = unfolded(await made.text("anna", SERIES))
    await made.invite("anna", SERIES, own.replace("SUMMARY:Plan", "SUMMARY:Other"))
    await made.run_jobs()
    assert len(await parts(made, "anna")) == 2


async def test_answers_to_instances_make_a_series_long() -> None:
    made = await world()
    await made.invite("anna", SERIES, series(BEN, start="20260201T090000Z"))
    held = await place(made, "ben")
    for day in (2, 3, 4):
        text = unfolded(await made.text("ben", held))
        excluded = f"EXDATE:202602{day:02}T090000Z\r\nRRULE"
        await made.invite("ben", held, text.replace("RRULE", excluded, 1))
        kinds = [job.kind for job in made.memory.tables.jobs]
        assert (SPLITS in kinds) is (day == 4)
    await made.run_jobs()
    found = await parts(made, "anna")
    assert set(found) == {"20260201T090000Z", LATER}
    assert found["20260201T090000Z"].count("RECURRENCE-ID") == 3
    assert found[LATER].count("RECURRENCE-ID") == 0
    assert set(await parts(made, "ben")) == {"20260201T090000Z", LATER}


async def test_people_elsewhere_get_the_change_alone() -> None:
    made = await world()
    await made.invite("anna", SERIES, series(BEN, ZOE))
    sent = len(made.memory.tables.mails)
    await made.run_jobs()
    assert set(await parts(made, "anna")) == {START, LATER}
    waiting = [row for row in made.memory.tables.mails.values() if row.status == "waiting"]
    assert len(made.memory.tables.mails) == sent + 1
    assert [(row.method, row.uid) for row in waiting] == [("REQUEST", "s")]
    assert f"DTSTART:{LATER}" in waiting[0].text


async def test_plain_series_are_divided_and_copies_are_not() -> None:
    made = await world()
    await made.invite("anna", "anna/calendar/plain.ics", series())
    other = (
        series(ANNA).replace(f"ORGANIZER:{ANNA}", "ORGANIZER:mailto:zoe@elsewhere.example").replace("UID:s", "UID:o")
    )
    await made.invite("anna", "anna/calendar/other.ics", other)
    assert [job.kind for job in made.memory.tables.jobs] == [SPLITS]
    await made.run_jobs()
    assert len(await made.names("anna/calendar")) == 3
    assert f"DTSTART:{LATER}" in (await made.text("anna", "anna/calendar/plain.ics") or "")


@pytest.mark.parametrize("meanwhile", ["deleted", "changed", "calendar", "full"])
async def test_the_job_looks_again(meanwhile: str) -> None:
    made = await world()
    await made.invite("anna", SERIES, series(BEN))
    if meanwhile == "deleted":
        await made.cancel("anna", SERIES)
    elif meanwhile == "changed":
        own = unfolded(await made.text("anna", SERIES))
        await made.invite("anna", SERIES, own.replace("DTSTART:20250101", "DTSTART:20260201"))
    elif meanwhile == "calendar":
        await made.collections.delete(INSTALLATION, await made.find("anna", "anna/calendar"))
        made.memory.tables.jobs = [job for job in made.memory.tables.jobs if job.kind == SPLITS]
    else:
        await made.fill("anna")
    await made.run_jobs()
    assert len(await copies(made, "ben")) == 1


async def test_it_is_off_by_default_and_imports_divide_nothing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = await world(on=False)
    assert not SchedulingSettings().split_series
    await made.invite("anna", SERIES, series(BEN))
    assert SPLITS not in [job.kind for job in made.memory.tables.jobs]
    made = await world()
    (tmp_path / "s.ics").write_bytes(series(BEN).encode())
    importer = Importer(
        made.storage, made.directory, CountingHasher(), made.limits, INSTALLATION, lambda _: None, lambda _: None
    )
    assert (await importer.run([tmp_path / "s.ics"], "anna", None)).created == 1
    assert made.memory.tables.jobs == []


def test_settings_that_would_divide_for_ever_are_refused() -> None:
    with pytest.raises(ValueError, match="split_past_days"):
        SchedulingSettings(split_past_days=10, split_kept_days=10)
