"""RFC 4918 §10.4: the If header, with RFC 9110 §13.1: If-Match and If-None-Match, on methods that change something."""

from __future__ import annotations

import pytest

from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.multistatus import dav
from tests.integration.dav.person import Person, card, event

LOCK = "<urn:uuid:181d4fae-7d8c-11d0-a765-00a0c91e6bf2>"
"""A token of a lock, which nothing here ever has."""


async def holds(person: Person, path: str, condition: str, method: str = "PROPPATCH") -> bool:
    """Whether a request with this If header is carried out."""
    body = '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><p xmlns="urn:x">1</p></D:prop></D:set></D:propertyupdate>'
    reply = await person.http(method, path, body if method == "PROPPATCH" else "", If=condition)
    if reply.status == 412:
        assert reply.body
        return False
    assert reply.status in (200, 204, 207), reply.body
    return True


async def test_10_4_6_no_tag_production(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    etag = await person.has(path, event("1"))
    assert not await holds(person, path, f'({LOCK}\r\n       ["I am an ETag"])\r\n       (["I am another ETag"])')
    assert await holds(person, path, f'({LOCK}\r\n       ["I am an ETag"])\r\n       ([{etag}])')
    assert not await holds(person, path, f"({LOCK} [{etag}])"), "both are to hold"


async def test_10_4_7_not_with_no_tag_production(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    other = "<urn:uuid:58f202ac-22cf-11d1-b12d-002035b29092>"
    assert not await holds(person, path, f"(Not {LOCK}\r\n     {other})")
    assert await holds(person, path, f"(Not {LOCK} Not {other})")


async def test_10_4_8_a_condition_that_is_always_true(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    assert await holds(person, path, f"({LOCK})\r\n       (Not <DAV:no-lock>)")
    assert not await holds(person, path, f"({LOCK})")
    assert not await holds(person, path, "(<DAV:no-lock>)")


async def test_10_4_9_tagged_list_in_copy(person: Person) -> None:
    source, destination = f"{person.calendar}resource1", f"{person.home}other/resource2"
    assert (await person.http("MKCALENDAR", f"{person.home}other/")).status == 201
    etag = await person.has(source, event("1"))
    condition = f'<{source}>\r\n       ({LOCK}\r\n       [W/"A weak ETag"]) (["strong ETag"])'
    (await person.http("COPY", source, Destination=destination, If=condition)).refused(412)
    condition = condition.replace('"strong ETag"', etag)
    assert (await person.http("COPY", source, Destination=destination, If=condition)).status == 201


async def test_10_4_10_a_token_of_the_collection(person: Person) -> None:
    path = f"{person.calendar}rfc2518.txt"
    await person.has(path, event("1"))
    url = f"http://127.0.0.1:{person.http.port}{person.calendar}"
    (await person.http("DELETE", path, If=f"<{url}>\r\n       ({LOCK})")).refused(412)
    token = await person.prop(person.calendar, "D:sync-token")
    assert (await person.http("DELETE", path, If=f"<{url}>\r\n       (<{token}>)")).status == 204


async def test_10_4_11_etags_of_unmapped_urls(person: Person) -> None:
    path = f"{person.calendar}rfc2518.doc"
    (await person.put(path, event("1"), If=f'<{path}> (["4217"])')).refused(412)
    assert (await person.put(path, event("1"), If=f'<{path}> (Not ["4217"])')).status == 201
    assert (await person.put(f"{person.calendar}2", event("2"), If='(Not ["4217"])')).status == 201


async def test_10_4_4_tags_of_other_resources(person: Person, new_person: NewPerson) -> None:
    path, beside = f"{person.calendar}1.ics", f"{person.book}1.vcf"
    await person.has(path, event("1"))
    etag = await person.has(beside, card("1"))
    assert await holds(person, path, f"<{beside}> ([{etag}])")
    assert not await holds(person, path, f"([{etag}])")
    assert await holds(person, path, f'<{beside}> (["no"]) <{path}> (["no"]) <{beside}> (Not ["no"] [{etag}])')
    # what another person has is as if it were not there
    other = await new_person()
    theirs = await other.has(f"{other.calendar}1.ics", event("1"))
    assert not await holds(person, path, f"<{other.calendar}1.ics> ([{theirs}])")
    assert await holds(person, path, f"<{other.calendar}1.ics> (Not [{theirs}])")


@pytest.mark.parametrize(
    "condition",
    [
        "garbage",
        "(",
        "()",
        "(<a>",
        '(["a"]) (',
        "Not (<urn:a>)",
        "(Not)",
        "(Not Not <urn:a>)",
        "<urn:a>",
        '["a"]',
        "((<urn:a>))",
        "(<urn:a>) x",
        "<not a url\x7f> (<urn:a>)",
        "</a/../b> (<urn:a>)",
        "</%ff> (<urn:a>)",
    ],
)
async def test_10_4_2_syntax_that_is_wrong_is_400(person: Person, condition: str) -> None:
    path = f"{person.calendar}1.ics"
    (await person.put(path, event("1"), If=condition)).refused(400)
    assert not await person.exists(path)


async def test_10_4_the_number_of_conditions_is_bounded(person: Person) -> None:
    condition = "(" + "<urn:a> " * 3000 + ")"
    (await person.put(f"{person.calendar}1.ics", event("1"), If=condition)).refused(400)
    many = " ".join(f"</calendars/users/u{number}/> (<urn:a>)" for number in range(600))
    (await person.put(f"{person.calendar}1.ics", event("1"), If=many)).refused(400)


async def test_rfc9110_13_1_1_if_match(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    (await person.put(path, event("1"), If_Match="*")).refused(412)
    (await person.put(path, event("1"), If_Match='"x"')).refused(412)
    assert not await person.exists(path)
    etag = await person.has(path, event("1"))
    for value in ('"x"', f"W/{etag}", etag.strip('"'), '"x", "y"'):
        (await person.put(path, event("1", "Other"), If_Match=value)).refused(412)
    assert (await person.put(path, event("1", "Other"), If_Match=f'"x", {etag}')).status == 204
    assert (await person.put(path, event("1", "More"), If_Match="*")).status == 204
    (await person.http("DELETE", path, If_Match=etag)).refused(412)
    assert (await person.http("DELETE", path, If_Match="*")).status == 204


async def test_rfc9110_13_1_2_if_none_match(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    etag = await person.has(path, event("1"), If_None_Match="*")
    for value in ("*", etag, f'"x", W/{etag}'):
        (await person.put(path, event("1", "Other"), If_None_Match=value)).refused(412)
    assert (await person.put(path, event("1", "Other"), If_None_Match='"x"')).status == 204


async def test_rfc9110_13_1_4_if_unmodified_since(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    date = (await person.http("GET", path)).headers["Last-Modified"]
    (await person.put(path, event("1", "x"), If_Unmodified_Since="Mon, 12 Jan 1998 09:25:56 GMT")).refused(412)
    assert (await person.put(path, event("1", "x"), If_Unmodified_Since=date)).status == 204


async def test_conditions_of_collections(person: Person) -> None:
    for path in (person.calendar, person.book):
        etag = await person.prop(path, "D:getetag")
        assert not await holds(person, path, '(["no"])')
        assert await holds(person, path, f"([{etag}])")
        assert await person.prop(path, "D:getetag") != etag, "it moves with the collection's properties"
        token = await person.prop(path, "D:sync-token")
        assert await holds(person, path, f"(<{token}>)")


async def test_8_5_authorization_is_checked_before_conditions(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await other.has(f"{other.calendar}1.ics", event("1"))
    for path in (f"{other.calendar}1.ics", f"{other.calendar}2.ics"):
        (await person.put(path, event("1"), If_Match='"x"')).refused(403, dav("need-privileges"))
        (await person.http("DELETE", path, If='(["x"])')).refused(403, dav("need-privileges"))


async def test_rfc6578_5_1_put_if_nothing_has_changed_since(person: Person) -> None:
    token = (await person.sync(person.calendar)).token
    condition = f"<{person.calendar}>\r\n     (<{token}>)"
    assert (await person.put(f"{person.calendar}newresource.txt", event("1"), If=condition)).status == 201
    (await person.put(f"{person.calendar}another.txt", event("2"), If=condition)).refused(412)
    assert not await person.exists(f"{person.calendar}another.txt")


async def test_rfc6578_5_2_mkcol_if_nothing_has_changed_since(person: Person) -> None:
    token = (await person.sync(person.home)).token
    await person.has(f"{person.calendar}1.ics", event("1"))
    condition = f"<{person.home}>\r\n     (<{token}>)"
    (await person.http("MKCALENDAR", f"{person.home}child/", If=condition)).refused(412)
    assert not await person.exists(f"{person.home}child/")
    token = (await person.sync(person.home)).token
    assert (await person.http("MKCALENDAR", f"{person.home}child/", If=f"<{person.home}> (<{token}>)")).status == 201
