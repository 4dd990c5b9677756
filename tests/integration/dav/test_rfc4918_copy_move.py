"""RFC 4918 §9.8 COPY and §9.9 MOVE."""

from __future__ import annotations

import pytest

from tests.integration.dav.conftest import NewPerson, Serve
from tests.integration.dav.multistatus import caldav, carddav, dav
from tests.integration.dav.person import Person, card, event, task, xml


@pytest.fixture
async def other(person: Person) -> str:
    """A second calendar of the person, of events."""
    components = '<C:supported-calendar-component-set><C:comp name="VEVENT"/></C:supported-calendar-component-set>'
    body = xml("C:mkcalendar", f"<D:set><D:prop>{components}</D:prop></D:set>")
    assert (await person.http("MKCALENDAR", f"{person.home}other/", body)).status == 201
    return f"{person.home}other/"


async def test_9_8_6_copy_with_overwrite(person: Person, other: str) -> None:
    await person.has(f"{person.calendar}index.html", event("1", "New"))
    await person.has(f"{other}index.html", event("1", "Old"))
    url = f"http://127.0.0.1:{person.http.port}{other}index.html"
    reply = await person.http("COPY", f"{person.calendar}index.html", Destination=url)
    assert reply.status == 204
    copied, original = [await person.http("GET", f"{folder}index.html") for folder in (other, person.calendar)]
    assert copied.body == original.body == event("1", "New").encode()
    assert copied.etag == original.etag


async def test_9_8_7_copy_with_no_overwrite(person: Person, other: str) -> None:
    await person.has(f"{person.calendar}index.html", event("1", "New"))
    await person.has(f"{other}index.html", event("1", "Old"))
    for method in ("COPY", "MOVE"):
        reply = await person.http(
            method, f"{person.calendar}index.html", Destination=f"{other}index.html", Overwrite="F"
        )
        reply.refused(412)
    assert (await person.http("GET", f"{other}index.html")).text == event("1", "Old")
    assert await person.exists(f"{person.calendar}index.html")


