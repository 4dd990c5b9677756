"""calendar-query: component filters side by side (RFC 4791 §9.7.1), calendar-query-extended, and the texts it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from lxml import etree

from server.domain.objects import Collection
from server.domain.rows import MemberColumn, Row
from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.dav.client import Reply
from tests.integration.dav.multistatus import caldav
from tests.integration.dav.person import Person, calendar, event, task, xml
from tests.integration.dav.rfc4791_appendix_b import EASTERN

TextsRead = Callable[[], int]
NOON = '<C:time-range start="20260601T000000Z" end="20260602T000000Z"/>'


@pytest.fixture
def texts_read(monkeypatch: pytest.MonkeyPatch) -> TextsRead:
    """How many texts were read since it was asked last."""
    counted = 0
    page, by_id = PostgresStorage.members, PostgresStorage.members_by_id

    def count(columns: Sequence[MemberColumn], rows: Sequence[Row]) -> Sequence[Row]:
        nonlocal counted
        counted += len(rows) if "text" in columns else 0
        return rows

    async def members(
        self: PostgresStorage, collection: Collection, columns: Sequence[MemberColumn], **more: object
    ) -> Sequence[Row]:
        return count(columns, await page(self, collection, columns, **more))  # type: ignore[arg-type]

    async def members_by_id(
        self: PostgresStorage,
        collection: Collection,
        ids: Sequence[int],
        columns: Sequence[MemberColumn],
        **more: object,
    ) -> Sequence[Row]:
        return count(columns, await by_id(self, collection, ids, columns, **more))  # type: ignore[arg-type]

    def since() -> int:
        nonlocal counted
        found, counted = counted, 0
        return found

    monkeypatch.setattr(PostgresStorage, "members", members)
    monkeypatch.setattr(PostgresStorage, "members_by_id", members_by_id)
    return since


def zoned(uid: str) -> str:
    """An event that brings its time zone."""
    lines = (
        *EASTERN.splitlines(),
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T000000Z",
        "DTSTART;TZID=US/Eastern:20260601T090000",
        "SUMMARY:Zoned",
        "END:VEVENT",
    )
    return calendar(*lines)


@pytest.fixture
async def mixed(person: Person) -> str:
    """A calendar of two events, one of which brings a zone, two tasks, and an endless series of tasks."""
    path = f"{person.home}mixed/"
    components = '<C:comp name="VEVENT"/><C:comp name="VTODO"/>'
    prop = f"<C:supported-calendar-component-set>{components}</C:supported-calendar-component-set>"
    body = xml("C:mkcalendar", f"<D:set><D:prop>{prop}</D:prop></D:set>")
    assert (await person.http("MKCALENDAR", path, body)).status == 201
    await person.has(f"{path}event.ics", event("event@example.com"))
    await person.has(f"{path}zoned.ics", zoned("zoned@example.com"))
    await person.has(f"{path}task.ics", task("task@example.com"))
    await person.has(f"{path}other.ics", task("other@example.com", "CATEGORIES:Home"))
    await person.has(
        f"{path}series.ics",
        task("series@example.com", "DTSTART:20200101T090000Z", "RRULE:FREQ=DAILY", "STATUS:COMPLETED"),
    )
    return path


async def ask(person: Person, path: str, condition: str, attributes: str = "") -> Reply:
    comp_filter = f'<C:comp-filter name="VCALENDAR"{attributes}>{condition}</C:comp-filter>'
    return await person.report(
        path, "C:calendar-query", f"<D:prop><D:getetag/></D:prop><C:filter>{comp_filter}</C:filter>"
    )


async def found(person: Person, path: str, condition: str, attributes: str = "") -> set[str]:
    """Names of the members that a query finds, without their suffix."""
    reply = await ask(person, path, condition, attributes)
    return {href.removeprefix(path).removesuffix(".ics") for href in reply.multistatus.hrefs}


def comp(name: str, inner: str = "", attributes: str = "") -> str:
    return f'<C:comp-filter name="{name}"{attributes}>{inner}</C:comp-filter>'


def undefined(name: str) -> str:
    return comp(name, "<C:is-not-defined/>")


def prop(name: str, text: str, attributes: str = "") -> str:
    return f'<C:prop-filter name="{name}"><C:text-match {attributes}>{text}</C:text-match></C:prop-filter>'


EVENTS, TASKS = {"event", "zoned"}, {"task", "other", "series"}


@pytest.mark.parametrize(
    ("condition", "attributes", "names", "texts"),
    [
        (comp("VEVENT") + comp("VTODO"), "", set(), 0),
        (comp("VEVENT", prop("SUMMARY", "e")) + comp("VTODO", prop("SUMMARY", "e")), "", set(), 0),
        (comp("VEVENT") + comp("VTODO"), ' test="allof"', set(), 0),
        (comp("VEVENT") + comp("VTODO"), ' test="anyof"', EVENTS | TASKS, 0),
        (comp("VEVENT", NOON) + comp("VTODO"), ' test="anyof"', EVENTS | TASKS, 0),
        (comp("VEVENT", NOON) + comp("VTODO", NOON), ' test="anyof"', EVENTS | TASKS, 0),
        (comp("VEVENT") + undefined("VTODO"), "", EVENTS, 0),
        (undefined("VEVENT"), "", TASKS, 0),
        (undefined("VEVENT") + undefined("VTODO"), "", set(), 0),
        (comp("VEVENT") + undefined("VEVENT"), "", set(), 0),
        # only events can bring a zone beside a VEVENT: only their texts are read
        (comp("VEVENT") + comp("VTIMEZONE"), "", {"zoned"}, 2),
        (comp("VEVENT") + undefined("VTIMEZONE"), "", {"event"}, 2),
        (comp("VEVENT", NOON) + comp("VTIMEZONE"), "", {"zoned"}, 2),
        (comp("VTODO") + comp("VTIMEZONE"), "", set(), 3),
        (comp("VTIMEZONE"), "", {"zoned"}, 5),
        (comp("VEVENT", prop("SUMMARY", "zoned")), "", {"zoned"}, 2),
        (comp("VTODO", NOON + prop("CATEGORIES", "Home")), "", {"other"}, 3),
    ],
)
async def test_9_7_1_component_filters_side_by_side(
    person: Person, mixed: str, texts_read: TextsRead, condition: str, attributes: str, names: set[str], texts: int
) -> None:
    texts_read()
    assert await found(person, mixed, condition, attributes) == names
    assert texts_read() == texts


async def test_far_windows_read_no_text_to_find_a_series(person: Person, mixed: str, texts_read: TextsRead) -> None:
    """The window lies far beyond the stored occurrences of the endless series."""
    far = '<C:time-range start="24000101T000000Z" end="24000102T000000Z"/>'
    texts_read()
    assert await found(person, mixed, comp("VEVENT", far)) == set()
    assert "series" in await found(person, mixed, comp("VTODO", far))
    assert texts_read() == 0


@pytest.mark.parametrize(
    ("attributes", "text", "names"),
    [
        ('match-type="equals" collation="i;octet"', "event@example.com", {"event"}),
        ('match-type="equals" collation="i;octet"', "EVENT@example.com", set()),
        ('match-type="equals" collation="i;octet"', "event@example.co", set()),
        ('match-type="equals"', "EVENT@example.com", {"event"}),
        ('match-type="equals" collation="i;unicode-casemap"', "Event@Example.com", {"event"}),
        ('match-type="equals" negate-condition="yes"', "event@example.com", {"zoned"}),
        ('match-type="starts-with"', "EVE", {"event"}),
        ('match-type="starts-with"', "vent", set()),
        ('match-type="ends-with" collation="i;octet"', "example.com", EVENTS),
        ('match-type="ends-with" collation="i;octet"', "example", set()),
        ('collation="i;octet"', "event@example.com", {"event"}),
        ('match-type="contains"', "D@EXAMPLE", {"zoned"}),
        ('negate-condition="yes"', "zon", {"event"}),
        ('collation="i;unicode-casemap"', "EVENT", {"event"}),
        ("", "%", set()),
        ("", "_", set()),
    ],
)
async def test_match_types_on_uids_read_no_text(
    person: Person, mixed: str, texts_read: TextsRead, attributes: str, text: str, names: set[str]
) -> None:
    texts_read()
    assert await found(person, mixed, comp("VEVENT", prop("UID", text, attributes))) == names
    assert texts_read() == 0


async def test_a_uid_beside_other_conditions_reads_one_text(person: Person, mixed: str, texts_read: TextsRead) -> None:
    uid = prop("UID", "event@example.com", 'match-type="equals" collation="i;octet"')
    texts_read()
    assert await found(person, mixed, comp("VEVENT", uid + prop("SUMMARY", "meeting"))) == {"event"}
    assert texts_read() == 1
    assert await found(person, mixed, comp("VEVENT", uid + prop("SUMMARY", "other"))) == set()
    assert texts_read() == 1
    # of another component than the filter's: not even its text
    assert await found(person, mixed, comp("VTODO", uid + prop("SUMMARY", "meeting"))) == set()
    assert texts_read() == 0
    both = comp("VEVENT", uid) + comp("VTODO", prop("UID", "task"))
    assert await found(person, mixed, both, ' test="anyof"') == {"event", "task"}
    assert texts_read() == 0


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        (prop("SUMMARY", "meeting", 'match-type="equals"'), {"event"}),
        (prop("SUMMARY", "meet", 'match-type="equals"'), set()),
        (prop("SUMMARY", "MEET", 'match-type="starts-with"'), {"event"}),
        (prop("SUMMARY", "ned", 'match-type="ends-with" collation="i;octet"'), {"zoned"}),
        (prop("SUMMARY", "NED", 'match-type="ends-with" collation="i;octet"'), set()),
        (prop("SUMMARY", "meeting", 'match-type="equals" negate-condition="yes"'), {"zoned"}),
        (
            '<C:prop-filter name="DTSTART"><C:param-filter name="TZID">'
            '<C:text-match match-type="starts-with">us/</C:text-match></C:param-filter></C:prop-filter>',
            {"zoned"},
        ),
        (
            '<C:prop-filter name="DTSTART"><C:param-filter name="TZID">'
            '<C:text-match match-type="equals">eastern</C:text-match></C:param-filter></C:prop-filter>',
            set(),
        ),
    ],
)
async def test_match_types_on_properties_and_parameters(
    person: Person, mixed: str, condition: str, names: set[str]
) -> None:
    assert await found(person, mixed, comp("VEVENT", condition)) == names


@pytest.mark.parametrize(
    ("condition", "refused"),
    [
        (prop("SUMMARY", "a", 'match-type="like"'), ("prop-filter", "SUMMARY")),
        (
            '<C:prop-filter name="ATTENDEE"><C:param-filter name="CN"><C:text-match match-type="like">a</C:text-match>'
            "</C:param-filter></C:prop-filter>",
            ("param-filter", "CN"),
        ),
        ('<x:near xmlns:x="urn:x"/>', ("comp-filter", "VEVENT")),
        (prop("SUMMARY", "a" * 9000, 'match-type="like"'), ("prop-filter", "SUMMARY")),
    ],
)
async def test_7_8_the_refused_filter_is_named(
    person: Person, mixed: str, condition: str, refused: tuple[str, str]
) -> None:
    inner = (await ask(person, mixed, comp("VEVENT", condition))).refused(403, caldav("supported-filter"))
    assert inner is not None
    assert [(etree.QName(item).localname, item.get("name")) for item in inner] == [refused]
