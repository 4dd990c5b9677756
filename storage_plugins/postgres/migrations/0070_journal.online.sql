-- What the version before recorded becomes part of the journal, from the latest row back: touches of bindings first,
-- then the rows of `audit`. The other rows of its outbox repeat those of `audit`.

create unique index concurrently audit_id on audit (id);

with batch as (
    select o.* from outbox_before o order by o.home_id, o.id limit 5000
), numbered as (
    select b.*, c.next_seq - row_number() over (order by b.id desc) + 1 as seq
    from batch b cross join journal_carry c where b.kind = 'binding-touched'
), moved as (
    insert into journal (
        seq, act, month, at, home_id, revision, collection_id, object_id, subject_id, principal_id, acting_for, kind,
        origin, request_id, trace
    )
    select n.seq, false, date_trunc('month', n.at at time zone 'UTC'), n.at, n.home_id, n.revision, n.collection_id,
           n.object_id, n.subject_id, n.principal_id, n.acting_for, n.kind, n.origin, n.request_id, n.trace
    from numbered n
    returning seq
), counted as (
    update journal_carry c set next_seq = c.next_seq - (select count(*) from moved)
)
delete from outbox_before o using batch b where o.home_id = b.home_id and o.id = b.id;

with numbered as (
    select a.*, c.next_seq - row_number() over (order by a.id desc) + 1 as seq
    from (
        select a.* from audit a, journal_carry c where a.id < c.audit_id order by a.id desc limit 5000
    ) as a cross join journal_carry c
), moved as (
    insert into journal (
        seq, act, month, at, home_id, revision, collection_id, object_id, subject_id, principal_id, acting_for, carried,
        kind, origin, request_id, trace, details
    )
    select n.seq, true, date_trunc('month', n.at at time zone 'UTC'), n.at, n.home_id, coalesce(n.revision, 0),
           n.collection_id, n.object_id, n.subject_id, n.principal_id, n.acting_for, n.id, n.action, n.origin,
           n.request_id, n.trace, n.details
    from numbered n
    returning seq, carried
)
update journal_carry c set next_seq = m.seq - 1, audit_id = m.carried
from (select min(m.seq) as seq, min(m.carried) as carried from moved m) as m
where m.seq is not null;
