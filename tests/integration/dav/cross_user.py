"""Somebody's homes, everybody who asks for what is in them, and what each of these may do."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from server.services.sharing import Sharing
from server.storage.access import Access
from server.storage.directory import RelationChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.conftest import Served, make_person
from tests.integration.dav.person import Person, event, xml
from tests.integration.dav.sharing import ACTOR, CAUSE

MARK = "Zq7secret"
CARD = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{MARK}\r\nFN:{MARK}\r\nN:;{MARK};;;\r\nEND:VCARD\r\n"

READING = frozenset({"delegate-read", "delegate-write", "sharee-read", "sharee-write", "member", "acl-read"})
"""Users who read the calendar that is shared."""
WRITING = frozenset({"delegate-write", "sharee-write"})
DELEGATES = frozenset({"delegate-read", "delegate-write"})
BUSY = READING | {"sharee-free-busy", "acl-free-busy"}
USERS = tuple(sorted(BUSY | {"acl-bind", "stranger"}))

MAY: Mapping[str, frozenset[str]] = {
    "read the calendar": READING,
    "read an event": READING,
    "read when its owner is busy": BUSY,
    "read the home": DELEGATES,
    "set properties of the calendar": WRITING,
    "create an event": WRITING | {"acl-bind"},
    "replace an event": WRITING,
    "set properties of an event": WRITING,
    "copy an event": READING,
    "delete an event": WRITING,
    "read the access control list": frozenset(),
    "set the access control list": frozenset(),
    "set the delegates": frozenset(),
    "create a calendar": frozenset({"delegate-write"}),
    "rename a calendar": frozenset({"delegate-write"}),
    "delete a calendar": frozenset({"delegate-write"}),
    "share the calendar": frozenset(),
}
"""Who may do what with the calendar `shared`, and with others of its owner, by any front end."""


@dataclass
class World:
    """Somebody's homes, and everybody who asks for what is in them."""

    owner: Person
    users: dict[str, Person]
    served: Served

    @property
    def shared(self) -> str:
        return f"{self.owner.home}shared/"

    @property
    def hidden(self) -> str:
        return f"{self.owner.home}hidden/"


@contextlib.asynccontextmanager
async def open_world(served: Served) -> AsyncIterator[World]:
    """Makes all of them."""
    owner = await make_person(served)
    users = {name: await make_person(served, f"{owner.name}-{name}") for name in USERS}
    group = await make_person(served, f"{owner.name}-group", kind="group")
    directory = PostgresDirectory(served.storage.database)
    access: Access = PostgresAccess(served.storage)
    sharing = Sharing(served.storage, directory, access)
    await directory.write_relations(
        [
            RelationChange(group.id, frozenset({users["member"].id})),
            RelationChange(
                owner.id,
                delegates=frozenset({(users["delegate-read"].id, "read"), (users["delegate-write"].id, "write")}),
            ),
        ],
        CAUSE,
    )
    for name in ("shared", "hidden"):
        await owner.http("MKCALENDAR", f"{owner.home}{name}/")
        await owner.has(f"{owner.home}{name}/1.ics", event(f"{MARK}-{name}", MARK))
    await owner.set(f"{owner.home}hidden/", f"<D:displayname>{MARK}</D:displayname>")
    await owner.has(f"{owner.book}1.vcf", CARD)
    place = f"{owner.name}/shared"
    await sharing.share(ACTOR, place, users["sharee-read"].name, "read")
    await sharing.share(ACTOR, place, users["sharee-write"].name, "write")
    await sharing.share(ACTOR, place, users["sharee-free-busy"].name, "free-busy")
    await sharing.share(ACTOR, place, group.name, "read")
    aces = "".join(
        f"<D:ace><D:principal><D:href>{users[name].principal}</D:href></D:principal>"
        f"<D:grant><D:privilege><{privilege}/></D:privilege></D:grant></D:ace>"
        for name, privilege in (("acl-read", "D:read"), ("acl-free-busy", "C:read-free-busy"), ("acl-bind", "D:bind"))
    )
    assert (await owner.http("ACL", f"{owner.home}shared/", xml("D:acl", aces))).status == 200
    yield World(owner, users, served)
    for person in (owner, group, *users.values()):
        person.http.close()
