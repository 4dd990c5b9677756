"""The XML of an addressbook-query's filter and limit and of address-data, as values (RFC 6352 §10.4 to §10.6)."""

from __future__ import annotations

from dataclasses import dataclass

from server.contacts.filters import CardFilter, ParamFilter, PropFilter, TextMatch, check_filter
from server.contacts.partial import AddressDataSelection, PropertySelection
from server.dav.core.filter_xml import (
    bound,
    collation_of,
    conditions,
    match_type_of,
    name_of,
    needle_of,
    only,
    parts,
    test_of,
    yes_or_no,
)
from server.dav.core.names import CARDDAV, carddav
from server.dav.core.xml import Element, text_of
from server.domain.collation import UNICODE_CASEMAP
from server.domain.errors import BadRequest, InvalidFilter, UnsupportedMediaType

MAX_SELECTED = 1000
"""Properties in one address-data."""

_VCARD_TYPES = frozenset(("text/vcard", "text/x-vcard", "text/directory"))
_VERSIONS = frozenset(("2.1", "3.0", "4.0"))
_LARGEST_LIMIT = 10**9

_IN_ADDRESS_DATA = frozenset(("allprop", "prop"))
_IN_FILTER = frozenset(("prop-filter",))
_IN_PROP_FILTER = frozenset(("is-not-defined", "text-match", "param-filter"))
_IN_PARAM_FILTER = frozenset(("is-not-defined", "text-match"))


@dataclass(frozen=True, slots=True)
class AddressbookQuery:
    """What an addressbook-query asks for, apart from properties."""

    card_filter: CardFilter
    limit: int | None
    """The most results that are wanted (CARDDAV:nresults), None without a limit."""


@dataclass(frozen=True, slots=True)
class AddressDataRequest:
    """What a CARDDAV:address-data in a request asks for."""

    version: str | None
    """The version of vCard that is wanted (compare `server.contacts.vcard.version_of`), None when it is not said."""
    selection: AddressDataSelection


def read_query(root: Element) -> AddressbookQuery:
    """Filter and limit of a CARDDAV:addressbook-query (RFC 6352 §10.3).

    :raises InvalidFilter: for a filter that is missing, that the RFC does not allow, or that is too large.
    :raises UnsupportedFilter: for conditions of another namespace.
    :raises UnsupportedCollation: for a collation that is not supported.
    :raises BadRequest: for a limit that is not a number.
    """
    element = only(root.findall(carddav("filter")))
    if element is None:
        raise InvalidFilter("The query has no filter.")
    return AddressbookQuery(read_filter(element), _read_limit(root.find(carddav("limit"))))


def read_filter(element: Element) -> CardFilter:
    """A CARDDAV:filter (RFC 6352 §10.5). Raises as `read_query` does."""
    bound(element)
    card_filter = CardFilter(
        test_of(element, "anyof"),
        tuple(_prop_filter(child) for _, child in conditions(element, CARDDAV, _IN_FILTER)),
    )
    check_filter(card_filter)
    return card_filter


def _prop_filter(element: Element) -> PropFilter:
    children = conditions(element, CARDDAV, _IN_PROP_FILTER)
    return PropFilter(
        name_of(element),
        test_of(element, "anyof"),
        any(local == "is-not-defined" for local, _ in children),
        tuple(_text_match(child, element) for local, child in children if local == "text-match"),
        tuple(_param_filter(child) for local, child in children if local == "param-filter"),
    )


def _param_filter(element: Element) -> ParamFilter:
    children = conditions(element, CARDDAV, _IN_PARAM_FILTER)
    text_match = only([child for local, child in children if local == "text-match"])
    return ParamFilter(
        name_of(element),
        any(local == "is-not-defined" for local, _ in children),
        None if text_match is None else _text_match(text_match, element),
    )


def _text_match(element: Element, condition: Element) -> TextMatch:
    """A text match of a property or parameter filter."""
    return TextMatch(
        needle_of(element),
        collation_of(element, UNICODE_CASEMAP),
        match_type_of(element, condition),
        yes_or_no(element, "negate-condition"),
    )


def _read_limit(element: Element | None) -> int | None:
    """CARDDAV:limit (RFC 6352 §10.6); limits of another kind than nresults may be disregarded."""
    if element is None:
        return None
    results = element.find(carddav("nresults"))
    if results is None:
        return None
    digits = text_of(results)
    if not (digits.isascii() and digits.isdecimal()):
        raise BadRequest(f"nresults is a number, not {digits[:40]!r}.")
    return int(digits) if len(digits) < 10 else _LARGEST_LIMIT


def read_address_data(element: Element) -> AddressDataRequest:
    """A CARDDAV:address-data in a request (RFC 6352 §10.4).

    :raises UnsupportedMediaType: for another media type than that of vCards, or a version that does not exist.
    :raises InvalidFilter: for what the RFC does not allow there, or too many properties.
    """
    media_type = element.get("content-type", "text/vcard").partition(";")[0].strip().lower()
    if media_type not in _VCARD_TYPES:
        raise UnsupportedMediaType(f"Cards are available as text/vcard, not as {media_type[:80]!r}.")
    version = element.get("version")
    if version is not None and version.strip() not in _VERSIONS:
        raise UnsupportedMediaType(f"There is no version {version[:40]!r} of vCard.")
    children = parts(element, CARDDAV, _IN_ADDRESS_DATA)
    if len(children) > MAX_SELECTED:
        raise InvalidFilter(f"An address-data names more than {MAX_SELECTED} properties.")
    properties = tuple(
        PropertySelection(name_of(child), yes_or_no(child, "novalue")) for local, child in children if local == "prop"
    )
    everything = any(local == "allprop" for local, _ in children)
    return AddressDataRequest(
        None if version is None else version.strip(), AddressDataSelection(() if everything else properties)
    )
