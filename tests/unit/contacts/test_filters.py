import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.contentline import content_lines
from server.contacts.filters import (
    MAX_FILTERS,
    MAX_NEEDLE,
    CardFilter,
    ParamFilter,
    PropFilter,
    TextMatch,
    check_filter,
    compiled,
)
from server.contacts.properties import parameter_values, readings, split_name
from server.domain.errors import InvalidFilter, UnsupportedCollation

from . import cards


def matches(card_filter: CardFilter, card: str) -> bool:
    return compiled(card_filter)(card)


def has(name: str, *text_matches: TextMatch, test="anyof", params: tuple[ParamFilter, ...] = ()) -> CardFilter:
    return CardFilter(prop_filters=(PropFilter(name, test, False, text_matches, params),))


def lacks(name: str) -> CardFilter:
    return CardFilter(prop_filters=(PropFilter(name, is_not_defined=True),))


def equals(text: str, **others) -> TextMatch:
    return TextMatch(text, match_type="equals", **others)


def starts(text: str) -> TextMatch:
    return TextMatch(text, match_type="starts-with")


def ends(text: str) -> TextMatch:
    return TextMatch(text, match_type="ends-with")


def typed(text: str | None = None, name="TYPE", **others) -> tuple[ParamFilter, ...]:
    return (ParamFilter(name, text_match=None if text is None else TextMatch(text, **others)),)


def test_an_empty_filter_matches_everything():
    assert matches(CardFilter(), cards.APPLE)
    assert matches(CardFilter("allof"), cards.APPLE)


@pytest.mark.parametrize(
    ("card_filter", "expected"),
    [
        # RFC 6352 §8.6.3 and §8.6.4
        (has("NICKNAME", equals("me")), True),
        (has("NICKNAME", equals("m")), False),
        (
            CardFilter(
                "anyof", (*has("FN", TextMatch("daboo")).prop_filters, *has("EMAIL", TextMatch("zz")).prop_filters)
            ),
            True,
        ),
        (
            CardFilter(
                "allof", (*has("FN", TextMatch("daboo")).prop_filters, *has("EMAIL", TextMatch("zz")).prop_filters)
            ),
            False,
        ),
        (has("EMAIL"), True),
        (has("PHOTO"), False),
        (lacks("PHOTO"), True),
        (lacks("email"), False),
        (has("fn", starts("cy")), True),
        (has("FN", starts("da")), False),
        (has("FN", ends("BOO")), True),
        (has("FN", equals("CYRUS DABOO")), True),
        (has("FN", TextMatch("DABOO", "i;octet")), False),
        (has("FN", TextMatch("Daboo", "i;octet")), True),
        (has("FN", TextMatch("")), True),
        (has("TEL", params=typed("fax")), True),
        (has("TEL", params=typed("fax", match_type="equals")), True),
        (has("TEL", params=typed("ax", match_type="equals")), False),
        (has("TEL", params=typed("voice", match_type="equals")), True),
        (has("TEL", params=typed()), True),
        (has("TEL", params=typed(name="X-A")), False),
        (has("TEL", params=(ParamFilter("X-A", is_not_defined=True),)), True),
        (has("TEL", params=(ParamFilter("type", is_not_defined=True),)), False),
        # One line must pass all of the tests.
        (has("TEL", TextMatch("0499"), test="allof", params=typed("fax")), False),
        (has("TEL", TextMatch("0705"), test="allof", params=typed("fax")), True),
        (has("TEL", TextMatch("0499"), params=typed("nothing")), True),
        (has("EMAIL", TextMatch("@example.com", negate=True)), False),
        (has("EMAIL", TextMatch("@apple", negate=True)), True),
        (has("PHOTO", TextMatch("x", negate=True)), False),
        (has("TEL", TextMatch("0499", negate=True)), True),
        (has("URL", params=typed("x", negate=True)), False),
        (has("BEGIN"), False),
        (has("END"), False),
        (has("FN;X"), False),
        (has(" X"), False),
        (has("Ä.ß"), False),
    ],
)
def test_filters_on_the_card_of_rfc_6352(card_filter, expected):
    check_filter(card_filter)
    assert matches(card_filter, cards.RFC6352) is expected
    assert matches(card_filter, cards.RFC6352.replace("\r\n", "\n")) is expected


