"""One server for all tests of the protocol, in this process; each test has a person of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio

from server.app import application
from server.domain.changes import Cause
from server.domain.grants import ShareRights
from server.domain.principals import PrincipalKind
from server.services.sharing import Sharing
from server.settings.load import nested
from server.settings.model import Settings
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.embedded.server import Cluster
from storage_plugins.postgres.storage import PostgresStorage
from tests.fixtures.postgres import create_database, drop_database
from tests.integration.dav.client import Client
from tests.integration.dav.person import Person
from tests.integration.dav.sharing import ACTOR, Share

_numbers = itertools.count(1)
SIGNED_IN = {"network.trusted_proxies": ["127.0.0.1/32"], "sign_in.remote_user_header": "Remote-User"}
"""Settings with which the tests sign in: a proxy on this machine says who it is, and no hash is to be computed."""
PATIENT = {"storage.statement_timeout": 60.0, "storage.pool_timeout": 60.0}
"""Settings with which a busy machine fails no request."""

NewPerson = Callable[..., Awaitable[Person]]


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    port: int
    storage: PostgresStorage
    """Of the tests, not of the server."""

    def client(self, **headers: str) -> Client:
        return Client(self.port, {name.replace("_", "-"): value for name, value in headers.items()})


@contextlib.asynccontextmanager
async def serving(
    dsn: str, storage: PostgresStorage, settings: Mapping[str, object] | None = None
) -> AsyncIterator[Served]:
    """The application on a port of its own; settings by option name. Mails lie in a folder for its time."""
    with tempfile.TemporaryDirectory() as folder:
        async with _serving(
            dsn, storage, {**SIGNED_IN, **PATIENT, "mail.folder": folder, **(settings or {})}
        ) as running:
            yield running


@contextlib.asynccontextmanager
async def _serving(dsn: str, storage: PostgresStorage, settings: Mapping[str, object]) -> AsyncIterator[Served]:
    chosen = Settings.model_validate(nested(settings))
    async with application(chosen, dsn) as server:
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        try:
            yield Served(listener.sockets[0].getsockname()[1], storage)
        finally:
            listener.close()
            await server.shutdown(5)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def dav_dsn(cluster: Cluster, migrated_template: str) -> AsyncIterator[str]:
    name = await create_database(cluster, migrated_template)
    yield cluster.dsn(name)
    await drop_database(cluster, name)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def dav_storage(dav_dsn: str) -> AsyncIterator[PostgresStorage]:
    async with PostgresStorage(dav_dsn, DatabaseLimits(2, acquire_timeout=60.0, statement_timeout=60.0)) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def served(dav_dsn: str, dav_storage: PostgresStorage) -> AsyncIterator[Served]:
    """The server that the tests share."""
    async with serving(dav_dsn, dav_storage) as running:
        yield running


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(dav_dsn: str, dav_storage: PostgresStorage) -> Serve:
    """Starts another server on the same data, with other settings."""
    return lambda settings=None: serving(dav_dsn, dav_storage, settings)


async def make_person(
    served: Served,
    name: str = "",
    *,
    kind: PrincipalKind = "individual",
    quota_bytes: int | None = None,
    roles: frozenset[str] = frozenset(),
    password_hash: str | None = None,
) -> Person:
    name = name or f"person{next(_numbers)}"
    directory = PostgresDirectory(served.storage.database)
    change = PrincipalChange(
        uid=f"uid-{name}",
        kind=kind,
        name=name,
        display_name=name.title(),
        addresses=(f"{name}@example.com",),
        quota_bytes=quota_bytes,
        roles=roles,
        password_hash=password_hash,
    )
    (id_,) = await directory.write_principals([change], Cause(None, "test"))
    return Person(served.client(Remote_User=name), id_, f"uid-{name}", name, kind)


@pytest_asyncio.fixture(loop_scope="session")
async def new_person(served: Served) -> AsyncIterator[NewPerson]:
    """Makes people, rooms and groups."""
    made: list[Person] = []
    administrators: set[int] = set()

    async def make(name: str = "", **options: object) -> Person:
        person = await make_person(served, name, **options)  # type: ignore[arg-type]
        if options.get("roles"):
            administrators.add(person.id)
        made.append(person)
        return person

    yield make
    for person in made:
        person.http.close()
    # whoever may do everything is in everybody's access control lists
    dismissed = [PrincipalChange(person.id, roles=frozenset()) for person in made if person.id in administrators]
    if dismissed:
        await PostgresDirectory(served.storage.database).write_principals(dismissed, Cause(None, "test"))


@pytest_asyncio.fixture(loop_scope="session")
async def person(new_person: NewPerson) -> Person:
    """Someone with the homes that everybody begins with."""
    return await new_person()


@pytest_asyncio.fixture(loop_scope="session")
async def other(new_person: NewPerson) -> Person:
    """Somebody else."""
    return await new_person()


@pytest.fixture
def sharing(served: Served) -> Sharing:
    directory = PostgresDirectory(served.storage.database)
    return Sharing(served.storage, directory, PostgresAccess(served.storage))


@pytest.fixture
def share(sharing: Sharing) -> Share:
    async def act(
        owner: Person, whom: Person, rights: ShareRights | None, name: str = "calendar", *, may_invite: bool = False
    ) -> None:
        place = f"{owner.name}/{name}"
        if rights is None:
            await sharing.unshare(ACTOR, place, whom.name)
        else:
            await sharing.share(ACTOR, place, whom.name, rights, may_invite=may_invite)

    return act
