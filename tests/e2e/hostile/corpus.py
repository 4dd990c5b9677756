"""Requests as the apps that people use send them, for every method and report that is offered.

The shapes (prefixes, order, headers, depths) are those of the apps; the texts are our own.
"""

from __future__ import annotations

from tests.e2e.hostile.contents import CALENDARS, CARDS, ZONE
from tests.e2e.hostile.message import Media, Template

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
SPACES = (
    'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:A="urn:ietf:params:xml:ns:carddav" '
    'xmlns:S="http://calendarserver.org/ns/" xmlns:I="http://apple.com/ns/ical/" xmlns:X="http://example.com/ns/"'
)
AGENTS = {
    "apple": "macOS/14.5 (23F79) CalendarAgent/1021",
    "ios": "iOS/17.5.1 (21F90) dataaccessd/1.0",
    "contacts": "macOS/14.5 (23F79) AddressBookCore/2604.600.11",
    "davx5": "DAVx5/4.4.1-ose (2024/07/01; dav4jvm; okhttp/4.12.0) Android/14",
    "thunderbird": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.0",
    "evolution": "Evolution/3.52.3",
    "outlook": "CalDavSynchronizer/4.4",
    "vdirsyncer": "vdirsyncer/0.19.3",
    "library": "python-caldav/1.4.0",
    "plain": "curl/8.5.0",
}
_XML_TYPES = {
    "apple": "text/xml",
    "ios": "text/xml",
    "contacts": "text/xml",
    "thunderbird": "text/xml; charset=utf-8",
    "evolution": 'application/xml; charset="utf-8"',
}


def _sent(client: str, what: str, media: Media, method: str, target: str, body: str = "", **headers: str) -> Template:
    fields = {"Host": "{host}", "User-Agent": AGENTS[client], "Accept": "*/*"}
    if client in ("davx5", "vdirsyncer", "ios"):
        fields["Accept-Encoding"] = "gzip, deflate"
    if client in ("apple", "ios", "contacts") and media == "xml":
        fields |= {"Brief": "t", "Prefer": "return=minimal"}
    if body:
        default = _XML_TYPES.get(client, "application/xml; charset=utf-8")
        types = {"xml": default, "calendar": "text/calendar; charset=utf-8", "card": "text/vcard; charset=utf-8"}
        fields["Content-Type"] = types[media]
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Template(f"{client}: {what}", media, method, target, fields, body)


def _ask(client: str, what: str, method: str, target: str, body: str, **headers: str) -> Template:
    return _sent(client, what, "xml", method, target, HEAD + body, **headers)


def _elements(prefix: str, names: str) -> str:
    return "".join(f"<{prefix}:{name}/>" for name in names.split())


def _root(name: str, inner: str) -> str:
    return f"<{name} {SPACES}>{inner}</{name}>"


def _filter(inner: str) -> str:
    return f'<C:filter><C:comp-filter name="VCALENDAR">{inner}</C:comp-filter></C:filter>'