@pytest.mark.parametrize(
    ("card_filter", "expected"),
    [
        # Values as a person reads them, whole and in parts.
        (has("NICKNAME", equals("Tommy, the")), True),
        (has("NICKNAME", equals("Tom,Tommy, the")), True),
        (has("N", starts("default")), True),
        (has("N", equals("Thompson;Default;;Dr.;")), True),
        (has("ADR", equals("1245, Test")), True),
        (has("ADR", TextMatch("Street\nOn The Hill")), True),
        (has("ADR", TextMatch("Street\nOn  The Hill")), False),
        (has("ADR", TextMatch("\\n")), False),
        (has("ORG", equals("contacts")), True),
        # Groups, RFC 6352 §10.5.1
        (has("ADR"), True),
        (has("item1.ADR"), True),
        (has("ITEM1.adr", TextMatch("Sesame")), True),
        (has("item2.ADR"), False),
        (has("item1.NOTE"), False),
        (lacks("item2.ADR"), True),
        (has("item1.FN"), False),
        (has("TEM1.ADR"), False),
        (has("X-ABLABEL", TextMatch("homepage")), True),
        # Parameters without a name, repeated parameters
        (has("PHOTO", params=typed("base64", name="ENCODING")), True),
        (has("PHOTO", params=typed()), False),
        (has("EMAIL", params=(*typed("work"), *typed("pref")), test="allof"), True),
        (has("EMAIL", params=(*typed("home"), *typed("pref")), test="allof"), False),
        (has("EMAIL", params=typed("internet", negate=True)), False),
        (has("EMAIL", params=typed("work", negate=True)), True),
    ],
)
def test_filters_on_what_apple_sends(card_filter, expected):
    check_filter(card_filter)
    assert matches(card_filter, cards.APPLE) is expected


@pytest.mark.parametrize(
    ("card_filter", "expected"),
    [
        (has("FN", equals("jürgen müller")), True),
        (has("TEL", TextMatch("not a number")), False),
        (has("TEL", params=typed("cell")), True),
        (has("NOTE", TextMatch("tel:not a number")), True),
    ],
)
def test_filters_on_an_old_export(card_filter, expected):
    assert matches(card_filter, cards.OLD_PHONE) is expected


def test_types_in_one_pair_of_quotes():
    card = 'BEGIN:VCARD\nVERSION:4.0\nTEL;TYPE="voice,home":1\nEND:VCARD\n'
    assert matches(has("TEL", params=typed("home", match_type="equals")), card)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r\r\n"])
def test_names_and_values_may_be_folded_anywhere(line_end):
    card = f"BEGIN:VCARD{line_end}F{line_end} N:a{line_end}\tb{line_end}EMA{line_end} IL;TYPE=a:c{line_end}END:VCARD"
    assert matches(has("FN", equals("ab")), card)
    assert matches(has("EMAIL", equals("c"), test="allof", params=typed("a")), card)
    assert matches(lacks("IL"), card)


@pytest.mark.parametrize(
    "prop_filter",
    [
        PropFilter(""),
        PropFilter(" "),
        PropFilter("FN", is_not_defined=True, text_matches=(TextMatch("x"),)),
        PropFilter("FN", is_not_defined=True, param_filters=(ParamFilter("TYPE"),)),
        PropFilter("FN", param_filters=(ParamFilter("TYPE", True, TextMatch("x")),)),
        PropFilter("FN", param_filters=(ParamFilter(""),)),
        PropFilter("FN", text_matches=(TextMatch("x" * (MAX_NEEDLE + 1)),)),
        PropFilter("FN", text_matches=(TextMatch("x"),) * MAX_FILTERS),
    ],
)
def test_filters_that_are_not_valid(prop_filter):
    with pytest.raises(InvalidFilter):
        check_filter(CardFilter(prop_filters=(prop_filter,)))


def test_the_number_of_conditions_is_bounded():
    check_filter(CardFilter(prop_filters=(PropFilter("FN"),) * MAX_FILTERS))
    with pytest.raises(InvalidFilter):
        check_filter(CardFilter(prop_filters=(PropFilter("FN"),) * (MAX_FILTERS + 1)))


