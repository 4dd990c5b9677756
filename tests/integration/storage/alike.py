"""Whether two values are the same except for ids, times and random names, which two databases give differently."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from uuid import UUID

from server.domain.grants import Grants
from server.domain.objects import Collection, Home
from server.domain.principals import Principal
from server.storage.directory import Handover, PrincipalRecord

_SCHEDULE_TAG = re.compile("(d-)?[0-9a-f]{16}")
_KINDS = {
    "home_id": "home",
    "binding_home_id": "home",
    "to_home_id": "home",
    "principal_id": "principal",
    "view": "principal",
    "whom": "principal",
    "collection_id": "collection",
    "object_id": "object",
}
"""What the fields of values are the ids of."""
_OWN_KINDS = {Home: "home", Collection: "collection", Handover: "collection", Principal: "principal"}
"""What the field `id` of a value is the id of; of all others that of an object."""
_TIMES = frozenset({"created_at", "modified_at", "disabled_at"})


class Alike:
    """Compares values of two databases, and remembers which id of one is which of the other."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, object], object] = {}

    def require(self, one: object, other: object, where: str) -> None:
        """Raise `AssertionError` where two values differ."""
        if isinstance(one, Grants):
            assert self._grants(one) == other, where
        elif is_dataclass(one) and not isinstance(one, type):
            assert type(one) is type(other), f"{where}: {one!r} / {other!r}"
            own = "principal" if isinstance(one, PrincipalRecord) else _OWN_KINDS.get(type(one), "object")
            for item in fields(one):
                name = item.name
                self._field(own, name, getattr(one, name), getattr(other, name), f"{where}.{name}")
        elif isinstance(one, (list, tuple)):
            assert isinstance(other, (list, tuple)), where
            assert len(one) == len(other), f"{where}: {one} / {other}"
            for number, (value, same) in enumerate(zip(one, other, strict=True)):
                self.require(value, same, f"{where}[{number}]")
        elif _is_random(one) and _is_random(other):
            self._same("name", one, other, where)
        else:
            assert one == other, f"{where}: {one!r} / {other!r}"

    def require_rows(
        self, one: Sequence[Sequence[object]], other: Sequence[Sequence[object]], columns: Sequence[str], where: str
    ) -> None:
        """Raise `AssertionError` where two pages of members differ."""
        assert len(one) == len(other), f"{where}: {list(map(tuple, one))} / {list(map(tuple, other))}"
        for row, same in zip(one, other, strict=True):
            for column, value, counterpart in zip(columns, row, same, strict=True):
                self._field("object", column, value, counterpart, f"{where}.{column}")

    def ids(self, kind: str, ids: Iterable[int]) -> list[int]:
        """What the ids of the first database are in the second."""
        return sorted(self.id(kind, one) for one in ids)

    def id(self, kind: str, one: int) -> int:
        """What an id of the first database is in the second."""
        found = self._known["first", kind, one]
        assert isinstance(found, int)
        return found

    def _field(self, own: str, name: str, one: object, other: object, where: str) -> None:
        kind = own if name == "id" else _KINDS.get(name)
        if kind is not None and isinstance(one, int):
            self._same(kind, one, other, where)
        elif name in _TIMES:
            assert isinstance(one, datetime) is isinstance(other, datetime), where
        elif name == "personal" and isinstance(one, Mapping):
            assert {self.id("principal", id_): text for id_, text in one.items()} == other, where
        elif name in ("members", "delegates") and isinstance(one, frozenset):
            mapped = {
                self.id("principal", each) if isinstance(each, int) else (self.id("principal", each[0]), each[1])
                for each in one
            }
            assert mapped == other, where
        else:
            self.require(one, other, where)

    def _same(self, kind: str, one: object, other: object, where: str) -> None:
        known = self._known.setdefault(("first", kind, one), other)
        back = self._known.setdefault(("second", kind, other), one)
        assert (known, back) == (other, one), f"{where}: {one} is {known}, not {other}, which is {back}"

    def _grants(self, one: Grants) -> Grants:
        """What was granted, with the ids of the second database."""
        return Grants(
            frozenset(self.ids("principal", one.groups)),
            tuple(sorted((self.id("principal", id_), rights) for id_, rights in one.delegates)),
            tuple(
                sorted(
                    (self.id("collection", id_), self.id("principal", whom), rights) for id_, whom, rights in one.shares
                )
            ),
            tuple(
                type(ace)(
                    self.id("collection", ace.collection_id),
                    self.id("principal", ace.whom) if isinstance(ace.whom, int) else ace.whom,
                    ace.grants,
                    ace.privileges,
                )
                for ace in one.aces
            ),
            tuple(sorted((self.id("collection", id_), self.id("principal", whom)) for id_, whom in one.inviting)),
        )


def by_id(collections: Sequence[Collection]) -> list[Collection]:
    """Collections in the order in which they were made: the names of shared ones are random."""
    return sorted(collections, key=lambda each: (each.id, each.binding_revision))


def _is_random(name: object) -> bool:
    """Whether this is a name or a Schedule-Tag that was drawn."""
    if isinstance(name, str) and _SCHEDULE_TAG.fullmatch(name):
        return True
    try:
        return isinstance(name, str) and bool(UUID(name))
    except ValueError:
        return False
