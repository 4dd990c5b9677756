"""Wrong passwords that somebody else sends, behind a trusted proxy: they lock nobody out."""

from __future__ import annotations

import pytest

from server.auth.passwords import PasswordHasher
from tests.integration.dav.client import Client, basic
from tests.integration.dav.conftest import NewPerson, Serve, Served

PASSWORD = "a long password"


def from_address(served: Served, address: str, name: str, password: str) -> Client:
    return served.client(Authorization=basic(name, password), X_Forwarded_For=address)


@pytest.mark.parametrize(
    ("attacker", "neighbour", "owner"),
    [("203.0.113.9", "203.0.113.9", "203.0.113.10"), ("2001:db8:1::9", "2001:db8:1::ff", "2001:db8:2::9")],
)
async def test_the_owner_signs_in_from_elsewhere(
    new_person: NewPerson, serve: Serve, attacker: str, neighbour: str, owner: str
) -> None:
    """After 1,000 guesses from one address, on a server that remembers nothing; only the attacker's is refused."""
    hasher = PasswordHasher()
    person = await new_person(password_hash=await hasher.hash(PASSWORD))
    hasher.close()
    statuses = []
    async with serve({"sign_in.delay": 60}) as attacked:
        client = from_address(attacked, attacker, person.name, "")
        for number in range(1000):
            client.headers["Authorization"] = basic(person.name, f"guess {number}")
            statuses.append((await client("PROPFIND", person.home, Depth="0")).status)
        client.close()
    assert set(statuses) == {401, 429}
    assert 3 <= statuses.count(401) <= 30
    for address, status in ((owner, 207), (neighbour, 429)):
        async with serve() as fresh:
            client = from_address(fresh, address, person.name, PASSWORD)
            reply = await client("PROPFIND", person.home, Depth="0")
            assert reply.status == status
            assert int(reply.headers.get("Retry-After", "0")) >= (status == 429)
            client.close()
