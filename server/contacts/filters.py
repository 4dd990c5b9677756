"""The filter of an addressbook-query (RFC 6352 §10.5) as values, and what matches it.

How a text match sees a card, where RFC 6352 leaves it open:

- A property matches when one line of the card passes the tests (`anyof`: one of them, `allof`: all of them, by the same
  line). So `EMAIL` containing `@example.com` with `TYPE` `work` finds an address that is both.
- Values are compared as a person reads them: unfolded, escapes and quoted-printable resolved. Of a structure (N, ADR,
  ORG) or a list (NICKNAME, CATEGORIES) the whole value and each part are compared: `equals` finds one of two nicknames.
- A negated text match holds for a line (or parameter) none of whose readings contains the text. A card without the
  property does not match it: RFC 6352 §10.5.1 demands that a property exists.
- A parameter that is repeated or holds a list is compared value by value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from server.calendar.contentline import Property, content_lines, possessive
from server.contacts.properties import parameter_values, readings, split_name
from server.domain.collation import UNICODE_CASEMAP, FoldedTexts, MatchType, check_collation, folded_matcher
from server.domain.errors import InvalidFilter

Test = Literal["anyof", "allof"]

MAX_FILTERS = 200
"""Property filters, parameter filters and text matches together."""

MAX_NEEDLE = 10_000
"""Characters of the text of one text match."""

_NAME = re.compile(r"[A-Z0-9_-]+")
_GROUPS = possessive(r"[A-Z0-9_-]*+\.")
_FOLDED_NAME = re.compile(r"\n[A-Za-z0-9_.-]++\r*+\n[ \t]")


@dataclass(frozen=True, slots=True)
class TextMatch:
    """RFC 6352 §10.5.4."""

    text: str
    collation: str = UNICODE_CASEMAP
    match_type: MatchType = "contains"
    negate: bool = False


@dataclass(frozen=True, slots=True)
class ParamFilter:
    """RFC 6352 §10.5.2. Without text match: the parameter exists."""

    name: str
    is_not_defined: bool = False
    text_match: TextMatch | None = None


@dataclass(frozen=True, slots=True)
class PropFilter:
    """RFC 6352 §10.5.1. Without text matches and parameter filters: the property exists."""

    name: str
    """With a group (`X-ABC.TEL`) that property of that group, without one the property in any group and in none."""
    test: Test = "anyof"
    is_not_defined: bool = False
    text_matches: tuple[TextMatch, ...] = ()
    param_filters: tuple[ParamFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class CardFilter:
    """RFC 6352 §10.5. Without property filters it matches every card."""

    test: Test = "anyof"
    prop_filters: tuple[PropFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class _Card:
    """The lines of a card that a filter names, and what its tests share: each line is read once for all of them."""

    lines: list[Property]
    texts: FoldedTexts = field(default_factory=FoldedTexts)
    parameters: dict[int, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    def parameters_of(self, line: Property) -> Mapping[str, tuple[str, ...]]:
        """The values of a line's parameters by name."""
        if id(line) not in self.parameters:
            self.parameters[id(line)] = parameter_values(line)
        return self.parameters[id(line)]


_LineTest = Callable[[Property, _Card], bool]


def check_filter(card_filter: CardFilter) -> None:
    """See that a filter is valid. Every name of a property or parameter can be asked for.

    :raises InvalidFilter: for is-not-defined beside other conditions, an empty name, or too much.
    :raises UnsupportedCollation: for a collation that is not supported.
    """
    count = 0
    for prop in card_filter.prop_filters:
        count += 1 + len(prop.text_matches) + len(prop.param_filters)
        if count > MAX_FILTERS:
            raise InvalidFilter(f"There are more than {MAX_FILTERS} conditions.")
        _check_condition(prop.name, prop.is_not_defined, prop.text_matches, prop.param_filters)
        for param in prop.param_filters:
            matches_of_param = () if param.text_match is None else (param.text_match,)
            _check_condition(param.name, param.is_not_defined, matches_of_param, ())


