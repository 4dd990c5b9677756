-- Scheduling objects: a UID is unique among those of a home (the index object_uid_scheduling).

-- The id of a home's default calendar for events or tasks (RFC 6638 §9.2), as server.services.scheduling.default_calendar
-- computes it; null: there is none.
create or replace function koyomi_default_calendar_1(p_home_id bigint, p_component text) returns bigint
language sql stable as $$
    select b.collection_id
    from binding b
    join collection a on a.home_id = b.home_id and a.id = b.collection_id and a.deleted_at is null
    left join lateral (
        select btrim(regexp_replace(
            i.properties ->> case
                when p_component = 'VTODO' then '{http://calendarserver.org/ns/}schedule-default-tasks-URL'
                else '{urn:ietf:params:xml:ns:caldav}schedule-default-calendar-URL'
            end, '<[^>]*>', '', 'g'
        ), E' \t\r\n') as chosen
        from collection i where i.home_id = p_home_id and i.kind = 'inbox' and i.deleted_at is null limit 1
    ) as i on true
    where b.home_id = p_home_id and b.rights = 'owner' and b.deleted_revision is null and a.kind = 'calendar'
      and a.source is null and p_component = any(a.components)
    order by i.chosen is distinct from a.id::text
             and substring(rtrim(i.chosen, '/') from '[^/]+$') is distinct from b.name,
             b.name <> case when p_component = 'VTODO' then 'tasks' else 'calendar' end, a.id
    limit 1
$$;

-- Members of deleted collections lose their roles to the objects that are put, since the roles do not count. One that
-- somebody else holds keeps it: the caller tries again. Returns how many lost theirs.
create or replace function koyomi_release_uids_1(p_home_ids bigint[], p_uids text[]) returns bigint language sql as $$
    with holders as (
        select o.home_id, o.id
        from unnest(p_home_ids, p_uids) as w (home_id, uid)
        join object o
            on o.home_id = w.home_id and o.uid = w.uid and o.scheduling in (1, 2) and o.deleted_revision is null
        join collection c on c.home_id = o.home_id and c.id = o.collection_id
        where c.deleted_at is not null
        order by o.id for no key update of o, c skip locked
    ), released as (
        update object o set scheduling = 0 from holders h where o.home_id = h.home_id and o.id = h.id returning 1
    )
    select count(*) from released
$$;

-- Members of deleted collections whose removal is sent lose their roles. Returns how many of them did. The caller holds
-- the members and their homes.
create or replace function koyomi_release_roles_1(p_home_ids bigint[], p_ids bigint[]) returns bigint
language sql as $$
    with released as (
        update object o set scheduling = 0, schedule_tag = null
        from unnest(p_home_ids, p_ids) as r (home_id, id), collection c
        where o.home_id = r.home_id and o.id = r.id and o.scheduling in (1, 2) and o.deleted_revision is null
          and c.home_id = o.home_id and c.id = o.collection_id and c.deleted_at is not null
        returning 1
    )
    select count(*) from released
$$;

-- The role that an object gets that is derived again: none where another object of its home has the UID, unless that one
-- gives way. With p_anew the rule for duplicates decides: the one in the default calendar, else the newest. The caller
-- holds the object.
create or replace function koyomi_derived_role_1(
    p_home_id bigint, p_object_id bigint, p_uid text, p_role smallint, p_anew boolean
) returns smallint language plpgsql as $$
declare
    v_other object%rowtype;
    v_gives_way boolean;
begin
    if p_role not in (1, 2) then
        return p_role;
    end if;
    select o.* into v_other from object o
    where o.home_id = p_home_id and o.uid = p_uid and o.scheduling in (1, 2) and o.deleted_revision is null
      and o.id <> p_object_id
    limit 1;
    if not found then
        return p_role;
    end if;
    select (c.deleted_at is null, coalesce(p_anew and o.collection_id = d.id, false),
            case when p_anew then o.modified_at end, case when p_anew then o.id end)
           > (e.deleted_at is null, coalesce(p_anew and v_other.collection_id = d.id, false),
              case when p_anew then v_other.modified_at end, case when p_anew then v_other.id end)
    into v_gives_way
    from object o
    join collection c on c.home_id = o.home_id and c.id = o.collection_id
    join collection e on e.home_id = o.home_id and e.id = v_other.collection_id
    cross join (select koyomi_default_calendar_1(p_home_id, v_other.component) as id) as d
    where o.home_id = p_home_id and o.id = p_object_id;
    if v_gives_way then
        -- Writers lock objects in the order of their ids, which this need not be.
        perform 1 from object o
        where o.home_id = p_home_id and o.id = v_other.id and o.revision = v_other.revision
        for no key update skip locked;
        if found then
            update object o set scheduling = 0 where o.home_id = p_home_id and o.id = v_other.id;
            return p_role;
        end if;
    end if;
    return 0;
end $$;