_RANGE = '<C:time-range start="20260101T000000Z" end="20270101T000000Z"/>'
_APPLE_HOME = (
    '<A:propfind xmlns:A="DAV:"><A:prop><A:add-member/><B:calendar-description '
    'xmlns:B="urn:ietf:params:xml:ns:caldav"/><D:calendar-color xmlns:D="http://apple.com/ns/ical/"/>'
    '<B:calendar-timezone xmlns:B="urn:ietf:params:xml:ns:caldav"/><A:current-user-privilege-set/><A:displayname/>'
    '<C:getctag xmlns:C="http://calendarserver.org/ns/"/><A:owner/><A:quota-available-bytes/><A:quota-used-bytes/>'
    '<A:resource-id/><A:resourcetype/><B:schedule-calendar-transp xmlns:B="urn:ietf:params:xml:ns:caldav"/>'
    '<B:supported-calendar-component-set xmlns:B="urn:ietf:params:xml:ns:caldav"/><A:supported-report-set/>'
    "<A:sync-token/></A:prop></A:propfind>"
)
_DISCOVERY = (
    '<propfind xmlns="DAV:" xmlns:CAL="urn:ietf:params:xml:ns:caldav" xmlns:CARD="urn:ietf:params:xml:ns:carddav">'
    "<prop><resourcetype /><displayname /><CAL:calendar-home-set /><CARD:addressbook-home-set />"
    "<current-user-principal /><current-user-privilege-set /><owner /><CAL:supported-calendar-component-set />"
    '<source xmlns="http://calendarserver.org/ns/" /></prop></propfind>'
)
_SYNC = (
    '<sync-collection xmlns="DAV:"><sync-token>{{{}}}</sync-token><sync-level>{}</sync-level>{}'
    "<prop><getcontenttype/><getetag/></prop></sync-collection>"
).format
_MULTIGET = (
    '<C:calendar-multiget xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:prop><D:getetag/>'
    "<C:calendar-data>{}</C:calendar-data></D:prop>"
    + "".join(f"<D:href>{{{{calendar}}}}{n}.ics</D:href>" for n in range(8))
    + "<D:href>{{victim_calendar}}secret.ics</D:href></C:calendar-multiget>"
).format
_EXPAND = '<C:expand start="20260101T000000Z" end="20260401T000000Z"/>'
_PARTIAL = (
    '<C:comp name="VCALENDAR"><C:prop name="VERSION"/><C:comp name="VEVENT"><C:prop name="SUMMARY"/>'
    '<C:prop name="UID" novalue="no"/></C:comp></C:comp>'
)
_MATCH = '<C:prop-filter name="{}"><C:text-match collation="{}" negate-condition="{}">{}</C:text-match></C:prop-filter>'

QUERIES = {
    "with a start alone": _filter(
        '<C:comp-filter name="VEVENT"><C:time-range start="20260101T000000Z"/></C:comp-filter>'
    ),
    "in a range": _filter(f'<C:comp-filter name="VEVENT">{_RANGE}</C:comp-filter>'),
    "of all events": _filter('<C:comp-filter name="VEVENT"/>'),
    "of open tasks": _filter(
        '<C:comp-filter name="VTODO"><C:prop-filter name="COMPLETED"><C:is-not-defined/></C:prop-filter>'
        + _MATCH.format("STATUS", "i;ascii-casemap", "yes", "CANCELLED")
        + "</C:comp-filter>"
    ),
    "of alarms": _filter(
        f'<C:comp-filter name="VEVENT"><C:comp-filter name="VALARM">{_RANGE}</C:comp-filter></C:comp-filter>'
    ),
    "of attendees": _filter(
        '<C:comp-filter name="VEVENT"><C:prop-filter name="ATTENDEE">'
        '<C:text-match collation="i;octet">ada</C:text-match>'
        '<C:param-filter name="PARTSTAT"><C:text-match>NEEDS-ACTION</C:text-match></C:param-filter></C:prop-filter>'
        "</C:comp-filter>"
    ),
    "by UID": _filter(f'<C:comp-filter name="VEVENT">{_MATCH.format("UID", "i;octet", "no", "uid-3")}</C:comp-filter>'),
    "in a zone": _filter(f'<C:comp-filter name="VEVENT">{_RANGE}</C:comp-filter>') + f"<C:timezone>{ZONE}</C:timezone>",
}
_CARD_FILTERS = {
    "by name": '<A:prop-filter name="FN">'
    '<A:text-match collation="i;unicode-casemap" match-type="contains">a</A:text-match>'
    "</A:prop-filter>",
    "by anything": "".join(
        f'<A:prop-filter name="{name}" test="allof"><A:text-match match-type="starts-with">x</A:text-match>'
        '<A:param-filter name="TYPE"><A:text-match negate-condition="yes">work</A:text-match></A:param-filter>'
        "</A:prop-filter>"
        for name in ("NICKNAME", "EMAIL", "TEL", "ORG")
    ),
    "without e-mail": '<A:prop-filter name="EMAIL"><A:is-not-defined/></A:prop-filter>',
}
_ACL = (
    "<D:ace><D:principal><D:href>{victim_principal}</D:href></D:principal><D:grant><D:privilege><D:read/>"
    "</D:privilege><D:privilege><C:read-free-busy/></D:privilege></D:grant></D:ace>"
    "<D:ace><D:principal><D:authenticated/></D:principal><D:deny><D:privilege><D:write/></D:privilege></D:deny></D:ace>"
)
_SEARCH = (
    "<D:property-search><D:prop><D:displayname/></D:prop><D:match>ada</D:match></D:property-search>"
    "<D:property-search><D:prop><C:calendar-user-address-set/></D:prop><D:match>ada</D:match></D:property-search>"
    "<D:prop><D:displayname/><C:calendar-user-address-set/><D:principal-URL/></D:prop>"
)
_MAKE = (
    '<B:mkcalendar xmlns:B="urn:ietf:params:xml:ns:caldav"><A:set xmlns:A="DAV:"><A:prop>'
    '<D:calendar-color xmlns:D="http://apple.com/ns/ical/" symbolic-color="custom">#882F00FF</D:calendar-color>'
    '<B:supported-calendar-component-set><B:comp name="VEVENT"/></B:supported-calendar-component-set>'
    '<D:calendar-order xmlns:D="http://apple.com/ns/ical/">3</D:calendar-order><A:displayname>Sport</A:displayname>'
    f"<B:calendar-timezone>{ZONE}</B:calendar-timezone></A:prop></A:set></B:mkcalendar>"
)
_MKCOL = (
    '<mkcol xmlns="DAV:"><set><prop><resourcetype><collection/><{0} xmlns="urn:ietf:params:xml:ns:{1}"/>'
    "</resourcetype><displayname>Test</displayname></prop></set></mkcol>"
).format
_PATCHES = {
    "name and colour": "<D:set><D:prop><D:displayname>Work</D:displayname>"
    '<I:calendar-color symbolic-color="red">#FF2968FF</I:calendar-color></D:prop></D:set>'
    "<D:set><D:prop><I:calendar-order>7</I:calendar-order></D:prop></D:set>",
    "transparency": "<D:set><D:prop><C:schedule-calendar-transp><C:transparent/></C:schedule-calendar-transp>"
    "<C:calendar-description>About</C:calendar-description></D:prop></D:set>",
    "zone": f"<D:set><D:prop><C:calendar-timezone>{ZONE}</C:calendar-timezone></D:prop></D:set>",
    "own": '<D:set><D:prop><X:p a="1" xml:lang="de"><X:q>v</X:q>mixed</X:p></D:prop></D:set>'
    "<D:remove><D:prop><X:r/></D:prop></D:remove>",
}


