"""`koyomi room`, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner, Result

from server.cli import main
from server.domain.actors import Actor
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.services.lookup import Lookup
from server.services.objects import Objects
from storage_plugins.postgres.storage import PostgresStorage
from tests.unit.services.world import event


async def koyomi(dsn: str, *words: str, **settings: str) -> Result:
    environment = {**os.environ, "KOYOMI_STORAGE_DATABASE": dsn, **settings}
    return await asyncio.to_thread(CliRunner().invoke, main, words, env=environment)


async def told(dsn: str, *words: str, **settings: str) -> list[str]:
    result = await koyomi(dsn, *words, **settings)
    assert result.exit_code == 0, result.output
    return [line.rstrip() for line in result.output.splitlines()]


async def test_rooms_are_added_changed_listed_and_imported(database: str, tmp_path: Path) -> None:
    made = await told(
        database, "room", "add", "Oak", "building=Oak House", "capacity=8", KOYOMI_ROOMS_MAIL_DOMAIN="r.example"
    )
    assert made == ["Added Oak with the address oak@r.example."]
    assert await told(database, "room", "set", "Oak", "floor=2", "features=video") == ["Changed Oak."]
    assert await told(database, "room", "set", "Oak", "floor=2") == ["Nothing to change: Oak is so already."]
    file = tmp_path / "rooms.csv"
    file.write_text("name,type,building,groups\nElm,ROOM,Oak House,trees\nAsh,HALL,,\n")
    result = await koyomi(database, "room", "import", str(file))
    assert result.exit_code == 1
    assert result.output.splitlines()[1:] == [
        "Refused: line 3 (Ash): type must be one of ROOM, EQUIPMENT, PARKING, OTHER.",
        "1 created, 0 changed, 0 unchanged, 1 refused",
    ]
    listed = await told(database, "room", "list", "--building", "oak house")
    assert listed == [
        "NAME  TYPE  SITE  BUILDING   FLOOR  NUMBER  CAPACITY  FEATURES  E-MAIL         GROUPS",
        "Elm   ROOM        Oak House                                                    trees",
        "Oak   ROOM        Oak House  2              8         video     oak@r.example",
    ]
    assert len(await told(database, "room", "list", "--capacity", "8", "--feature", "VIDEO")) == 2


async def test_what_is_wrong_is_told_in_one_line(database: str, tmp_path: Path) -> None:
    await told(database, "room", "add", "Birch")
    file = tmp_path / "rooms.csv"
    file.write_bytes(b"name\n\xff\n")
    for words, reason in (
        (("room", "add", "Birch"), "The name Birch is taken."),
        (("room", "add", "Fir", "building"), "building is not KEY=VALUE."),
        (("room", "add", "Fir", "floor=1", "floor=2"), "A key is given twice."),
        (("room", "set", "Birch", "features=sauna"), "There is no feature sauna; features: projector, video."),
        (("room", "set", "nobody", "floor=1"), "There is no principal named nobody."),
        (("room", "import", str(file)), "rooms.csv is not UTF-8 text."),
        (("room", "policy", "Birch", "set", "max_duration_minutes=long"), "policy.max_duration_minutes must be"),
        (("room", "policy", "Birch", "show", "a=b"), "KEY=VALUE follows set."),
    ):
        result = await koyomi(database, *words, KOYOMI_ROOMS_FEATURES="Video,projector")
        assert result.exit_code
        assert reason in result.output


async def test_a_policy_is_shown_and_set(database: str) -> None:
    await told(database, "room", "add", "Pine", "policy.capacity=enforce")
    await told(database, "room", "policy", "Pine", "set", "allow_recurring=no", "capacity=")
    shown = [line.split()[:3] for line in await told(database, "room", "policy", "Pine")]
    assert shown[0] == ["PARAMETER", "VALUE", "DEFAULT"]
    assert ["allow_recurring", "false", "true"] in shown
    assert ["capacity", "warn", "warn"] in shown
    assert await told(database, "room", "policy", "Pine", "remove") == ["Pine has no policy."]


async def test_a_document_with_rooms_is_loaded_under_the_settings(database: str, tmp_path: Path) -> None:
    file = tmp_path / "rooms.json"
    rooms = [
        {"kind": "resource", "name": f"Bike {n}", "room": {"features": [f]}} for n, f in ((1, "bell"), (2, "horn"))
    ]
    file.write_text(json.dumps({"principals": rooms}))
    settings = {"KOYOMI_ROOMS_FEATURES": "bell", "KOYOMI_ROOMS_MAIL_DOMAIN": "r.example"}
    result = await koyomi(database, "principals", "load", str(file), **settings)
    assert result.exit_code == 1
    assert "1 created, 0 changed, 0 unchanged, 1 refused" in result.output
    assert "bike-1@r.example" in "\n".join(await told(database, "room", "list", "--feature", "bell"))


async def test_a_room_is_renamed_and_deleted(database: str) -> None:
    await told(database, "room", "add", "Larch")
    assert await told(database, "room", "rename", "Larch", "Cedar") == ["Larch is Cedar now."]
    (deleted,) = await told(database, "room", "delete", "Cedar")
    uid = deleted.rpartition(" ")[2]
    assert await told(database, "room", "delete", uid, "--purge") == ["Deleted Cedar and its calendar."]
    assert (await koyomi(database, "room", "delete", uid)).exit_code


async def test_a_booking_is_checked_in(database: str) -> None:
    await told(database, "room", "add", "Yew")
    refused = await koyomi(database, "room", "policy", "Yew", "set", "release_no_shows=yes")
    assert "policy.release_no_shows needs policy.check_in" in refused.output
    links = "room", "policy", "Yew", "set", "release_no_shows=yes", "check_in=link"
    assert "needs network.external_url" in (await koyomi(database, *links)).output
    assert await told(database, *links, KOYOMI_NETWORK_EXTERNAL_URL="https://cal.example")
    await told(database, "room", "policy", "Yew", "set", "release_no_shows=", "check_in=")
    refused = await koyomi(database, "room", "check-in", "Yew")
    assert (refused.exit_code, "The policy of Yew has no check_in." in refused.output) == (1, True)
    await told(database, "room", "policy", "Yew", "set", "release_no_shows=yes", "check_in=panel")
    assert "Yew has no booking to check in now." in (await koyomi(database, "room", "check-in", "Yew")).output
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=30)
    async with PostgresStorage(database, notify=False) as storage:
        calendar = Target("Yew", "room", "calendar", "calendar", "a.ics")
        found = await Lookup(storage).find(Actor(None, "test"), calendar, Privilege.READ)
        await Objects(storage, Limits()).put(
            Actor(None, "test"), found, event("a", start=f"{start:%Y%m%dT%H%M%SZ}").encode()
        )
    other = start + timedelta(hours=1)
    words = ("room", "check-in", "Yew", "--at", f"{other:%Y-%m-%dT%H:%M:%S}")
    assert "has no booking to check in now" in (await koyomi(database, *words)).output
    for _ in range(2):
        assert await told(database, "room", "check-in", "Yew", "--at", f"{start:%Y-%m-%dT%H:%M:%S}") == [
            f"Yew: the booking from {start:%Y-%m-%d %H:%M} to {other:%Y-%m-%d %H:%M} is checked in."
        ]
