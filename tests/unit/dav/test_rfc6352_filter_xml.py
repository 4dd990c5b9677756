import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from server.contacts.filters import MAX_FILTERS, CardFilter, ParamFilter, PropFilter, TextMatch
from server.contacts.partial import AddressDataSelection, PropertySelection
from server.dav.core.xml import parse
from server.dav.rfc6352.filter_xml import MAX_SELECTED, read_address_data, read_filter, read_query
from server.domain.errors import (
    BadRequest,
    InvalidFilter,
    KoyomiError,
    UnsupportedCollation,
    UnsupportedFilter,
    UnsupportedMediaType,
)

NAMESPACE = "urn:ietf:params:xml:ns:carddav"


def element(text: str):
    """The XML with CardDAV's namespace as the default one."""
    root = f'<root xmlns="{NAMESPACE}" xmlns:D="DAV:" xmlns:X="urn:x">{text}</root>'
    return parse(root.encode())[0]


def query(inner: str):
    return read_query(element(f"<addressbook-query>{inner}</addressbook-query>"))


def test_the_query_of_rfc_6352_8_6_4():
    found = query("""
     <D:prop><D:getetag/><address-data><prop name="VERSION"/></address-data></D:prop>
     <filter test="anyof">
       <prop-filter name="FN">
         <text-match collation="i;unicode-casemap"
                       match-type="contains"
         >daboo</text-match>
       </prop-filter>
       <prop-filter name="EMAIL">
         <text-match collation="i;unicode-casemap"
                       match-type="contains"
         >daboo</text-match>
       </prop-filter>
     </filter>""")
    assert found.card_filter == CardFilter(
        "anyof",
        (PropFilter("FN", text_matches=(TextMatch("daboo"),)), PropFilter("EMAIL", text_matches=(TextMatch("daboo"),))),
    )
    assert found.limit is None


def test_everything_a_filter_can_say():
    found = read_filter(
        element(
            '<filter test="allof"><prop-filter name=" X-A.TEL " test="allof">'
            '<text-match collation="i;octet" match-type="starts-with" negate-condition="yes"> a &amp; b </text-match>'
            '<text-match match-type="equals"/><!-- a comment -->'
            '<param-filter name="TYPE"><text-match collation="default" match-type="ends-with"><![CDATA[x]]>'
            '</text-match></param-filter><param-filter name="A"><is-not-defined/></param-filter>'
            '<param-filter name="B"/></prop-filter>'
            '<prop-filter name="PHOTO"><is-not-defined/></prop-filter></filter>'
        )
    )
    assert found == CardFilter(
        "allof",
        (
            PropFilter(
                "X-A.TEL",
                "allof",
                False,
                (TextMatch(" a & b ", "i;octet", "starts-with", True), TextMatch("", match_type="equals")),
                (
                    ParamFilter("TYPE", text_match=TextMatch("x", match_type="ends-with")),
                    ParamFilter("A", is_not_defined=True),
                    ParamFilter("B"),
                ),
            ),
            PropFilter("PHOTO", is_not_defined=True),
        ),
    )


def test_an_empty_filter_is_one():
    assert query("<filter/>").card_filter == CardFilter()


@pytest.mark.parametrize(
    ("inner", "limit"),
    [
        ("", None),
        ("<limit/>", None),
        ("<limit><nresults>2</nresults></limit>", 2),
        ("<limit><nresults> 0 </nresults></limit>", 0),
        (f"<limit><nresults>{'9' * 5000}</nresults></limit>", 10**9),
    ],
)
def test_limits(inner, limit):
    assert query("<filter/>" + inner).limit == limit


@pytest.mark.parametrize("number", ["", "-1", "1.5", "x", "١", "²"])
def test_limits_that_are_no_number(number):
    with pytest.raises(BadRequest):
        query(f"<filter/><limit><nresults>{number}</nresults></limit>")


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<filter/><filter/>",
        '<filter test="one"/>',
        "<filter><prop-filter/></filter>",
        '<filter><prop-filter name=" "/></filter>',
        '<filter><prop-filter name="FN" test=""/></filter>',
        '<filter><comp-filter name="FN"/></filter>',
        "<filter><text-match>x</text-match></filter>",
        '<filter><prop-filter name="FN"><prop-filter name="FN"/></prop-filter></filter>',
        '<filter><prop-filter name="FN"><is-not-defined/><text-match>x</text-match></prop-filter></filter>',
        '<filter><prop-filter name="FN"/><X:sounds-like>x</X:sounds-like></filter>',
        '<filter><prop-filter name="FN"><text-match negate-condition="true">x</text-match></prop-filter></filter>',
        '<filter><prop-filter name="FN"><text-match>x<is-not-defined/></text-match></prop-filter></filter>',
        '<filter><prop-filter name="FN"><param-filter/></prop-filter></filter>',
        '<filter><prop-filter name="FN"><param-filter name="A"><text-match/><text-match/></param-filter>'
        "</prop-filter></filter>",
        '<filter><prop-filter name="FN"><param-filter name="A"><is-not-defined/><text-match/></param-filter>'
        "</prop-filter></filter>",
        "<filter>" + '<prop-filter name="FN"/>' * (MAX_FILTERS + 1) + "</filter>",
    ],
)
def test_filters_that_are_not_valid(inner):
    with pytest.raises(InvalidFilter):
        query(inner)


