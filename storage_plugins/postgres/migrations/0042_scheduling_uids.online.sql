-- A UID is unique among the scheduling objects of a home (RFC 6638 §3.2.4.1). Of several, the one in the default calendar
-- keeps its role, else the newest; those of deleted collections come last. The others become plain objects, which
-- `koyomi db check` lists.
create index concurrently object_scheduling_uids on object (home_id, uid)
where scheduling in (1, 2) and deleted_revision is null;

with doubles as materialized (
    select home_id, uid from object
    where scheduling in (1, 2) and deleted_revision is null
    group by home_id, uid having count(*) > 1 limit 1000
), ranked as materialized (
    select o.home_id, o.id, row_number() over (
        partition by o.home_id, o.uid
        order by c.deleted_at is not null, o.collection_id is distinct from d.collection_id, o.modified_at desc, o.id desc
    ) as place
    from doubles e
    join object o on o.home_id = e.home_id and o.uid = e.uid and o.scheduling in (1, 2) and o.deleted_revision is null
    join collection c on c.home_id = o.home_id and c.id = o.collection_id
    -- As koyomi_default_calendar_1.
    left join lateral (
        select b.collection_id
        from binding b
        join collection a on a.home_id = b.home_id and a.id = b.collection_id and a.deleted_at is null
        left join lateral (
            select btrim(regexp_replace(
                i.properties ->> case
                    when o.component = 'VTODO' then '{http://calendarserver.org/ns/}schedule-default-tasks-URL'
                    else '{urn:ietf:params:xml:ns:caldav}schedule-default-calendar-URL'
                end, '<[^>]*>', '', 'g'
            ), E' \t\r\n') as chosen
            from collection i where i.home_id = b.home_id and i.kind = 'inbox' and i.deleted_at is null limit 1
        ) as i on true
        where b.home_id = o.home_id and b.rights = 'owner' and b.deleted_revision is null and a.kind = 'calendar'
          and a.source is null and o.component = any(a.components)
        order by i.chosen is distinct from a.id::text
                 and substring(rtrim(i.chosen, '/') from '[^/]+$') is distinct from b.name,
                 b.name <> case when o.component = 'VTODO' then 'tasks' else 'calendar' end, a.id
        limit 1
    ) as d on true
), locked as (
    select o.home_id, o.id from ranked r
    join object o on o.home_id = r.home_id and o.id = r.id
    where r.place > 1 and o.scheduling in (1, 2) order by o.id for no key update of o
)
update object o set scheduling = 0 from locked l where o.home_id = l.home_id and o.id = l.id;

create unique index concurrently object_uid_scheduling on object (home_id, uid)
where scheduling in (1, 2) and deleted_revision is null;

drop index concurrently if exists object_scheduling_uids;
