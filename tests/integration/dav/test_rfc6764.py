"""RFC 6764 §5: well-known URLs; discovery from there, also behind a proxy's path prefix."""

from __future__ import annotations

import pytest

from tests.integration.dav.conftest import Served
from tests.integration.dav.multistatus import hrefs_in
from tests.integration.dav.person import Person, event, xml

METHODS = ["GET", "HEAD", "PROPFIND", "OPTIONS", "POST"]


@pytest.mark.parametrize("name", ["caldav", "carddav"])
@pytest.mark.parametrize("method", METHODS)
async def test_5_redirects_before_any_sign_in(served: Served, name: str, method: str) -> None:
    client = served.client()
    for path in (f"/.well-known/{name}", f"/.well-known/{name}/"):
        reply = await client(method, path, Depth="0")
        assert (reply.status, reply.headers["Location"]) == (301, "/")
        assert "max-age" in reply.headers["Cache-Control"]
    client.close()


async def test_6_from_the_root_to_the_homes(person: Person) -> None:
    """What every client does: current-user-principal, then the home sets."""
    (principal,) = hrefs_in(await person.prop("/", "D:current-user-principal"))
    (home,) = hrefs_in(await person.prop(principal, "C:calendar-home-set"))
    (books,) = hrefs_in(await person.prop(principal, "A:addressbook-home-set"))
    assert (home, books) == (person.home, person.books)


async def test_5_behind_a_prefix(person: Person, serve) -> None:
    async with serve({"network.external_url": "https://example.org/koyomi"}) as behind:
        client = behind.client(Remote_User=person.name)
        for path in ("/.well-known/caldav", "/koyomi/.well-known/caldav", "/koyomi/.well-known/carddav/"):
            reply = await client("PROPFIND", path)
            assert (reply.status, reply.headers["Location"]) == (301, "/koyomi/")
        asked = xml("D:propfind", "<D:prop><D:current-user-principal/></D:prop>")
        found = (await client("PROPFIND", "/koyomi/", asked, Depth="0")).multistatus
        assert found.hrefs == ["/koyomi/"]
        (value,) = found.only.found.values()
        assert hrefs_in(value) == [f"/koyomi{person.principal}"]
        asked = xml("D:propfind", "<D:prop><C:calendar-home-set/></D:prop>")
        (value,) = (
            await client("PROPFIND", f"/koyomi{person.principal}", asked, Depth="0")
        ).multistatus.only.found.values()
        assert hrefs_in(value) == [f"/koyomi{person.home}"]
        # everything that bodies and headers carry has the prefix, and is understood with it
        path = f"/koyomi{person.calendar}1.ics"
        assert (await client("PUT", path, event("1"), Content_Type="text/calendar")).status == 201
        listed = (await client("PROPFIND", f"/koyomi{person.calendar}", Depth="1")).multistatus
        assert listed.hrefs == [f"/koyomi{person.calendar}", path]
        multiget = xml("C:calendar-multiget", f"<D:prop><D:getetag/></D:prop><D:href>{path}</D:href>")
        got = (await client("REPORT", f"/koyomi{person.calendar}", multiget)).multistatus
        assert set(got[path].props) == {200}
        moved = await client("MOVE", path, Destination=f"https://example.org/koyomi{person.calendar}2.ics")
        assert moved.status == 201
        assert moved.headers["Location"].endswith(f"/koyomi{person.calendar}2.ics")
        conflict = await client("PUT", path, event("1"), Content_Type="text/calendar")
        assert [item.text for item in conflict.precondition] == [f"/koyomi{person.calendar}2.ics"]
        sync = xml("D:sync-collection", "<D:sync-token/><D:sync-level>1</D:sync-level><D:prop/>")
        synced = (await client("REPORT", f"/koyomi{person.calendar}", sync, Depth="0")).multistatus
        assert synced.hrefs == [f"/koyomi{person.calendar}2.ics"]
        slashless = await client("GET", f"/koyomi{person.calendar}".rstrip("/"))
        assert (slashless.status, slashless.headers["Location"]) == (301, f"/koyomi{person.calendar}")
        page = await client("GET", f"/koyomi{person.home}", Accept="text/html")
        assert f'href="/koyomi{person.calendar}"' in page.text
        added = await client("POST", f"/koyomi{person.calendar};add-member", event("9"), Content_Type="text/calendar")
        assert added.headers["Location"].startswith(f"/koyomi{person.calendar}")
        client.close()
