"""The principals of calendar user addresses."""

from __future__ import annotations

from server.services.scheduling.calendar_users import directory_of
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import CAUSE


async def test_all_addresses_of_a_principal_name_them(storage):
    ada, babbage = await make_person(storage), await make_person(storage)
    directory = PostgresDirectory(storage.database)
    for addresses in (("ada@a.example", "countess@a.example"), ("Ada@New.example", "ada@a.example")):
        await directory.write_principals([PrincipalChange(ada.id, addresses=addresses)], CAUSE)
    asked = [
        "mailto:ADA@a.example",
        "mailto:ada@new.example",
        "mailto:countess@a.example",
        f"urn:x-uid:{ada.uid}",
        f"/principals/__uids__/{ada.uid}/",
        f"https://example.com/prefix/principals/users/{ada.name}/",
    ]
    found = await directory_of(storage, [*asked, f"urn:x-uid:{babbage.uid}", "mailto:nobody@a.example"])
    assert {found.key(address) for address in asked} == {f"principal:{ada.id}"}
    assert found.user(asked[0]).address == "mailto:Ada@New.example"
    assert found.user(f"urn:x-uid:{babbage.uid}").principal_id == babbage.id
    assert not found.user("mailto:nobody@a.example").is_here


async def test_who_takes_an_address_over_is_meant_by_it(storage):
    ada, babbage = await make_person(storage), await make_person(storage)
    directory = PostgresDirectory(storage.database)
    for person, addresses in ((ada, ("office@b.example",)), (ada, ()), (babbage, ("office@b.example",))):
        await directory.write_principals([PrincipalChange(person.id, addresses=addresses)], CAUSE)
    found = await directory_of(storage, ["mailto:office@b.example", f"urn:x-uid:{ada.uid}"])
    assert found.user("mailto:office@b.example").principal_id == babbage.id


async def test_who_was_removed_is_not_found(storage):
    ada = await make_person(storage)
    directory = PostgresDirectory(storage.database)
    await directory.write_principals([PrincipalChange(ada.id, addresses=("gone@c.example",))], CAUSE)
    await directory.delete_principal(ada.id, CAUSE, purge=False)
    found = await directory_of(storage, ["mailto:gone@c.example", f"urn:x-uid:{ada.uid}"])
    assert not found.user("mailto:gone@c.example").is_here
    assert not found.user(f"urn:x-uid:{ada.uid}").is_here
