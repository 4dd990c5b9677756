-- Sharing: what was shared with people and groups appears in homes as bindings.

-- Who has taken a collection, shared with a group of theirs, out of their home again.
create table share_declined (
    home_id bigint not null,
    collection_id bigint not null,
    principal_id bigint not null references principal (id) on delete cascade,
    primary key (home_id, collection_id, principal_id),
    foreign key (home_id, collection_id) references collection (home_id, id)
);

create index share_declined_principal on share_declined (principal_id);

-- How far each durable consumer has read the outbox.
create table consumer_position (
    name text collate "C" primary key,
    xid xid8 not null default '0',
    id bigint not null default 0
);

-- Make the bindings of a collection those that its shares ask for; gives the ids of the homes that changed.
-- Locks all homes concerned, in order of their ids.
create function koyomi_bind_shared_1(
    p_home_id bigint, p_collection_id bigint, p_principal_id bigint, p_origin text, p_request_id text
) returns bigint[] language plpgsql as $$
declare
    v_kind text;
    v_alive boolean;
    v_owner text;
    v_title text;
    v_revision bigint;
    v_changed bigint[] := '{}';
    v_row record;
begin
    perform pg_advisory_xact_lock(p_collection_id);
    select h.kind, c.deleted_at is null and p.deleted_at is null, p.display_name, coalesce(b.name, '')
    into v_kind, v_alive, v_owner, v_title
    from collection c
    join home h on h.id = c.home_id
    join principal p on p.id = h.principal_id
    left join binding b on b.home_id = c.home_id and b.collection_home_id = c.home_id and b.collection_id = c.id
        and b.deleted_revision is null
    where c.home_id = p_home_id and c.id = p_collection_id;
    if not found then
        return v_changed;
    end if;
    for v_row in
        with recursive concerned (principal_id, rights) as (
            select s.principal_id, s.rights from share s
            where v_alive and s.home_id = p_home_id and s.collection_id = p_collection_id and s.rights <> 'free-busy'
            union
            select m.member_id, c.rights from concerned c join membership m on m.group_id = c.principal_id
        ), wanted as (
            select h.id as home_id, h.principal_id,
                   case when bool_or(c.rights = 'write') then 'write' else 'read' end as rights
            from concerned c
            join principal p on p.id = c.principal_id and p.deleted_at is null and p.kind <> 'group'
            join home h on h.principal_id = p.id and h.kind = v_kind and h.id <> p_home_id
            where not exists (
                select from share_declined d
                where d.home_id = p_home_id and d.collection_id = p_collection_id and d.principal_id = c.principal_id
            )
            group by h.id, h.principal_id
        ), bound as (
            -- The live one; else the latest name that it had.
            select distinct on (b.home_id) b.home_id, b.name, b.rights, b.deleted_revision from binding b
            where b.collection_home_id = p_home_id and b.collection_id = p_collection_id and b.home_id <> p_home_id
            order by b.home_id, b.deleted_revision is not null, b.revision desc
        )
        select coalesce(w.home_id, b.home_id) as home_id, w.principal_id, w.rights as wanted, b.name, b.rights,
               b.deleted_revision
        from wanted w full join bound b on b.home_id = w.home_id
        where case when w.rights is null then b.deleted_revision is null
                   else b.name is null or b.deleted_revision is not null or b.rights <> w.rights end
        order by 1
    loop
        update home h
        set revision = h.revision + 1, modified_at = clock_timestamp(),
            collection_count = h.collection_count + case
                when v_row.wanted is null then -1
                when v_row.name is null or v_row.deleted_revision is not null then 1
                else 0 end
        where h.id = v_row.home_id
        returning h.revision into v_revision;
        if v_row.wanted is null then
            update binding
            set revision = v_revision, deleted_revision = v_revision, deleted_at = now()
            where home_id = v_row.home_id and name = v_row.name;
        elsif v_row.name is null then
            insert into binding (
                home_id, name, collection_home_id, collection_id, rights, created_revision, revision
            ) values (
                v_row.home_id, gen_random_uuid()::text, p_home_id, p_collection_id, v_row.wanted, v_revision, v_revision
            );
            -- What they begin with: a name that tells whose it is, and events that do not make them busy.
            insert into collection_view (home_id, collection_id, principal_id, properties)
            select p_home_id, p_collection_id, v_row.principal_id, nullif(
                case when v_kind = 'calendar' then jsonb_build_object(
                    '{urn:ietf:params:xml:ns:caldav}schedule-calendar-transp',
                    '<schedule-calendar-transp xmlns="urn:ietf:params:xml:ns:caldav"><transparent/></schedule-calendar-transp>'
                ) else '{}' end || case when c.properties ? '{DAV:}displayname' then '{}' else jsonb_build_object(
                    '{DAV:}displayname',
                    '<displayname xmlns="DAV:">'
                    || replace(replace(v_title || ' (' || v_owner || ')', '&', '&amp;'), '<', '&lt;') || '</displayname>'
                ) end, '{}')
            from collection c where c.home_id = p_home_id and c.id = p_collection_id
            on conflict do nothing;
        else
            update binding
            set rights = v_row.wanted, incarnation = incarnation + 1, revision = v_revision,
                created_revision = case when deleted_revision is null then created_revision else v_revision end,
                deleted_revision = null, deleted_at = null
            where home_id = v_row.home_id and name = v_row.name;
        end if;
        insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
        values (v_row.home_id, v_revision, 'binding', p_collection_id, p_principal_id, p_origin, p_request_id);
        insert into audit (home_id, revision, action, collection_id, principal_id, origin, request_id, details)
        values (v_row.home_id, v_revision, 'binding', p_collection_id, p_principal_id, p_origin, p_request_id,
                jsonb_build_object('rights', v_row.wanted));
        v_changed := v_changed || v_row.home_id;
    end loop;
    return v_changed;
