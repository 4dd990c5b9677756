"""What calendar and contacts apps do: the requests that they really send, and what goes wrong for them elsewhere."""

from __future__ import annotations

import random
from urllib.parse import quote

import pytest

from server.auth.passwords import PasswordHasher
from tests.integration.dav.client import Client, basic
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import apple, caldav, calendarserver, carddav, dav, hrefs_in
from tests.integration.dav.person import Person, card, event, task
from tests.integration.dav.statements import Statements

# -- synchronisation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
async def test_limits_never_skip_a_change(person: Person, seed: int) -> None:
    """Any edits between pages of any size: in the end the client's state is the server's."""
    choose = random.Random(seed)
    known: dict[str, str] = {}
    token = ""
    names = [f"{person.calendar}{number}.ics" for number in range(8)]
    settled = 0
    for turn in range(60):
        edits = choose.randrange(4) if turn < 25 else 0
        for _ in range(edits):
            path = choose.choice(names)
            if choose.random() < 0.35:
                await person.http("DELETE", path)
            else:
                await person.has(path, event(path[-5], f"Version {turn} {choose.random()}"))
        found = await person.sync(person.calendar, token, limit=choose.choice((1, 2, 3, None)))
        for href, response in found.responses.items():
            if response.status == 404:
                known.pop(href, None)
            elif response.status is None:
                known[href] = response.found[dav("getetag")]
        settled = settled + 1 if found.token == token else 0
        token = found.token or ""
        if settled and turn >= 25:
            break
    assert settled, "a client that only asks comes to an end"
    listed = await person.propfind(person.calendar, "D:getetag", depth="1")
    listed.responses.pop(person.calendar)
    assert known == {href: response.found[dav("getetag")] for href, response in listed.responses.items()}


async def test_an_invalid_token_is_one_clear_precondition(person: Person) -> None:
    """403 with DAV:valid-sync-token and nothing else, so that clients begin anew and do not repeat the token."""
    inner = "<D:sync-token>urn:uuid:stale</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>"
    reply = await person.report(person.calendar, "D:sync-collection", inner, "0")
    found = reply.refused(403, dav("valid-sync-token"))
    assert found is not None
    assert (len(found), found.text) == (0, None)
    assert await person.sync(person.calendar)


@pytest.mark.parametrize("token", ["<D:sync-token/>", "<D:sync-token></D:sync-token>", ""])
async def test_an_empty_or_missing_token_begins(person: Person, token: str) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    inner = f"{token}<D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>"
    reply = await person.report(person.calendar, "D:sync-collection", inner, "0")
    assert reply.multistatus.hrefs == [f"{person.calendar}1.ics"]


async def test_only_who_sends_a_limit_is_told_507(person: Person) -> None:
    for number in range(5):
        await person.has(f"{person.calendar}{number}.ics", event(str(number)))
    statuses = [response.status for response in (await person.sync(person.calendar)).responses.values()]
    assert statuses == [None] * 5
    limited = await person.sync(person.calendar, limit=3)
    assert [response.status for response in limited.responses.values()] == [None, None, None, 507]
    assert limited.hrefs[-1] == person.calendar


async def test_each_404_stands_where_it_belongs(person: Person) -> None:
    """A missing resource is a plain 404, a missing property a propstat's, a removed member a response's."""
    path = f"{person.calendar}1.ics"
    assert (await person.http("PROPFIND", path, Depth="0")).status == 404
    token = (await person.sync(person.calendar)).token or ""
    await person.has(path, event("1"))
    found = (await person.propfind(path, "D:getetag", "X:no")).only
    assert (found.status, set(found.props)) == (None, {200, 404})
    await person.http("DELETE", path)
    removed = (await person.sync(person.calendar, token))[path]
    assert (removed.status, removed.props) == (404, {})


async def test_a_feed_that_is_deleted_and_inserted_anew_leaves_no_rows_behind(served: Served, person: Person) -> None:
    """Each member has one row, however often it goes and comes, and only what is there counts."""
    database = served.storage.database
    count = "select count(*) from object where home_id = (select home_id from object where uid = $1)"
    rows = set()
    for _ in range(4):
        for number in range(10):
            await person.has(f"{person.calendar}{number}.ics", event(f"feed-{person.name}-{number}"))
        rows.add(await database.fetchval(count, f"feed-{person.name}-0"))
        for number in range(10):
            assert (await person.http("DELETE", f"{person.calendar}{number}.ics")).status == 204
    assert rows == {10}
    assert (await person.sync(person.calendar)).hrefs == []


