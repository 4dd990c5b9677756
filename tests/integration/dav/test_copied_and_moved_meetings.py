"""COPY and MOVE of meetings over HTTP (RFC 6638 §3.2.3.3, §3.2.3.4, §3.2.10)."""

from __future__ import annotations

from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import caldav, dav
from tests.integration.dav.person import Person, xml
from tests.integration.dav.sharing import Share, shown
from tests.integration.dav.test_implicit_scheduling import line, meeting, settled, text_of

GRANT = "<D:ace><D:principal><D:href>{}</D:href></D:principal><D:grant>{}</D:grant></D:ace>"


async def may_write(owner: Person, whom: Person) -> None:
    await grant(owner, owner.calendar, whom, "D:read", "D:write")


async def grant(owner: Person, path: str, whom: Person, *names: str) -> None:
    privileges = "".join(f"<D:privilege><{name}/></D:privilege>" for name in names)
    assert (await owner.http("ACL", path, xml("D:acl", GRANT.format(whom.principal, privileges)))).status == 200


async def test_a_move_keeps_the_resource_and_changes_the_schedule_tag(person: Person, new_person: NewPerson) -> None:
    ben = await new_person()
    old, new = f"{person.calendar}m.ics", f"{person.home}work/m.ics"
    assert (await person.http("MKCALENDAR", f"{person.home}work/")).status == 201
    etag = await person.has(old, meeting(person, ben))
    tag = (await person.http("GET", old)).headers["Schedule-Tag"]
    resource_id = await person.prop(old, "D:resource-id")
    stale = await person.http("MOVE", old, Destination=new, If_Schedule_Tag_Match='"stale"')
    assert stale.status == 412
    moved = await person.http("MOVE", old, Destination=new, If_Schedule_Tag_Match=tag)
    assert moved.status == 201
    assert moved.etag == etag
    shown = await person.http("GET", new)
    assert shown.headers["Schedule-Tag"] == moved.headers["Schedule-Tag"] != tag
    assert shown.etag == etag
    assert await person.prop(new, "D:resource-id") == resource_id
    assert len(await ben.names(f"{ben.home}inbox/")) == 1
    # The condition is about the source, also of a COPY.
    copied = await person.http("COPY", new, Destination=old, If_Schedule_Tag_Match=tag)
    assert copied.status == 412
    copied = await person.http("COPY", new, Destination=old, If_Schedule_Tag_Match=moved.headers["Schedule-Tag"])
    copied.refused(403, caldav("unique-scheduling-object-resource"))
    assert f"<D:href>{new}</D:href>" in copied.text
    # A renamed resource in its calendar.
    renamed = await person.http("MOVE", new, Destination=f"{person.home}work/n.ics")
    assert renamed.status == 201
    assert renamed.headers["Schedule-Tag"] != moved.headers["Schedule-Tag"]


async def test_a_move_to_another_owner_is_remove_and_create(person: Person, new_person: NewPerson) -> None:
    ben, cleo = await new_person(), await new_person()
    await may_write(cleo, person)
    await person.has(f"{person.calendar}m.ics", meeting(person, ben))
    moved = await person.http("MOVE", f"{person.calendar}m.ics", Destination=f"{cleo.calendar}m.ics")
    assert moved.status == 201
    assert "Schedule-Tag" not in moved.headers
    (copy,) = await ben.names(ben.calendar)
    assert "STATUS:CANCELLED" in await text_of(ben, copy)
    assert (await ben.http("DELETE", copy)).status == 204
    back = await person.http("MOVE", f"{cleo.calendar}m.ics", Destination=f"{person.calendar}m.ics")
    assert back.status == 201
    assert "Schedule-Tag" in back.headers
    assert "SCHEDULE-STATUS=1.2" in line(await text_of(person, f"{person.calendar}m.ics"), ben)


async def test_who_may_not_send_for_the_owner_is_denied_at_the_outbox(person: Person, new_person: NewPerson) -> None:
    ben, cleo = await new_person(), await new_person()
    await may_write(person, cleo)
    await person.has(f"{person.calendar}m.ics", meeting(person, ben))
    reply = await cleo.http("MOVE", f"{person.calendar}m.ics", Destination=f"{cleo.calendar}m.ics")
    reply.refused(403, dav("need-privileges"))
    assert f"<D:href>{person.home}outbox/</D:href>" in reply.text
    assert await cleo.names(cleo.calendar) == []


async def test_a_move_to_another_participant(served: Served, person: Person, new_person: NewPerson) -> None:
    ben, cleo = await new_person(), await new_person()
    await may_write(ben, person)
    await person.has(f"{person.calendar}m.ics", meeting(person, ben, cleo))
    (copy,) = await ben.names(ben.calendar)

    async def move() -> Reply:
        return await person.http("MOVE", f"{person.calendar}m.ics", Destination=f"{ben.calendar}m.ics")

    reply = await move()
    reply.refused(403, caldav("unique-scheduling-object-resource"))
    assert f"<D:href>{copy}</D:href>" in reply.text
    assert (await ben.http("DELETE", copy)).status == 204
    # The meeting that arrives has Ben's answer, which is sent in his name.
    reply = await move()
    reply.refused(403, dav("need-privileges"))
    assert f"<D:href>{ben.home}outbox/</D:href>" in reply.text
    assert await person.names(person.calendar) == [f"{person.calendar}m.ics"]
    await grant(ben, f"{ben.home}outbox/", person, "C:schedule-send")
    moved = await move()
    assert moved.status == 201
    assert "Schedule-Tag" in moved.headers
    await settled(served)
    assert await person.names(person.calendar) == []
    assert await ben.names(ben.calendar) == [f"{ben.calendar}m.ics"]
    (other,) = await cleo.names(cleo.calendar)
    assert "STATUS:CANCELLED" in await text_of(cleo, other)


async def test_a_sharee_moves_a_meeting_away_if_they_may_invite(
    person: Person, other: Person, new_person: NewPerson, share: Share
) -> None:
    guest = await new_person()
    await person.has(f"{person.calendar}m.ics", meeting(person, guest))
    await share(person, other, "write")
    (calendar,) = await shown(other)
    target = {"Destination": f"{other.calendar}m.ics"}
    refused = await other.http("MOVE", f"{calendar}m.ics", **target)
    assert (refused.status, "need-privileges" in refused.text) == (403, True)
    await share(person, other, "write", may_invite=True)
    assert (await other.http("MOVE", f"{calendar}m.ics", **target)).status == 201
    assert await person.names(person.calendar) == []
    inbox = [await text_of(guest, each) for each in await guest.names(f"{guest.home}inbox/")]
    assert sorted("METHOD:CANCEL" in each for each in inbox) == [False, True]
    back = {"Destination": f"{calendar}m.ics"}
    (copy,) = await guest.names(guest.calendar)
    assert (await guest.http("DELETE", copy)).status == 204
    assert (await other.http("MOVE", f"{other.calendar}m.ics", **back)).status == 201
    assert await person.names(person.calendar) == [f"{person.calendar}m.ics"]
    assert "SCHEDULE-STATUS=1.2" in (await person.http("GET", f"{person.calendar}m.ics")).text.replace("\r\n ", "")
