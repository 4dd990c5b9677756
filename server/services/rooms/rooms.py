"""Administration of rooms: adding and changing single ones, and loading many from a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from server.auth.passwords import PasswordHasher
from server.domain.actors import Actor
from server.domain.errors import InvalidPrincipal, NameTaken, NotFound
from server.domain.principals import name_key
from server.domain.rooms import Room
from server.services.principals import changes
from server.services.principals.document import Entry, Refusal, read_entries, read_entry
from server.services.principals.loading import Loaded, load_entries
from server.services.rooms.rows import item_of, read_sheet
from server.services.rooms.settings import RoomSettings
from server.storage.directory import Directory, PrincipalRecord


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the use cases need beside the actor."""

    directory: Directory
    hasher: PasswordHasher
    settings: RoomSettings


async def add_room(actor: Actor, rooms: Rooms, name: str, given: Mapping[str, str]) -> PrincipalRecord:
    """Add a room or a piece of equipment with columns by name (`server.services.rooms.rows`).

    Raises `NameTaken`, `InvalidPrincipal`, `AccessDenied`.
    """
    entry = read_entry({**item_of(given), "name": name}, rooms.settings.features)
    if await rooms.directory.principal(entry.name) is not None:
        raise NameTaken(entry.name, f"The name {entry.name} is taken.")
    await _load_one(actor, rooms, entry)
    return (await find_room(actor, rooms.directory, entry.name))[0]


async def set_room(actor: Actor, rooms: Rooms, name: str, given: Mapping[str, str]) -> bool:
    """Set columns of a room by name; an empty text removes what is there. Returns whether that changed anything.

    Raises `NotFound`, `NameTaken`, `InvalidPrincipal`, `AccessDenied`.
    """
    record, _ = await find_room(actor, rooms.directory, name)
    if "name" in given or "kind" in given:
        raise InvalidPrincipal("The kind stays, and koyomi room rename gives another name.")
    item = {**item_of(given), "id": record.uid, "name": record.name, "kind": record.kind}
    loaded = await _load_one(actor, rooms, read_entry(item, rooms.settings.features))
    return bool(loaded.changed)


async def rename_room(
    actor: Actor, rooms: Rooms, name: str, new_name: str, *, display_name: str | None = None
) -> PrincipalRecord:
    """Give a room another name, and another display name; returns the record of before. URLs and addresses stay.

    A display name that was the name follows it. Raises `NotFound`, `NameTaken`, `InvalidPrincipal`, `AccessDenied`.
    """
    record, _ = await find_room(actor, rooms.directory, name)
    if display_name is None and record.display_name == record.name:
        display_name = new_name
    return await changes.rename(actor, rooms.directory, record.uid, new_name, display_name=display_name)


async def delete_room(actor: Actor, rooms: Rooms, name: str, *, purge: bool) -> PrincipalRecord:
    """Delete a room, and with `purge` its calendar, too. Without `purge` that stays until a second call with the id.

    Raises `NotFound`, `AccessDenied`.
    """
    record, _ = await find_room(actor, rooms.directory, name, deleted=True)
    return await changes.delete(actor, rooms.directory, record.uid, purge=purge)


async def import_rooms(
    actor: Actor,
    rooms: Rooms,
    lines: Iterable[str],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Loaded, int]:
    """Load rooms from the lines of a CSV file. Groups that it names and that do not exist are made.

    Returns what became of each row, and the number of groups that were made. `progress` is called with the number of
    rows done, and that of all. Raises `InvalidPrincipal` if the file has no usable head, and `AccessDenied`.
    """
    sheet = read_sheet(lines)
    entries, refused = read_entries(sheet.items, rooms.settings.features)
    made = await _make_groups(actor, rooms, entries)
    loaded = await load_entries(actor, rooms.directory, rooms.hasher, entries, rooms.settings, progress=progress)
    loaded.refused[:] = sorted([*sheet.refused, *refused, *loaded.refused], key=_line)
    return loaded, made


async def find_room(
    actor: Actor, directory: Directory, name: str, *, deleted: bool = False
) -> tuple[PrincipalRecord, Room]:
    """A room or a piece of equipment by its name, e-mail address or id. `deleted`: also one whose data is kept.

    Raises `NotFound`, `AccessDenied`.
    """
    record = await changes.find(actor, directory, name, deleted=deleted)
    if record.room is None:
        raise NotFound(f"{record.name} is neither a room nor equipment.")
    return record, record.room


async def _load_one(actor: Actor, rooms: Rooms, entry: Entry) -> Loaded:
    await _make_groups(actor, rooms, [entry])
    loaded = await load_entries(actor, rooms.directory, rooms.hasher, [entry], rooms.settings)
    if problems := [*loaded.refused, *loaded.left_out]:
        raise InvalidPrincipal(problems[0].reason)
    return loaded


async def _make_groups(actor: Actor, rooms: Rooms, entries: Iterable[Entry]) -> int:
    """Make the groups that entries name and that do not exist; returns their number."""
    wanted = {name_key(name): name for entry in entries for name in entry.groups}
    names = list(wanted.values())
    known: set[str] = set()
    for start in range(0, len(names), 1000):
        page = names[start : start + 1000]
        for record in await rooms.directory.principals_known(page, list(map(name_key, page)), []):
            known |= {record.uid, name_key(record.name)}
    new = [Entry("group", name) for key, name in wanted.items() if key not in known and name not in known]
    if not new:
        return 0
    return (await load_entries(actor, rooms.directory, rooms.hasher, new, rooms.settings)).created


def _line(refusal: Refusal) -> int:
    return int(refusal.who.split()[1])
