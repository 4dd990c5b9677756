-- Which addresses of a home's owner decided which of its events are declined: the job that compares them with the
-- present ones (storage_plugins/postgres/upkeep/occurrence_jobs.py) has these events derived again.

alter table home add column owner_addresses text[] collate "C" not null default '{}';

update home h
set owner_addresses = array(
    select p.name from principal p where p.id = h.principal_id
    union all
    (select a.address from principal_address a where a.principal_id = h.principal_id order by a.position)
)
where h.kind = 'calendar';
