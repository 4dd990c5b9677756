"""The document from which principals are loaded: `{"principals": [...]}`. Each entry is checked separately.

An entry sets the fields that it has; all other fields of the principal stay. `members`, `delegates`,
`auto_accept_group` and the `parent` of a room refer to principals by id or name, also to those of later entries.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast, get_args

from server.auth import passwords
from server.booking.policy import Mode
from server.domain.errors import InvalidPrincipal
from server.domain.grants import DelegateRights
from server.domain.principals import KINDS, CalendarPlace, ExpandableBy, Office, PrincipalKind, name_key
from server.services.principals.changes import MAX_TEXT, addresses_of, name_of, roles_of, segment_of, text_of
from server.services.rooms.attributes import RoomFields, read_attributes

MODES: tuple[str, ...] = get_args(Mode)
"""How a person, a room or a piece of equipment answers invitations automatically."""
_KINDS: tuple[str, ...] = KINDS
_FIELDS = {
    "id": _KINDS,
    "kind": _KINDS,
    "name": _KINDS,
    "display_name": _KINDS,
    "emails": _KINDS,
    "password": ("individual",),
    "roles": ("individual",),
    "quota_bytes": ("individual", "room", "resource"),
    "members": ("group",),
    "expandable_by": ("group",),
    "calendar": ("individual", "room", "resource"),
    "delegates": ("individual", "room", "resource"),
    "auto_schedule": ("individual", "room", "resource"),
    "address": ("room", "resource"),
    "room": ("room", "resource"),
    "groups": ("individual", "room", "resource"),
    "office": ("individual",),
}
"""Fields, and the kinds that may have them."""
_Value = TypeVar("_Value")
_ADDRESS_FIELDS = ("name", "street", "geo")


@dataclass(frozen=True, slots=True)
class Entry:
    """The fields of one principal; None for those that the entry does not have."""

    kind: PrincipalKind
    name: str
    uid: str | None = None
    display_name: str | None = None
    addresses: tuple[str, ...] | None = None
    password: str | None = field(default=None, repr=False)
    roles: frozenset[str] | None = None
    quota_bytes: int | None = None
    members: tuple[str, ...] | None = None
    delegates: tuple[tuple[str, DelegateRights], ...] | None = None
    auto_schedule: Mapping[str, str] | None = None
    place: Mapping[str, str] | None = None
    expandable_by: ExpandableBy | None = None
    calendar: CalendarPlace | None = None
    office: Office | None = None
    room: RoomFields = field(default_factory=RoomFields)
    groups: tuple[str, ...] = ()
    """Groups that it belongs to, beside those that it belongs to already."""
    who: str = ""
    """How a refusal names the entry; empty: by the name."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry that is refused, and the reason."""

    who: str
    reason: str


def read(document: object, features: Collection[str] = ()) -> tuple[list[Entry], list[Refusal]]:
    """The valid entries of a document, and the refused ones.

    :param features: the features that rooms may have, folded; empty: all.

    Raises `InvalidPrincipal` if the document itself is not valid.
    """
    principals = document.get("principals") if isinstance(document, dict) else None
    if not isinstance(principals, list):
        raise InvalidPrincipal('The document must be a JSON object with a list "principals".')
    return read_entries((("principal", number, item) for number, item in enumerate(principals, 1)), features)


def read_entries(
    items: Iterable[tuple[str, int, object]], features: Collection[str] = ()
) -> tuple[list[Entry], list[Refusal]]:
    """The valid entries of items, which are named by a word and a number, and the refused ones."""
    entries: list[Entry] = []
    refusals: list[Refusal] = []
    taken: dict[tuple[str, str], str] = {}
    for word, number, item in items:
        who = f"{word} {number}"
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            who += f" ({item['name'][:100]})"
        try:
            entry = replace(read_entry(item, features), who="" if word == "principal" else who)
            _take(entry, who, taken)
        except InvalidPrincipal as error:
            refusals.append(Refusal(who, error.message))
        else:
            entries.append(entry)
    return entries, refusals


def _take(entry: Entry, who: str, taken: dict[tuple[str, str], str]) -> None:
    """Record ids, names and addresses: each must be unique in the document."""
    keys = [("name", name_key(entry.name))]
    # An address may be the name of the same person, and of nobody else.
    keys += [("name", name_key(address)) for address in entry.addresses or ()]
    if entry.uid is not None:
        keys.append(("id", entry.uid))
    for what, key in keys:
        other = taken.get((what, key))
        if other is not None and other != who:
            raise InvalidPrincipal(f"{other} in the same document has {key} already.")
    taken.update(dict.fromkeys(keys, who))


