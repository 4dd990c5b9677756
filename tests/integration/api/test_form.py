"""The form of requests and answers: the document, the page, tags, pages of lists, refusals."""

from __future__ import annotations

import asyncio
import json
import random
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator

from server.domain.changes import Cause
from server.storage.directory import RelationChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.api.conftest import DOCUMENT, ROWS, Caller, NewCaller, demand_described
from tests.integration.dav.client import Client
from tests.integration.dav.conftest import NewPerson, Served


async def test_the_document_is_served_and_its_schemas_are_well_formed(anonymous: Client) -> None:
    reply = await anonymous("GET", "/api/v1/openapi.json")
    assert reply.status == 200
    assert json.loads(reply.body) == DOCUMENT
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    again = await anonymous("GET", "/api/v1/openapi.json", If_None_Match=reply.etag)
    assert (again.status, again.body) == (304, b"")


async def test_the_page_names_every_operation_and_loads_nothing(anonymous: Client) -> None:
    reply = await anonymous("GET", "/api/")
    assert reply.status == 200
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert all(f'id="{id_}"' in reply.text for id_ in ROWS)
    assert not any(word in reply.text for word in ("<script", "src=", "@import", "http:", "https:"))


async def test_a_tag_spares_the_body(anna: Caller) -> None:
    path = f"/principals/{anna.person.uid}"
    first = await anna("GET", path)
    again = await anna("GET", path, If_None_Match=first.etag)
    assert (again.status, again.body, again.etag) == (304, b"", first.etag)
    head = await anna("HEAD", path)
    assert (head.status, head.body, head.etag) == (200, b"", first.etag)
    assert head.headers["Content-Length"] == str(len(first.body))


async def test_lists_come_in_pages_without_gaps(anna: Caller, new_person: NewPerson) -> None:
    made = {(await new_person()).name for _ in range(7)}
    names: list[str] = []
    cursor = ""
    while cursor is not None:
        page = await anna.json("GET", f"/principals?kind=individual&limit=3{cursor and '&cursor='}{cursor}")
        assert len(page["items"]) <= 3
        names += [item["name"] for item in page["items"]]
        cursor = page["next"]
    assert names == sorted(set(names))
    assert made < set(names)


async def test_addresses_are_masked_for_others(anna: Caller, root: Caller, new_caller: NewCaller) -> None:
    bert = await new_caller(name="bertram")
    path = "/principals/bertram"
    seen = await anna.json("GET", path)
    assert (seen["addresses"], seen["account"]) == (["be***@example.com"], None)
    for caller in (bert, root):
        seen = await caller.json("GET", path)
        assert seen["addresses"] == ["bertram@example.com"]
        assert seen["account"]["disabled"] is False
    listed = await anna("GET", "/principals?limit=500")
    assert b"bertram@" not in listed.body


async def test_members_groups_delegates_and_search(anna: Caller, new_person: NewPerson, served: Served) -> None:
    group = await new_person("swimmers", kind="group")
    helper = await new_person("harriet")
    relations = [
        RelationChange(group.id, members=frozenset({anna.person.id})),
        RelationChange(anna.person.id, delegates=frozenset({(helper.id, "write")})),
    ]
    await PostgresDirectory(served.storage.database).write_relations(relations, Cause(None, "test"))
    members = await anna.json("GET", "/principals/swimmers/members")
    assert [each["id"] for each in members["items"]] == [anna.person.uid]
    groups = await anna.json("GET", f"/principals/{anna.person.uid}/groups")
    assert [each["name"] for each in groups["items"]] == ["swimmers"]
    delegates = await anna.json("GET", f"/principals/{anna.person.uid}/delegates")
    assert [(each["name"], each["rights"]) for each in delegates["items"]] == [("harriet", "write")]
    found = await anna.json("GET", "/principal-search?text=harr&kind=individual")
    assert [each["name"] for each in found["items"]] == ["harriet"]
    assert (await anna.json("GET", "/principal-search?text=%20"))["items"] == []


