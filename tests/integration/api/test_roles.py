"""Who may call which operation: a table beside the table of operations. A row without an entry fails."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from admin_api.operations import BASE, Operation
from admin_api.table import OPERATIONS
from server.domain.scopes import SCOPES
from storage_plugins.postgres.jobs import PostgresJobs
from tests.integration.api.conftest import ROWS, Caller, NewCaller, demand_described
from tests.integration.dav.client import Client, Reply
from tests.integration.dav.conftest import Served

EVERYBODY, OWN, ADMINISTRATORS = "everybody", "the person themselves and administrators", "administrators"
WHO = {
    "getMyself": EVERYBODY,
    "listPrincipals": EVERYBODY,
    "searchPrincipals": EVERYBODY,
    "getPrincipal": EVERYBODY,
    "listMembers": EVERYBODY,
    "listGroups": EVERYBODY,
    "listDelegates": EVERYBODY,
    "listAppPasswords": OWN,
    "listServiceTokens": OWN,
    "getReadiness": ADMINISTRATORS,
    "listSettings": ADMINISTRATORS,
    "getMigrations": ADMINISTRATORS,
    "listConsumers": ADMINISTRATORS,
    "listJobKinds": ADMINISTRATORS,
    "holdJobKind": ADMINISTRATORS,
    "releaseJobKind": ADMINISTRATORS,
    "listJobs": ADMINISTRATORS,
    "retryJob": ADMINISTRATORS,
    "dropJob": ADMINISTRATORS,
}
"""Who may call an operation on what is somebody's."""
QUERIES = {"searchPrincipals": "?text=person"}


@dataclass
class World:
    """Who calls, and what there is."""

    owner: Caller
    other: Caller
    root: Caller
    served: Served

    async def path(self, row: Operation) -> str:
        """The path of a request that succeeds for those who may."""
        named = {"principal": self.owner.person.uid, "kind": "made_up"}
        if "{job}" in row.path:
            insert = "insert into job (kind, not_before) values ('made_up', now() + interval '1 day') returning id"
            named["job"] = str(await self.served.storage.database.fetchval(insert))
        return row.path.format(**named) + QUERIES.get(row.id, "")

    async def call(self, caller: Caller, row: Operation) -> Reply:
        reply = await caller(row.method, await self.path(row))
        demand_described(row, reply)
        return reply


@pytest.fixture
async def world(served: Served, new_caller: NewCaller, root: Caller) -> World:
    return World(await new_caller(), await new_caller(), root, served)


def test_the_table_has_every_operation() -> None:
    assert list(WHO) == [row.id for row in OPERATIONS]


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.id)
async def test_operations_are_for_those_who_may(row: Operation, world: World) -> None:
    who = WHO[row.id]
    may = {"root": True, "owner": who != ADMINISTRATORS, "other": who == EVERYBODY}
    for role, allowed in may.items():
        reply = await world.call(getattr(world, role), row)
        assert reply.status == (row.status if allowed else 403), (role, reply.body)


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.id)
async def test_a_token_needs_the_scope_of_the_operation(row: Operation, world: World, new_caller: NewCaller) -> None:
    needed = {f"{row.area}:{row.access}", f"{row.area}:write"}
    lacking = await new_caller(*(scope for scope in SCOPES if scope not in needed), of=world.root.person)
    reply = await world.call(lacking, row)
    assert reply.status == 403
    assert json.loads(reply.body)["type"] == "/problems/scope-missing"
    for scope in needed:
        assert (await world.call(await new_caller(scope, of=world.root.person), row)).status == row.status


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.id)
async def test_nobody_is_answered_who_has_not_signed_in(row: Operation, world: World, anonymous: Client) -> None:
    reply = await anonymous(row.method, BASE + await world.path(row))
    demand_described(row, reply)
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("row", [row for row in OPERATIONS if WHO[row.id] == OWN], ids=lambda row: row.id)
async def test_what_is_others_and_what_there_is_not_are_refused_alike(row: Operation, world: World) -> None:
    there = await world.other(row.method, await world.path(row))
    not_there = await world.other(row.method, row.path.format(principal="nobody"))
    shown = [json.loads(reply.body) | {"request_id": ""} for reply in (there, not_there)]
    assert shown[0] == shown[1]


async def test_jobs_are_retried_and_dropped_and_kinds_held(root: Caller, served: Served) -> None:
    insert = "insert into job (kind, not_before) values ('rare', now() + interval '1 day') returning id"
    jobs = [await served.storage.database.fetchval(insert) for _ in range(3)]
    first = await root.json("GET", "/system/jobs?kind=rare&limit=2")
    assert [job["id"] for job in first["items"]] == jobs[:2]
    rest = await root.json("GET", f"/system/jobs?kind=rare&limit=2&cursor={first['next']}")
    assert [job["id"] for job in rest["items"]] == jobs[2:]
    assert rest["next"] is None
    await root.json("POST", "/system/job-kinds/rare/hold", status=204)
    assert all(job["held"] for job in (await root.json("GET", "/system/jobs?kind=rare"))["items"])
    (counted,) = [each for each in (await root.json("GET", "/system/job-kinds"))["items"] if each["kind"] == "rare"]
    assert (counted["held"], counted["queued"]) == (True, 3)
    await root.json("POST", f"/system/jobs/{jobs[0]}/retry", status=204)
    await root.json("POST", f"/system/jobs/{jobs[1]}/drop", status=204)
    left = await PostgresJobs(served.storage.database).jobs("rare", None, 10)
    assert [job.id for job in left] == [jobs[0], jobs[2]]
    assert left[0].not_before < left[1].not_before
    await root.json("POST", "/system/job-kinds/rare/release", status=204)
    await root.json("POST", f"/system/jobs/{jobs[1]}/retry", status=404)
    for id_ in (jobs[0], jobs[2]):
        await root.json("POST", f"/system/jobs/{id_}/drop", status=204)


def test_rows_have_ids_and_paths_of_their_own() -> None:
    assert len(ROWS) == len(OPERATIONS) == len({(row.method, row.path) for row in OPERATIONS})