@pytest.mark.parametrize("collation", ["i;nonsense", "", "i;*"])
def test_collations_that_are_not_supported(collation):
    with pytest.raises(UnsupportedCollation):
        check_filter(has("FN", TextMatch("x", collation)))
    with pytest.raises(UnsupportedCollation):
        check_filter(has("FN", params=(ParamFilter("TYPE", text_match=TextMatch("x", collation)),)))


def naive(card_filter: CardFilter, card: str) -> bool:
    """RFC 6352 §10.5 word by word over all lines, with `i;octet`."""

    def text(match: TextMatch, values) -> bool:
        test = {
            "equals": str.__eq__,
            "contains": str.__contains__,
            "starts-with": str.startswith,
            "ends-with": str.endswith,
        }
        return any(test[match.match_type](value, match.text) for value in values) != match.negate

    def prop(wanted: PropFilter) -> bool:
        group, name = split_name(wanted.name.upper())
        lines = [
            line
            for line in content_lines(card)
            if split_name(line.name)[1] == name and group in ("", split_name(line.name)[0])
        ]
        if wanted.is_not_defined:
            return not lines
        results = []
        for line in lines:
            tests = [text(match, readings(line)) for match in wanted.text_matches]
            for param in wanted.param_filters:
                values = parameter_values(line).get(param.name.upper())
                if param.is_not_defined or values is None:
                    tests.append(param.is_not_defined and values is None)
                else:
                    tests.append(param.text_match is None or text(param.text_match, values))
            results.append(not tests or (all if wanted.test == "allof" else any)(tests))
        return any(results)

    results = [prop(wanted) for wanted in card_filter.prop_filters]
    return not results or (all if card_filter.test == "allof" else any)(results)


TESTS = st.sampled_from(("anyof", "allof"))
TEXT_MATCHES = st.builds(
    TextMatch,
    st.text(st.sampled_from("aB,;é="), max_size=2),
    st.just("i;octet"),
    st.sampled_from(("equals", "contains", "starts-with", "ends-with")),
    st.booleans(),
)
PARAM_FILTERS = st.one_of(
    st.builds(ParamFilter, st.sampled_from(("TYPE", "X-A", "encoding")), st.booleans()),
    st.builds(ParamFilter, st.sampled_from(("type", "X-Q")), st.just(False), TEXT_MATCHES),
)
PROP_NAMES = st.sampled_from((*cards.NAMES, "adr", "X-A.FN", "X-NONE", "UID"))
PROP_FILTERS = st.one_of(
    st.builds(PropFilter, PROP_NAMES, TESTS, st.booleans()),
    st.builds(
        PropFilter,
        PROP_NAMES,
        TESTS,
        st.just(False),
        st.lists(TEXT_MATCHES, max_size=2).map(tuple),
        st.lists(PARAM_FILTERS, max_size=2).map(tuple),
    ),
)


@given(st.builds(CardFilter, TESTS, st.lists(PROP_FILTERS, max_size=3).map(tuple)), cards.cards())
def test_the_quick_way_finds_the_same_as_the_plain_one(card_filter, card):
    check_filter(card_filter)
    assert compiled(card_filter)(card) is naive(card_filter, card)


@given(st.text(max_size=8), st.text(max_size=8), cards.cards())
def test_no_name_and_no_text_breaks_it(name, needle, card):
    card_filter = has(name, TextMatch(needle), params=(ParamFilter(name, text_match=TextMatch(needle)),))
    try:
        check_filter(card_filter)
    except InvalidFilter:
        return
    assert matches(card_filter, card) in (True, False)


def seconds(card_filter: CardFilter, card: str) -> float:
    test = compiled(card_filter)
    began = time.perf_counter()
    test(card)
    return time.perf_counter() - began


def test_many_conditions_on_one_long_value_cost_little_more_than_one():
    """The value is unescaped and folded once; done for each condition, forty cost forty times as much."""
    card = cards.APPLE.replace("END:VCARD", "NOTE:" + "\u00e9\\," * 200_000 + "\r\nEND:VCARD")
    conditions = tuple(PropFilter("NOTE", text_matches=(TextMatch(f"z{number}", negate=True),)) for number in range(40))
    one = min(seconds(CardFilter("allof", conditions[:1]), card) for _ in range(3))
    assert min(seconds(CardFilter("allof", conditions), card) for _ in range(3)) < 10 * one
