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
            f"or exists (select from principal_address a where a.principal_id = p.id and a.address_key like {begins}))"
        )
    if term.field in ("first-name", "last-name"):
        # Only people have these properties.
        return f"(p.kind = 'individual' and {_COLUMNS[term.field][0 if term.caseless else 1]} like {at})"
    return f"{_COLUMNS[term.field][0 if term.caseless else 1]} like {at}"


def pattern(text: str, match: MatchType) -> str:
    """A pattern of LIKE that matches the text literally."""
    literal = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if match == "equals":
        return literal
    return f"{literal}%" if match == "starts-with" else f"%{literal}%"