def _templates() -> list[Template]:
    found = [
        _ask("ios", "discovery", "PROPFIND", "/.well-known/caldav", _DISCOVERY, Depth="0"),
        _ask("davx5", "root", "PROPFIND", "/", _DISCOVERY, Depth="0"),
        _ask("davx5", "principal", "PROPFIND", "{principal}", _DISCOVERY, Depth="0"),
        _ask("thunderbird", "home", "PROPFIND", "{home}", _DISCOVERY, Depth="1"),
        _ask("apple", "home", "PROPFIND", "{home}", _APPLE_HOME, Depth="1"),
        _ask("contacts", "home", "PROPFIND", "{books}", _APPLE_HOME, Depth="1"),
        _ask("library", "all properties", "PROPFIND", "{calendar}",
             _root("D:propfind", f"<D:allprop/><D:include>{_elements('D', 'acl supported-report-set')}</D:include>"),
             Depth="1"),
        _ask("evolution", "names", "PROPFIND", "{calendar}1.ics", _root("D:propfind", "<D:propname/>"), Depth="0"),
        _ask("outlook", "ETag", "PROPFIND", "{calendar}1.ics",
             _root("D:propfind", f"<D:prop>{_elements('D', 'getetag getlastmodified')}</D:prop>"), Depth="0"),
        _ask("outlook", "victim's", "PROPFIND", "{victim_calendar}",
             _root("D:propfind", f"<D:prop>{_elements('D', 'getetag displayname')}</D:prop>"), Depth="1"),
        _ask("thunderbird", "sync", "REPORT", "{calendar}", _SYNC("token", "1", ""), Depth="1"),
        _ask("ios", "sync of the home", "REPORT", "{home}",
             _SYNC("home_token", "infinite", "<limit><nresults>3</nresults></limit>")),
        _ask("contacts", "sync", "REPORT", "{book}", _SYNC("none", "1", "")),
        _ask("apple", "multiget", "REPORT", "{calendar}", _MULTIGET(""), Depth="1"),
        _ask("library", "expanded multiget", "REPORT", "{calendar}", _MULTIGET(_EXPAND), Depth="1"),
        _ask("library", "partial multiget", "REPORT", "{calendar}", _MULTIGET(_PARTIAL), Depth="0"),
        _ask("davx5", "multiget of cards", "REPORT", "{book}",
             '<CARD:addressbook-multiget xmlns="DAV:" xmlns:CARD="urn:ietf:params:xml:ns:carddav"><prop>'
             '<getetag /><CARD:address-data content-type="text/vcard" version="3.0"><CARD:prop name="FN"/>'
             "</CARD:address-data></prop><href>{book}1.vcf</href><href>{book}2.vcf</href></CARD:addressbook-multiget>",
             Depth="0"),
        _ask("evolution", "free-busy", "REPORT", "{calendar}", _root("C:free-busy-query", _RANGE), Depth="1"),
        _ask("library", "privileges of people", "REPORT", "{calendar}",
             _root("D:acl-principal-prop-set", "<D:prop><D:displayname/></D:prop>"), Depth="0"),
        _ask("library", "own principals", "REPORT", "/principals/",
             _root("D:principal-match", "<D:self/><D:prop><D:displayname/></D:prop>"), Depth="0"),
        _ask("apple", "search", "REPORT", "/principals/", _root("D:principal-property-search", _SEARCH), Depth="0"),
        _ask("apple", "what can be searched", "REPORT", "/principals/",
             _root("D:principal-search-property-set", ""), Depth="0"),
        _ask("apple", "people by words", "REPORT", "/principals/",
             _root("S:calendarserver-principal-search",
                   "<S:search-token>ad</S:search-token><S:search-token>a</S:search-token><S:limit><S:nresults>5"
                   f"</S:nresults></S:limit><D:prop>{_elements('D', 'displayname principal-URL')}</D:prop>"),
             Depth="0"),
        _ask("apple", "delegates", "REPORT", "{principal}",
             _root("D:expand-property",
                   '<D:property name="calendar-proxy-write-for" namespace="http://calendarserver.org/ns/">'
                   '<D:property name="displayname"/><D:property name="calendar-home-set" '
                   'namespace="urn:ietf:params:xml:ns:caldav"/></D:property>'), Depth="0"),
        _ask("apple", "delegate", "PROPPATCH", "{principal}calendar-proxy-read/",
             _root("D:propertyupdate", "<D:set><D:prop><D:group-member-set><D:href>{victim_principal}</D:href>"
                   "</D:group-member-set></D:prop></D:set>")),
        _ask("apple", "availability", "PROPPATCH", "{home}inbox/",
             _root("D:propertyupdate", f"<D:set><D:prop><C:calendar-availability>{CALENDARS['availability']}"
                   "</C:calendar-availability></D:prop></D:set>")),
        _ask("library", "privileges", "ACL", "{calendar}", _root("D:acl", _ACL)),
        _ask("apple", "calendar", "MKCALENDAR", "{home}made/", _MAKE),
        _ask("vdirsyncer", "calendar", "MKCOL", "{home}test/", _MKCOL("calendar", "caldav")),
        _ask("davx5", "address book", "MKCOL", "{books}test/", _MKCOL("addressbook", "carddav")),
        _sent("evolution", "options", "none", "OPTIONS", "{calendar}"),
        _sent("plain", "event", "none", "GET", "{calendar}1.ics"),
        _sent("plain", "subscription", "none", "GET", "{calendar}", Accept="text/calendar"),
        _sent("plain", "card", "none", "HEAD", "{book}1.vcf"),
        _sent("plain", "victim's", "none", "GET", "{victim_calendar}secret.ics"),
        _sent("davx5", "deletion", "none", "DELETE", "{calendar}1.ics", If_Match='"{etag}"'),
        _sent("plain", "deletion of the victim's", "none", "DELETE", "{victim_calendar}secret.ics"),
        _sent("library", "copy", "none", "COPY", "{calendar}3.ics", Destination="{home}test/copy.ics", Overwrite="T"),
        _sent("library", "copy over the victim's", "none", "COPY", "{calendar}3.ics", Overwrite="T",
              Destination="{victim_calendar}secret.ics"),
        _sent("evolution", "move", "none", "MOVE", "{book}0.vcf", Destination="http://{host}{books}test/moved.vcf"),
        _sent("plain", "conditional deletion", "none", "DELETE", "{book}4.vcf",
              If="(<{token}> [\"{etag}\"]) (Not <DAV:no>)"),
        _sent("plain", "deletion of a calendar", "none", "DELETE", "{home}made/", Depth="infinity"),
    ]  # fmt: skip
    for client, (what, query) in zip(("davx5", "outlook", "evolution", "library") * 2, QUERIES.items(), strict=True):
        shown = "<D:getetag/>" if client != "library" else f"<D:getetag/><C:calendar-data>{_EXPAND}</C:calendar-data>"
        target = "{tasks}" if "tasks" in what else "{calendar}"
        found.append(
            _ask(client, f"query {what}", "REPORT", target,
                 _root("C:calendar-query", f"<D:prop>{shown}</D:prop>{query}"),
                 Depth="1")
        )  # fmt: skip
    for what, query in _CARD_FILTERS.items():
        inner = (
            '<D:prop><D:getetag/><A:address-data><A:prop name="FN"/></A:address-data></D:prop>'
            f'<A:filter test="anyof">{query}</A:filter><A:limit><A:nresults>5</A:nresults></A:limit>'
        )
        found.append(
            _ask("contacts", f"query {what}", "REPORT", "{book}", _root("A:addressbook-query", inner), Depth="1")
        )
    for what, patch in _PATCHES.items():
        target = "{book}" if what == "own" else "{calendar}"
        found.append(_ask("apple", f"patch of {what}", "PROPPATCH", target, _root("D:propertyupdate", patch)))
    writers = ("apple", "davx5", "thunderbird", "evolution", "outlook", "vdirsyncer", "library", "ios")
    for number, (what, text) in enumerate(CALENDARS.items()):
        client = writers[number % len(writers)]
        target = "{tasks}" if what == "task" else "{calendar}"
        found.append(_sent(client, what, "calendar", "PUT", f"{target}{number}.ics", text))
    for number, (what, text) in enumerate(CARDS.items()):
        client = ("contacts", "davx5", "evolution")[number % 3]
        found.append(_sent(client, what, "card", "PUT", f"{{book}}{number}.vcf", text))
    found += [
        _sent("apple", "new event", "calendar", "PUT", "{calendar}new.ics", CALENDARS["event"].replace("uid-0", "new"),
              If_None_Match="*"),
        _sent("davx5", "changed event", "calendar", "PUT", "{calendar}1.ics", CALENDARS["all-day event"],
              If_Match='"{etag}"', If_Schedule_Tag_Match='"1"'),
        _sent("plain", "victim's event", "calendar", "PUT", "{victim_calendar}secret.ics", CALENDARS["event"]),
        _sent("plain", "victim's card", "card", "PUT", "{victim_book}secret.vcf", CARDS["plain"]),
        _sent("apple", "added event", "calendar", "POST", "{calendar};add-member",
              CALENDARS["event"].replace("uid-0", "added"),
              Prefer="return=representation"),
        _sent("apple", "divided series", "none", "POST",
              "{calendar}3.ics?action=split&rid=20260610T000000Z&uid=past", Prefer="return=representation"),
        _sent("library", "free-busy request", "calendar", "POST", "{home}outbox/",
              CALENDARS["free-busy"].replace("mailto:ada@example.com", "{principal}")),
    ]  # fmt: skip
    return found


TEMPLATES = _templates()
SEEDS = [
    each
    for each in TEMPLATES
    if each.method == "PUT"
    and "victim" not in each.target
    and "If-Match" not in each.headers
    and "If-None-Match" not in each.headers
]
"""What fills the calendars before the others are sent."""