async def test_ios_sees_every_change_in_the_ctag_of_the_home(person: Person) -> None:
    tags = [await person.prop(person.home, "S:getctag")]
    await person.has(f"{person.calendar}1.ics", event("1"))
    tags.append(await person.prop(person.home, "S:getctag"))
    await person.http("DELETE", f"{person.calendar}1.ics")
    tags.append(await person.prop(person.home, "S:getctag"))
    await person.http("MKCALENDAR", f"{person.home}new/")
    tags.append(await person.prop(person.home, "S:getctag"))
    await person.http("DELETE", f"{person.home}new/")
    tags.append(await person.prop(person.home, "S:getctag"))
    assert len(set(tags)) == 5
    listed = await person.propfind(person.home, "S:getctag", depth="1")
    assert all(calendarserver("getctag") in response.found for response in listed.responses.values())


# -- Apple -------------------------------------------------------------------------------------------------------------

MACOS = "macOS/14.5 (23F79) CalendarAgent/1021"
IOS = "iOS/17.5.1 (21F90) dataaccessd/1.0"
CONTACTS = "macOS/14.5 (23F79) AddressBookCore/2604.600.11"

APPLE_PRINCIPAL = """<?xml version="1.0" encoding="UTF-8"?>
<A:propfind xmlns:A="DAV:">
  <A:prop>
    <B:calendar-home-set xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <B:calendar-user-address-set xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <A:current-user-principal/>
    <A:displayname/>
    <C:dropbox-home-URL xmlns:C="http://calendarserver.org/ns/"/>
    <C:email-address-set xmlns:C="http://calendarserver.org/ns/"/>
    <C:notification-URL xmlns:C="http://calendarserver.org/ns/"/>
    <A:principal-collection-set/>
    <A:principal-URL/>
    <A:resource-id/>
    <B:schedule-inbox-URL xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <B:schedule-outbox-URL xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <A:supported-report-set/>
  </A:prop>
</A:propfind>
"""

APPLE_HOME = """<?xml version="1.0" encoding="UTF-8"?>
<A:propfind xmlns:A="DAV:">
  <A:prop>
    <A:add-member/>
    <C:allowed-sharing-modes xmlns:C="http://calendarserver.org/ns/"/>
    <D:autoprovisioned xmlns:D="http://apple.com/ns/ical/"/>
    <E:bulk-requests xmlns:E="http://me.com/_namespace/"/>
    <B:calendar-alarm xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <D:calendar-color xmlns:D="http://apple.com/ns/ical/"/>
    <B:calendar-description xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <B:calendar-free-busy-set xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <D:calendar-order xmlns:D="http://apple.com/ns/ical/"/>
    <B:calendar-timezone xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <A:current-user-privilege-set/>
    <B:default-alarm-vevent-date xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <B:default-alarm-vevent-datetime xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <A:displayname/>
    <C:getctag xmlns:C="http://calendarserver.org/ns/"/>
    <C:invite xmlns:C="http://calendarserver.org/ns/"/>
    <D:language-code xmlns:D="http://apple.com/ns/ical/"/>
    <D:location-code xmlns:D="http://apple.com/ns/ical/"/>
    <B:max-attendees-per-instance xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <A:owner/>
    <C:pre-publish-url xmlns:C="http://calendarserver.org/ns/"/>
    <C:publish-url xmlns:C="http://calendarserver.org/ns/"/>
    <C:push-transports xmlns:C="http://calendarserver.org/ns/"/>
    <C:pushkey xmlns:C="http://calendarserver.org/ns/"/>
    <A:quota-available-bytes/>
    <A:quota-used-bytes/>
    <D:refreshrate xmlns:D="http://apple.com/ns/ical/"/>
    <A:resource-id/>
    <A:resourcetype/>
    <B:schedule-calendar-transp xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <B:schedule-default-calendar-URL xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <C:source xmlns:C="http://calendarserver.org/ns/"/>
    <C:subscribed-strip-alarms xmlns:C="http://calendarserver.org/ns/"/>
    <C:subscribed-strip-attachments xmlns:C="http://calendarserver.org/ns/"/>
    <C:subscribed-strip-todos xmlns:C="http://calendarserver.org/ns/"/>
    <B:supported-calendar-component-set xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <B:supported-calendar-component-sets xmlns:B="urn:ietf:params:xml:ns:caldav"/>
    <A:supported-report-set/>
    <A:sync-token/>
  </A:prop>
</A:propfind>
"""