async def test_settings_are_shown_without_secrets(root: Caller, served: Served, dav_dsn: str) -> None:
    reply = await root("GET", "/system/settings")
    items = {item["name"]: item for item in json.loads(reply.body)["items"]}
    assert items["storage.pool_timeout"] | {"description": ""} == {
        "name": "storage.pool_timeout",
        "value": "60.0",
        "is_default": False,
        "is_secret": False,
        "description": "",
    }
    assert items["network.port"]["is_default"] is True
    assert items["storage.database"]["value"] is None
    assert dav_dsn not in reply.text


async def test_the_state_of_the_installation_is_shown(root: Caller) -> None:
    assert (await root.json("GET", "/system/readiness"))["reasons"] == []
    migrations = await root.json("GET", "/system/migrations")
    assert migrations == {"usable": True, "pending": [], "newer": []}
    consumers = await root.json("GET", "/system/consumers")
    assert all(each["dead"] >= 0 for each in consumers["items"])


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("kind=person", "kind"),
        ("sort=name", "sort"),
        ("cursor=!", "cursor"),
        ("cursor=MQ", "cursor"),
        ("cursor=" + "x" * 3000, "cursor"),
    ],
)
async def test_wrong_parameters_are_named(anna: Caller, query: str, at: str) -> None:
    reply = await anna("GET", f"/principals?{query}")
    demand_described(ROWS["listPrincipals"], reply)
    problem = json.loads(reply.body)
    assert (reply.status, problem["type"]) == (422, "/problems/invalid-request")
    assert [each["at"] for each in problem["errors"]] == [at]
    assert problem["request_id"] == reply.headers["X-Request-Id"]


async def test_paths_and_methods_that_there_are_not(anna: Caller, anonymous: Client) -> None:
    for path in ("/nothing", "/principals/a/b/c/d", "/system"):
        assert (await anna("GET", path)).status == 404
    assert (await anonymous("GET", "/api/v1/nothing")).status == 401
    assert (await anonymous("GET", "/api/v2/me")).status == 401
    reply = await anna("DELETE", "/me")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
    assert (await anna("POST", "/me", {})).status == 405
    assert (await anna("GET", "/me", {"a": 1})).status == 415


async def test_pages_of_other_sites_change_nothing(root: Caller) -> None:
    for value in ("cross-site", "same-site"):
        assert (await root("POST", "/system/job-kinds/x/release", Sec_Fetch_Site=value)).status == 403
    assert (await root("POST", "/system/job-kinds/x/release", Sec_Fetch_Site="same-origin")).status == 204


async def test_hostile_requests_are_refused_in_words(root: Caller) -> None:
    """Pieces that have broken servers before, put together at random: never a 5xx, always a problem or an answer."""
    chance = random.Random(17)
    pieces = [
        *(
            "%00",
            "%ff",
            "%ed%a0%80",
            "..",
            "%2e%2e",
            "%2f",
            "9" * 40,
            "-1",
            "0",
            "1e9",
            "null",
            "'",
            '"',
            ";",
            "🦆",
            "é",
        ),
        *("x" * 5000, "{", "}", "[]", "%0d%0a", "a@b", "a@b@c", "mailto:a", "$where", "<script>", "\u202e", "NaN", "%"),
    ]
    rows = [row for row in ROWS.values() if row.request is None]
    for _ in range(600):
        row = chance.choice(rows)
        named = {name: quote(chance.choice(pieces), safe="%") or "x" for name in row.parameters}
        names = chance.choices(["cursor", "limit", "kind", "text", "state", "x"], k=chance.randrange(4))
        query = "&".join(f"{name}={quote(chance.choice(pieces), safe='%')}" for name in names)
        reply = await root(row.method, row.path.format(**named) + (f"?{query}" if query else ""))
        assert reply.status < 500, (row.id, named, query, reply.body)
        if reply.status >= 400 and reply.headers["Content-Type"].startswith("text/plain"):
            assert reply.status == 400, "only what is no path at all has no front end"
        elif reply.body:
            assert reply.headers["Content-Type"] in ("application/json", "application/problem+json")


async def test_requests_at_once_are_answered_each(new_caller: NewCaller, served: Served) -> None:
    callers = [await new_caller() for _ in range(8)]
    found = await asyncio.gather(*(caller.json("GET", "/me") for caller in callers))
    assert [each["principal"]["id"] for each in found] == [caller.person.uid for caller in callers]