end $$;

-- Share a collection with a person or a group, or end that (null rights); gives the homes that changed.
create function koyomi_share_1(
    p_home_id bigint, p_collection_id bigint, p_subject_id bigint, p_rights text,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint[] language plpgsql as $$
begin
    perform pg_advisory_xact_lock(p_collection_id);
    perform 1 from collection c where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null;
    if not found then
        raise exception using errcode = 'KY002', message = 'collection is gone';
    end if;
    if p_rights is null then
        delete from share
        where home_id = p_home_id and collection_id = p_collection_id and principal_id = p_subject_id;
        if not found then
            raise exception using errcode = 'KY002', message = 'not shared';
        end if;
    else
        insert into share as s (home_id, collection_id, principal_id, rights)
        values (p_home_id, p_collection_id, p_subject_id, p_rights)
        on conflict (home_id, collection_id, principal_id) do update set rights = excluded.rights;
    end if;
    -- Who is asked anew has not declined.
    delete from share_declined d
    where d.home_id = p_home_id and d.collection_id = p_collection_id and d.principal_id = p_subject_id;
    insert into outbox (home_id, kind, collection_id, subject_id, principal_id, origin, request_id)
    values (p_home_id, 'shared', p_collection_id, p_subject_id, p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, action, collection_id, subject_id, principal_id, origin, request_id, details)
    values (p_home_id, 'shared', p_collection_id, p_subject_id, p_principal_id, p_origin, p_request_id,
            jsonb_build_object('rights', p_rights));
    return koyomi_bind_shared_1(p_home_id, p_collection_id, p_principal_id, p_origin, p_request_id);
end $$;

-- As before; who takes what is another's out of their home ends the sharing with themselves.
create or replace function koyomi_remove_binding_1(
    p_home_id bigint, p_revision bigint, p_now timestamptz, p_name text, p_collection_home_id bigint,
    p_collection_id bigint, p_incarnation bigint, p_principal_id bigint, p_origin text, p_request_id text
) returns void language plpgsql as $$
declare
    v_used bigint := 0;
begin
    update binding
    set revision = p_revision, deleted_revision = p_revision, deleted_at = p_now
    where home_id = p_home_id and name = p_name and collection_home_id = p_collection_home_id
      and collection_id = p_collection_id and incarnation = p_incarnation and deleted_revision is null;
    if not found then
        raise exception using errcode = 'KY001', message = 'binding changed';
    end if;
    if p_collection_home_id = p_home_id then
        update collection
        set revision = p_revision, deleted_at = p_now, modified_at = p_now
        where home_id = p_home_id and id = p_collection_id and deleted_at is null
        returning used_bytes into v_used;
        if not found then
            raise exception using errcode = 'KY001', message = 'collection changed';
        end if;
    else
        delete from share s using home h
        where h.id = p_home_id and s.home_id = p_collection_home_id and s.collection_id = p_collection_id
          and s.principal_id = h.principal_id;
        insert into share_declined (home_id, collection_id, principal_id)
        select p_collection_home_id, p_collection_id, h.principal_id from home h where h.id = p_home_id
        on conflict do nothing;
    end if;
    update home set used_bytes = used_bytes - v_used, collection_count = collection_count - 1 where id = p_home_id;
    insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
    values (p_home_id, p_revision, 'collection-deleted', p_collection_id, p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, revision, action, collection_id, principal_id, origin, request_id)
    values (p_home_id, p_revision, 'collection-deleted', p_collection_id, p_principal_id, p_origin, p_request_id);
end $$;

-- The consumer that keeps sharees' homes informed: reads what the outbox has that is final, and where something changed
-- in a collection that other homes show, touches it there. Gives how many rows it read; null when another does it now.
create function koyomi_touch_bindings_1(
    p_limit integer, out rows_read integer, out homes bigint[]
) language plpgsql as $$
declare
    v_from_xid xid8;
    v_from_id bigint;
    v_xid xid8;
    v_id bigint;
    v_row record;
    v_revision bigint;
    v_groups bigint[];
begin
    homes := '{}';
    if not pg_try_advisory_xact_lock(hashtextextended('koyomi touch bindings', 0)) then
        return;
    end if;
    insert into consumer_position (name) values ('bindings') on conflict do nothing;
    select p.xid, p.id into v_from_xid, v_from_id from consumer_position p where p.name = 'bindings';
    with page as (
        select o.xid, o.id, o.kind, o.collection_id, o.subject_id from outbox o
        where (o.xid, o.id) > (v_from_xid, v_from_id) and o.xid < pg_snapshot_xmin(pg_current_snapshot())
        order by o.xid, o.id limit p_limit
    )
    select count(*), array_agg(distinct subject_id) filter (where kind = 'principal-members'),
           (array_agg(xid order by xid desc, id desc))[1], (array_agg(id order by xid desc, id desc))[1]
    into rows_read, v_groups, v_xid, v_id from page;
    if rows_read = 0 then
        return;
    end if;
    -- A member that came or went, a collection that is gone or there again: other homes show it then, or no longer.
    for v_row in
        select distinct s.home_id, s.collection_id from share s
        where v_groups is not null and s.principal_id in (
            select unnest(koyomi_groups_of_1(g) || g) from unnest(v_groups) as g
        )
        union
        -- One that is restored is created, with its shares.
        select s.home_id, s.collection_id from outbox o
        join share s on s.home_id = o.home_id and s.collection_id = o.collection_id
        where (o.xid, o.id) > (v_from_xid, v_from_id) and (o.xid, o.id) <= (v_xid, v_id)
          and o.kind in ('collection-deleted', 'collection-created')
        order by 2
    loop
        homes := homes || koyomi_bind_shared_1(v_row.home_id, v_row.collection_id, null, 'sharing', '');
    end loop;
    for v_row in
        select b.home_id, array_agg(distinct b.name) as names from outbox o
        join binding b on b.collection_home_id = o.home_id and b.collection_id = o.collection_id
        where (o.xid, o.id) > (v_from_xid, v_from_id) and (o.xid, o.id) <= (v_xid, v_id)
          and b.home_id <> b.collection_home_id and b.deleted_revision is null
        group by b.home_id order by b.home_id
    loop
        update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = v_row.home_id
        returning h.revision into v_revision;
        update binding b set revision = v_revision where b.home_id = v_row.home_id and b.name = any(v_row.names);
        insert into outbox (home_id, revision, kind, collection_id, origin)
        select b.home_id, v_revision, 'binding-touched', b.collection_id, 'sharing' from binding b
        where b.home_id = v_row.home_id and b.name = any(v_row.names);
        homes := homes || v_row.home_id;
    end loop;
    update consumer_position p set xid = v_xid, id = v_id where p.name = 'bindings';
end $$;
