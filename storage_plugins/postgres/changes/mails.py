"""Storing scheduling messages to people elsewhere, with their jobs, in the transaction of a change set."""

from __future__ import annotations

from server.domain.changes import Cause
from server.domain.mails import NewMails
from server.storage.mails import MAIL
from storage_plugins.postgres.database import Connection

WITHDRAW = """
    with dropped as (
        update outgoing_mail set status = 'dropped'
        where home_id = $1 and uid = $2 and status = 'waiting' and withdrawable returning id
    )
    delete from job j using dropped d where j.id = d.id and j.state = 'queued'
"""
_ADD_BATCH = "insert into outgoing_mail_batch (home_id, texts, cause) values ($1, $2, $3) returning id"
_ADD = """
    with new as materialized (
        select n.*, nextval(pg_get_serial_sequence('job', 'id')) as id
        from jsonb_to_recordset($5::jsonb) as n (
            method text, recipient text, address text, instances jsonb, message integer, before integer, delay float8
        )
    ), replaced as (
        update outgoing_mail m set status = 'replaced'
        from new n
        where m.home_id = $1::bigint and m.uid = $2::text and m.recipient = n.recipient and m.status = 'waiting'
          and m.method = n.method and m.instances <@ n.instances
        returning m.id, m.recipient, m.method, m.before_batch_id, m.before
    ), unqueued as (
        delete from job j using replaced r where j.id = r.id and j.state = 'queued'
    ), queued as (
        insert into job (id, kind, payload, lock_key, not_before) overriding system value
        select n.id, $6::text, jsonb_build_object('home', $1::bigint),
               format('mail %s %s', $1::bigint, md5($2::text || E'\\n' || n.recipient)),
               clock_timestamp() + make_interval(secs => n.delay)
        from new n
    )
    insert into outgoing_mail (
        home_id, uid, meeting, batch_id, id, method, recipient, address, instances, message, before_batch_id, before,
        withdrawable
    )
    select $1::bigint, $2::text, $3::bigint, $4::bigint, n.id, n.method, n.recipient, n.address, n.instances, n.message,
           case when r.id is not null then r.before_batch_id when n.before is not null then $4::bigint end,
           case when r.id is null then n.before else r.before end, n.delay > 0
    from new n
    left join lateral (
        select * from replaced r where r.recipient = n.recipient and r.method = n.method order by r.id limit 1
    ) r on true
"""


async def store(connection: Connection, sent: NewMails, cause: Cause) -> None:
    """Store mails and their jobs. The caller holds the sender's home."""
    if sent.withdraws:
        await connection.execute(WITHDRAW, sent.home_id, sent.uid)
    if not sent.mails:
        return
    who = [cause.principal_id, cause.origin, cause.request_id, cause.acting_for, cause.trace]
    batch = await connection.fetchval(_ADD_BATCH, sent.home_id, list(sent.texts), who)
    rows = [
        {
            "method": each.method,
            "recipient": each.recipient,
            "address": each.address,
            "instances": list(each.instances),
            "message": each.message + 1,
            "before": None if each.before is None else each.before + 1,
            "delay": each.delay.total_seconds(),
        }
        for each in sent.mails
    ]
    await connection.execute(_ADD, sent.home_id, sent.uid, sent.meeting, batch, rows, MAIL)
