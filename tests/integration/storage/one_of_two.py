"""One of two databases on which the same steps are taken, through services and through the protocols."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from server.domain.actors import Actor
from server.domain.changes import (
    ChangeSet,
    Delete,
    ObjectState,
    PropertyChanges,
    Put,
    Remember,
    SetProperties,
    Unchanged,
    UnchangedObject,
)
from server.domain.errors import KoyomiError, NotFound, SchedulingObjectExists
from server.domain.grants import Ace
from server.domain.limits import Limits
from server.domain.objects import Collection, HomeKind, NewCollection, Target
from server.domain.privileges import Privilege
from server.events.sharees import plan
from server.services.collections import Collections
from server.services.granting import Granting
from server.services.lookup import Found, Lookup
from server.services.member_transfers import transfer
from server.services.objects import Objects, write_limits
from server.services.principals.changes import delete, hand_over
from server.services.sharing import Sharing
from server.storage import Storage
from server.storage.access import Access
from server.storage.directory import Directory, PrincipalChange, RelationChange
from server.storage.journal import Journal
from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.storage.alike import by_id
from tests.integration.storage.sequenced import sequence

PEOPLE = ("anna", "ben", "cleo")
GROUP = "team"
LIMITS = Limits(quota_bytes=2500, max_members=2, max_collections=5, max_personal_properties_size=300)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
INSTALLATION = Actor(None, "cli")
DESCRIPTION = "{urn:ietf:params:xml:ns:caldav}calendar-description"

_BERLIN = "DTSTART;TZID=Europe/Berlin:20260301T090000"
_ALARM = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-PT15M", "END:VALARM")
_TEXTS: tuple[tuple[str, ...], ...] = (
    ("VEVENT", _BERLIN, "DURATION:PT1H"),
    ("VEVENT", _BERLIN, "DURATION:PT1H", *_ALARM),
    ("VEVENT", _BERLIN, "DURATION:PT1H", "TRANSP:TRANSPARENT"),
    ("VEVENT", _BERLIN, "DURATION:PT3H", "RRULE:FREQ=DAILY", *_ALARM),
    ("VEVENT", "DTSTART;VALUE=DATE:20260302", "RRULE:FREQ=WEEKLY;COUNT=3"),
    ("VEVENT", "DTSTART:20260301T100000", "DTEND:20260301T120000", "DESCRIPTION:" + "long " * 150),
    (
        "VEVENT",
        "DTSTART:20260301T100000Z",
        "DURATION:PT1H",
        "ORGANIZER:mailto:cleo@example.com",
        "ATTENDEE;PARTSTAT=DECLINED:mailto:anna@example.com",
        "ATTENDEE;PARTSTAT=ACCEPTED:mailto:ben@example.com",
    ),
    ("VEVENT", "DTSTART:20260301T100000Z", "ORGANIZER:mailto:anna@example.com", "ATTENDEE:mailto:ben@example.com"),
    ("VEVENT", "DTSTART:20260302T100000Z", "ORGANIZER:mailto:anna@example.com", "ATTENDEE:mailto:ben@example.com"),
    ("VTODO", "DUE:20260303T100000Z"),
    ("VAVAILABILITY", "DTSTART:20260301T000000Z"),
)
TEXTS = len(_TEXTS)


def text_of(number: int, uid: str) -> str:
    component, *lines = _TEXTS[number]
    start = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN", f"BEGIN:{component}", f"UID:{uid}")
    rest = ("DTSTAMP:20260101T000000Z", *lines, f"END:{component}", "END:VCALENDAR", "")
    return "\r\n".join((*start, *rest))


def card_of(uid: str, size: int) -> str:
    return "\r\n".join(("BEGIN:VCARD", "VERSION:4.0", f"UID:{uid}", f"FN:{'x' * size}", "END:VCARD", ""))


def properties(size: int) -> PropertyChanges:
    """Size 0 removes them."""
    lines = "é\n" * size * 40
    value = f"<y>{lines}</y>" if size else None
    return PropertyChanges({"{x}y": value, DESCRIPTION: value})


@dataclass
class Database:
    storage: Storage
    access: Access
    directory: Directory
    journal: Journal
    ids: dict[str, int] = field(default_factory=dict)
    uids: dict[str, str] = field(default_factory=dict)

    async def fill(self, prefix: str) -> None:
        """Add the people; `prefix` lets those of several rounds be different ones."""
        changes = [
            PrincipalChange(
                uid=f"{prefix}-{name}",
                kind="group" if name == GROUP else "individual",
                name=f"{prefix}{name}",
                display_name=f"{name.title()} & <Co>",
                addresses=(f"{prefix}{name}@example.com",),
            )
            for name in (*PEOPLE, GROUP)
        ]
        found = await self.directory.write_principals(changes, INSTALLATION.cause)
        self.ids = dict(zip((*PEOPLE, GROUP), found, strict=True))
        self.uids = {name: f"{prefix}-{name}" for name in (*PEOPLE, GROUP)}
        self.prefix = prefix

    def __post_init__(self) -> None:
        self.prefix = ""
        self.lookup = Lookup(self.storage)
        self.objects = Objects(self.storage, LIMITS, lambda: NOW)
        numbers = count()
        self.collections = Collections(self.storage, LIMITS, new_uid=lambda: f"copy-{next(numbers)}")
        self.sharing = Sharing(self.storage, self.directory, self.access)
        self.granting = Granting(self.access)

    async def perform(self, step: tuple[Any, ...]) -> object:
        """Take a step; returns what it returned, or its error with the write that it names."""
        kind, *arguments = step
        try:
            return await getattr(self, kind)(*arguments)
        except KoyomiError as error:
            collection = error.collection if isinstance(error, SchedulingObjectExists) else None
            return type(error).__name__, error.write, getattr(error, "name", None), collection

    async def actor(self, name: str) -> Actor:
        found = await self.storage.resolve(self.ids[name], None)
        return Actor(found.viewer, "caldav", "request-1")

    def target(self, owner: str, name: str | None, member: str | None = None, kind: HomeKind = "calendar") -> Target:
        return Target(self.uids[owner], "uid", kind, name, member)

    async def shown(self, owner: str, kind: HomeKind = "calendar") -> list[Collection]:
        """The collections that a person's home shows, in the order in which they were made."""
        home = (await self.storage.resolve(self.ids[owner], self.target(owner, None, kind=kind))).home
        assert home is not None
        return by_id(await self.storage.collections(home, self.ids[owner]))

    async def place(self, owner: str, which: int | str) -> str:
        """The name of a collection in somebody's home; a number counts those that are another's."""
        if isinstance(which, str):
            return which
        others = [each.name for each in await self.shown(owner) if each.rights != "owner"]
        return others[which % len(others)] if others else "absent"

    async def find(self, actor: Actor, owner: str, which: int | str, member: str | None = None) -> Found:
        return await self.lookup.find(actor, self.target(owner, await self.place(owner, which), member), Privilege.READ)

    # -- members ------------------------------------------------------------------------------------------------------

    async def put(self, who: str, owner: str, which: int | str, member: str, uid: str, number: int) -> object:
        actor = await self.actor(who)
        text = text_of(number, uid).replace("mailto:", f"mailto:{self.prefix}")
        return await self.objects.put(actor, await self.find(actor, owner, which, member), text.encode())

    async def put_card(self, who: str, owner: str, member: str, uid: str, size: int) -> object:
        actor = await self.actor(who)
        found = await self.lookup.find(actor, self.target(owner, "addressbook", member, "addressbook"), Privilege.READ)
        return await self.objects.put(actor, found, card_of(uid, size).encode())

    async def delete(self, who: str, owner: str, which: int | str, member: str) -> object:
        actor = await self.actor(who)
        return await self.objects.delete(actor, await self.find(actor, owner, which, member))

    async def set(self, who: str, owner: str, which: int | str, member: str, size: int) -> object:
        actor = await self.actor(who)
        return await self.objects.set_properties(actor, await self.find(actor, owner, which, member), properties(size))

    async def transfer(self, who: str, source: Any, target: Any, keep: bool) -> object:
        actor = await self.actor(who)
        found, destination = await self.find(actor, *source), await self.find(actor, *target)
        if found.object is not None and destination.object is not None and found.object.id == destination.object.id:
            return "the same"
        return await transfer(self.objects, actor, found, destination, keep=keep)

    async def apply(self, acts: Any, small: bool) -> object:
        """A set of several writes in calendars of several people."""
        writes: list[Put | Delete | SetProperties] = []
        remembered: dict[tuple[int, str], Remember] = {}
        unchanged: list[Unchanged | UnchangedObject] = []
        for owner, name, member, act, uid, number, stale in acts:
            found = await self.storage.resolve(self.ids[owner], self.target(owner, name, member))
            calendar, existing = found.collection, found.object
            if calendar is None or calendar.views:
                continue
            state = None if existing is None else ObjectState(existing.id, existing.revision - stale)
            if act == "put":
                lookup = await self.lookup.find(INSTALLATION, self.target(owner, name, member), Privilege.READ)
                content = await self.objects.read(lookup, text_of(number, uid).encode())
                writes.append(Put(calendar, member, content, state, properties={"{x}y": "<y/>"} if stale else {}))
            elif act == "unchanged" and state is not None:
                unchanged += [
                    UnchangedObject(calendar.home_id, state),
                    Unchanged(calendar.home_id, calendar.id, calendar.revision - stale, self.ids[owner]),
                ]
            elif act == "remember":
                (known,) = await self.storage.mailboxes(self.ids["anna"], [self.ids[owner]], uid)
                chosen = {"number": number} if number else None
                remembered[calendar.home_id, uid] = Remember(calendar.home_id, uid, chosen, known.version - stale)
            elif act == "delete" and state is not None:
                writes.append(Delete(calendar, member, state))
            elif act == "set" and state is not None:
                writes.append(SetProperties(calendar, member, state, properties(number)))
        if not writes:
            return "nothing"
        limits = write_limits(Limits(quota_bytes=900, max_members=2) if small else LIMITS)
        written = {write.collection.home_id for write in writes}
        kept = tuple(each for each in remembered.values() if each.home_id in written)
        changes = ChangeSet(tuple(writes), limits, INSTALLATION.cause, tuple(unchanged), kept)
        return await self.storage.apply(changes)

    # -- collections --------------------------------------------------------------------------------------------------

    async def make(self, who: str, owner: str, name: str, size: int) -> object:
        actor = await self.actor(who)
        found = await self.find(actor, owner, name)
        chosen = {key: value for key, value in properties(size).properties.items() if value is not None}
        return await self.collections.create(actor, found, NewCollection(name, "calendar", (), properties=chosen))

    async def describe(self, who: str, owner: str, which: int | str, size: int, zone: str | None) -> object:
        actor = await self.actor(who)
        changes = PropertyChanges(properties(size).properties, zone, None)
        found = await self.find(actor, owner, which)
        return await self.collections.set_properties(actor, found, changes)

    async def describe_home(self, who: str, owner: str, size: int) -> object:
        actor = await self.actor(who)
        found = await self.lookup.find(actor, self.target(owner, None), Privilege.READ)
        return await self.collections.set_home_properties(actor, found, properties(size))

    async def remove(self, who: str, owner: str, which: int | str, kind: HomeKind) -> object:
        actor = await self.actor(who)
        target = self.target(owner, await self.place(owner, which), kind=kind)
        return await self.collections.delete(actor, await self.lookup.find(actor, target, Privilege.READ))

    async def rename(self, who: str, owner: str, which: int | str, name: str) -> object:
        actor = await self.actor(who)
        found, target = await self.find(actor, owner, which), await self.find(actor, owner, name)
        return await self.collections.move(actor, found, target)

    async def copy(self, who: str, owner: str, which: int | str, name: str, with_members: bool) -> object:
        actor = await self.actor(who)
        found, target = await self.find(actor, owner, which), await self.find(actor, owner, name)
        return await self.collections.copy(actor, found, target, with_members=with_members)

    # -- access -------------------------------------------------------------------------------------------------------

    async def share(self, owner: str, name: str, whom: str, rights: Any) -> object:
        actor = await self.actor(owner)
        place = f"{self.prefix}{owner}/{name}"
        if rights is None:
            return await self.sharing.unshare(actor, place, self.prefix + whom)
        return await self.sharing.share(actor, place, self.prefix + whom, rights)

    async def grant(self, owner: str, name: str, whom: str, grants: bool, privileges: Any) -> object:
        actor = await self.actor(owner)
        found = await self.find(actor, owner, name)
        if found.collection is None:
            raise NotFound
        subject = whom if whom == "authenticated" else self.ids[whom]
        aces = [Ace(found.collection.id, subject, grants, privileges)]
        return await self.granting.set_acl(actor, found, aces)

    async def delegate(self, owner: str, delegates: Any, rights: Any) -> object:
        actor = await self.actor(owner)
        found = await self.lookup.find(actor, Target(self.uids[owner], "uid"), Privilege.READ)
        chosen = frozenset(self.ids[name] for name in delegates if name != owner)
        return await self.granting.set_delegates(actor, found, rights, chosen)

    async def gather(self, members: Any) -> object:
        """Set the members of the group."""
        change = RelationChange(self.ids[GROUP], frozenset(self.ids[name] for name in members))
        return await self.directory.write_relations([change], INSTALLATION.cause)

    async def pass_on(self) -> object:
        """Pass all changes of shared collections on."""
        while True:
            if isinstance(self.storage, PostgresStorage):
                await sequence(self.storage.database)
            await plan(self.access, self.journal)
            if not await self.access.fan_out():
                return None

    async def hand_over(self, who: str, whom: str) -> object:
        told: list[object] = []
        await hand_over(
            INSTALLATION,
            self.directory,
            self.prefix + who,
            self.prefix + whom,
            tell=lambda handover: told.append((handover.home, handover.name, handover.members)),
        )
        return told

    async def leave(self, who: str, purge: bool) -> object:
        """Delete a person."""
        await delete(INSTALLATION, self.directory, self.uids[who], purge=purge)
        return None

    async def address(self, who: str, addresses: Any) -> object:
        """Give a person other addresses."""
        change = PrincipalChange(self.ids[who], addresses=tuple(f"{self.prefix}{each}" for each in addresses))
        await self.directory.write_principals([change], INSTALLATION.cause)
        return None
