"""`koyomi meetings`, and what `koyomi user delete` does with the meetings of somebody who leaves."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from server.cli import main
from tests.unit.services.world import event

PEOPLE = (
    "SUMMARY:Plan",
    "RRULE:FREQ=WEEKLY;COUNT=3",
    "ORGANIZER:mailto:ann@example.com",
    "ATTENDEE;PARTSTAT=ACCEPTED:mailto:ann@example.com",
    "ATTENDEE:mailto:bea@example.com",
)


async def koyomi(dsn: str, *words: str) -> Result:
    environment = {**os.environ, "KOYOMI_STORAGE_DATABASE": dsn}
    return await asyncio.to_thread(CliRunner().invoke, main, words, env=environment)


async def lines_of(dsn: str, *words: str) -> list[str]:
    result = await koyomi(dsn, *words)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


async def office(dsn: str, folder: Path) -> None:
    """Ann organizes a series and a meeting that is over."""
    for name in ("ann", "bea", "dora"):
        await lines_of(dsn, "user", "add", name, "--email", f"{name}@example.com", "--no-password")
    for uid, start in (("plan", "20990401T090000Z"), ("past", "20200401T090000Z")):
        path = folder / f"{uid}.ics"
        path.write_text(event(uid, *PEOPLE, start=start))
        await lines_of(dsn, "import", str(path), "--user", "ann", "--invite")


async def test_meetings_of_somebody_who_leaves_are_handed_over(database: str, tmp_path: Path) -> None:
    await office(database, tmp_path)
    head, row = await lines_of(database, "meetings", "list", "--organizer", "ann")
    assert head.split() == ["UID", "BEGINS", "TITLE", "PEOPLE", "CALENDAR"]
    assert row.split()[:5] == ["plan", "20990401T090000Z,", "repeats", "Plan", "2"]
    told = await lines_of(database, "user", "delete", "ann", "--keep", "--hand-over-to", "dora")
    assert told[0] == "Meetings handed over to dora: 1"
    assert "plan" in (await lines_of(database, "meetings", "list", "--organizer", "dora"))[1]
    explained = await lines_of(database, "schedule", "explain", "plan")
    assert explained[0].startswith("dora organizes it")
    assert any("bea" in line and "1.2" in line for line in explained)


@pytest.mark.parametrize("option", ["--cancel-meetings", "--leave"])
async def test_meetings_of_somebody_who_leaves_are_cancelled_or_left(
    database: str, tmp_path: Path, option: str
) -> None:
    await office(database, tmp_path)
    told = await lines_of(database, "user", "delete", "ann", "--keep", option)
    assert ("Meetings cancelled: 1" in told) is (option == "--cancel-meetings")
    folder = tmp_path / "exported"
    await lines_of(database, "export", str(folder), "--user", "bea")
    texts = [path.read_text() for path in folder.rglob("*.ics")]
    (plan,) = [text for text in texts if "UID:plan" in text]
    assert ("STATUS:CANCELLED" in plan) is (option == "--cancel-meetings")


async def test_somebody_is_erased_from_the_meetings_of_others(database: str, tmp_path: Path) -> None:
    await office(database, tmp_path)
    assert (await koyomi(database, "user", "delete", "ann", "--keep", "--erase")).exit_code == 2
    told = await lines_of(database, "user", "delete", "ann", "--purge", "--leave", "--erase")
    # The copy, and the items in the inbox.
    assert "Erased from 3 objects of 1 others." in told
    folder = tmp_path / "exported"
    await lines_of(database, "export", str(folder), "--user", "bea")
    (plan,) = [text for path in folder.rglob("*.ics") if "UID:plan" in (text := path.read_text())]
    plan = plan.replace("\n ", "")
    assert "ann@" not in plan
    assert "ORGANIZER;CN=former member" in plan
    assert ":urn:x-uid:" in plan


async def test_an_address_that_meetings_name_goes_to_nobody_else(database: str, tmp_path: Path) -> None:
    await office(database, tmp_path)
    await lines_of(database, "user", "delete", "ann", "--purge", "--leave")
    add = ("user", "add", "other", "--email", "Ann@example.com", "--no-password")
    refused = await koyomi(database, *add)
    assert refused.exit_code == 1
    assert "ann@example.com was somebody else's" in refused.output
    await lines_of(database, *add, "--take-over")
    # It has no meetings by now.
    await lines_of(database, "user", "delete", "other", "--purge")
    await lines_of(database, *add)


async def test_what_becomes_of_meetings_is_said_once(database: str, tmp_path: Path) -> None:
    await office(database, tmp_path)
    result = await koyomi(database, "user", "delete", "ann", "--keep", "--leave", "--cancel-meetings")
    assert result.exit_code == 2
    told = await lines_of(database, "user", "delete", "ann", "--keep")
    assert "Meetings that ann organized and that stay as they are: 1" in told


async def test_who_is_told_of_invitations(database: str) -> None:
    await lines_of(database, "user", "add", "ann", "--no-password")
    told = "Of invitations to ann: the owner is told by their apps, and nobody by mail."
    delegates = "Of invitations to ann: the delegates are told by mail."
    for words, expected in (((), told), (("delegates",), delegates), ((), delegates), (("owner",), told), ((), told)):
        assert await lines_of(database, "user", "invitations", "ann", *words) == [expected]
    assert (await koyomi(database, "user", "invitations", "ann", "nobody")).exit_code == 2
