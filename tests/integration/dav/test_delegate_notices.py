"""Notices by mail to delegates, with the jobs that a change stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes

from server.domain.jobs import Job
from server.domain.limits import Limits
from server.services.mail.invitations_to import NOTICES
from server.services.mail.notices import Notices
from server.services.mail.settings import MailSettings
from server.services.mail.transport import Mail
from server.storage.mails import MAIL, NOTICE, MailLimits
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.backup.dump import hold_mail
from storage_plugins.postgres.jobs import PostgresJobs, enqueue
from storage_plugins.postgres.storage import PostgresStorage
from storage_plugins.postgres.upkeep.pruning import forget_mails
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.person import Person
from tests.integration.dav.test_rfc6638 import address, meeting, messages


class Collected:
    def __init__(self) -> None:
        self.mails: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        self.mails.append(mail)


async def test_a_delegate_is_told_of_an_invitation(
    person: Person, other: Person, new_person: NewPerson, dav_storage: PostgresStorage
) -> None:
    guest, queue = await new_person(), PostgresJobs(dav_storage.database)
    for kind in (NOTICES, NOTICE):
        await queue.hold(kind)  # the server that the tests share sends none
    members = f"<D:group-member-set><D:href>{other.principal}</D:href></D:group-member-set>"
    path = f"{person.principal}calendar-proxy-read/"
    assert (await person.proppatch(path, f"<D:set><D:prop>{members}</D:prop></D:set>")).status == 207
    wish = '<invitations-to xmlns="urn:koyomi:mail">delegates</invitations-to>'
    assert (await person.proppatch(person.home, f"<D:set><D:prop>{wish}</D:prop></D:set>")).status == 207
    await guest.has(f"{guest.calendar}m.ics", meeting(address(guest), address(person), lines=("SUMMARY:Lunch",)))
    sent, database = Collected(), dav_storage.database
    notices = Notices(
        dav_storage, PostgresAccess(dav_storage), Limits(), MailSettings(), sent, lambda: datetime.now(UTC)
    )
    stored = "select id, payload from job where kind = $1 and (payload ->> 'principal')::bigint = $2"
    (plan,) = await database.fetch(stored, NOTICES, person.id)
    assert await notices.plan(plan[1]["principal"], plan[1]["item"]) == 1
    (job,) = await database.fetch(stored, NOTICE, person.id)
    assert await notices.send(job[1]["principal"], job[1]["item"], job[1]["recipient"])
    state = await dav_storage.mail_state()
    assert state.notices_waiting >= 1
    assert state.notices_sent >= 1
    (home,) = {row[0] for row in await database.fetch("select home_id from notice where recipient_id = $1", other.id)}
    assert not await notices.send(job[1]["principal"], job[1]["item"], job[1]["recipient"]), "it was sent"
    limits, first = MailLimits(1, 10), 1 << 40
    assert await dav_storage.begin_notice(home, first, other.id, limits) == "limited", "the notice counts"
    assert await dav_storage.begin_notice(home, first, other.id, MailLimits(10, 10)) == "ended"
    assert await dav_storage.begin_notice(home, first + 1, other.id, MailLimits(2, 2)) == "begun"
    assert await dav_storage.begin_notice(home, first + 1, other.id, MailLimits(2, 2)) == "begun", "after a crash"
    await dav_storage.end_notice(home, first + 1, other.id, sent=True)
    assert await dav_storage.begin_notice(home, first + 2, other.id, MailLimits(10, 2)) == "limited"
    assert await forget_mails(database, timedelta(days=1)) == 0
    await database.fetch("update notice set created_at = now() - interval '40 days' where home_id = $1", home)
    assert await forget_mails(database, timedelta(days=30)) == 4
    (mail,) = sent.mails
    assert mail.recipient == f"{other.name}@example.com"
    assert "Lunch" in message_from_bytes(mail.message)["Subject"]
    assert await messages(person) == ["REQUEST"]
    assert await messages(other) == []
    await queue.drop([plan[0], job[0]])
    for kind in (NOTICES, NOTICE):
        await queue.release(kind)


async def test_notices_are_held_with_the_mails(dav_dsn: str, dav_storage: PostgresStorage) -> None:
    database = dav_storage.database
    url = await database.fetchval("select mail_url from installation")
    await hold_mail(dav_dsn)
    held = await database.fetch("select kind from job_hold")
    assert {MAIL, NOTICE} <= {row[0] for row in held}
    async with database.transaction() as connection:
        await enqueue(connection, Job(NOTICE, {"principal": 0, "item": 0, "recipient": 0}))
    await dav_storage.discard_mails()
    assert await database.fetchval("select count(*) from job where kind = $1", NOTICE) == 0
    assert await dav_storage.release_mails(url or "")
    held = await database.fetch("select kind from job_hold")
    assert not {MAIL, NOTICE} & {row[0] for row in held}