async def test_apple_accounts_are_found_from_the_address_alone(served: Served, new_person: NewPerson) -> None:
    """dataaccessd: well-known without credentials, the redirect, a 401, then Basic; OPTIONS of the principal."""
    hasher = PasswordHasher()
    person = await new_person(password_hash=await hasher.hash("correct horse battery"))
    hasher.close()
    client: Client = served.client(User_Agent=IOS, Accept="*/*")
    asked = APPLE_PRINCIPAL
    reply = await client("PROPFIND", "/.well-known/caldav", asked, Depth="0", Brief="t")
    assert reply.status == 301
    where = reply.headers["Location"]
    reply = await client("PROPFIND", where, asked, Depth="0", Brief="t")
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"].startswith("Basic")
    sign_in = {"Authorization": basic(person.name, "correct horse battery"), "Brief": "t", "Depth": "0"}
    found = (await client("PROPFIND", where, asked, **sign_in)).multistatus.only.found
    (principal,) = hrefs_in(found[dav("current-user-principal")])
    assert principal == person.principal
    options = await client("OPTIONS", principal, **sign_in)
    assert {"calendar-access", "addressbook"} <= set(options.headers["DAV"].split(", "))
    found = (await client("PROPFIND", principal, asked, **sign_in)).multistatus.only.found
    assert hrefs_in(found[caldav("calendar-home-set")]) == [person.home]
    assert f"mailto:{person.name}@example.com" in hrefs_in(found[caldav("calendar-user-address-set")])
    # a person signs in by an address too
    sign_in["Authorization"] = basic(f"{person.name}@example.com", "correct horse battery")
    assert (await client("PROPFIND", principal, asked, **sign_in)).status == 207
    client.close()


async def test_apple_calendar_lists_a_home(person: Person) -> None:
    reply = await person.http(
        "PROPFIND", person.home, APPLE_HOME, Depth="1", Brief="t", Prefer="return=minimal", User_Agent=MACOS
    )
    found = reply.multistatus
    assert set(found[person.calendar].props) == {200}, "Brief leaves out what is missing"
    calendars = {href: response.found for href, response in found.responses.items()}
    assert caldav("calendar") in calendars[person.calendar][dav("resourcetype")]
    assert caldav("schedule-inbox") in calendars[f"{person.home}inbox/"][dav("resourcetype")]
    # lists of one kind each: Calendar shows one, Reminders the other, and nobody sees "split dual type calendar"
    for path, component in ((person.calendar, "VEVENT"), (person.tasks, "VTODO")):
        value = calendars[path][caldav("supported-calendar-component-set")]
        assert value == f"<{caldav('comp')} name='{component}'></>"
    assert calendars[person.calendar][dav("sync-token")]
    assert hrefs_in(calendars[f"{person.home}inbox/"][caldav("schedule-default-calendar-URL")]) == [person.calendar]


async def test_apple_calendar_makes_a_calendar(person: Person) -> None:
    path = f"{person.home}5F0B4F3C-9B0A-4D0A-8E43-0A8F6C1B2D3E/"
    body = """<?xml version="1.0" encoding="UTF-8"?>
<B:mkcalendar xmlns:B="urn:ietf:params:xml:ns:caldav">
  <A:set xmlns:A="DAV:">
    <A:prop>
      <D:calendar-color xmlns:D="http://apple.com/ns/ical/" symbolic-color="custom">#882F00FF</D:calendar-color>
      <D:calendar-order xmlns:D="http://apple.com/ns/ical/">3</D:calendar-order>
      <B:supported-calendar-component-set>
        <B:comp name="VEVENT"/>
      </B:supported-calendar-component-set>
      <A:displayname>Sport</A:displayname>
      <B:calendar-free-busy-set>
        <YES/>
      </B:calendar-free-busy-set>
      <B:calendar-timezone>BEGIN:VCALENDAR&#13;
VERSION:2.0&#13;
PRODID:-//Apple Inc.//macOS 14.5//EN&#13;
CALSCALE:GREGORIAN&#13;
BEGIN:VTIMEZONE&#13;
TZID:Europe/Berlin&#13;
BEGIN:DAYLIGHT&#13;
TZOFFSETFROM:+0100&#13;
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU&#13;
DTSTART:19810329T020000&#13;
TZNAME:CEST&#13;
TZOFFSETTO:+0200&#13;
END:DAYLIGHT&#13;
BEGIN:STANDARD&#13;
TZOFFSETFROM:+0200&#13;
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU&#13;
DTSTART:19961027T030000&#13;
TZNAME:CET&#13;
TZOFFSETTO:+0100&#13;
END:STANDARD&#13;
END:VTIMEZONE&#13;
END:VCALENDAR&#13;
</B:calendar-timezone>
    </A:prop>
  </A:set>
</B:mkcalendar>
"""
    reply = await person.http("MKCALENDAR", path, body, Content_Type="text/xml", User_Agent=MACOS)
    assert reply.status == 201
    found = await person.http("PROPFIND", path, APPLE_HOME, Depth="0", Brief="t", User_Agent=MACOS)
    props = found.multistatus.only.found
    assert props[dav("displayname")] == "Sport"
    assert props[apple("calendar-color")] == "#882F00FF"
    assert props[apple("calendar-order")] == "3"
    assert props[caldav("calendar-timezone")].startswith("BEGIN:VCALENDAR\nVERSION:2.0\n")
    assert 'symbolic-color="custom"' in found.text
    (await person.put(f"{path}t.ics", task("1"))).refused(403, caldav("supported-calendar-component"))


