"""Rooms that people elsewhere invite."""

from __future__ import annotations

import pytest

from server.services.mail.incoming_effects import Outcome
from tests.unit.services.incoming_mail_world import MailWorld, request
from tests.unit.services.test_implicit_scheduling import line_of
from tests.unit.services.test_room_policies import hall


@pytest.mark.parametrize(("admitted", "partstat"), [(False, "DECLINED"), (True, "ACCEPTED")])
async def test_an_organizer_elsewhere_books_where_a_policy_admits_them(admitted: bool, partstat: str) -> None:
    world = await MailWorld().populated()
    await world.add("hall", kind="room", addresses=("hall@example.com",))
    await hall(world, allow_external=admitted)
    assert await world.receive(request("hall@example.com"), "hall@example.com") is Outcome.APPLIED
    (copy,) = await world.copies("hall")
    assert f"PARTSTAT={partstat}" in line_of(copy, "ATTENDEE", "hall@example.com")
    (sent,) = world.memory.tables.mails.values()
    assert (sent.method, sent.address) == ("REPLY", "dora@contoso.example")
