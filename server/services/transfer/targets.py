"""The collections that the objects of a file or folder go into."""

from __future__ import annotations

from server.domain.errors import (
    AlreadyReserved,
    BadRequest,
    InvalidData,
    InvalidPrincipal,
    KoyomiError,
    QuotaExceeded,
    SchedulingRefused,
    TooManyCollections,
    TooManyMembers,
)
from server.domain.objects import HomeKind
from server.services.transfer.items import Titles, read_titles
from server.services.transfer.places import Place, Places
from server.services.transfer.sources import Source, SourceFile

NOT_TAKEN = (
    AlreadyReserved,
    InvalidData,
    InvalidPrincipal,
    BadRequest,
    QuotaExceeded,
    SchedulingRefused,
    TooManyMembers,
    TooManyCollections,
)
"""Errors of one object, collection or person; all other errors end the import."""


class Targets:
    """The collections that one source goes into. Each is looked up once; its objects share the collection or the
    error."""

    def __init__(self, places: Places, source: Source) -> None:
        self._places = places
        self._source = source
        self._found: dict[tuple[HomeKind, str], Place | KoyomiError] = {}

    async def make(self) -> None:
        """Find or make the person, and the collection if its kind and name are known. Raises the errors of `Places`."""
        if self._source.collection is None or self._source.shown.kind is None:
            await self._places.person(self._source.owner)
        else:
            await self.find(self._source.shown.kind, self._source.collection)

    async def find(self, kind: HomeKind, name: str) -> Place:
        """The collection of a kind and name. Raises the errors of `Places`."""
        found = self._found.get((kind, name))
        if found is None:
            titles = (_titles(file) for file in self._source.files if file.kind == kind)
            try:
                owner = await self._places.person(self._source.owner)
                found = await self._places.place(owner, kind, name, self._source.shown, titles)
            except NOT_TAKEN as error:
                found = error
            self._found[kind, name] = found
        if isinstance(found, KoyomiError):
            raise found.with_traceback(None)
        return found


def _titles(file: SourceFile) -> Titles:
    try:
        return read_titles(file)
    except OSError:
        return Titles()
