-- Sharing a collection, and the bindings of those it is shared with.

-- Share a collection with a person or a group, or end that (null rights). The bindings follow: koyomi_bind_shared_2.
-- A calendar has views, all of them rendered, before somebody sees it.
create or replace function koyomi_share_4(
    p_home_id bigint, p_collection_id bigint, p_subject_id bigint, p_rights text, p_may_invite boolean,
    p_principal_id bigint, p_origin text, p_request_id text
) returns void language plpgsql as $$
begin
    perform koyomi_lock_1('sharing', p_collection_id);
    perform 1 from collection c where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null;
    if not found then
        raise exception using errcode = 'KY002', message = 'collection is gone';
    end if;
    if p_rights in ('read', 'write') then
        perform 1 from collection c
        where c.home_id = p_home_id and c.id = p_collection_id and c.kind = 'calendar'
          and (not c.views or exists (
              select from object o
              where o.home_id = p_home_id and o.collection_id = p_collection_id and o.deleted_revision is null
                and o.neutral_etag is null
          ));
        if found then
            raise exception using errcode = 'KY001', message = 'not rendered';
        end if;
    end if;
    if p_rights is null then
        delete from share
        where home_id = p_home_id and collection_id = p_collection_id and principal_id = p_subject_id;
        if not found then
            raise exception using errcode = 'KY002', message = 'not shared';
        end if;
    else
        insert into share as s (home_id, collection_id, principal_id, rights, may_invite)
        values (p_home_id, p_collection_id, p_subject_id, p_rights, p_may_invite)
        on conflict (home_id, collection_id, principal_id) do update
        set rights = excluded.rights, may_invite = excluded.may_invite;
    end if;
    -- Somebody with whom it is shared anew has not declined.
    delete from share_declined d
    where d.home_id = p_home_id and d.collection_id = p_collection_id and d.principal_id = p_subject_id;
    -- The id of a row of the outbox is drawn while its home is held.
    perform 1 from home h where h.id = p_home_id for no key update;
    insert into outbox (home_id, kind, collection_id, subject_id, principal_id, origin, request_id, details)
    values (p_home_id, 'shared', p_collection_id, p_subject_id, p_principal_id, p_origin, p_request_id,
            jsonb_build_object('rights', p_rights, 'may_invite', p_may_invite));
    insert into fan_out as f (home_id, collection_id, task)
    values (p_home_id, p_collection_id, case when p_rights in ('read', 'write') then 'bind' else 'check' end)
    on conflict (home_id, collection_id, task) do update set requested = f.requested + 1;
end $$;

-- The differences, in some homes, between the bindings of a collection and those that follow from its shares.
create or replace function koyomi_bindings_to_change_1(
    p_home_id bigint, p_collection_id bigint, p_kind text, p_alive boolean, p_homes bigint[]
) returns table (
    home_id bigint, principal_id bigint, wanted text, name text, rights text, deleted_revision bigint
) language sql stable as $$
    with recursive concerned (home_id, principal_id, subject_id) as (
        select h.id, p.id, p.id from home h
        join principal p on p.id = h.principal_id and p.deleted_at is null and p.kind <> 'group'
        where p_alive and h.id = any(p_homes) and h.kind = p_kind and h.id <> p_home_id
        union
        select c.home_id, c.principal_id, m.group_id from concerned c join membership m on m.member_id = c.subject_id
    ), wanted as (
        select c.home_id, c.principal_id, case when bool_or(s.rights = 'write') then 'write' else 'read' end as rights
        from concerned c
        join share s on s.home_id = p_home_id and s.collection_id = p_collection_id and s.principal_id = c.subject_id
            and s.rights <> 'free-busy'
        where not exists (
            select from share_declined d
            where d.home_id = p_home_id and d.collection_id = p_collection_id and d.principal_id = c.principal_id
        )
        group by c.home_id, c.principal_id
    ), bound as (
        -- The live one; else the latest name that it had.
        select distinct on (b.home_id) b.home_id, b.name, b.rights, b.deleted_revision
        from unnest(p_homes) as h (id)
        join binding b on b.collection_home_id = p_home_id and b.collection_id = p_collection_id and b.home_id = h.id
        where h.id <> p_home_id
        order by b.home_id, b.deleted_revision is not null, b.revision desc
    )
    select coalesce(w.home_id, b.home_id), w.principal_id, w.rights, b.name, b.rights, b.deleted_revision
    from wanted w full join bound b on b.home_id = w.home_id
    where case when w.rights is null then b.deleted_revision is null
               else b.name is null or b.deleted_revision is not null or b.rights <> w.rights end
$$;

-- Make the next bindings of a collection, of at most p_limit homes, agree with its shares. Returns the homes that changed,
-- and whether there is more work. Work of the task `bind` comes before `check`.
create or replace function koyomi_bind_shared_2(
    p_home_id bigint, p_collection_id bigint, p_limit integer,
    p_principal_id bigint, p_origin text, p_request_id text, out homes bigint[], out more boolean
) language plpgsql as $$
declare
    v_work fan_out%rowtype;
    v_kind text;
    v_alive boolean;
    v_owner text;
    v_title text;
    v_page bigint[];
    v_concerned bigint[];
    v_revision bigint;
    v_row record;
