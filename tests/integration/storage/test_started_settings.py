"""The journal names the settings that a server was started with anew, and holds none of their values."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio

from server.domain.changes import Cause
from server.domain.rooms import Room
from server.jobs.runner import Result
from server.jobs.running import room_addresses
from server.process.preparation import note_settings
from server.settings.digests import changed, digests
from server.settings.load import nested
from server.settings.model import Settings, options
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.changes import started_settings
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.jobs import PostgresJobs
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.test_security_events import acts

SECRET = "correct horse"


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database: str) -> AsyncIterator[MemberStorage]:
    async with MemberStorage(database, notify=False) as opened:
        yield opened


def made(**values: object) -> Settings:
    return Settings.model_validate(nested({name.replace("__", "."): value for name, value in values.items()}))


async def test_the_names_of_changed_settings_are_recorded(storage: MemberStorage) -> None:
    database = storage.database
    mail = {"mail__smtp_host": "mail.example.com", "network__external_url": "https://example.com"}
    steps = [
        (made(), "one", []),
        (made(), "one", []),
        (made(network__port=8080), "one", ["network.port"]),
        (made(network__port=8080), "another", []),
        (made(**mail, mail__smtp_password=SECRET), "another", sorted([
            "mail.smtp_host", "mail.smtp_password", "network.external_url", "network.port",
        ])),
        (made(**mail, mail__smtp_password=SECRET), "another", []),
        (made(**mail, mail__smtp_password=f"{SECRET}!"), "another", ["mail.smtp_password"]),
        (made(network__port=8080), "one", []),
    ]  # fmt: skip
    expected = []
    for settings, host, names in steps:
        await note_settings(database, settings, host)
        expected += [(host, {"settings": names})] if names else []
    found = await acts(storage)
    assert [(each.text, each.entry.details) for each in found] == expected
    assert {(each.action, each.entry.origin, each.who) for each in found} == {("settings-changed", "serve", "")}
    rows = await database.fetch("select row(s.*)::text from started_settings s")
    assert len(rows) == 2
    assert not any(SECRET in row[0] or "example.com" in row[0] for row in rows)


async def test_hosts_are_forgotten(storage: MemberStorage) -> None:
    salt = b"salt"
    started = started_settings.StartedSettings(salt, digests(Settings(), salt))
    for number in range(started_settings._HOSTS + 5):
        await started_settings.store_started_settings(storage.database, f"host {number}", started)
    hosts = [row[0] for row in await storage.database.fetch("select host from started_settings order by at")]
    assert (len(hosts), hosts[0]) == (started_settings._HOSTS, "host 5")


def test_an_option_that_is_new_had_its_default() -> None:
    salt = b"salt"
    before = digests(Settings(), salt)
    assert list(before) == list(options())
    del before["network.port"]
    assert changed(Settings(), before, salt) == []
    assert changed(made(network__port=8080), before, salt) == ["network.port"]


async def test_another_domain_of_rooms_gives_addresses_to_those_that_are_there(storage: MemberStorage) -> None:
    database, directory = storage.database, PostgresDirectory(storage.database)
    rooms = [PrincipalChange(kind="room", name=name, room=Room(0)) for name in ("Blue Room", "Red", "会議室")]
    rooms[1] = replace(rooms[1], addresses=("red@example.com",))
    await directory.write_principals([*rooms, PrincipalChange(kind="individual", name="ann")], Cause(None, "test"))
    count = "select count(*) from job where kind = 'rooms.addresses'"
    await note_settings(database, made(), "one")
    assert await database.fetchval(count) == 0, "no domain is set"
    settings = made(rooms__mail_domain="rooms.example.com")
    for _ in range(2):
        await note_settings(database, settings, "one")
    assert await database.fetchval(count) == 1, "at the start with another domain alone"
    kind = room_addresses(storage, directory, settings.rooms.mail_domain)
    jobs = PostgresJobs(database)
    taken = await jobs.take([kind.name])
    assert taken is not None
    assert await kind.handler(taken) == Result(1)
    found = {each.name: each.addresses for each in await directory.principals(("room", "individual"))}
    assert found == {
        "Blue Room": ("blue-room@rooms.example.com",),
        "Red": ("red@example.com",),
        "会議室": (),
        "ann": (),
    }
    assert await kind.handler(taken) == Result(0)
