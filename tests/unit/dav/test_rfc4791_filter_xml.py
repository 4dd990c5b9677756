from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from server.calendar.filters import CompFilter, ParamFilter, PropFilter, TextMatch, TimeRange
from server.calendar.partial import CompSelection
from server.dav.core.xml import parse
from server.dav.rfc4791.filter_xml import (
    CalendarDataRequest,
    read_calendar_data,
    read_filter,
    read_query,
    read_time_range,
)
from server.domain.errors import (
    InvalidFilter,
    KoyomiError,
    UnsupportedCollation,
    UnsupportedFilter,
    UnsupportedMediaType,
)
from tests.unit.calendar.filter_strategies import as_xml, calendar_filters

NAMESPACE = "urn:ietf:params:xml:ns:caldav"
START, END = datetime(2006, 1, 4, tzinfo=UTC), datetime(2006, 1, 5, tzinfo=UTC)
WINDOW = 'start="20060104T000000Z" end="20060105T000000Z"'


def element(text: str):
    """The XML with CalDAV's namespace as the default one."""
    root = f'<root xmlns="{NAMESPACE}" xmlns:D="DAV:" xmlns:X="urn:x">{text}</root>'
    return parse(root.encode())[0]


def in_vevent(inner: str) -> str:
    return (
        f'<filter><comp-filter name="VCALENDAR"><comp-filter name="VEVENT">{inner}</comp-filter></comp-filter></filter>'
    )


def vevent(**others) -> CompFilter:
    return CompFilter("VCALENDAR", comp_filters=(CompFilter("VEVENT", **others),))


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("", vevent()),
        # RFC 4791 §7.8.1
        (f"<time-range {WINDOW}/>", vevent(time_range=TimeRange(START, END))),
        ('<time-range end="20060105T000000Z"/>', vevent(time_range=TimeRange(None, END))),
        # §7.8.5
        (
            f'<comp-filter name="VALARM"><time-range {WINDOW}/></comp-filter>',
            vevent(comp_filters=(CompFilter("VALARM", time_range=TimeRange(START, END)),)),
        ),
        # §7.8.6
        (
            '<prop-filter name="UID"><text-match collation="i;octet">DC6C50A017428C5216A2F1CD@example.com</text-match>'
            "</prop-filter>",
            vevent(
                prop_filters=(
                    PropFilter("UID", text_match=TextMatch("DC6C50A017428C5216A2F1CD@example.com", "i;octet")),
                )
            ),
        ),
        # §7.8.7
        (
            '<prop-filter name="ATTENDEE"><text-match collation="i;ascii-casemap">mailto:lisa@example.com</text-match>'
            '<param-filter name="PARTSTAT"><text-match collation="i;ascii-casemap">NEEDS-ACTION</text-match>'
            "</param-filter></prop-filter>",
            vevent(
                prop_filters=(
                    PropFilter(
                        "ATTENDEE",
                        text_match=TextMatch("mailto:lisa@example.com"),
                        param_filters=(ParamFilter("PARTSTAT", text_match=TextMatch("NEEDS-ACTION")),),
                    ),
                )
            ),
        ),
        # §7.8.9
        (
            '<prop-filter name="COMPLETED"><is-not-defined/></prop-filter><prop-filter name="STATUS">'
            '<text-match negate-condition="yes">CANCELLED</text-match></prop-filter>',
            vevent(
                prop_filters=(
                    PropFilter("COMPLETED", is_not_defined=True),
                    PropFilter("STATUS", text_match=TextMatch("CANCELLED", negate=True)),
                )
            ),
        ),
        (
            f'<prop-filter name="DTSTAMP" test="anyof"><time-range {WINDOW}/><param-filter name="X"><is-not-defined/>'
            "</param-filter></prop-filter>",
            vevent(
                prop_filters=(
                    PropFilter(
                        "DTSTAMP",
                        time_range=TimeRange(START, END),
                        param_filters=(ParamFilter("X", is_not_defined=True),),
                        test="anyof",
                    ),
                )
            ),
        ),
        (
            '<comp-filter name="VALARM"><is-not-defined/></comp-filter>',
            vevent(comp_filters=(CompFilter("VALARM", True),)),
        ),
    ],
)
def test_filters(inner, expected):
    assert read_filter(element(in_vevent(inner))) == expected


