"""Sign-ins, refusals and exports are acts of the journal, and what is personal of them can be erased."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest_asyncio

from server.domain.changes import Cause
from server.events.seal_key import PublicKeys, key_at
from server.storage.sign_in import SignInAttempt
from storage_plugins.postgres.changes.security_events import record
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.reads.record import Recorded, Selection, recorded
from storage_plugins.postgres.upkeep.pruning import forget_journal_texts
from storage_plugins.postgres.upkeep.seals import seal, verify
from tests.integration.storage.conftest import make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.sequenced import sequence
from tests.integration.storage.values import CAUSE

ADDRESS = "192.0.2.17"


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database: str) -> AsyncIterator[MemberStorage]:
    async with MemberStorage(database, notify=False) as opened:
        yield opened


async def acts(storage: MemberStorage) -> list[Recorded]:
    await sequence(storage.database)
    return [each async for each in recorded(storage.database, Selection())]


async def test_sign_ins_and_refusals_say_who_and_from_where(storage: MemberStorage) -> None:
    person = await make_person(storage)
    directory = PostgresDirectory(storage.database)
    await directory.record_sign_in(SignInAttempt(True, person.id, "app-password", 5, ADDRESS))
    await directory.record_sign_in(SignInAttempt(False, person.id, "password", None, ADDRESS))
    await directory.record_sign_in(SignInAttempt(False, None, "password", None, f"hostile\0{'x' * 5000}"))
    found = await acts(storage)
    assert [(each.action, each.who, each.owner) for each in found] == [
        ("signed-in", person.name, person.name),
        ("sign-in-refused", "", person.name),
        ("sign-in-refused", "", ""),
    ]
    assert found[0].entry.details == {"method": "app-password", "app_password": 5}
    assert [each.text for each in found[:2]] == [ADDRESS, ADDRESS]
    assert found[2].text.startswith("hostilexxx")
    assert all(each.entry.act and each.entry.home_id == 0 for each in found)
    rows = await storage.database.fetch("select row(j.*)::text from journal j")
    assert not any(ADDRESS in row[0] for row in rows), "the journal itself holds no address"


async def test_what_is_personal_can_be_erased_and_the_seals_hold(storage: MemberStorage, tmp_path: Path) -> None:
    key = key_at(tmp_path / "key.pem")
    person, other = await make_person(storage), await make_person(storage)
    directory = PostgresDirectory(storage.database)
    for one in (person, other):
        await directory.record_sign_in(SignInAttempt(True, one.id, "password", None, ADDRESS))
    await record(storage.database, "exported", Cause(None, "cli"), subject_id=other.id, details={"what": "person"})
    assert [each.text for each in await acts(storage)] == [ADDRESS, ADDRESS, ""]
    await seal(storage.database, key)
    await directory.delete_principal(person.id, CAUSE, purge=True)
    found = {each.entry.seq: each for each in await acts(storage)}
    assert (found[1].text, found[1].who) == ("", f"#{person.id}")
    assert found[2].text == ADDRESS
    assert await forget_journal_texts(storage.database, timedelta(days=1)) == 0
    assert await forget_journal_texts(storage.database, timedelta(0)) == 1
    assert [each.text for each in await acts(storage) if each.text] == []
    assert [each async for each in verify(storage.database, PublicKeys([key.public]))] == []


async def test_a_text_that_was_changed_is_told(storage: MemberStorage) -> None:
    person = await make_person(storage)
    await PostgresDirectory(storage.database).record_sign_in(SignInAttempt(True, person.id, "password", None, ADDRESS))
    await storage.database.fetch("update journal_text set body = '198.51.100.1'")
    (found,) = await acts(storage)
    assert found.text == "198.51.100.1 (changed since)"
