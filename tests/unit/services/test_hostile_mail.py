"""Hostile mail: forged senders, tags, SENT-BY and UIDs of others, and mails that are mutated at random.

The mail server in front is honest: on top of each mail it says that the mail is from evil.example. Mallory there is
invited to a meeting of anna's, and has a tag for it.
"""

from __future__ import annotations

import random
import re

from server.services.mail.incoming import Arrived
from server.services.mail.incoming_effects import Outcome
from server.services.mail.incoming_settings import IncomingMailSettings
from tests.unit.imip.test_parsing import FILES, mutated
from tests.unit.services.incoming_mail_world import (
    ANNA,
    BEN,
    DORA,
    GUS,
    HERE,
    MEETING,
    MailWorld,
    line,
    mail,
    meeting,
    message,
    reply,
    request,
)
from tests.unit.services.world import event

MALLORY = "mallory@evil.example"
FINDING = f"Authentication-Results: {HERE}; dmarc=pass header.from=evil.example\r\n".encode()
FORGED = (
    "",
    f"Authentication-Results: {HERE}; dmarc=pass header.from=contoso.example\r\n",
    "Authentication-Results: mx.other.example; dmarc=pass header.from=contoso.example\r\n",
    f"From: {DORA}\r\n",
    f"Sender: {DORA}\r\nReply-To: {DORA}\r\n",
)


def hostile(chance: random.Random) -> str:
    """A calendar text that names people and meetings at random, in somebody's name."""
    method = chance.choice(["REPLY", "REQUEST", "CANCEL", "ADD", "COUNTER", "REFRESH", "DECLINECOUNTER"])
    parameters = chance.choice(["", f';SENT-BY="mailto:{MALLORY}"', f';SENT-BY="mailto:{DORA}"', ';X="a;b:c"'])
    people = [line("ORGANIZER", chance.choice([ANNA, BEN, DORA, GUS, MALLORY]), parameters)]
    for _ in range(chance.randint(0, 3)):
        answer = chance.choice(["ACCEPTED", "DECLINED", "DELEGATED", "NEEDS-ACTION"])
        more = chance.choice(
            ["", f';DELEGATED-TO="mailto:{MALLORY}"', f';DELEGATED-FROM="mailto:{DORA}"', ';SENT-BY="mailto:x"']
        )
        people.append(line("ATTENDEE", chance.choice([ANNA, BEN, DORA, GUS, MALLORY]), f";PARTSTAT={answer}{more}"))
    sequence = f"SEQUENCE:{chance.choice([0, 1, 2**31])}"
    return message(
        method, *people, uid=chance.choice(["m", "own", "from-dora", "for-mallory", "new"]), more=(sequence,)
    )


async def test_nothing_that_is_forged_takes_effect() -> None:
    world = await MailWorld().populated()
    await world.put_by("anna", MEETING, meeting(DORA, GUS, BEN))
    await world.put_by("anna", "anna/calendar/own.ics", event("own"))
    await world.put_by("anna", "anna/calendar/mallory.ics", meeting(MALLORY, BEN, uid="for-mallory"))
    assert await world.receive(request(ANNA, BEN, uid="from-dora")) is Outcome.APPLIED
    settings = IncomingMailSettings(authserv_id=HERE, invitations="all", messages_per_hour=1_000_000)
    world.mails = world.receiver(settings)
    before = await others(world)
    own, foreign = world.tagged(MALLORY, "for-mallory"), world.tagged()
    broken = foreign[:-25] + ("a" if foreign[-25] != "a" else "b") + foreign[-24:]
    chance = random.Random(5546)
    files = list(FILES.values())
    found: set[Outcome] = set()
    invited = sent = len(world.memory.tables.mails)
    for number in range(5000):
        if number % 2:
            sender = chance.choice([DORA, GUS, ANNA, BEN, MALLORY, f"{DORA}>, <{MALLORY}"])
            data = chance.choice(FORGED).encode() + mail(hostile(chance), sender, "")
            data = data if chance.random() < 0.5 else mutated(chance, [data])
        else:
            data = mutated(chance, files)
        recipient = chance.choice([ANNA, BEN, own, broken, "x@example.com"])
        arrived = Arrived(FINDING + data, chance.choice([MALLORY, MALLORY, DORA, ""]), (recipient,))
        found |= set(await world.mails.receive(arrived))
        assert len(world.memory.tables.mails) <= sent + 1
        sent = len(world.memory.tables.mails)
    assert await others(world) == before
    assert {row.address for row in list(world.memory.tables.mails.values())[invited:]} <= {MALLORY}
    # What mallory says of themselves counts, also after all that.
    newest = reply(MALLORY, uid="for-mallory", dtstamp="20270101T000000Z", more=("SEQUENCE:2147483648",))
    assert await world.deliver(FINDING + mail(newest, MALLORY, ""), ANNA) == (Outcome.APPLIED,)
    assert await world.partstat(MALLORY, "anna/calendar/mallory.ics") == "ACCEPTED"
    wanted = {Outcome.APPLIED, Outcome.HELD, Outcome.LOCAL, Outcome.REFUSED, Outcome.UNREADABLE, Outcome.NOT_CONCERNED}
    assert wanted <= found


async def others(world: MailWorld) -> list[str]:
    """What lies in calendars here, except for what mallory organizes, and the meeting that mallory is invited to."""
    texts = [*await world.copies("anna"), *await world.copies("ben")]
    plain = [text.replace("\r\n ", "") for text in texts]
    by_mallory = re.compile(f"^ORGANIZER.*:mailto:{MALLORY}", re.MULTILINE | re.IGNORECASE)
    return sorted(text for text in plain if by_mallory.search(text) is None and "UID:for-mallory\r\n" not in text)
