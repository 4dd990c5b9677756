"""The sources of an import: the files and folders of each person and collection.

A folder that contains `collection-root`, and `collection-root` itself, belong to a Radicale server: it has a folder for
each person, which has one for each collection. A folder with files, or with `.Radicale.props`, is one collection. Any
other folder belongs to a person and has a folder for each collection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.domain.errors import BadRequest
from server.domain.limits import Limits
from server.domain.objects import HomeKind
from server.services.transfer.collection_properties import RADICALE, Shown, read_folder

ROOT = "collection-root"
PRINCIPALS = "principals.json"
"""The file beside it with all principals (`koyomi principals load` reads it, too)."""
SUFFIXES: dict[str, HomeKind] = {
    ".ics": "calendar",
    ".ical": "calendar",
    ".ifb": "calendar",
    ".vcf": "addressbook",
    ".vcard": "addressbook",
}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of objects."""

    path: Path
    kind: HomeKind
    size: int


@dataclass(frozen=True, slots=True)
class Source:
    """Files for one collection, or for the default collections of their components."""

    path: Path
    owner: str
    collection: str | None
    """Its name; None for the default collections."""
    files: Sequence[SourceFile]
    shown: Shown
    keep_names: bool
    """Whether objects keep the names of their files."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A file or an object that is refused, and the reason."""

    place: str
    """The file, with a line if one is known."""
    reason: str


def find_sources(
    paths: Sequence[Path], owner: str | None, collection: str | None, limits: Limits
) -> Iterator[Source | Refused]:
    """The sources in paths.

    `owner` and `collection` name the target; of a Radicale server they select what is imported. Raises `BadRequest` if
    `owner` is missing and does not follow from the path, or if a path contains nothing that can be imported.
    """
    for path in paths:
        if not path.is_dir():
            kind = SUFFIXES.get(path.suffix.lower())
            if kind is None:
                raise BadRequest(f"{path}: only {', '.join(SUFFIXES)} and folders can be imported.")
            file = SourceFile(path, kind, path.stat().st_size)
            yield Source(path, _demanded(owner, path), collection, (file,), Shown(), False)
            continue
        root = path / ROOT if (path / ROOT).is_dir() else path
        if root.name == ROOT:
            yield from _server(root, owner, collection, limits)
            continue
        person = _demanded(owner, path)
        found = _collection(person, path, collection, limits)
        if found is not None:
            yield from _with_refusals(found)
        else:
            yield from _home(person, path, collection, limits)


def _demanded(owner: str | None, path: Path) -> str:
    if owner is None:
        raise BadRequest(f"{path}: name the owner with --user.")
    return owner


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden, by name."""
    return sorted(each for each in folder.iterdir() if each.is_dir() and not _ignored(each))


def _ignored(path: Path) -> bool:
    return path.name.startswith(".") or path.name.endswith("~")


def _server(root: Path, owner: str | None, collection: str | None, limits: Limits) -> Iterator[Source | Refused]:
    for folder in _folders(root):
        if owner is not None and folder.name != owner:
            continue
        shown = read_folder(folder, limits)
        if shown.tag is not None:
            yield Refused(str(folder), "This collection belongs to no person: import it by itself, with --user.")
            continue
        yield Source(folder, folder.name, None, (), Shown(), True)  # a person, who may have no collection
        yield from _home(folder.name, folder, collection, limits)


def _home(owner: str, folder: Path, collection: str | None, limits: Limits) -> Iterator[Source | Refused]:
    for each in _folders(folder):
        found = _collection(owner, each, None, limits)
        if found is None:
            continue
        name = found.shown.name or each.name
        if collection is None or collection == name:
            yield from _with_refusals(Source(each, owner, name, found.files, found.shown, True))
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix.lower() in SUFFIXES and not _ignored(file):
            yield Refused(str(file), "This file lies in no collection: import it by itself.")


def _collection(owner: str, folder: Path, name: str | None, limits: Limits) -> Source | None:
    """The collection in a folder; None if the folder has neither objects nor properties of one."""
    shown = read_folder(folder, limits)
    files = []
    for file in sorted(folder.iterdir()):
        kind = shown.kind or SUFFIXES.get(file.suffix.lower())
        if kind is not None and not _ignored(file) and file.is_file():
            files.append(SourceFile(file, kind, file.stat().st_size))
    if not files and not (folder / RADICALE).is_file():
        return None
    if name is None and shown.tag is not None:
        name = shown.name or folder.resolve().name
    return Source(folder, owner, name, files, shown, True)


def _with_refusals(source: Source) -> Iterator[Source | Refused]:
    for path, reason in source.shown.refused:
        yield Refused(str(path), reason)
    yield source