@given(calendar_filters)
def test_any_filter_is_read_as_it_was_written(comp_filter):
    written = as_xml(comp_filter).replace("<C:", "<").replace("</C:", "</")
    assert read_filter(element(f"<filter>{written}</filter>")) == comp_filter


def test_components_side_by_side():
    """The extension calendar-query-extended."""
    found = read_filter(
        element(
            '<filter><comp-filter name="VCALENDAR" test="anyof"><comp-filter name="VEVENT"/><comp-filter name="VTODO" '
            'test="allof"/></comp-filter></filter>'
        )
    )
    assert found == CompFilter(
        "VCALENDAR", comp_filters=(CompFilter("VEVENT"), CompFilter("VTODO", test="allof")), test="anyof"
    )
    assert CompFilter("VCALENDAR").test == CompFilter("VTODO").test == "allof"


def test_queries_with_their_time_zone():
    assert read_query(element(f"<calendar-query>{in_vevent('')}</calendar-query>")).timezone is None
    text = "BEGIN:VCALENDAR\nEND:VCALENDAR"
    found = read_query(element(f"<calendar-query>{in_vevent('')}<timezone>\n{text}\n</timezone></calendar-query>"))
    assert (found.comp_filter, found.timezone, found.timezone_id) == (vevent(), text, None)
    found = read_query(
        element(f"<calendar-query>{in_vevent('')}<timezone-id>Asia/Tokyo</timezone-id></calendar-query>")
    )
    assert (found.timezone, found.timezone_id) == (None, "Asia/Tokyo")


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<filter/>",
        '<filter><comp-filter name="VCALENDAR"/><X:near/></filter>',
        in_vevent("") * 2,
        '<filter><comp-filter name="VCALENDAR"/><comp-filter name="VCALENDAR"/></filter>',
        '<filter><comp-filter name="VEVENT"/></filter>',
        "<filter><comp-filter/></filter>",
        '<filter><prop-filter name="UID"/></filter>',
        f'<filter><comp-filter name="VCALENDAR"><time-range {WINDOW}/></comp-filter></filter>',
        '<filter><comp-filter name="VCALENDAR" test="some"/></filter>',
        in_vevent("<time-range/>"),
        in_vevent('<time-range start="20060104" end="20060105"/>'),
        in_vevent('<time-range start="20060104T000000" end="20060105T000000"/>'),
        in_vevent('<time-range start="20060105T000000Z" end="20060105T000000Z"/>'),
        in_vevent(f"<time-range {WINDOW}/><time-range {WINDOW}/>"),
        in_vevent("<text-match>x</text-match>"),
        in_vevent('<is-not-defined/><prop-filter name="UID"/>'),
        in_vevent('<prop-filter name="UID"><text-match/><text-match/></prop-filter>'),
        in_vevent('<prop-filter name="UID"><text-match negate-condition="1"/></prop-filter>'),
        in_vevent('<prop-filter name="UID"><comp-filter name="VEVENT"/></prop-filter>'),
        in_vevent(f'<prop-filter name="SUMMARY"><time-range {WINDOW}/></prop-filter>'),
        in_vevent(
            '<prop-filter name="UID"><param-filter name="X"><is-not-defined/><text-match/></param-filter></prop-filter>'
        ),
        in_vevent('<prop-filter name="UID"/>' * 201),
        in_vevent('<comp-filter name="X-A">' * 100 + "</comp-filter>" * 100),
        in_vevent("") + "<timezone>x</timezone><timezone-id>y</timezone-id>",
        in_vevent("") + "<timezone>x</timezone><timezone>y</timezone>",
    ],
)
def test_filters_that_are_not_valid(inner):
    with pytest.raises(InvalidFilter):
        read_query(element(f"<calendar-query>{inner}</calendar-query>"))


