"""Rooms as rows of texts: of CSV files, and of the KEY=VALUE of commands."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from server.domain.errors import InvalidPrincipal
from server.services.principals.document import Refusal
from server.services.rooms.attributes import ATTRIBUTES, METADATA
from server.services.rooms.policy_texts import POLICY, policy_value

MAX_ROWS = 100_000
_OWN = ("name", "kind", "display_name", "email", "groups")
COLUMNS = (*_OWN, *(name for name in ATTRIBUTES if name not in ("policy", "metadata")))
"""The names of columns, beside those that begin with `metadata.` and `policy.`."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A CSV file: an item for each row, with the number of its line, and the rows that are none."""

    items: tuple[tuple[str, int, Mapping[str, object]], ...]
    refused: tuple[Refusal, ...]


def read_sheet(lines: Iterable[str]) -> Sheet:
    """The rows of a CSV file. The cells are separated by what separates the names in its head: comma, semicolon or
    tab.

    Raises `InvalidPrincipal` if it has no usable head, or is no CSV file.
    """
    items: list[tuple[str, int, Mapping[str, object]]] = []
    refused: list[Refusal] = []
    rows = _rows(iter(lines))
    _, head = next(rows, (0, []))
    names = [name.strip().lower() for name in head]
    _check_head(names)
    for line, cells in rows:
        if len(items) + len(refused) >= MAX_ROWS:
            raise InvalidPrincipal(f"The file may have at most {MAX_ROWS} rows.")
        given = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
        who = f"line {line}" + (f" ({given['name'][:100]})" if "name" in given else "")
        if any(cell.strip() for cell in cells[len(names) :]):
            refused.append(Refusal(who, f"The row has more cells than the head, which has {len(names)}."))
            continue
        try:
            items.append(("line", line, item_of(given)))
        except InvalidPrincipal as error:
            refused.append(Refusal(who, error.message))
    return Sheet(tuple(items), tuple(refused))


def item_of(given: Mapping[str, str]) -> dict[str, object]:
    """The entry of a document (`server.services.principals.document`) that texts by name say.

    Without `kind` it is a room, and a resource where its type is another than ROOM. Raises `InvalidPrincipal`.
    """
    of_type = given.get("type", "").strip().upper()
    item: dict[str, object] = {"kind": "room" if of_type in ("", "ROOM") else "resource"}
    attributes: dict[str, object] = {}
    policy: dict[str, object] = {}
    for name, text in given.items():
        if name == "email":
            item["emails"] = _listed(text, r"[\s,;]+")
        elif name == "groups":
            item["groups"] = _listed(text, r"\s*[,;]\s*")
        elif name in _OWN:
            item[name] = text.lower() if name == "kind" else text
        elif name.startswith(POLICY):
            policy[name.removeprefix(POLICY)] = policy_value(name.removeprefix(POLICY), text)
        else:
            attributes[name] = text
    if policy:
        attributes["policy"] = policy
    if attributes:
        item["room"] = attributes
    return item


def _listed(text: str, separator: str) -> list[str]:
    return [part for part in re.split(separator, text.strip()) if part]


def _check_head(names: list[str]) -> None:
    if "name" not in names:
        raise InvalidPrincipal(f"The first line must have names of columns, name among them: {', '.join(COLUMNS)}.")
    for name in names:
        if name not in COLUMNS and not name.startswith((METADATA, POLICY)):
            raise InvalidPrincipal(f"There is no column {name[:100]!r}; columns: {', '.join(COLUMNS)}.")
        if names.count(name) > 1:
            raise InvalidPrincipal(f"The column {name[:100]!r} is there twice.")


def _rows(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with the number of the line that each begins in."""
    first = next(lines, "").removeprefix("\ufeff")
    separator = max(",;\t", key=first.count)

    def all_lines() -> Iterator[str]:
        yield first
        yield from lines

    reader = csv.reader(all_lines(), delimiter=separator, strict=True)
    begin = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        raise InvalidPrincipal(f"The file is no CSV file: line {reader.line_num}: {error}.") from None