async def test_apple_reminders_makes_a_list_of_tasks(person: Person) -> None:
    path = f"{person.home}C1D2/"
    body = """<?xml version="1.0" encoding="UTF-8"?>
<B:mkcalendar xmlns:B="urn:ietf:params:xml:ns:caldav"><A:set xmlns:A="DAV:"><A:prop>
<A:displayname>Shopping</A:displayname><B:supported-calendar-component-set><B:comp name="VTODO"/>
</B:supported-calendar-component-set><D:calendar-color xmlns:D="http://apple.com/ns/ical/">#1BADF8</D:calendar-color>
</A:prop></A:set></B:mkcalendar>"""
    assert (await person.http("MKCALENDAR", path, body, User_Agent=IOS)).status == 201
    await person.has(f"{path}1.ics", task("1"))
    (await person.put(f"{path}2.ics", event("2"))).refused(403, caldav("supported-calendar-component"))


async def test_apple_calendar_sets_properties(person: Person) -> None:
    for path, prop in (
        (
            person.home,
            "<B:default-alarm-vevent-date>BEGIN:VALARM</B:default-alarm-vevent-date>",
        ),
        (
            person.calendar,
            '<D:calendar-color xmlns:D="http://apple.com/ns/ical/" symbolic-color="red">#FF2968FF</D:calendar-color>',
        ),
        (
            person.calendar,
            "<B:schedule-calendar-transp><B:transparent/></B:schedule-calendar-transp>",
        ),
    ):
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<A:propertyupdate xmlns:A="DAV:" '
            f'xmlns:B="urn:ietf:params:xml:ns:caldav"><A:set><A:prop>{prop}</A:prop></A:set></A:propertyupdate>'
        )
        reply = await person.http("PROPPATCH", path, body, User_Agent=MACOS)
        assert set(reply.multistatus.only.props) == {200}


async def test_apple_calendar_synchronises(person: Person) -> None:
    """sync-collection on the home to see what changed, then on the calendar, then multiget."""
    body = """<?xml version="1.0" encoding="UTF-8"?>
<A:sync-collection xmlns:A="DAV:">
  <A:sync-token>{}</A:sync-token>
  <A:sync-level>1</A:sync-level>
  <A:prop>
    <A:getcontenttype/>
    <A:getetag/>
  </A:prop>
</A:sync-collection>
""".format
    home = (await person.http("REPORT", person.home, body(""), Brief="t", User_Agent=IOS)).multistatus
    own = (await person.http("REPORT", person.calendar, body(""), Brief="t", User_Agent=IOS)).multistatus
    etag = await person.has(f"{person.calendar}1.ics", event("1"), If_None_Match="*", User_Agent=IOS)
    changed = (await person.http("REPORT", person.home, body(home.token), Brief="t", User_Agent=IOS)).multistatus
    assert changed.hrefs == [person.calendar]
    changed = (await person.http("REPORT", person.calendar, body(own.token), Brief="t", User_Agent=IOS)).multistatus
    assert changed[f"{person.calendar}1.ics"].found[dav("getetag")] == etag
    multiget = f"""<?xml version="1.0" encoding="UTF-8"?>
<B:calendar-multiget xmlns:B="urn:ietf:params:xml:ns:caldav">
  <A:prop xmlns:A="DAV:">
    <A:getetag/>
    <B:calendar-data/>
    <B:schedule-tag/>
    <C:created-by xmlns:C="http://calendarserver.org/ns/"/>
    <C:updated-by xmlns:C="http://calendarserver.org/ns/"/>
  </A:prop>
  <A:href xmlns:A="DAV:">{person.calendar}1.ics</A:href>
</B:calendar-multiget>
"""
    got = (await person.http("REPORT", person.calendar, multiget, Brief="t", User_Agent=IOS)).multistatus
    assert got.only.found[caldav("calendar-data")] == event("1").replace("\r\n", "\n").strip()
    reply = await person.http("DELETE", f"{person.calendar}1.ics", If_Match=etag, User_Agent=IOS)
    assert reply.status == 204


