"""The condition that finds principals by parts of their names and addresses."""

from __future__ import annotations

from server.domain.principal_search import MatchType, PrincipalSearch, Term
from server.domain.principals import name_key

_COLUMNS = {
    "display-name": ("p.display_key", "p.display_name"),
    "first-name": ("split_part(p.display_key, ' ', 1)", "split_part(p.display_name, ' ', 1)"),
    "last-name": ("substring(p.display_key from '[^ ]*$')", "substring(p.display_name from '[^ ]*$')"),
    "name": ("p.name_key", "p.name"),
    "uid": ("p.uid", "p.uid"),
    "kind": ("p.kind", "p.kind"),
}
"""Expressions that are compared without and with regard to case."""


_ROOM = {
    "type": "coalesce(r.type, case p.kind when 'resource' then 'EQUIPMENT' else 'ROOM' end)",
    "capacity": "r.capacity::text",
}
"""Expressions of a room's attributes with regard to case, where they are not the columns of their names."""


def query(search: PrincipalSearch) -> tuple[str, list[object]]:
    """The condition on the principal `p`, and its arguments."""
    arguments: list[object] = [list(search.kinds)]
    groups = [
        "(" + (" or ".join(_condition(term, arguments) for term in group) or "false") + ")" for group in search.groups
    ]
    joined = (" or " if search.any_group else " and ").join(groups) or "true"
    return f"p.kind = any($1::text[]) and ({joined})", arguments


def _condition(term: Term, arguments: list[object]) -> str:
    if term.field == "nothing":
        return "false"
    folded = name_key(term.text) if term.caseless else term.text
    arguments.append(pattern(folded, term.match))
    at = f"${len(arguments)}"
    if term.field == "address":
        column = "a.address_key" if term.caseless else "a.address"
        return f"exists (select from principal_address a where a.principal_id = p.id and {column} like {at})"
    if term.field == "word":
        arguments[-1] = "% " + pattern(folded, "starts-with")
        arguments.append(pattern(folded, "starts-with"))
        begins = f"${len(arguments)}"
        return (
            f"(' ' || translate(p.display_key, '-.,()/''', '       ') like {at} or p.name_key like {begins} "
            f"or exists (select from principal_address a where a.principal_id = p.id and a.address_key like {begins}) "
            f"or {_room_line(begins, '=')} or {_room_line(begins, ' ')})"
        )
    if term.field == "room":
        return _room(term, arguments)
    if term.field in ("first-name", "last-name"):
        # Only people have these properties.
        return f"(p.kind = 'individual' and {_COLUMNS[term.field][0 if term.caseless else 1]} like {at})"
    return f"{_COLUMNS[term.field][0 if term.caseless else 1]} like {at}"


def _room(term: Term, arguments: list[object]) -> str:
    """The condition that an attribute of a room matches. The last argument is the pattern."""
    name, at = term.attribute, f"${len(arguments)}"
    if name == "type":
        arguments[-1] = pattern(term.text.strip().upper(), term.match)
        return f"({_IS_ROOM} and {_ROOM_EXISTS.format(condition=f'{_ROOM[name]} like {at}')})"
    if term.caseless or name in ("features", "position"):
        arguments[-1] = f"{name}=" + pattern(name_key(term.text), term.match)
        return _room_line(at)
    expression = _ROOM.get(name or "", f"r.{name}")
    return f"({_IS_ROOM} and {_ROOM_EXISTS.format(condition=f'{expression} like {at}')})"


_IS_ROOM = "p.kind in ('room', 'resource')"
_ROOM_EXISTS = "exists (select from (select) as one left join room r on r.principal_id = p.id where {condition})"


def _room_line(at: str, after: str = "") -> str:
    """The condition that a line of a room's attributes matches a pattern, or what follows `after` in it does."""
    compared = f"'%{after}' || {at}" if after else at
    lines = "unnest(string_to_array(r.words, E'\\n')) as w (line)"
    return f"({_IS_ROOM} and exists (select from room r, {lines} where r.principal_id = p.id and line like {compared}))"


def pattern(text: str, match: MatchType) -> str:
    """A pattern of LIKE that matches the text literally."""
    literal = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if match == "equals":
        return literal
    return f"{literal}%" if match == "starts-with" else f"%{literal}%"
