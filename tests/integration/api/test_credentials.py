"""What opens the API, and what does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

import pytest

from server.auth.passwords import PasswordHasher
from server.domain.changes import Cause
from server.domain.scopes import Door
from server.services.principals import changes, tokens
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.service_tokens import PostgresServiceTokens
from tests.integration.api.conftest import ACTOR, Caller, NewCaller, token_of
from tests.integration.dav.client import basic
from tests.integration.dav.conftest import NewPerson, Serve, Served
from tests.integration.dav.person import Person

ME, PASSWORD = "/api/v1/me", "a password of one's own"
DIRECT = {"network.trusted_proxies": [], "sign_in.remote_user_header": ""}


@pytest.fixture
async def person(new_person: NewPerson) -> Person:
    return await new_person(password_hash=await PasswordHasher().hash(PASSWORD))


async def app_password(served: Served, person: Person, *doors: Door) -> str:
    directory = PostgresDirectory(served.storage.database)
    made = await changes.add_app_password(ACTOR, directory, PasswordHasher(), person.uid, "app", doors=frozenset(doors))
    return made.secret


def kind(body: bytes) -> str:
    return str(json.loads(body)["type"])


async def test_a_service_token_acts_in_the_name_of_its_person(anna: Caller) -> None:
    me = await anna.json("GET", "/me")
    assert me["principal"]["id"] == anna.person.uid
    assert me["principal"]["addresses"] == [f"{anna.person.name}@example.com"]


async def test_a_main_password_opens_it_from_this_machine_alone(serve: Serve, person: Person) -> None:
    async with serve(DIRECT) as direct:
        client = direct.client(Authorization=basic(person.name, PASSWORD))
        assert (await client("GET", ME)).status == 200
        for hop in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Via"):
            reply = await client("GET", ME, **{hop.replace("-", "_"): "for=192.0.2.1"})
            assert (reply.status, kind(reply.body)) == (403, "/problems/credentials-refused"), hop


async def test_a_main_password_does_not_open_it_behind_a_proxy(served: Served, person: Person) -> None:
    reply = await served.client(Authorization=basic(person.name, PASSWORD))("GET", ME)
    assert (reply.status, kind(reply.body)) == (403, "/problems/credentials-refused")


async def test_nobody_is_signed_in_by_a_proxy(served: Served, person: Person) -> None:
    assert (await served.client(Remote_User=person.name)("GET", ME)).status == 401


@pytest.mark.parametrize(
    ("doors", "statuses"),
    [
        (("apps",), {"api": 403, "dav": 207}),
        (("api",), {"api": 200, "dav": 403}),
        (("apps", "api"), {"api": 200, "dav": 207}),
    ],
)
async def test_an_app_password_opens_what_it_is_made_for(
    served: Served, person: Person, doors: tuple[Door, ...], statuses: Mapping[str, int]
) -> None:
    client = served.client(Authorization=basic(person.name, await app_password(served, person, *doors)))
    assert (await client("GET", ME)).status == statuses["api"]
    assert (await client("PROPFIND", "/", Depth="0")).status == statuses["dav"]
    assert (await client("GET", ME)).status == statuses["api"]


async def test_a_token_opens_nothing_but_the_api(served: Served, person: Person) -> None:
    client = served.client(Authorization=f"Bearer {await token_of(served, person)}")
    assert (await client("PROPFIND", "/", Depth="0")).status == 401
    assert (await client("GET", "/metrics")).status == 401


async def test_revoked_tokens_and_those_of_disabled_people_end_at_once(served: Served, person: Person) -> None:
    database = served.storage.database
    directory, store = PostgresDirectory(database), PostgresServiceTokens(database)
    made = await tokens.add(
        ACTOR, directory, store, person.uid, "bot", frozenset({"principals:read"}), timedelta(days=1)
    )
    client = served.client(Authorization=f"Bearer {made.token}")
    assert (await client("GET", ME)).status == 200
    (listed,) = await tokens.listed(ACTOR, directory, store, person.uid)
    assert listed.last_used_at is not None
    await directory.write_principals([PrincipalChange(person.id, disabled=True)], Cause(None, "test"))
    assert (await client("GET", ME)).status == 401
    await directory.write_principals([PrincipalChange(person.id, disabled=False)], Cause(None, "test"))
    assert (await client("GET", ME)).status == 200
    await tokens.revoke(ACTOR, directory, store, person.uid, "bot")
    assert (await client("GET", ME)).status == 401


async def test_a_token_that_has_ended_is_refused(served: Served, person: Person) -> None:
    token = await token_of(served, person)
    await served.storage.database.fetch(
        "update service_token set expires_at = now() where principal_id = $1", person.id
    )
    assert (await served.client(Authorization=f"Bearer {token}")("GET", ME)).status == 401


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"), lambda t: t + "A", lambda t: "x" * 300]
)
async def test_what_is_not_the_token_is_refused(served: Served, person: Person, change: object) -> None:
    assert callable(change)
    wrong = change(await token_of(served, person))
    assert (await served.client(Authorization=f"Bearer {wrong}")("GET", ME)).status == 401


async def test_secrets_of_tokens_are_not_stored(served: Served, person: Person) -> None:
    token = await token_of(served, person)
    row = await served.storage.database.fetchrow("select * from service_token where principal_id = $1", person.id)
    assert row is not None
    assert token.rpartition("-")[2] not in repr(dict(row))


async def test_a_token_never_gives_more_than_its_person_has(new_caller: NewCaller) -> None:
    bert = await new_caller("system:write", "principals:write")
    assert (await bert("GET", "/system/settings")).status == 403


async def test_too_many_requests_are_refused_for_a_while(serve: Serve, new_person: NewPerson, served: Served) -> None:
    token = await token_of(served, await new_person())
    async with serve({"api.requests_per_minute": 3}) as limited:
        client = limited.client(Authorization=f"Bearer {token}")
        left = [(await client("GET", ME)).headers["RateLimit"].partition(";t=")[0] for _ in range(3)]
        assert left == ['"default";r=2', '"default";r=1', '"default";r=0']
        reply = await client("GET", ME)
        assert (reply.status, kind(reply.body)) == (429, "/problems/too-many-requests")
        assert 1 <= int(reply.headers["Retry-After"]) <= 60
        assert reply.headers["RateLimit-Policy"] == '"default";q=3;w=60'