async def test_9_8_8_copy_of_a_collection(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.set(person.calendar, "<X:p>1</X:p><D:displayname>Name</D:displayname>")
    destination = f"{person.home}othercontainer/"
    reply = await person.http("COPY", person.calendar, Destination=destination, Depth="infinity")
    # nothing is locked, so that all of it is copied
    assert reply.status == 201
    assert await person.names(destination) == [f"{destination}1.ics"]
    assert await person.prop(destination, "X:p") == "1"
    assert await person.prop(destination, "D:displayname") == "Name"
    assert caldav("calendar") in await person.prop(destination, "D:resourcetype")
    assert await person.prop(destination, "D:resource-id") != await person.prop(person.calendar, "D:resource-id")
    # a copy is a copy
    await person.has(f"{destination}1.ics", event("1", "Changed"))
    assert (await person.http("GET", f"{person.calendar}1.ics")).text == event("1")


async def test_9_8_3_copy_of_a_collection_with_depth_0(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.set(person.calendar, "<X:p>1</X:p>")
    assert (await person.http("COPY", person.calendar, Destination=f"{person.home}new/", Depth="0")).status == 201
    assert await person.names(f"{person.home}new/") == []
    assert await person.prop(f"{person.home}new/", "X:p") == "1"
    (await person.http("COPY", person.calendar, Destination=f"{person.home}new2/", Depth="1")).refused(400)


async def test_9_8_4_copy_over_a_collection_replaces_it(person: Person, other: str) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{other}2.ics", event("2"))
    await person.set(other, "<X:p>1</X:p>")
    (await person.http("COPY", person.calendar, Destination=other, Overwrite="F")).refused(412)
    assert await person.names(other) == [f"{other}2.ics"]
    assert (await person.http("COPY", person.calendar, Destination=other)).status == 204
    assert await person.names(other) == [f"{other}1.ics"]
    assert (await person.propfind(other, "X:p")).only.status_of("{http://example.com/ns/}p") == 404


async def test_9_8_2_dead_properties_are_copied_with_a_member(person: Person, other: str) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.set(f"{person.calendar}1.ics", "<X:p><X:q>1</X:q></X:p>")
    assert (await person.http("COPY", f"{person.calendar}1.ics", Destination=f"{other}1.ics")).status == 201
    assert await person.prop(f"{other}1.ics", "X:p") == "<{http://example.com/ns/}q>1</>"
    assert (await person.http("MOVE", f"{person.calendar}1.ics", Destination=f"{other}1.ics")).status == 204
    assert await person.prop(f"{other}1.ics", "X:p") == "<{http://example.com/ns/}q>1</>"


async def test_9_9_5_move_of_a_member(person: Person, other: str) -> None:
    etag = await person.has(f"{person.calendar}index.html", event("1"))
    id_ = await person.prop(f"{person.calendar}index.html", "D:resource-id")
    url = f"http://127.0.0.1:{person.http.port}{other}index.html"
    reply = await person.http("MOVE", f"{person.calendar}index.html", Destination=url)
    assert reply.status == 201
    assert reply.headers["Location"].endswith(f"{other}index.html")
    assert not await person.exists(f"{person.calendar}index.html")
    got = await person.http("GET", f"{other}index.html")
    assert (got.etag, got.text) == (etag, event("1"))
    assert await person.prop(f"{other}index.html", "D:resource-id") == id_


async def test_9_9_6_move_of_a_collection(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    id_ = await person.prop(person.calendar, "D:resource-id")
    condition = (
        "(<urn:uuid:fe184f2e-6eec-41d0-c765-01adc56e6bb4>) (Not <urn:uuid:e454f3f3-acdc-452a-56c7-00a5c91e4b77>)"
    )
    destination = f"{person.home}othercontainer/"
    reply = await person.http("MOVE", person.calendar, Destination=destination, Overwrite="F", If=condition)
    assert reply.status == 201
    assert person.calendar not in await person.names(person.home)
    assert (await person.http("GET", f"{person.calendar}1.ics")).status == 404
    assert await person.names(destination) == [f"{destination}1.ics"]
    assert await person.prop(destination, "D:resource-id") == id_
    for depth in ("0", "1"):
        (await person.http("MOVE", destination, Destination=person.calendar, Depth=depth)).refused(400)


async def test_9_9_3_move_over_a_collection_replaces_it(person: Person, other: str) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{other}2.ics", event("2"))
    (await person.http("MOVE", person.calendar, Destination=other, Overwrite="F")).refused(412)
    assert (await person.http("MOVE", person.calendar, Destination=other, Overwrite="T")).status == 204
    assert await person.names(other) == [f"{other}1.ics"]
    assert not await person.exists(person.calendar)


async def test_9_8_5_status_codes(person: Person, other: str, new_person: NewPerson) -> None:
    source = f"{person.calendar}1.ics"
    await person.has(source, event("1"))
    stranger = await new_person()

    def by_name(path: str) -> str:
        return path.replace(f"__uids__/{person.uid}", f"users/{person.name}")

    for method in ("COPY", "MOVE"):
        # 403: source and destination are the same
        (await person.http(method, source, Destination=source)).refused(403)
        (await person.http(method, source, Destination=source.replace("1.ics", "%31.ics"))).refused(403)
        (await person.http(method, person.calendar, Destination=person.calendar.rstrip("/"))).refused(403)
        (await person.http(method, source, Destination=by_name(source))).refused(403)
        (await person.http(method, person.calendar, Destination=by_name(person.calendar))).refused(403)
        # 409: an intermediate collection is missing
        (await person.http(method, source, Destination=f"{person.home}no/1.ics")).refused(409)
        # 404: nothing to copy
        assert (await person.http(method, f"{person.calendar}no.ics", Destination=f"{other}1.ics")).status == 404
        # 400: no destination, or none that can be one
        for destination in ("", "1.ics", "ftp://example.com/1.ics", "http://[", f"{other}%zz/../1.ics", f"{other}%ff"):
            (await person.http(method, source, Destination=destination)).refused(400)
        (await person.http(method, source, Destination=f"{other}1.ics", Overwrite="yes")).refused(400)
        # 403: another's home
        reply = await person.http(method, source, Destination=f"{stranger.calendar}1.ics")
        reply.refused(403, dav("need-privileges"))
        (await stranger.http(method, source, Destination=f"{stranger.calendar}1.ics")).refused(
            403, dav("need-privileges")
        )
        # 412
        (await person.http(method, source, Destination=f"{other}1.ics", If_Match='"x"')).refused(412)
        # 403: what everybody has
        for path in (f"{person.home}inbox/", person.home, person.principal, "/"):
            reply = await person.http(method, path, Destination=f"{person.home}new/")
            reply.refused(403, dav("need-privileges"))
        for destination in (f"{person.home}inbox/", f"{person.home}outbox/"):
            (await person.http(method, person.calendar, Destination=destination)).refused(403)
    assert await person.names(person.calendar) == [source]
    assert await person.names(other) == []
    assert await stranger.names(stranger.calendar) == []


async def test_rfc4791_5_3_2_1_preconditions(person: Person, other: str) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{other}2.ics", event("1"))
    await person.has(f"{other}3.ics", event("3"))
    await person.has(f"{person.tasks}t.ics", task("t"))
    for method in ("COPY", "MOVE"):
        found = (await person.http(method, f"{person.calendar}1.ics", Destination=f"{other}1.ics")).refused(
            403, caldav("no-uid-conflict")
        )
        assert found is not None
        assert [item.text for item in found] == [f"{other}2.ics"]
        for overwrite in ("T", "F"):
            reply = await person.http(
                method, f"{person.calendar}1.ics", Destination=f"{other}3.ics", Overwrite=overwrite
            )
            assert reply.status == (403 if overwrite == "T" else 412)
        reply = await person.http(method, f"{person.tasks}t.ics", Destination=f"{other}t.ics")
        reply.refused(403, caldav("supported-calendar-component"))
        reply = await person.http(method, f"{person.calendar}1.ics", Destination=f"{person.book}1.vcf")
        reply.refused(403, carddav("supported-address-data"))
        # collections lie in a home, members in a collection
        nested = await person.http(method, other, Destination=f"{person.calendar}other/")
        nested.refused(403, caldav("calendar-collection-location-ok"))
        reply = await person.http(method, f"{person.calendar}1.ics", Destination=f"{person.home}1.ics")
        reply.refused(403, caldav("calendar-collection-location-ok"))
        reply = await person.http(method, person.book, Destination=f"{person.home}book/")
        reply.refused(403, carddav("addressbook-collection-location-ok"))
    assert len(await person.names(other)) == 2


async def test_rfc6352_6_3_2_1_preconditions(person: Person) -> None:
    await person.has(f"{person.book}1.vcf", card("1"))
    assert (await person.http("COPY", person.book, Destination=f"{person.books}second/")).status == 201
    assert (
        await person.http("MOVE", f"{person.books}second/1.vcf", Destination=f"{person.books}second/2.vcf")
    ).status == 201
    for method in ("COPY", "MOVE"):
        found = (await person.http(method, f"{person.book}1.vcf", Destination=f"{person.books}second/1.vcf")).refused(
            403, carddav("no-uid-conflict")
        )
        assert found is not None
        assert [item.text for item in found] == [f"{person.books}second/2.vcf"]
        reply = await person.http(method, f"{person.book}1.vcf", Destination=f"{person.calendar}1.ics")
        reply.refused(403, caldav("supported-calendar-data"))


async def test_move_within_a_collection(person: Person) -> None:
    token = (await person.sync(person.calendar)).token or ""
    etag = await person.has(f"{person.calendar}1.ics", event("1"))
    assert (await person.http("MOVE", f"{person.calendar}1.ics", Destination=f"{person.calendar}2.ics")).status == 201
    assert await person.names(person.calendar) == [f"{person.calendar}2.ics"]
    found = await person.sync(person.calendar, token)
    assert found[f"{person.calendar}2.ics"].found == {dav("getetag"): etag}
    assert found[f"{person.calendar}1.ics"].status == 404
    # within one collection the UID of the source itself is no conflict for MOVE, but one for COPY
    (await person.http("COPY", f"{person.calendar}2.ics", Destination=f"{person.calendar}3.ics")).refused(
        403, caldav("no-uid-conflict")
    )


@pytest.mark.parametrize("spelling", ["with space.ics", "caf%C3%A9.ics", "a+b%20c.ics", "%61.ics"])
async def test_destinations_are_decoded_once(person: Person, other: str, spelling: str) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    assert (await person.http("MOVE", f"{person.calendar}1.ics", Destination=f"{other}{spelling}")).status == 201
    expected = {"with space.ics": "with%20space.ics", "a+b%20c.ics": "a+b%20c.ics", "%61.ics": "a.ics"}
    assert await person.names(other) == [f"{other}{expected.get(spelling, spelling)}"]


async def test_quota_holds_for_copies(new_person: NewPerson) -> None:
    person = await new_person(quota_bytes=2500)
    await person.has(f"{person.calendar}1.ics", event("1", "x" * 1500))
    assert (await person.http("MKCALENDAR", f"{person.home}other/")).status == 201
    reply = await person.http("COPY", f"{person.calendar}1.ics", Destination=f"{person.home}other/1.ics")
    reply.refused(507, dav("quota-not-exceeded"))
    (await person.http("COPY", person.calendar, Destination=f"{person.home}new/")).refused(
        507, dav("quota-not-exceeded")
    )
    assert f"{person.home}new/" not in await person.names(person.home)
    reply = await person.http("MOVE", f"{person.calendar}1.ics", Destination=f"{person.home}other/1.ics")
    assert reply.status == 201, "a move needs no room"


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
@pytest.mark.parametrize("prefix", ["", "/dav"])
async def test_rfc3744_7_1_1_a_refusal_names_the_url_that_lacks_the_privilege(
    person: Person, serve: Serve, method: str, prefix: str
) -> None:
    """What every home keeps is not replaced, nor copied or moved itself."""
    async with serve({"network.external_url": f"http://127.0.0.1{prefix}"}) as served:
        client = served.client(Remote_User=person.name)
        for source, target, lacking in (
            (person.calendar, f"{person.home}inbox/", f"{person.home}inbox/"),
            (person.calendar, f"{person.home}outbox/", f"{person.home}outbox/"),
            (f"{person.home}inbox/", f"{person.home}new/", f"{person.home}inbox/"),
            (person.home, f"{person.home}new/", person.home),
        ):
            reply = await client(method, prefix + source, Destination=prefix + target)
            found = reply.refused(403, dav("need-privileges"))
            assert found is not None
            assert [element.text for element in found.iter(dav("href"))] == [prefix + lacking]
        client.close()
