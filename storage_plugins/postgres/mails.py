"""`server.storage.mails.Mails` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from server.storage.mails import MAIL, MAIL_OUTCOMES, NOTICE, SENDING, MailLimits, MailOutcome, MailState, OutgoingMail
from storage_plugins.postgres.changes.writing import Writing
from storage_plugins.postgres.reads.principal_rows import PRINCIPAL, principal

_SENT = """
    sent as (
        select count(*) filter (where s.sent_at > now() - interval '1 hour') as hour, count(*) as day
        from (
            select sent_at from outgoing_mail where home_id = $1 and sent_at > now() - interval '1 day'
            union all
            select sent_at from notice where home_id = $1 and sent_at > now() - interval '1 day'
        ) as s
    )
"""
"""How many mails and notices were sent in the name of a home's owner, the first argument."""
BEGIN = f"""
    with {_SENT}, begun as (
        update outgoing_mail m
        set status = 'sending', tries = m.tries + 1, first_tried_at = coalesce(m.first_tried_at, clock_timestamp())
        from sent s
        where m.home_id = $1 and m.id = $2 and m.status in ('waiting', 'sending') and s.hour < $3 and s.day < $4
        returning m.*
    )
    select (select m.status in ('waiting', 'sending') from outgoing_mail m where m.home_id = $1 and m.id = $2),
           s.hour < $3 and s.day < $4, m.id, m.uid, m.meeting, m.method, m.recipient, m.address,
           b.texts[m.message], k.texts[m.before], m.created_at, m.first_tried_at, {PRINCIPAL}
    from home h
    join principal p on p.id = h.principal_id
    cross join sent s
    left join begun m on m.home_id = h.id
    left join outgoing_mail_batch b on b.home_id = m.home_id and b.id = m.batch_id
    left join outgoing_mail_batch k on k.home_id = m.home_id and k.id = m.before_batch_id
    where h.id = $1
"""  # noqa: S608
"""Arguments: the home, the mail, the limits of an hour and of a day."""
BEGIN_NOTICE = f"""
    with {_SENT}, begun as (
        insert into notice as n (home_id, object_id, recipient_id, status)
        select $1, $2, $3, case when s.hour < $4 and s.day < $5 then 'sending' else 'failed' end from sent s
        on conflict (home_id, object_id, recipient_id) do update set status = excluded.status
        where n.status = 'sending'
        returning status
    )
    select status from begun
"""  # noqa: S608
"""Arguments: the home, the item, the recipient, the limits of an hour and of a day."""
END_NOTICE = """
    update notice set status = $4::text, sent_at = case when $4::text = 'sent' then clock_timestamp() end
    where home_id = $1 and object_id = $2 and recipient_id = $3 and status = 'sending'
"""
"""Arguments: the home, the item, the recipient, the status."""
END = """
    with ended as (
        update outgoing_mail m
        set status = $3::text, unstated = $4::text, error = $5::text,
            sent_at = case when $3::text = 'sent' then coalesce(m.sent_at, clock_timestamp()) else m.sent_at end
        where m.home_id = $1::bigint and m.id = $2::bigint and m.status in ('waiting', 'sending', 'sent')
        returning m.meeting
    )
    insert into job as j (kind, payload, lock_key, queueing_key, not_before)
    select $6::text, jsonb_build_object('home', $1::bigint, 'meeting', e.meeting), format('meeting %s', e.meeting),
           format('mail %s %s', $1::bigint, e.meeting), clock_timestamp() + interval '1 second'
    from ended e
    on conflict (kind, queueing_key) where state = 'queued' and attempts = 0
    do update set not_before = least(j.not_before, excluded.not_before)
"""
"""Arguments: the home, the mail, its status, SCHEDULE-STATUS, the error, the kind of the job."""
DELAYED = """
    update outgoing_mail set status = 'waiting', error = $3 where home_id = $1 and id = $2 and status = 'sending'
"""
OUTCOMES = """
    select m.id, h.principal_id, m.uid, m.recipient, m.unstated
    from outgoing_mail m join home h on h.id = m.home_id
    where m.home_id = $1 and m.meeting = $2 and m.unstated is not null order by m.id limit 1000
"""
"""Arguments: the home, the meeting."""
STATED = """
    update outgoing_mail m set unstated = null
    from unnest($2::bigint[], $3::text[]) as o (id, status)
    where m.home_id = $1 and m.id = o.id and m.unstated = o.status
"""
_STATE = """
    select exists (select from job_hold where kind = $1), w.number, w.oldest, d.sent, d.failed, i.mail_url,
           i.restored_at, j.waiting, n.sent, n.failed
    from installation i
    cross join (
        select count(*) as number, min(created_at) as oldest from outgoing_mail where status in ('waiting', 'sending')
    ) w
    cross join (
        select count(*) filter (where m.status = 'sent') as sent, count(*) filter (where m.status = 'failed') as failed
        from outgoing_mail_batch b join outgoing_mail m on m.home_id = b.home_id and m.batch_id = b.id
        where b.created_at > now() - interval '1 day'
    ) d
    cross join (
        select count(*) as waiting from job where kind = $2 and state in ('queued', 'running')
    ) j
    cross join (
        select count(*) filter (where status = 'sent') as sent, count(*) filter (where status = 'failed') as failed
        from notice where created_at > now() - interval '1 day'
    ) n
"""
MAILED_SINCE = """
    select exists (select from outgoing_mail where home_id = $1 and uid = $2 and created_at >= $3)
        or exists (select from mailed_meeting where home_id = $1 and uid = $2 and mailed_at >= $3)
"""
"""Arguments: the home, the UID, the time."""
_HOLD_IF_MOVED = """
    with known as (
        select mail_url from installation
    ), remembered as (
        update installation set mail_url = $1 where mail_url is null
    ), held as (
        insert into job_hold (kind) select unnest($2::text[]) from known where mail_url <> $1
        on conflict do nothing returning kind
    )
    select exists (select from held)
"""
_RELEASE = """
    with known as (
        update installation set mail_url = $1
    ), released as (
        delete from job_hold where kind = any($2::text[]) returning kind
    )
    select exists (select from released)
"""
_DISCARD = """
    with dropped as (
        update outgoing_mail set status = 'dropped' where status in ('waiting', 'sending') returning id
    ), unqueued as (
        delete from job j using dropped d where j.id = d.id and j.state <> 'running'
    ), untold as (
        delete from job where kind = any($1::text[]) and state <> 'running' returning id
    )
    select (select count(*) from dropped) + (select count(*) from untold)
"""