def read_entry(item: object, features: Collection[str] = ()) -> Entry:
    """An entry. `features` are as in `read`. Raises `InvalidPrincipal`."""
    if not isinstance(item, dict):
        raise InvalidPrincipal("An entry must be a JSON object.")
    kind = item.get("kind")
    if kind not in _KINDS:
        raise InvalidPrincipal(f"kind must be one of {', '.join(_KINDS)}.")
    for name in item:
        if name not in _FIELDS:
            raise InvalidPrincipal(f"There is no field {name!r}; fields: {', '.join(_FIELDS)}.")
        if kind not in _FIELDS[name]:
            raise InvalidPrincipal(f"{name} is not for the kind {kind}.")
    return Entry(
        kind=cast("PrincipalKind", kind),
        name=name_of(_text(item.get("name"), "name"), cast("PrincipalKind", kind)),
        uid=_given(item, "id", lambda value: segment_of(_text(value, "id"), "An id")),
        display_name=_given(
            item, "display_name", lambda value: text_of(_text(value, "display_name"), "A display name", MAX_TEXT)
        ),
        addresses=_given(item, "emails", lambda value: addresses_of(_texts(value, "emails"))),
        password=_given(item, "password", _password),
        roles=_given(item, "roles", lambda value: roles_of(frozenset(_texts(value, "roles")))),
        quota_bytes=_given(item, "quota_bytes", _quota),
        members=_given(item, "members", lambda value: _texts(value, "members")),
        delegates=_given(item, "delegates", _delegates),
        auto_schedule=_given(item, "auto_schedule", _auto_schedule),
        place=_given(item, "address", lambda value: _texts_by_name(value, "address", _ADDRESS_FIELDS)),
        expandable_by=_given(item, "expandable_by", _expandable_by),
        calendar=_given(item, "calendar", calendar_place),
        office=_given(item, "office", _office),
        room=_given(item, "room", lambda value: _room(value, features)) or RoomFields(),
        groups=_given(item, "groups", lambda value: tuple(map(_group, _texts(value, "groups")))) or (),
    )


def _given(item: dict[str, Any], name: str, read_value: Callable[[Any], _Value]) -> _Value | None:
    return read_value(item[name]) if item.get(name) is not None else None


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidPrincipal(f"{what} must be a text.")
    return value


def _texts(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidPrincipal(f"{what} must be a list of texts.")
    return tuple(_text(each, f"Each of {what}") for each in value)


def _texts_by_name(value: object, what: str, names: Sequence[str]) -> dict[str, str]:
    if not isinstance(value, dict) or not set(value) <= set(names):
        raise InvalidPrincipal(f"{what} must be an object with {', '.join(names)}.")
    return {name: text_of(_text(text, name), name, MAX_TEXT) for name, text in value.items()}


def _password(value: object) -> str:
    password = _text(value, "password")
    passwords.check(password, chosen=False)
    return password


def _quota(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 50:
        raise InvalidPrincipal("quota_bytes must be a number of bytes.")
    return value


def _delegates(value: object) -> tuple[tuple[str, DelegateRights], ...]:
    if not isinstance(value, dict) or not set(value) <= {"read", "write"}:
        raise InvalidPrincipal("delegates must be an object with read and write.")
    found: list[tuple[str, DelegateRights]] = []
    for rights in cast("tuple[DelegateRights, ...]", get_args(DelegateRights)):
        found += [(name, rights) for name in _texts(value.get(rights, []), f"delegates.{rights}")]
    return tuple(found)


def _auto_schedule(value: object) -> dict[str, str]:
    schedule = _texts_by_name(value, "auto_schedule", ("mode", "auto_accept_group"))
    if schedule.get("mode") not in MODES:
        raise InvalidPrincipal(f"auto_schedule.mode must be one of {', '.join(MODES)}.")
    return schedule


def _group(name: str) -> str:
    return name_of(name, "group")


def _office(value: object) -> Office:
    texts = _texts_by_name(value, "office", ("building", "floor")) if value != {} else {}
    return Office(**texts)


def _room(value: object, features: Collection[str]) -> RoomFields:
    if not isinstance(value, dict):
        raise InvalidPrincipal("room must be an object.")
    return read_attributes(value, features)


def calendar_place(value: object) -> CalendarPlace:
    """Where a principal keeps its calendar. Raises `InvalidPrincipal`."""
    known: tuple[CalendarPlace, ...] = get_args(CalendarPlace)
    if value not in known:
        raise InvalidPrincipal(f"calendar must be one of {', '.join(known)}.")
    return value


def _expandable_by(value: object) -> ExpandableBy:
    known: tuple[ExpandableBy, ...] = get_args(ExpandableBy)
    if value not in known:
        raise InvalidPrincipal(f"expandable_by must be one of {', '.join(known)}.")
    return value