def _check_condition(
    name: str, is_not_defined: bool, text_matches: tuple[TextMatch, ...], param_filters: tuple[ParamFilter, ...]
) -> None:
    if not name.strip():
        raise InvalidFilter("A condition on a property or parameter has no name.")
    if is_not_defined and (text_matches or param_filters):
        raise InvalidFilter(f"is-not-defined stands beside other conditions on {name[:40]}.")
    for text_match in text_matches:
        check_collation(text_match.collation)
        if len(text_match.text) > MAX_NEEDLE:
            raise InvalidFilter(f"A text match has more than {MAX_NEEDLE} characters.")


def compiled(card_filter: CardFilter) -> Callable[[str], bool]:
    """A test of stored cards: it reads no more of a card than the lines that the filter names.

    :raises UnsupportedCollation: for a filter that `check_filter` does not accept.
    """
    tests = [_property_test(prop) for prop in card_filter.prop_filters]
    if not tests:
        return lambda card: True
    lines_named = _line_finder({prop.name for prop in card_filter.prop_filters})
    combine = all if card_filter.test == "allof" else any

    def test_card(card: str) -> bool:
        named = _Card(lines_named(card))
        return combine(test(named) for test in tests)

    return test_card


def _line_finder(names: Iterable[str]) -> Callable[[str], list[Property]]:
    """A reader of those lines of a card that have one of the names, in any group; no line has a name that is none."""
    plain_names = {split_name(name.upper())[1] for name in names} - {"BEGIN", "END"}
    plain_names = {name for name in plain_names if _NAME.fullmatch(name)}
    if not plain_names:
        return lambda card: []
    alternation = "|".join(re.escape(name) for name in sorted(plain_names))
    wanted = re.compile(rf"\n{_GROUPS}(?:{alternation})[:;][^\n]*+(?:\n[ \t][^\n]*+)*+", re.IGNORECASE | re.ASCII)

    def find(card: str) -> list[Property]:
        if _FOLDED_NAME.search(card) or _has_soft_line_breaks(card):
            return [line for line in content_lines(card) if split_name(line.name)[1] in plain_names]
        return [line for found in wanted.findall(card) for line in content_lines(found[1:].rstrip("\r"))]

    return find


def _has_soft_line_breaks(card: str) -> bool:
    """Whether a line may go on after a soft line break of quoted-printable, where the rest looks like another line."""
    return ("=\n" in card or "=\r\n" in card) and "QUOTED-PRINTABLE" in card.upper()


def _property_test(prop_filter: PropFilter) -> Callable[[_Card], bool]:
    """A test of the lines that `_line_finder` found, those of other filters among them."""
    group, name = split_name(prop_filter.name.upper())
    full_name = f"{group}.{name}" if group else ""
    suffix = f".{name}"

    def is_named(line: Property) -> bool:
        if full_name:
            return line.name == full_name
        return line.name == name or line.name.endswith(suffix)

    if prop_filter.is_not_defined:
        return lambda card: not any(map(is_named, card.lines))
    tests = [_text_test(text_match, "", lambda line, _: readings(line)) for text_match in prop_filter.text_matches]
    tests += [_parameter_test(param_filter) for param_filter in prop_filter.param_filters]
    if not tests:
        return lambda card: any(map(is_named, card.lines))
    combine = all if prop_filter.test == "allof" else any
    return lambda card: any(is_named(line) and combine(test(line, card) for test in tests) for line in card.lines)


def _parameter_test(param_filter: ParamFilter) -> _LineTest:
    name = param_filter.name.upper()
    if param_filter.is_not_defined:
        return lambda line, card: name not in card.parameters_of(line)
    if param_filter.text_match is None:
        return lambda line, card: name in card.parameters_of(line)
    text_test = _text_test(param_filter.text_match, name, lambda line, card: card.parameters_of(line)[name])
    return lambda line, card: name in card.parameters_of(line) and text_test(line, card)


def _text_test(text_match: TextMatch, parameter: str, values: Callable[[Property, _Card], Iterable[str]]) -> _LineTest:
    """A test of what `values` reads: of the parameter with a name, or of the value where the name is empty."""
    is_match = folded_matcher(text_match.collation, text_match.match_type, text_match.text)
    collation, negate = text_match.collation, text_match.negate

    def test(line: Property, card: _Card) -> bool:
        folded = card.texts.of((id(line), parameter), collation, lambda: values(line, card))
        return any(map(is_match, folded)) != negate

    return test
