"""`koyomi rooms`: finding, suggesting and reporting on PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.integration.test_meetings_command import koyomi, lines_of
from tests.unit.services.world import event

MONDAY = "2099-03-02"


async def office(dsn: str, folder: Path) -> None:
    """Ann with an office on the third floor, Bea who is busy from 10 to 11, and rooms of which one is booked at 9."""
    for name in ("ann", "bea"):
        await lines_of(dsn, "user", "add", name, "--email", f"{name}@example.com", "--no-password")
    rooms = {
        "nook": ("capacity=4", "building=Main", "floor=3", "features=video", "opening_times=MO-FR 08:00-18:00"),
        "hall": ("capacity=40", "building=Main", "floor=1", "features=video,stage"),
        "hut": ("capacity=4", "building=Annex"),
    }
    for name, attributes in rooms.items():
        await lines_of(dsn, "room", "add", name, f"display_name={name.title()}", *attributes)
    people = ("ORGANIZER:mailto:ann@example.com", "ATTENDEE:mailto:ann@example.com", "ATTENDEE:mailto:bea@example.com")
    meetings = {
        "bea": event("busy", start="20990302T100000Z"),
        "hall": event("daily", "RRULE:FREQ=DAILY;COUNT=2", "SUMMARY:Secret", *people, start="20990302T090000Z"),
    }
    for owner, text in meetings.items():
        path = folder / f"{owner}.ics"
        path.write_text(text)
        await lines_of(dsn, "import", str(path), "--user", owner)


async def test_rooms_and_times_are_found_and_counted(database: str, tmp_path: Path) -> None:
    await office(database, tmp_path)
    find = ("rooms", "find", "--at", f"{MONDAY}T09:00", "--people", "3", "--feature", "Video")
    head, *rows = await lines_of(database, *find)
    assert head.split() == ["ROOM", "FREE", "NEXT", "FREE", "SLOT", "SEATS", "WHY"]
    assert [row.split()[:5] for row in rows[:2]] == [
        ["Nook", "yes", MONDAY, "09:00", "4"],
        ["Hall", "no", MONDAY, "10:00", "40"],
    ]
    assert rows[2] == "Left out: 1 without what is needed"
    assert "Secret" not in "".join(rows)

    suggest = ("rooms", "suggest-times", "ann", "--optional", "bea", "--from", f"{MONDAY}T09:00", "--building", "Main")
    head, *rows = await lines_of(database, *suggest, "--until", f"{MONDAY}T11:00", "--limit", "2")
    assert head.split() == ["BEGINS", "ENDS", "ROOMS", "WHY"]
    assert [row.split()[2:5] for row in rows[:2]] == [["09:00", "10:00", "Nook"], ["10:00", "11:00", "Nook,"]]
    assert rows[1].split("  ")[-1].startswith("everybody who is required is free; optional: bea is busy; Nook; 4 seats")
    assert rows[2] == f"Next free for all who are required: Mon {MONDAY} 09:00"
    told = await lines_of(database, *suggest, "--until", f"{MONDAY}T11:00", "--people", "99")
    assert told == ["No time suits.", "No room has what is needed."]

    report = ("rooms", "report", "--from", MONDAY, "--until", "2099-03-04", "--csv")
    result = await koyomi(database, *report)
    rows_by_name = {row["room"]: row for row in csv.DictReader(io.StringIO(result.output))}
    assert list(rows_by_name) == ["Hall", "Hut", "Nook", "ALL"]
    assert list(rows_by_name["Hall"].values()) == ["Hall", "Main", "40", "2", "48.00", "2.00", "4.2", "2.0", "5.0", "0"]
    assert rows_by_name["Nook"]["hours_open"] == "20.00"
    # No spreadsheet takes a name for a formula.
    await lines_of(database, "room", "add", "formula", "display_name==1+1")
    assert "\n'=1+1," in (await koyomi(database, *report)).output.replace("\r", "")
    await lines_of(database, "room", "delete", "formula", "--purge")
    by_hour = (await lines_of(database, *report[:-1], "--by", "hour"))[10]
    assert by_hour.split() == ["09:00", "2", "6.00", "2.00", "33.3", "2.0", "5.0", "0"]
    assert (await lines_of(database, *report[:-1], "--by", "building"))[2].split()[:3] == ["Main", "2", "68.00"]


async def test_somebody_finds_what_they_may_book_near_their_office(database: str, tmp_path: Path) -> None:
    await office(database, tmp_path)
    await lines_of(database, "room", "policy", "nook", "set", "book_in_policy=bea", "booking_window_days=null")
    people = [
        {"id": f"id-{name}", "kind": "individual", "name": name, "office": {"building": "Annex", "floor": "2"}}
        for name in ("cid",)
    ]
    (tmp_path / "people.json").write_text(json.dumps({"principals": people}))
    await lines_of(database, "principals", "load", str(tmp_path / "people.json"))
    rows = await lines_of(database, "rooms", "find", "--at", f"{MONDAY}T12:00", "--for", "cid")
    assert [row.split()[0] for row in rows[1:3]] == ["Hut", "Hall"]
    assert rows[1].endswith("free; Annex: your building")
    assert rows[2].endswith("; Main, floor 1: another building")
    assert rows[3] == "Left out: 1 not yours to book"
    rows = await lines_of(database, "rooms", "find", "--at", f"{MONDAY}T12:00", "--for", "bea")
    assert {row.split()[0] for row in rows[1:]} == {"Hut", "Hall", "Nook"}


@pytest.mark.parametrize(
    "words",
    [
        ("find", "--at", "tomorrow"),
        ("find", "--at", "2020-01-01T09:00"),
        ("find", "--at", f"{MONDAY}T09:00", "--zone", "Nowhere/Land"),
        ("find", "--at", f"{MONDAY}T09:00", "--near", "nobody"),
        ("suggest-times", "nobody", "--from", f"{MONDAY}T09:00"),
        ("suggest-times", "--hours", "8 to 5"),
        ("suggest-times", "--days", "holiday"),
        ("report", "--from", MONDAY, "--until", MONDAY),
    ],
)
async def test_what_cannot_be_asked_is_refused_in_words(database: str, words: tuple[str, ...]) -> None:
    result = await koyomi(database, "rooms", *words)
    assert result.exit_code in (1, 2)
    assert "Error: " in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