begin
    homes := '{}';
    more := false;
    perform koyomi_lock_1('sharing', p_collection_id);
    select f.* into v_work from fan_out f
    where f.home_id = p_home_id and f.collection_id = p_collection_id and f.task in ('bind', 'check')
    order by f.task limit 1;
    if not found then
        return;
    end if;
    select h.kind, c.deleted_at is null and p.deleted_at is null, p.display_name, coalesce(b.name, '')
    into v_kind, v_alive, v_owner, v_title
    from collection c
    join home h on h.id = c.home_id
    join principal p on p.id = h.principal_id
    left join binding b on b.home_id = c.home_id and b.collection_home_id = c.home_id and b.collection_id = c.id
        and b.deleted_revision is null
    where c.home_id = p_home_id and c.id = p_collection_id;
    if not found then
        delete from fan_out f where f.home_id = p_home_id and f.collection_id = p_collection_id;
        return;
    end if;
    if v_work.position = 0 then
        v_work.pass := v_work.requested;
        if v_work.task = 'bind' then
            with recursive nested (id) as (
                select s.principal_id from share s join principal p on p.id = s.principal_id and p.kind = 'group'
                where s.home_id = p_home_id and s.collection_id = p_collection_id and s.rights <> 'free-busy'
                union
                select m.member_id from nested n
                join membership m on m.group_id = n.id
                join principal p on p.id = m.member_id and p.kind = 'group'
            )
            select coalesce(array_agg(n.id), '{}') into v_work.groups from nested n;
        end if;
    end if;
    if v_work.task = 'bind' then
        select coalesce(array_agg(c.id order by c.id), '{}') into v_page
        from (
            (select s.principal_id as id from share s
             where s.home_id = p_home_id and s.collection_id = p_collection_id and s.principal_id > v_work.position
             order by s.principal_id limit p_limit)
            union
            select m.member_id from unnest(v_work.groups) as g (id) cross join lateral (
                select m.member_id from membership m where m.group_id = g.id and m.member_id > v_work.position
                order by m.member_id limit p_limit
            ) as m
            order by id limit p_limit
        ) as c;
        select array_agg(h.id) into v_concerned from home h where h.principal_id = any(v_page) and h.kind = v_kind;
    else
        select coalesce(array_agg(b.home_id order by b.home_id), '{}') into v_page
        from (
            select b.home_id from binding b
            where b.collection_home_id = p_home_id and b.collection_id = p_collection_id
              and b.home_id > v_work.position and b.home_id <> p_home_id and b.deleted_revision is null
            order by b.home_id limit p_limit
        ) as b;
        v_concerned := v_page;
    end if;

    select array_agg(d.home_id) into v_concerned
    from koyomi_bindings_to_change_1(p_home_id, p_collection_id, v_kind, v_alive, v_concerned) as d;
    perform 1 from home h where h.id = any(v_concerned) order by h.id for no key update;
    -- Their owners may have changed something before the homes were locked.
    for v_row in
        select d.* from koyomi_bindings_to_change_1(p_home_id, p_collection_id, v_kind, v_alive, v_concerned) as d
        order by d.home_id
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
            update binding b set revision = v_revision, deleted_revision = v_revision, deleted_at = now()
            where b.home_id = v_row.home_id and b.name = v_row.name;
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
            update binding b
            set rights = v_row.wanted, incarnation = b.incarnation + 1, revision = v_revision,
                created_revision = case when b.deleted_revision is null then b.created_revision else v_revision end,
                deleted_revision = null, deleted_at = null
            where b.home_id = v_row.home_id and b.name = v_row.name;
        end if;
        insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id, details)
        values (v_row.home_id, v_revision, 'binding', p_collection_id, p_principal_id, p_origin, p_request_id,
                jsonb_build_object('rights', v_row.wanted));
        homes := homes || v_row.home_id;
    end loop;

    if cardinality(v_page) = p_limit then
        update fan_out f
        set pass = v_work.pass, position = v_page[p_limit], groups = v_work.groups, worked_at = clock_timestamp()
        where f.home_id = p_home_id and f.collection_id = p_collection_id and f.task = v_work.task;
    else
        delete from fan_out f
        where f.home_id = p_home_id and f.collection_id = p_collection_id and f.task = v_work.task
          and f.requested = v_work.pass;
        if not found then
            update fan_out f set pass = 0, position = 0, worked_at = clock_timestamp()
            where f.home_id = p_home_id and f.collection_id = p_collection_id and f.task = v_work.task;
        end if;
        -- Nobody else sees it any more. Until then its texts are rendered for those who do.
        if v_work.task = 'check' then
            update collection c set views = false
            where c.home_id = p_home_id and c.id = p_collection_id and c.views
              and not exists (
                  select from share s
                  where s.home_id = p_home_id and s.collection_id = p_collection_id and s.rights <> 'free-busy'
              ) and not exists (
                  select from binding b
                  where b.collection_home_id = p_home_id and b.collection_id = p_collection_id
                    and b.home_id <> p_home_id and b.deleted_revision is null
              );
        end if;
    end if;
    more := exists (
        select from fan_out f
        where f.home_id = p_home_id and f.collection_id = p_collection_id and f.task in ('bind', 'check')
    );
end $$;
