"""Properties of collections in the files of an export, and what an import takes of such files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server.domain.changes import PropertyChanges
from server.domain.limits import Limits
from server.domain.objects import NewCollection
from server.services.transfer.collection_properties import (
    DISPLAYNAME,
    KOYOMI,
    RADICALE,
    equal,
    read_folder,
    text_of,
    text_property,
)
from server.services.transfer.exporting import Exporter
from tests.unit.services.test_transfer import Import, counts, file, person
from tests.unit.services.world import INSTALLATION, World, calendar, event

ZONE = calendar(
    "BEGIN:VTIMEZONE",
    "TZID:X",
    "BEGIN:STANDARD",
    "DTSTART:19700101T000000",
    "TZOFFSETFROM:+0100",
    "TZOFFSETTO:+0100",
    "END:STANDARD",
    "END:VTIMEZONE",
)
TODO = calendar("BEGIN:VTODO", "UID:t", "DTSTAMP:20260101T000000Z", "END:VTODO")


def folder(path: Path, document: object, **files: str) -> Path:
    path.mkdir()
    file(path, RADICALE, json.dumps(document))
    for name, text in files.items():
        file(path, f"{name}.ics", text)
    return path


def test_texts_and_elements() -> None:
    element = text_property(DISPLAYNAME, "a < b")
    assert text_of(element) == "a < b"
    assert text_of('<y xmlns="x" z="1">a</y>') is None
    assert text_of('<y xmlns="x"><z/></y>') is None
    assert equal('<y xmlns="x">a</y>', '<p:y xmlns:p="x">a</p:y>')
    assert not equal('<y xmlns="x">a</y>', '<y xmlns="x">b</y>')


async def test_an_import_of_an_export_has_the_same_properties(world: World, tmp_path: Path) -> None:
    properties = {
        DISPLAYNAME: text_property(DISPLAYNAME, "A & B"),
        "{x}y": '<y xmlns="x"><z>1</z></y>',
        "{http://apple.com/ns/ical/}calendar-order": '<calendar-order xmlns="http://apple.com/ns/ical/">7</calendar-order>',
    }
    new = NewCollection("a:b", "calendar", ("VEVENT", "VTODO"), ZONE, None, properties)
    await world.collections.create(INSTALLATION, await world.find("cli", "anna/a:b"), new)
    await world.put("anna", "anna/a:b/a.ics", event("a"))
    out = Exporter(world.storage, world.directory, INSTALLATION)
    await out.person(await person(world, "anna"), tmp_path / "anna")
    other = World()
    await other.add("anna")
    assert counts(await Import(other).run(tmp_path / "anna")) == (1, 0, 0, 0)
    found = (await other.find("anna", "anna/a:b")).collection
    assert found is not None
    assert (found.components, found.timezone, found.source) == (("VEVENT", "VTODO"), ZONE, None)
    assert all(equal(found.properties[name], value) for name, value in properties.items())
    again = await Import(other).run(tmp_path / "anna")
    assert (again.made.collections, again.made.collections_changed) == (0, 0)


async def test_an_import_changes_properties_and_keeps_others(world: World, tmp_path: Path) -> None:
    name, value = "{x}kept", '<kept xmlns="x"/>'
    found = await world.find("anna", "anna/calendar")
    await world.collections.set_properties(await world.actor("anna"), found, PropertyChanges({name: value}))
    component = {"tag": "VCALENDAR", "C:supported-calendar-component-set": "VEVENT"}
    path = folder(tmp_path / "calendar", component | {"D:displayname": "New", "C:calendar-timezone": ZONE})
    result = await Import(world).run(path, collection="calendar")
    assert result.made.collections_changed == 1
    after = (await world.find("anna", "anna/calendar")).collection
    assert after is not None
    assert (text_of(after.properties[DISPLAYNAME]), after.timezone) == ("New", ZONE)
    assert after.properties[name] == value


async def test_an_empty_calendar_that_takes_too_little_is_replaced(world: World, tmp_path: Path) -> None:
    document = {"tag": "VCALENDAR", "C:supported-calendar-component-set": "VEVENT,VTODO"}
    path = folder(tmp_path / "tasks", document, t=TODO, a=event("a"))
    assert counts(await Import(world).run(path, collection="tasks")) == (2, 0, 0, 0)
    found = (await world.find("anna", "anna/tasks")).collection
    assert found is not None
    assert found.components == ("VEVENT", "VTODO")


async def test_a_subscription(world: World, tmp_path: Path) -> None:
    path = folder(tmp_path / "feed", {"tag": "VSUBSCRIBED", "CS:source": "https://example.com/a.ics"}, a=event("a"))
    run = Import(world)
    assert counts(await run.run(path, collection="feed")) == (0, 0, 0, 1)
    assert "subscription" in run.refused[0].reason
    found = (await world.find("anna", "anna/feed")).collection
    assert found is not None
    assert found.source == "https://example.com/a.ics"
    run = Import(world)
    assert (await run.run(folder(tmp_path / "x", {"tag": "VSUBSCRIBED"}), collection="calendar")).refused == 1
    assert "not a subscription" in run.refused[0].reason


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (RADICALE, "{", "not a JSON document"),
        (RADICALE, "[]", "not a JSON object"),
        (RADICALE, '{"tag": "VJOURNAL"}', "tag"),
        (RADICALE, '{"C:calendar-timezone": "x"}', "calendar-timezone"),
        (RADICALE, '{"ICAL:calendar-order": "x"}', "whole number"),
        (KOYOMI, '{"properties": 1}', "not a JSON object"),
        (KOYOMI, '{"properties": {"{DAV:}getetag": "<getetag xmlns=\\"DAV:\\"/>"}}', "not settable"),
        (KOYOMI, '{"properties": {"{x}y": "<z/>"}}', "element of this name"),
        (KOYOMI, '{"properties": {"{x}y": "<"}}', "not well-formed"),
    ],
)
def test_what_is_refused_of_the_files(tmp_path: Path, name: str, text: str, reason: str) -> None:
    path = file(tmp_path, name, text)
    refused = read_folder(tmp_path, Limits()).refused
    assert [place for place, _ in refused] == [path]
    assert reason in refused[0][1]


def test_files_of_vdirsyncer(tmp_path: Path) -> None:
    file(tmp_path, "displayname", " Home \n")
    file(tmp_path, "color", "#ff0000")
    shown = read_folder(tmp_path, Limits())
    assert sorted(text_of(value) or "" for value in shown.properties.values()) == ["#ff0000", "Home"]
    assert shown.kind is None