async def test_apple_contacts(person: Person) -> None:
    home = """<?xml version="1.0" encoding="UTF-8"?>
<A:propfind xmlns:A="DAV:">
  <A:prop>
    <A:add-member/>
    <E:bulk-requests xmlns:E="http://me.com/_namespace/"/>
    <A:current-user-privilege-set/>
    <A:displayname/>
    <D:max-image-size xmlns:D="urn:ietf:params:xml:ns:carddav"/>
    <D:max-resource-size xmlns:D="urn:ietf:params:xml:ns:carddav"/>
    <C:me-card xmlns:C="http://calendarserver.org/ns/"/>
    <A:owner/>
    <C:push-transports xmlns:C="http://calendarserver.org/ns/"/>
    <A:quota-available-bytes/>
    <A:quota-used-bytes/>
    <A:resource-id/>
    <A:resourcetype/>
    <A:supported-report-set/>
    <A:sync-token/>
    <C:getctag xmlns:C="http://calendarserver.org/ns/"/>
  </A:prop>
</A:propfind>
"""
    reply = await person.http("PROPFIND", person.books, home, Depth="1", Brief="t", User_Agent=CONTACTS)
    found = reply.multistatus
    assert found.hrefs == [person.books, person.book]
    assert carddav("addressbook") in found[person.book].found[dav("resourcetype")]
    # Apple's apps cannot read 4.0: nothing says that it is offered
    assert "4.0" not in await person.prop(person.book, "A:supported-address-data")
    text = card(
        "0AC5",
        "Zoë",
        "item1.EMAIL;type=INTERNET:zoe@example.com",
        "item1.X-ABLabel:_$!<Other>!$_",
        "X-ABUID:5\\:ABPerson",
    )
    etag = await person.has(f"{person.book}0AC5.vcf", text, If_None_Match="*", User_Agent=CONTACTS)
    group = card("G1", "Friends", "X-ADDRESSBOOKSERVER-KIND:group", "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:0AC5")
    await person.has(f"{person.book}G1.vcf", group, User_Agent=CONTACTS)
    multiget = f"""<?xml version="1.0" encoding="UTF-8"?>
<D:addressbook-multiget xmlns:D="urn:ietf:params:xml:ns:carddav">
  <A:prop xmlns:A="DAV:">
    <A:getetag/>
    <D:address-data/>
  </A:prop>
  <A:href xmlns:A="DAV:">{person.book}0AC5.vcf</A:href>
</D:addressbook-multiget>
"""
    got = (await person.http("REPORT", person.book, multiget, Depth="0", Brief="t", User_Agent=CONTACTS)).multistatus
    assert got.only.found[dav("getetag")] == etag
    assert got.only.found[carddav("address-data")] == text.replace("\r\n", "\n").strip()
    # the last address book cannot go for good: contacts need one
    assert (await person.http("DELETE", person.book, User_Agent=CONTACTS)).status == 204
    assert await person.names(person.books) == [person.book]


# -- DAVx5 -------------------------------------------------------------------------------------------------------------

DAVX5 = "DAVx5/4.4.1-ose (2024/07/01; dav4jvm; okhttp/4.12.0) Android/14"


async def test_davx5_finds_and_lists(person: Person) -> None:
    discovery = (
        "<?xml version='1.0' encoding='UTF-8' ?>"
        '<propfind xmlns="DAV:" xmlns:CAL="urn:ietf:params:xml:ns:caldav" xmlns:CARD="urn:ietf:params:xml:ns:carddav">'
        "<prop><resourcetype /><displayname /><CAL:calendar-description />"
        '<calendar-color xmlns="http://apple.com/ns/ical/" /><CAL:calendar-home-set /><CARD:addressbook-home-set />'
        "<current-user-principal /><current-user-privilege-set /><owner /><CAL:supported-calendar-component-set />"
        '<CAL:calendar-timezone /><CAL:calendar-timezone-id /><source xmlns="http://calendarserver.org/ns/" />'
        '<push-transports xmlns="https://bitfire.at/webdav-push" /><topic xmlns="https://bitfire.at/webdav-push" />'
        "</prop></propfind>"
    )
    headers = {"User_Agent": DAVX5, "Content_Type": "application/xml; charset=utf-8", "Accept_Encoding": "gzip"}
    root = (await person.http("PROPFIND", "/", discovery, Depth="0", **headers)).multistatus.only
    (principal,) = hrefs_in(root.found[dav("current-user-principal")])
    found = (await person.http("PROPFIND", principal, discovery, Depth="0", **headers)).multistatus.only.found
    (home,) = hrefs_in(found[caldav("calendar-home-set")])
    listed = (await person.http("PROPFIND", home, discovery, Depth="1", **headers)).multistatus
    assert {person.calendar, person.tasks} <= set(listed.hrefs)
    assert hrefs_in(listed[person.calendar].found[dav("owner")]) == [person.principal]
    # it takes a collection for read-only unless it sees one of these
    assert dav("write-content") in listed[person.calendar].found[dav("current-user-privilege-set")]


async def test_davx5_writes_with_the_schedule_tag_before_the_etag(person: Person) -> None:
    """If-Schedule-Tag-Match of a tag that is not there fails (RFC 6638 §3.2.10); without tags DAVx5 sends If-Match."""
    path = f"{person.calendar}1.ics"
    reply = await person.put(path, event("1"), If_None_Match="*", User_Agent=DAVX5)
    assert "Schedule-Tag" not in reply.headers
    (await person.put(path, event("1", "x"), If_Schedule_Tag_Match='"12345"', User_Agent=DAVX5)).refused(412)
    (await person.http("DELETE", path, If_Schedule_Tag_Match='"12345"', User_Agent=DAVX5)).refused(412)
    assert (await person.put(path, event("1", "x"), If_Match=reply.etag, User_Agent=DAVX5)).status == 204