@pytest.mark.parametrize(
    ("inner", "refused"),
    [
        ("<X:sounds-like>x</X:sounds-like>", ("prop-filter", "FN")),
        ('<text-match match-type="endswith">x</text-match>', ("prop-filter", "FN")),
        (
            '<param-filter name="TYPE"><text-match match-type="like">x</text-match></param-filter>',
            ("param-filter", "TYPE"),
        ),
    ],
)
def test_conditions_that_are_not_known_are_named(inner, refused):
    """RFC 6352 §8.6, CARDDAV:supported-filter."""
    with pytest.raises(UnsupportedFilter) as caught:
        query(f'<filter><prop-filter name="FN">{inner}</prop-filter></filter>')
    named = etree.fromstring(caught.value.element)
    assert (named.tag, named.get("name")) == (f"{{{NAMESPACE}}}{refused[0]}", refused[1])


@pytest.mark.parametrize("collation", ["i;nonsense", "i;*", ""])
def test_collations_that_are_not_supported(collation):
    with pytest.raises(UnsupportedCollation):
        query(
            f'<filter><prop-filter name="FN"><text-match collation="{collation}">x</text-match></prop-filter></filter>'
        )


@pytest.mark.parametrize(
    ("text", "version", "selection"),
    [
        ("<address-data/>", None, ()),
        ('<address-data content-type="Text/VCard; charset=utf-8" version=" 4.0 "/>', "4.0", ()),
        ('<address-data version="3.0"><allprop/></address-data>', "3.0", ()),
        (
            '<address-data><prop name="FN"/><X:y/><prop name="a.TEL" novalue="yes"/><prop name="B" novalue="no"/>'
            "</address-data>",
            None,
            (PropertySelection("FN"), PropertySelection("a.TEL", True), PropertySelection("B")),
        ),
    ],
)
def test_address_data(text, version, selection):
    found = read_address_data(element(text))
    assert (found.version, found.selection) == (version, AddressDataSelection(selection))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('<address-data content-type="application/vcard+json"/>', UnsupportedMediaType),
        ('<address-data content-type=""/>', UnsupportedMediaType),
        ('<address-data version="5.0"/>', UnsupportedMediaType),
        ("<address-data><prop/></address-data>", InvalidFilter),
        ('<address-data><prop name="FN" novalue="1"/></address-data>', InvalidFilter),
        ('<address-data><comp name="FN"/></address-data>', InvalidFilter),
        ("<address-data>" + '<prop name="FN"/>' * (MAX_SELECTED + 1) + "</address-data>", InvalidFilter),
    ],
)
def test_address_data_that_is_refused(text, error):
    with pytest.raises(error):
        read_address_data(element(text))


NAMES = st.sampled_from(
    (
        *("filter", "prop-filter", "param-filter", "text-match", "is-not-defined"),
        *("limit", "nresults", "address-data", "prop", "allprop"),
    )
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(("name", "test", "collation", "match-type", "negate-condition", "novalue", "version")),
    st.sampled_from(("FN", "allof", "yes", "no", "i;octet", "contains", "é", "")),
    max_size=2,
)


@st.composite
def trees(draw: st.DrawFn, depth: int = 0):
    namespace = draw(st.sampled_from((*(NAMESPACE,) * 5, "urn:x")))
    node = etree.Element(f"{{{namespace}}}{draw(NAMES)}", draw(ATTRIBUTES))
    node.text = draw(st.sampled_from((None, "", "x", "1")))
    if depth < 4:
        node.extend(draw(st.lists(trees(depth + 1), max_size=2)))
    return node


@given(trees())
def test_any_tree_gives_a_value_or_a_domain_error(tree):
    for read in (read_query, read_filter, read_address_data):
        try:
            read(tree)
        except KoyomiError:
            continue
