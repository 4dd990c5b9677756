"""What a person asks of their own home is found as what others ask is, whatever the worker remembers of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.domain.objects import Target
from storage_plugins.postgres.database import DatabaseLimits
from tests.integration.storage.conftest import make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.values import CAUSE, LIMITS, content


def targets(owner: str, by: str) -> list[Target]:
    return [
        Target(owner, by),
        Target(owner, by, "calendar"),
        Target(owner, by, "calendar", "calendar"),
        Target(owner, by, "calendar", "none"),
        Target(owner, by, "calendar", "calendar", "a.ics"),
        Target(owner, by, "calendar", "calendar", "none"),
    ]


@pytest.mark.parametrize("by", ["uid", "individual"])
async def test_the_first_and_every_further_request_find_the_same(storage_dsn, by):
    async with MemberStorage(storage_dsn, DatabaseLimits(connections=1), notify=False) as fresh:
        person = await make_person(fresh)
        await fresh.put_object(await person.collection(), "a.ics", content("u1"), None, LIMITS, CAUSE)
    name = person.uid if by == "uid" else person.name
    for target in targets(name, by):
        async with MemberStorage(storage_dsn, DatabaseLimits(connections=1), notify=False) as fresh:
            first = await fresh.resolve(person.id, target, text=True)
            second = await fresh.resolve(person.id, target, text=True)
        assert first == second
        assert first.viewer == first.owner is not None
        assert (first.object is not None) is (target.object == "a.ics")


async def test_a_renamed_person_is_found_by_the_new_name_only(storage, person):
    old, new = Target(person.name, "individual", "calendar"), Target(f"{person.name}-new", "individual", "calendar")
    before = await storage.resolve(person.id, old)
    assert (await storage.resolve(person.id, old)).home == before.home
    assert (await storage.resolve(person.id, new)).home is None
    await storage.database.fetch("update principal set name = $2, name_key = $2 where id = $1", person.id, new.owner)
    gone = await storage.resolve(person.id, old)
    assert gone.home is None
    assert gone.viewer == replace(before.viewer, name=new.owner)
    for _ in range(2):
        assert (await storage.resolve(person.id, new)).home == before.home


async def test_a_disabled_person_is_known_to_be_so(storage, person):
    target = Target(person.uid, "uid", "calendar")
    assert not (await storage.resolve(person.id, target)).viewer.disabled
    await storage.database.fetch("update principal set disabled_at = now() where id = $1", person.id)
    for _ in range(2):
        assert (await storage.resolve(person.id, target)).viewer.disabled


async def test_a_deleted_person_owns_nothing_any_more(storage, person):
    target = Target(person.uid, "uid", "calendar")
    assert (await storage.resolve(person.id, target)).home is not None
    await storage.database.fetch(
        "update principal set deleted_at = now(), disabled_at = now(), name_key = null where id = $1", person.id
    )
    found = await storage.resolve(person.id, target)
    assert found.owner is None
    assert found.home is None
    await storage.database.fetch(
        "update principal set deleted_at = null, disabled_at = null, name_key = name where id = $1", person.id
    )