async def test_davx5_falls_back_to_queries_when_old_events_are_left_out(person: Person) -> None:
    """With a limit for past events: REPORT calendar-query with a start alone."""
    await person.has(f"{person.calendar}old.ics", event("old").replace("20260601T", "20100601T"))
    await person.has(f"{person.calendar}new.ics", event("new"))
    body = (
        "<?xml version='1.0' encoding='UTF-8' ?>"
        '<CAL:calendar-query xmlns="DAV:" xmlns:CAL="urn:ietf:params:xml:ns:caldav"><prop><getetag /></prop>'
        "<CAL:filter>"
        '<CAL:comp-filter name="VCALENDAR"><CAL:comp-filter name="VEVENT"><CAL:time-range start="20260101T000000Z" />'
        "</CAL:comp-filter></CAL:comp-filter></CAL:filter></CAL:calendar-query>"
    )
    reply = await person.http("REPORT", person.calendar, body, Depth="1", User_Agent=DAVX5)
    assert reply.multistatus.hrefs == [f"{person.calendar}new.ics"]


async def test_davx5_asks_for_cards_of_either_version(person: Person) -> None:
    await person.has(f"{person.book}1.vcf", card("1"))
    body = (
        "<?xml version='1.0' encoding='UTF-8' ?>"
        '<CARD:addressbook-multiget xmlns="DAV:" xmlns:CARD="urn:ietf:params:xml:ns:carddav"><prop><getcontenttype />'
        "<getetag /><CARD:address-data /></prop>"
        f"<href>{person.book}1.vcf</href></CARD:addressbook-multiget>"
    )
    reply = await person.http("REPORT", person.book, body, Depth="0", User_Agent=DAVX5)
    assert set(reply.multistatus.only.props) == {200}


# -- Thunderbird -------------------------------------------------------------------------------------------------------

THUNDERBIRD = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.0"


async def test_thunderbird_finds_its_calendars_from_the_root(person: Person) -> None:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:resourcetype/>'
        "<D:owner/><D:displayname/><D:current-user-principal/><D:current-user-privilege-set/>"
        '<A:calendar-color xmlns:A="http://apple.com/ns/ical/"/><C:calendar-home-set/></D:prop></D:propfind>'
    )
    headers = {"User_Agent": THUNDERBIRD, "Content_Type": "text/xml; charset=utf-8", "Depth": "0"}
    root = (await person.http("PROPFIND", "/", body, **headers)).multistatus.only
    assert hrefs_in(root.found[dav("current-user-principal")]) == [person.principal]
    found = (await person.http("PROPFIND", person.principal, body, **headers)).multistatus.only
    assert hrefs_in(found.found[caldav("calendar-home-set")]) == [person.home]
    listed = (await person.http("PROPFIND", person.home, body, **(headers | {"Depth": "1"}))).multistatus
    assert caldav("calendar") in listed[person.calendar].found[dav("resourcetype")]


async def test_thunderbird_synchronises_with_depth_1(person: Person) -> None:
    """It sends Depth: 1 where RFC 6578 wants 0, and is silent when a report leaves something out."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<sync-collection xmlns="DAV:"><sync-token>{}</sync-token><sync-level>1</sync-level>'
        "<prop><getcontenttype/><getetag/></prop></sync-collection>"
    ).format
    headers = {"User_Agent": THUNDERBIRD, "Content_Type": "text/xml; charset=utf-8", "Depth": "1"}
    paths = [f"{person.calendar}{number}.ics" for number in range(12)]
    for number, path in enumerate(paths):
        await person.has(path, event(str(number)))
    first = (await person.http("REPORT", person.calendar, body(""), **headers)).multistatus
    assert sorted(first.hrefs) == sorted(paths)
    assert all("text/calendar" in response.found[dav("getcontenttype")] for response in first.responses.values())
    await person.http("DELETE", paths[0])
    await person.has(paths[1], event("1", "Changed"))
    second = (await person.http("REPORT", person.calendar, body(first.token), **headers)).multistatus
    assert {href: response.status for href, response in second.responses.items()} == {paths[0]: 404, paths[1]: None}


# -- Evolution ---------------------------------------------------------------------------------------------------------


async def test_evolution_looks_before_it_writes(person: Person) -> None:
    """OPTIONS, PROPFIND of the ctag, a query for ETags, PUT with If-Match."""
    agent = {"User_Agent": "Evolution/3.52.3"}
    options = await person.http("OPTIONS", person.calendar, **agent)
    assert "calendar-access" in options.headers["DAV"]
    assert {"PUT", "DELETE"} & set(options.headers["Allow"].split(", ")), "or it takes the calendar for read-only"
    body = """<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:"><D:prop><CS:getctag xmlns:CS="http://calendarserver.org/ns/"/></D:prop></D:propfind>"""
    before = (await person.http("PROPFIND", person.calendar, body, Depth="0", **agent)).multistatus.only.found
    query = """<?xml version="1.0" encoding="utf-8"?>
<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:prop><D:getetag/></D:prop>
<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"/></C:comp-filter></C:filter>
</C:calendar-query>"""
    etag = await person.has(f"{person.calendar}1.ics", event("1"), If_None_Match="*", **agent)
    found = (await person.http("REPORT", person.calendar, query, Depth="1", **agent)).multistatus
    assert found.only.found == {dav("getetag"): etag}
    assert (await person.http("PROPFIND", person.calendar, body, Depth="0", **agent)).multistatus.only.found != before
    assert (await person.put(f"{person.calendar}1.ics", event("1", "x"), If_Match=etag, **agent)).status == 204


