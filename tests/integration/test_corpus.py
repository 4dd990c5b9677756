"""Files of other projects: put, imported, exported and imported again, they have the same times, or are refused where
an RFC demands it (`tests/integration/corpus/refusals.txt`)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest

from server.calendar.calendar_object import CALENDAR_COMPONENTS, read_calendar_object
from server.calendar.component import Component, parse_components
from server.calendar.materialise import materialise
from server.contacts.aggregate import concatenate
from server.domain.actors import Actor
from server.domain.errors import InvalidData
from server.domain.limits import Limits
from server.domain.objects import Collection, NewCollection, Target
from server.services.objects import Objects, write_limits
from server.services.transfer.exporting import Exporter
from server.services.transfer.importing import Importer
from server.services.transfer.sources import SUFFIXES, Refused
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.storage import PostgresStorage
from tests.found import collection_found, member_in
from tests.integration.corpus.files import PACKAGES, SUITE, corpus_files
from tests.integration.corpus.refusals import read_refusals
from tests.server_process import SHARED
from tests.unit.auth.directory_in_memory import CountingHasher

ACTOR = Actor(None, "test")
CAUSE = ACTOR.cause
LIMITS = replace(Limits(), max_collections=100_000)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
COMPONENTS = {"icalendar": 200, "recurring-ical-events": 1200, SUITE: 1300}
"""At least so many are in each corpus."""
PUT = {"icalendar": 120, "recurring-ical-events": 850, SUITE: 950}
"""At least so many objects of each are put one by one, and compared with what the import took."""

Instants = list[tuple[object, ...]]


class Taken(NamedTuple):
    """What an import took of a file."""

    collection: Collection
    instants: dict[str, Instants]
    refused: dict[str, str]
    superseded: int


@cache
def instants(text: str) -> Instants:
    """When the occurrences of an object are and when their alarms ring; a card as it is."""
    if "BEGIN:VCARD" in text.upper():
        return [(concatenate([text]),)]
    found = materialise(read_calendar_object(text.encode(), LIMITS).tree, NOW)
    rows = [(row.start, row.end, row.kind, row.recurrence_id, row.busy) for row in found.occurrences]
    return sorted(rows) + [(tuple(replace(alarm, component=0) for alarm in found.alarms),)]


class Corpus:
    """Takes files into collections of one person."""

    def __init__(self, storage: PostgresStorage, folder: Path) -> None:
        self._storage = storage
        self._directory = PostgresDirectory(storage.database)
        self._objects = Objects(storage, LIMITS)
        self._folder = folder

    async def take(self, name: str, suffix: str, content: bytes) -> Taken:
        """Import a file into a collection of its own."""
        path = self._folder / f"file{suffix}"
        path.write_bytes(content)
        refused: list[Refused] = []
        importer = Importer(self._storage, self._directory, CountingHasher(), LIMITS, ACTOR, refused.append)
        result = await importer.run([path], "corpus", name)
        assert (result.refused, result.changed) == (len(refused), 0)
        places = {re.sub(r".*:(\d+)$", r"\1", each.place): each.reason for each in refused}
        collection = await self._collection(name, suffix)
        if collection is None:
            assert result.created == 0
            return Taken(collection, {}, places, result.superseded)
        return Taken(collection, await self._instants(collection), places, result.superseded)

    async def put(self, name: str, texts: dict[str, str]) -> dict[str, Instants | str]:
        """Put objects by their UIDs; what is stored, or the message of the refusal."""
        person = await self._directory.principal("corpus")
        assert person is not None
        home = (await self._storage.resolve(person.id, Target(person.uid, "uid", "calendar"))).home
        assert home is not None
        new = NewCollection(name, "calendar", tuple(sorted(CALENDAR_COMPONENTS)))
        collection = await self._storage.create_collection(home, new, write_limits(LIMITS), CAUSE)
        found: dict[str, Instants | str] = {}
        for number, (uid, text) in enumerate(texts.items()):
            try:
                await self._objects.put(ACTOR, member_in(collection, f"{number}.ics"), text.encode())
            except InvalidData as error:
                found[uid] = error.message
        return found | await self._instants(collection)

    async def exported(self, collection: Collection) -> bytes:
        """A collection as one file."""
        out = BytesIO()
        await Exporter(self._storage, self._directory, ACTOR).stream(collection_found(collection), out)
        return out.getvalue()

    async def _collection(self, name: str, suffix: str) -> Collection | None:
        person = await self._directory.principal("corpus")
        assert person is not None
        return (await self._storage.resolve(person.id, Target(person.uid, "uid", SUFFIXES[suffix], name))).collection

    async def _instants(self, collection: Collection) -> dict[str, Instants]:
        rows = await self._storage.members(collection, ("name", "uid", "text"), after=None, limit=10_000)
        return {uid: instants(text) for _, uid, text in rows}


def objects_of(content: bytes) -> dict[str, str]:
    """The objects of a file that can be read as a whole, as a client would put them: each component of a UID, once for
    each RECURRENCE-ID, with all VTIMEZONEs."""
    try:
        text = content.decode()
        outermost = parse_components(text)
    except (UnicodeDecodeError, InvalidData):
        return {}
    components = [each for calendar in outermost for each in calendar.components]
    zones = [each for each in components if each.name == "VTIMEZONE"]
    if len({zone.text("TZID") for zone in zones}) != len(zones) or len(outermost) != 1:
        return {}
    by_uid: dict[str, list[Component]] = {}
    for each in components:
        uid = (each.text("UID") or "").strip()
        if uid and each.name in CALENDAR_COMPONENTS:
            by_uid.setdefault(uid, []).append(each)
    found = {}
    for uid, parts in by_uid.items():
        ids = Counter((line.value if (line := part.first("RECURRENCE-ID")) else "") for part in parts)
        if max(ids.values()) == 1 and len({part.name for part in parts}) == 1:
            body = "".join(text[part.start : part.end] for part in (*zones, *parts))
            found[uid] = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{body}END:VCALENDAR\r\n"
    return found


@pytest.mark.parametrize("corpus", [*PACKAGES, SUITE])
async def test_files_of_other_projects(database: str, tmp_path: Path, corpus: str) -> None:
    if corpus == SUITE and not SHARED.is_dir():
        pytest.skip("the conformance suite is not here")
    files = list(corpus_files(corpus))
    refused: dict[str, str] = {}
    differences: list[str] = []
    components = compared = 0
    async with PostgresStorage(database, notify=False) as storage:
        tests = Corpus(storage, tmp_path)
        for number, file in enumerate(files):
            components += len(re.findall(rb"(?m)^BEGIN:V(?!CALENDAR|TIMEZONE|ALARM)", file.content))
            taken = await tests.take(f"import{number}", file.suffix, file.content)
            refused |= {f"{file.name}:{line}": reason for line, reason in taken.refused.items()}
            put = {} if file.suffix == ".vcf" else objects_of(file.content)
            compared += len(put)
            for uid, found in (await tests.put(f"put{number}", put) if put else {}).items():
                if isinstance(found, str) != (uid not in taken.instants):
                    differences.append(f"{file.name}: {uid}: of PUT and import only one refuses: {found}")
                elif uid in taken.instants and found != taken.instants[uid]:
                    differences.append(f"{file.name}: {uid}: PUT and import differ")
            if taken.collection is not None:
                again = await tests.take(f"again{number}", file.suffix, await tests.exported(taken.collection))
                if again.refused or again.superseded or again.instants != taken.instants:
                    differences.append(f"{file.name}: exported and imported again it differs: {again.refused}")
    assert differences == []
    assert components >= COMPONENTS[corpus]
    assert compared >= PUT[corpus]
    assert read_refusals().mistakes(corpus, refused) == []