@pytest.mark.parametrize(
    ("inner", "named"),
    [
        ("<X:near/>", "comp-filter"),
        ('<prop-filter name="LOCATION"><X:near/></prop-filter>', "prop-filter"),
        ('<prop-filter name="UID"><text-match match-type="like">x</text-match></prop-filter>', "prop-filter"),
        (
            '<prop-filter name="ATTENDEE"><param-filter name="CN"><text-match match-type="">x</text-match>'
            "</param-filter></prop-filter>",
            "param-filter",
        ),
    ],
)
def test_conditions_that_are_not_known_are_named(inner, named):
    with pytest.raises(UnsupportedFilter) as caught:
        read_filter(element(in_vevent(inner)))
    assert etree.fromstring(caught.value.element).tag == f"{{{NAMESPACE}}}{named}"


def test_a_large_filter_that_is_refused_is_quoted_without_its_content():
    parameters = '<param-filter name="X"/>' * 190
    inner = f'<prop-filter name="UID"><text-match match-type="like">{"x" * 5000}</text-match>{parameters}</prop-filter>'
    with pytest.raises(UnsupportedFilter) as caught:
        read_filter(element(in_vevent(inner)))
    quoted = etree.fromstring(caught.value.element)
    assert (quoted.tag, dict(quoted.attrib), len(quoted)) == (f"{{{NAMESPACE}}}prop-filter", {"name": "UID"}, 0)


@pytest.mark.parametrize("match_type", ["contains", "equals", "starts-with", "ends-with"])
def test_match_types(match_type):
    """The extension calendar-query-extended, as RFC 6352 §10.5.4 has it."""
    match = f'<text-match match-type="{match_type}" negate-condition="yes" collation="i;octet">x</text-match>'
    inner = f'<prop-filter name="ATTENDEE">{match}<param-filter name="CN">{match}</param-filter></prop-filter>'
    expected = TextMatch("x", "i;octet", True, match_type)
    assert read_filter(element(in_vevent(inner))) == vevent(
        prop_filters=(PropFilter("ATTENDEE", text_match=expected, param_filters=(ParamFilter("CN", False, expected),)),)
    )


def test_collations():
    def read(collation: str) -> str:
        inner = f'<prop-filter name="UID"><text-match collation="{collation}">x</text-match></prop-filter>'
        match = read_filter(element(in_vevent(inner))).comp_filters[0].prop_filters[0].text_match
        assert match is not None
        return match.collation

    assert read("default") == "i;ascii-casemap"
    assert read("i;unicode-casemap") == "i;unicode-casemap"
    with pytest.raises(UnsupportedCollation):
        read("i;nonsense")


def test_time_ranges():
    assert read_time_range(element(f"<time-range {WINDOW}/>")) == TimeRange(START, END)
    with pytest.raises(InvalidFilter):
        read_time_range(element("<time-range/>"))