# -- Outlook -----------------------------------------------------------------------------------------------------------

GLOBAL_ID = "040000008200E00074C5B7101A82E00800000000" + "D0C7A5B1E2F3DA01" + "0" * 16 + "10000000" + "9F" * 16


async def test_outlook_caldav_synchronizer(person: Person) -> None:
    """UIDs from GlobalAppointmentID, SCHEDULE-AGENT=CLIENT, ETags read by PROPFIND, queries, multigets in chunks."""
    agent = {"User_Agent": "CalDavSynchronizer/4.4"}
    lines = (
        "ORGANIZER;SCHEDULE-AGENT=CLIENT:mailto:me@example.com",
        "ATTENDEE;SCHEDULE-AGENT=CLIENT;PARTSTAT=NEEDS-ACTION:mailto:you@example.com",
        "X-MICROSOFT-CDO-BUSYSTATUS:BUSY",
        "CLASS:PUBLIC",
    )
    path = f"{person.calendar}{GLOBAL_ID}.ics"
    text = event(GLOBAL_ID, "Planning", *lines)
    created = await person.put(path, text, If_None_Match="*", **agent)
    assert created.status == 201
    etags = """<?xml version='1.0'?>
<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>"""
    found = (await person.http("PROPFIND", path, etags, Depth="0", **agent)).multistatus.only.found
    assert found == {dav("getetag"): created.etag}
    query = """<?xml version="1.0"?>
<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop xmlns:D="DAV:"><D:getetag/><D:getcontenttype/>
</D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">
<C:time-range start="20260501T000000Z" end="20270501T000000Z"/></C:comp-filter></C:comp-filter></C:filter>
</C:calendar-query>"""
    assert (await person.http("REPORT", person.calendar, query, Depth="1", **agent)).multistatus.hrefs == [path]
    hrefs = "".join(f"<D:href>{person.calendar}no{number}.ics</D:href>" for number in range(149))
    multiget = f"""<?xml version="1.0"?>
<C:calendar-multiget xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:prop><D:getetag/><D:displayname/>
<C:calendar-data/></D:prop><D:href>{path}</D:href>{hrefs}</C:calendar-multiget>"""
    got = (await person.http("REPORT", person.calendar, multiget, Depth="1", **agent)).multistatus
    assert len(got.hrefs) == 150
    assert "SCHEDULE-AGENT=CLIENT" in got[path].found[caldav("calendar-data")]
    # it deletes an invitation and makes it anew, under another name, with the same UID
    assert (await person.http("DELETE", path, If_Match=created.etag, **agent)).status == 204
    assert (await person.put(f"{person.calendar}again.ics", text, If_None_Match="*", **agent)).status == 201


# -- vdirsyncer --------------------------------------------------------------------------------------------------------