class MailStorage(Writing):
    """The part of the storage that sends mails."""

    async def begin_mail(self, home_id: int, id_: int, limits: MailLimits) -> OutgoingMail | Literal["limited"] | None:
        """See `Mails`."""
        row = await self.database.fetchrow(BEGIN, home_id, id_, limits.per_hour, limits.per_day)
        if row is None or not row[0]:
            return None
        if row[2] is None:
            return None if row[1] else "limited"  # a newer one has taken its place meanwhile
        mail_id, uid, meeting, method, recipient, address, text, before, created_at, tried_at = row[2:12]
        place = home_id, mail_id, principal(row[12:]), uid, meeting, method
        return OutgoingMail(*place, recipient, address, text, before, created_at, tried_at)

    async def begin_notice(
        self, home_id: int, object_id: int, recipient_id: int, limits: MailLimits
    ) -> Literal["begun", "limited", "ended"]:
        """See `Mails`."""
        place = home_id, object_id, recipient_id
        status = await self.database.fetchval(BEGIN_NOTICE, *place, limits.per_hour, limits.per_day)
        if status is None:
            return "ended"
        return "begun" if status == "sending" else "limited"

    async def end_notice(self, home_id: int, object_id: int, recipient_id: int, *, sent: bool) -> None:
        """See `Mails`."""
        status = "sent" if sent else "failed"
        await self.database.fetch(END_NOTICE, home_id, object_id, recipient_id, status)

    async def mail_sent(self, home_id: int, id_: int, status: str) -> None:
        """See `Mails`."""
        await self._end(home_id, id_, "sent", status, None)

    async def mail_failed(self, home_id: int, id_: int, status: str, error: str) -> None:
        """See `Mails`."""
        await self._end(home_id, id_, "failed", status, error)

    async def _end(self, home_id: int, id_: int, ended: str, status: str, error: str | None) -> None:
        await self.database.fetch(END, home_id, id_, ended, status, error, MAIL_OUTCOMES)
        self.announce_jobs()

    async def mail_delayed(self, home_id: int, id_: int, error: str) -> None:
        """See `Mails`."""
        await self.database.fetch(DELAYED, home_id, id_, error)

    async def mail_outcomes(self, home_id: int, meeting: int) -> Sequence[MailOutcome]:
        """See `Mails`."""
        return [MailOutcome(*row) for row in await self.database.fetch(OUTCOMES, home_id, meeting)]

    async def outcomes_stated(self, home_id: int, outcomes: Sequence[MailOutcome]) -> None:
        """See `Mails`."""
        ids, statuses = [each.id for each in outcomes], [each.status for each in outcomes]
        await self.database.fetch(STATED, home_id, ids, statuses)

    async def mail_state(self) -> MailState:
        """See `Mails`."""
        row = await self.database.fetchrow(_STATE, MAIL, NOTICE)
        assert row is not None
        return MailState(*row)

    async def mailed_since(self, home_id: int, uid: str, since: datetime) -> bool:
        """See `Mails`."""
        return bool(await self.database.fetchval(MAILED_SINCE, home_id, uid, since))

    async def restored_at(self) -> datetime | None:
        """See `Mails`."""
        found: datetime | None = await self.database.fetchval("select restored_at from installation")
        return found

    async def hold_if_moved(self, url: str) -> bool:
        """See `Mails`."""
        return bool(await self.database.fetchval(_HOLD_IF_MOVED, url, [*SENDING]))

    async def release_mails(self, url: str) -> bool:
        """See `Mails`."""
        released = bool(await self.database.fetchval(_RELEASE, url, [*SENDING]))
        self.announce_jobs()
        return released

    async def discard_mails(self) -> int:
        """See `Mails`."""
        return int(await self.database.fetchval(_DISCARD, [each for each in SENDING if each != MAIL]))