def test_calendar_data():
    found = read_calendar_data(element("<calendar-data/>"))
    assert (found.selection, found.expand, found.limit_recurrence_set, found.limit_freebusy_set) == (None,) * 4
    found = read_calendar_data(
        element(
            '<calendar-data content-type="text/calendar; charset=utf-8" version="2.0"><X:extension/>'
            '<comp name="VCALENDAR"><prop name="VERSION"/><comp name="VEVENT"><allprop/><allcomp/></comp>'
            '<comp name="VTIMEZONE"><prop name="TZID" novalue="yes"/></comp></comp>'
            f"<limit-recurrence-set {WINDOW}/><limit-freebusy-set {WINDOW}/></calendar-data>"
        )
    )
    assert found.selection == CompSelection(
        "VCALENDAR",
        properties=(("VERSION", False),),
        components=(
            CompSelection("VEVENT", all_properties=True, all_components=True),
            CompSelection("VTIMEZONE", properties=(("TZID", True),)),
        ),
    )
    assert (found.expand, found.limit_recurrence_set, found.limit_freebusy_set) == (
        None,
        TimeRange(START, END),
        TimeRange(START, END),
    )
    assert read_calendar_data(element(f"<calendar-data><expand {WINDOW}/></calendar-data>")).expand == TimeRange(
        START, END
    )
    for whole in ('<comp name="VCALENDAR"/>', '<comp name="vcalendar"><allprop/><allcomp/></comp>'):
        data = element(f"<calendar-data>{whole}<expand {WINDOW}/></calendar-data>")
        assert read_calendar_data(data) == CalendarDataRequest(None, TimeRange(START, END), None, None)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('<calendar-data content-type="text/vcalendar" version="2.0"/>', UnsupportedMediaType),
        ('<calendar-data content-type="text/calendar" version="3.0"/>', UnsupportedMediaType),
        ('<calendar-data content-type="application/calendar+json"/>', UnsupportedMediaType),
        ('<calendar-data><expand start="20060104T000000Z"/></calendar-data>', InvalidFilter),
        ("<calendar-data><expand/></calendar-data>", InvalidFilter),
        (f"<calendar-data><expand {WINDOW}/><limit-recurrence-set {WINDOW}/></calendar-data>", InvalidFilter),
        (f"<calendar-data><expand {WINDOW}/><expand {WINDOW}/></calendar-data>", InvalidFilter),
        ('<calendar-data><comp name="VCALENDAR"/><comp name="VCALENDAR"/></calendar-data>', InvalidFilter),
        ('<calendar-data><comp name="VEVENT"/></calendar-data>', InvalidFilter),
        ("<calendar-data><comp/></calendar-data>", InvalidFilter),
        ('<calendar-data><prop name="UID"/></calendar-data>', InvalidFilter),
        ('<calendar-data><comp name="VCALENDAR"><prop name="A" novalue=""/></comp></calendar-data>', InvalidFilter),
        (
            "<calendar-data>" + '<comp name="VCALENDAR">' * 100 + "</comp>" * 100 + "</calendar-data>",
            InvalidFilter,
        ),
        (
            '<calendar-data><comp name="VCALENDAR">' + '<prop name="A"/>' * 1001 + "</comp></calendar-data>",
            InvalidFilter,
        ),
    ],
)
def test_calendar_data_that_is_refused(text, error):
    with pytest.raises(error):
        read_calendar_data(element(text))


NAMES = st.sampled_from(
    (
        *("calendar-query", "filter", "comp-filter", "prop-filter", "param-filter", "text-match", "is-not-defined"),
        *("time-range", "timezone", "calendar-data", "comp", "prop", "allprop", "expand"),
    )
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ("name", "test", "collation", "match-type", "negate-condition", "novalue", "start", "end", "version")
    ),
    st.sampled_from(
        ("VCALENDAR", "VEVENT", "allof", "yes", "i;octet", "contains", "20060104T000000Z", "20069999T000000Z", "")
    ),
    max_size=2,
)


@st.composite
def trees(draw: st.DrawFn, depth: int = 0):
    namespace = draw(st.sampled_from((NAMESPACE,) * 5 + ("urn:x",)))
    node = etree.Element(f"{{{namespace}}}{draw(NAMES)}", draw(ATTRIBUTES))
    node.text = draw(st.sampled_from((None, "", "x")))
    if depth < 4:
        node.extend(draw(st.lists(trees(depth + 1), max_size=2)))
    return node


@given(trees())
def test_any_tree_gives_a_value_or_a_domain_error(tree):
    for read in (read_query, read_filter, read_time_range, read_calendar_data):
        try:
            read(tree)
        except KoyomiError:
            continue