async def test_vdirsyncer(person: Person) -> None:
    agent = {
        "User_Agent": "vdirsyncer/0.19.3",
        "Content_Type": "application/xml; charset=UTF-8",
        "Accept_Encoding": "gzip, deflate",
    }
    principal = (
        b'<?xml version="1.0" encoding="UTF-8" ?>\n<d:propfind xmlns:d="DAV:"><d:prop><d:current-user-principal />'
        b"</d:prop></d:propfind>"
    )
    found = (await person.http("PROPFIND", "/", principal, Depth="0", **agent)).multistatus.only.found
    assert hrefs_in(found[dav("current-user-principal")]) == [person.principal]
    listing = b"""<d:propfind xmlns:d="DAV:"><d:prop><d:resourcetype/></d:prop></d:propfind>"""
    homes = (await person.http("PROPFIND", person.home, listing, Depth="1", **agent)).multistatus
    assert caldav("calendar") in homes[person.calendar].found[dav("resourcetype")]
    make = (
        '<?xml version="1.0" encoding="utf-8" ?>\n<mkcol xmlns="DAV:"><set><prop><resourcetype><collection/>'
        '<calendar xmlns="urn:ietf:params:xml:ns:caldav"/></resourcetype></prop></set></mkcol>'
    )
    assert (await person.http("MKCOL", f"{person.home}test/", make, **agent)).status == 201
    media = {"User_Agent": "vdirsyncer/0.19.3", "Content_Type": "text/calendar"}
    names = ["UID with spaces@host.ics", "a%25b.ics", "päth.ics"]
    for number, name in enumerate(names):
        path = f"{person.home}test/{quote(name, safe='/%') if '%' not in name else name}"
        reply = await person.http("PUT", path, event(str(number)), If_None_Match="*", **media)
        assert (reply.status, reply.etag[0]) == (201, '"')
    items = (
        '<?xml version="1.0" encoding="utf-8" ?>\n'
        '<C:calendar-query xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><prop><getcontenttype/><getetag/>'
        '</prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"></C:comp-filter></C:comp-filter>'
        "</C:filter></C:calendar-query>"
    )
    listed = (await person.http("REPORT", f"{person.home}test/", items, Depth="1", **agent)).multistatus
    assert len(listed.hrefs) == 3
    hrefs = "".join(f"<href>{href}</href>" for href in listed.hrefs)
    multiget = (
        '<?xml version="1.0" encoding="utf-8" ?>\n'
        '<C:calendar-multiget xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><prop><getetag/><C:calendar-data/>'
        f"</prop>{hrefs}</C:calendar-multiget>"
    )
    got = (await person.http("REPORT", f"{person.home}test/", multiget, Depth="0", **agent)).multistatus
    assert got.hrefs == listed.hrefs
    assert all(set(response.props) == {200} for response in got.responses.values())
    set_name = '<propertyupdate xmlns="DAV:"><set><prop><displayname>Test</displayname></prop></set></propertyupdate>'
    assert (await person.http("PROPPATCH", f"{person.home}test/", set_name, **agent)).status == 207


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "segment",
    [
        "x" * 990 + ".ics",
        "%E6%9A%A6" * 110 + ".ics",
        "040000008200E00074C5B7101A82E008%40example.com%3Fa%3Db.ics",
        "with%20space%2Bplus+plus&and;semi=equals,comma'quote(paren).ics",
        "%25percent.ics",
        "%5Bbracket%5D%7Bbrace%7D%22%3C%3E%23hash.ics",
        "no-extension",
        "..ics",
        ".hidden",
        "a%5Cb.ics",
        "UPPER.ICS",
    ],
)
async def test_long_and_odd_hrefs_have_one_spelling_everywhere(person: Person, segment: str) -> None:
    etag = await person.has(f"{person.calendar}{segment}", event("1"))
    (href,) = await person.names(person.calendar)
    assert (await person.http("GET", href)).etag == etag
    # what every other way of listing gives is the very same text
    assert (await person.sync(person.calendar)).hrefs == [href]
    everything = '<D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"/></C:filter>'
    assert (await person.report(person.calendar, "C:calendar-query", everything)).multistatus.hrefs == [href]
    for asked in (href, f"{person.calendar}{segment}"):
        escaped = asked.replace("&", "&amp;").replace("<", "&lt;")
        inner = f"<D:prop><D:getetag/></D:prop><D:href>{escaped}</D:href>"
        found = (await person.report(person.calendar, "C:calendar-multiget", inner)).multistatus
        assert (found.hrefs, set(found.only.props)) == ([href], {200})
    assert (await person.http("DELETE", href)).status == 204


async def test_names_beyond_the_limit_are_refused(person: Person) -> None:
    for segment in ("x" * 1001, "%E6%9A%A6" * 334):
        reply = await person.put(f"{person.calendar}{segment}", event("1"))
        assert 400 <= reply.status < 500
        assert reply.body
    assert await person.names(person.calendar) == []


async def test_a_listing_of_a_home_is_a_fixed_number_of_statements(served: Served, person: Person, monkeypatch) -> None:
    """PROPFIND of depth 1 with all that apps ask for, whether there are few calendars or many."""
    statements = Statements(monkeypatch)
    counts = []
    for wanted in (5, 60):
        for number in range(len(await person.names(person.home)), wanted):
            assert (await person.http("MKCALENDAR", f"{person.home}c{number}/")).status == 201
        await person.http("PROPFIND", person.home, APPLE_HOME, Depth="1")
        reply = await person.http("PROPFIND", person.home, APPLE_HOME, Depth="1")
        assert len(reply.multistatus.hrefs) == wanted + 1
        counts.append(statements.of(reply))
    assert 0 < counts[0] == counts[1] <= 5
