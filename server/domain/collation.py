"""Collations for text matches (RFC 4790), as CalDAV (RFC 4791 §7.5) and CardDAV (RFC 6352 §8.3) use them."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from typing import Literal, get_args

from server.domain.errors import UnsupportedCollation

MatchType = Literal["equals", "contains", "starts-with", "ends-with"]
"""RFC 6352 §10.5.4; CalDAV has it by calendar-query-extended."""

MATCH_TYPES: tuple[MatchType, ...] = get_args(MatchType)

ASCII_CASEMAP = "i;ascii-casemap"
OCTET = "i;octet"
UNICODE_CASEMAP = "i;unicode-casemap"

COLLATIONS = (ASCII_CASEMAP, OCTET, UNICODE_CASEMAP)
"""What the supported-collation-set properties list."""


class _UnicodeCasemap(dict[int, str]):
    """Characters by code point as RFC 5051 §2 folds them: the simple titlecase mapping, then the decomposition."""

    def __missing__(self, code_point: int) -> str:
        character = chr(code_point)
        title = character.title()
        folded = unicodedata.normalize("NFKD", title if len(title) == 1 else character)
        self[code_point] = folded
        return folded


_unicode_casemap = _UnicodeCasemap()
_ASCII_LOWER = {ord(letter): letter.lower() for letter in string.ascii_uppercase}


def ascii_lower(text: str) -> str:
    """The text with the letters of ASCII in lower case, and no others."""
    return text.translate(_ASCII_LOWER)


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _ascii_folded(text: str) -> bytes:
    return _octets(text).lower()


def _unicode_folded(text: str) -> bytes:
    return _octets(text.translate(_unicode_casemap))


_FOLDINGS: dict[str, Callable[[str], bytes]] = {
    ASCII_CASEMAP: _ascii_folded,
    OCTET: _octets,
    UNICODE_CASEMAP: _unicode_folded,
}


def check_collation(collation: str) -> None:
    """See that a collation is one of `COLLATIONS`.

    :raises UnsupportedCollation: for any other.
    """
    if collation not in _FOLDINGS:
        raise UnsupportedCollation(f"The collation {collation[:80]!r} is not supported.")


@lru_cache(maxsize=256)
def folded_matcher(collation: str, match_type: MatchType, needle: str) -> Callable[[bytes], bool]:
    """A test of values that are folded; the needle is folded once for all values of a query.

    :raises UnsupportedCollation: for a collation that is not in `COLLATIONS`.
    """
    check_collation(collation)
    folded = _FOLDINGS[collation](needle)
    match match_type:
        case "equals":
            return lambda value: value == folded
        case "contains":
            return lambda value: folded in value
        case "starts-with":
            return lambda value: value.startswith(folded)
        case "ends-with":
            return lambda value: value.endswith(folded)


def matcher(collation: str, match_type: MatchType, needle: str) -> Callable[[str], bool]:
    """A test of values for a needle.

    :raises UnsupportedCollation: for a collation that is not in `COLLATIONS`.
    """
    is_match, fold = folded_matcher(collation, match_type, needle), _FOLDINGS[collation]
    return lambda value: is_match(fold(value))


class FoldedTexts:
    """The values of one object as collations compare them: each is read and folded once for all conditions on it."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[Hashable, str], tuple[bytes, ...]] = {}

    def of(self, key: Hashable, collation: str, values: Callable[[], Iterable[str]]) -> tuple[bytes, ...]:
        """The folded values; `values` reads them where the key and the collation were not asked for before."""
        found = self._known.get((key, collation))
        if found is None:
            found = self._known[key, collation] = tuple(map(_FOLDINGS[collation], values()))
        return found
