"""What the XML of calendar-query and addressbook-query has in common (RFC 4791 §9.7, RFC 6352 §10.5).

The namespace differs, the elements below a property filter are nearly the same. A filter must not be answered as if a
condition in it were not there: an unknown one is refused, never ignored.
"""

from __future__ import annotations

from itertools import islice
from typing import Literal

from server.dav.core.names import split
from server.dav.core.xml import Element, elements, to_fragment
from server.domain.collation import MATCH_TYPES, MatchType
from server.domain.errors import InvalidFilter, UnsupportedFilter

Test = Literal["anyof", "allof"]


MAX_ELEMENTS = 2000
"""Elements of a filter; more conditions than are allowed take fewer."""

MAX_QUOTED = 4096
"""Characters of a refused filter that the answer quotes."""


def bound(filter_: Element) -> None:
    """See that a filter is of a size that is worth reading. Raises `InvalidFilter`."""
    if sum(1 for _ in islice(filter_.iter(), MAX_ELEMENTS + 2)) > MAX_ELEMENTS + 1:
        raise InvalidFilter(f"The filter has more than {MAX_ELEMENTS} elements.")


def conditions(parent: Element, namespace: str, allowed: frozenset[str]) -> list[tuple[str, Element]]:
    """The child elements with their local names, all of which must be among those allowed.

    :raises InvalidFilter: for another element of the namespace, and for anything else directly in CALDAV:filter or
        CARDDAV:filter.
    :raises UnsupportedFilter: for an element of another namespace; it carries the filter that holds it.
    """
    for element in elements(parent):
        owner, local = split(element.tag)
        if owner != namespace:
            if split(parent.tag)[1] == "filter":
                raise InvalidFilter(f"A {local[:40]} cannot stand in a filter.")
            raise unsupported(parent, f"The condition {local[:40]} is not known.")
    return parts(parent, namespace, allowed)


def unsupported(condition: Element, message: str) -> UnsupportedFilter:
    """The refusal of a component, property or parameter filter, which it quotes (RFC 4791 §7.8, RFC 6352 §8.6).

    A large one is quoted without its content.
    """
    quoted = to_fragment(condition)
    if len(quoted) > MAX_QUOTED:
        name, namespace = condition.get("name", ""), split(condition.tag)[0]
        attributes = {"name": name} if len(name) <= MAX_QUOTED // 10 else {}
        empty = condition.makeelement(condition.tag, attributes, nsmap={"F": namespace})
        quoted = to_fragment(empty)
    return UnsupportedFilter(message, quoted)


def parts(parent: Element, namespace: str, allowed: frozenset[str]) -> list[tuple[str, Element]]:
    """The child elements of the namespace with their local names; those of others are ignored (RFC 4918 §17).

    :raises InvalidFilter: for an element of the namespace that is not among those allowed.
    """
    found: list[tuple[str, Element]] = []
    for element in elements(parent):
        owner, local = split(element.tag)
        if owner != namespace:
            continue
        if local not in allowed:
            raise InvalidFilter(f"A {local[:40]} cannot stand in a {split(parent.tag)[1][:40]}.")
        found.append((local, element))
    return found


def name_of(element: Element) -> str:
    """The attribute `name`. Raises `InvalidFilter` when it is missing or empty."""
    name = element.get("name", "").strip()
    if not name:
        raise InvalidFilter(f"A {split(element.tag)[1][:40]} has no name.")
    return name


def test_of(element: Element, default: Test) -> Test:
    """The attribute `test`. Raises `InvalidFilter` for another value than `anyof` and `allof`."""
    test = element.get("test", default)
    if test == "anyof":
        return "anyof"
    if test == "allof":
        return "allof"
    raise InvalidFilter(f"The test of a filter is anyof or allof, not {test[:40]!r}.")


def yes_or_no(element: Element, attribute: str) -> bool:
    """An attribute that is `no` when it is missing. Raises `InvalidFilter` for another value than `yes` and `no`."""
    value = element.get(attribute, "no")
    if value not in ("yes", "no"):
        raise InvalidFilter(f"{attribute} is yes or no, not {value[:40]!r}.")
    return value == "yes"


def collation_of(element: Element, default: str) -> str:
    """The attribute `collation`; `default` without it or when it asks for the default (RFC 4790 §3.1)."""
    collation = element.get("collation", "default").strip()
    return default if collation == "default" else collation


def match_type_of(element: Element, condition: Element) -> MatchType:
    """The attribute `match-type` of a text match in a property or parameter filter, `contains` without it.

    :raises UnsupportedFilter: for a match type that is not known: without it the filter would find too much.
    """
    match_type = element.get("match-type", "contains")
    found = next((known for known in MATCH_TYPES if known == match_type), None)
    if found is None:
        raise unsupported(condition, f"The match-type {match_type[:40]!r} is not one of {', '.join(MATCH_TYPES)}.")
    return found


def needle_of(element: Element) -> str:
    """The text of a text match, with the spaces that it has. Raises `InvalidFilter` when there are elements in it."""
    if len(element):
        raise InvalidFilter("A text match holds text alone.")
    return element.text or ""


def only(found: list[Element]) -> Element | None:
    """The one element that is allowed, None for none. Raises `InvalidFilter` for more."""
    if len(found) > 1:
        raise InvalidFilter(f"There may be only one {split(found[0].tag)[1][:40]}.")
    return found[0] if found else None
