-- A write that reuses a tombstone locks it first: the job that drops old tombstones may do so at the same moment. A
-- tombstone that is gone by then is a free name.

-- The name and the arguments stay, so that servers of the version before are mended too.
create or replace function koyomi_put_object_2(
    p_home_id bigint, p_collection_id bigint, p_binding text, p_incarnation bigint, p_name text,
    -- The state that the write is based on; null: the name is free.
    p_expected_id bigint, p_expected_revision bigint,
    p_uid text, p_component text, p_etag text, p_schedule_tag text, p_size integer, p_time_key text,
    p_text text, p_summary jsonb, p_tzids text[],
    -- The quota of a home whose principal has none of its own.
    p_quota_bytes bigint, p_max_members integer, p_restore_days integer,
    p_principal_id bigint, p_origin text, p_request_id text,
    -- False: the occurrences stay as they are, and what follows is null.
    p_materialised boolean,
    p_span_start timestamptz, p_span_end timestamptz, p_endless boolean,
    p_expanded_from timestamptz, p_expanded_until timestamptz,
    p_components integer[], p_kinds smallint[], p_busy smallint[], p_matches boolean[],
    p_starts timestamptz[], p_ends timestamptz[], p_matches_from timestamptz[], p_matches_until timestamptz[],
    p_local_starts timestamp[], p_zones text[], p_recurrence_ids text[], p_alarms jsonb,
    -- Whether it was decided for a calendar that has views; if not, the rest is null.
    p_views boolean,
    p_neutral_etag text, p_neutral_text text, p_neutral_busy smallint[],
    -- How many views the caller knew, and their latest revision; and all of them as they are to be now.
    p_views_known integer, p_views_revision bigint, p_view_rows jsonb,
    out revision bigint, out object_id bigint, out modified_at timestamptz
) language plpgsql as $$
#variable_conflict use_column
declare
    v_id bigint := p_expected_id;
    v_delta bigint := p_size;
    v_revision bigint;
    v_now timestamptz;
    v_used bigint;
    v_quota bigint;
    v_members integer;
    v_deleted_at timestamptz;
    v_views boolean;
begin
    if v_id is null then
        v_id := nextval('object_id_seq');
    else
        select p_size - o.size into v_delta from object o
        where o.home_id = p_home_id and o.id = v_id and o.revision = p_expected_revision and o.deleted_revision is null
          and o.collection_id = p_collection_id and o.name = p_name
        for no key update;
        if not found then
            raise exception using errcode = 'KY001', message = 'object changed';
        end if;
        if p_views then
            -- Whoever writes a view holds the lock of its object.
            perform 1 from object_view v where v.home_id = p_home_id and v.object_id = v_id
            having count(*) = p_views_known and coalesce(max(v.revision), 0) = p_views_revision;
            if not found then
                raise exception using errcode = 'KY001', message = 'views changed';
            end if;
        end if;
    end if;
    if p_materialised then
        if p_expected_id is not null then
            delete from occurrence where home_id = p_home_id and object_id = v_id;
            delete from alarm where home_id = p_home_id and object_id = v_id and viewer_id = 0;
        end if;
        perform koyomi_replace_occurrences_1(
            p_home_id, p_collection_id, v_id, p_components, p_kinds, p_busy, p_matches, p_starts, p_ends,
            p_matches_from, p_matches_until, p_local_starts, p_zones, p_recurrence_ids, p_alarms
        );
    end if;

    update home h set revision = h.revision + 1, used_bytes = h.used_bytes + v_delta, modified_at = clock_timestamp()
    where h.id = p_home_id
    returning h.revision, h.used_bytes, h.modified_at,
              coalesce((select p.quota_bytes from principal p where p.id = h.principal_id), p_quota_bytes)
    into v_revision, v_used, v_now, v_quota;
    update collection c
    set revision = v_revision, used_bytes = c.used_bytes + v_delta, modified_at = v_now,
        member_count = c.member_count + case when p_expected_id is null then 1 else 0 end
    where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null
      and exists (
          select from binding b
          where b.collection_home_id = p_home_id and b.collection_id = p_collection_id and b.name = p_binding
            and b.incarnation = p_incarnation and b.deleted_revision is null
      )
    returning c.member_count, c.views into v_members, v_views;
    if not found then
        perform koyomi_require_collection_1(p_home_id, p_collection_id, p_binding, p_incarnation);
    end if;
    if v_views <> p_views then
        raise exception using errcode = 'KY001', message = 'sharing changed';
    end if;
    if v_used > v_quota and v_delta > 0 then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;

    if p_expected_id is not null then
        if p_materialised then
            update object o
            set revision = v_revision, modified_at = v_now, size = p_size, uid = p_uid, component = p_component,
                etag = p_etag, schedule_tag = p_schedule_tag, time_key = p_time_key, tzids = p_tzids,
                summary = p_summary, text = p_text, neutral_etag = p_neutral_etag,
                neutral_text = p_neutral_text, neutral_busy = p_neutral_busy, endless = p_endless,
                span_start = p_span_start, span_end = p_span_end,
                expanded_from = p_expanded_from, expanded_until = p_expanded_until
            where o.home_id = p_home_id and o.id = v_id;
        else
            update object o
            set revision = v_revision, modified_at = v_now, size = p_size, uid = p_uid, component = p_component,
                etag = p_etag, schedule_tag = p_schedule_tag, time_key = p_time_key, tzids = p_tzids,
                summary = p_summary, text = p_text, neutral_etag = p_neutral_etag,
                neutral_text = p_neutral_text, neutral_busy = p_neutral_busy
            where o.home_id = p_home_id and o.id = v_id;
        end if;
    else
        if v_members > p_max_members then
            raise exception using errcode = 'KY004', message = 'members';
        end if;
        select o.deleted_at into v_deleted_at from object o
        where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
          and o.deleted_revision is not null
        for update;
        if found then
            if v_deleted_at > v_now - make_interval(days => p_restore_days) then
                insert into trash (
                    home_id, collection_id, object_id, name, uid, component, properties, text, deleted_at
                )
                select o.home_id, o.collection_id, o.id, o.name, o.uid, o.component, o.properties, o.text, o.deleted_at
                from object o
                where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
                  and o.deleted_revision is not null and o.text is not null;
            end if;
            update object o
            set id = v_id, created_revision = v_revision, revision = v_revision, deleted_revision = null,
                created_at = v_now, modified_at = v_now, deleted_at = null, size = p_size, uid = p_uid,
                component = p_component, etag = p_etag, schedule_tag = p_schedule_tag, time_key = p_time_key,
                tzids = p_tzids, summary = p_summary, properties = null, text = p_text, neutral_etag = p_neutral_etag,
                neutral_text = p_neutral_text,
                neutral_busy = p_neutral_busy, endless = coalesce(p_endless, false), span_start = p_span_start,
                span_end = p_span_end, expanded_from = p_expanded_from, expanded_until = p_expanded_until
            where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
              and o.deleted_revision is not null;
        else
            insert into object (
                home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name,
                uid, component, etag, schedule_tag, time_key, span_start, span_end, expanded_from, expanded_until,
                tzids, summary, text, neutral_etag, neutral_text, neutral_busy
            ) values (
                p_home_id, p_collection_id, v_id, v_revision, v_revision, v_now, v_now, p_size,
                coalesce(p_endless, false), p_name, p_uid, p_component, p_etag, p_schedule_tag, p_time_key,
                p_span_start, p_span_end, p_expanded_from, p_expanded_until, p_tzids, p_summary, p_text,
                p_neutral_etag, p_neutral_text, p_neutral_busy
            );
        end if;
    end if;
    if p_view_rows is not null then
        insert into object_view as v (
            home_id, object_id, principal_id, revision, modified_at, etag, size, personal, text, busy
        )
        select p_home_id, v_id, r.principal_id, v_revision, v_now, r.etag, r.size, r.personal, r.text, r.busy
        from jsonb_to_recordset(p_view_rows) as r (
            principal_id bigint, etag text, size integer, personal text, text text, busy smallint[]
        )
        on conflict (home_id, object_id, principal_id) do update
        set revision = excluded.revision, modified_at = excluded.modified_at, etag = excluded.etag,
            size = excluded.size, personal = excluded.personal, text = excluded.text, busy = excluded.busy;
    end if;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, case when p_expected_id is null then 'created' else 'updated' end,
            p_collection_id, v_id, p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, revision, action, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, case when p_expected_id is null then 'created' else 'updated' end,
            p_collection_id, v_id, p_principal_id, p_origin, p_request_id);
    revision := v_revision;
    object_id := v_id;
    modified_at := v_now;
end $$;

-- Bind a collection in the homes that its shares ask for; returns the ids of the homes that changed. Locks all these
-- homes, in order of their ids.
create or replace function koyomi_bind_shared_1(
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
    -- The binding that a home has; rights are null if it is a tombstone.
    v_name text;
    v_rights text;
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
        -- The list was read without locks. Since then the job may have dropped a tombstone, or the person may have
        -- renamed or deleted a binding.
        perform 1 from home h where h.id = v_row.home_id for no key update;
        v_name := null;
        v_rights := null;
        select b.name, case when b.deleted_revision is null then b.rights end into v_name, v_rights from binding b
        where b.home_id = v_row.home_id and b.collection_home_id = p_home_id and b.collection_id = p_collection_id
        order by b.deleted_revision is not null, b.revision desc limit 1
        for update;
        continue when v_rights is not distinct from v_row.wanted;
        update home h
        set revision = h.revision + 1, modified_at = clock_timestamp(),
            collection_count = h.collection_count + case
                when v_row.wanted is null then -1
                when v_rights is null then 1
                else 0 end
        where h.id = v_row.home_id
        returning h.revision into v_revision;
        if v_row.wanted is null then
            update binding
            set revision = v_revision, deleted_revision = v_revision, deleted_at = now()
            where home_id = v_row.home_id and name = v_name;
        elsif v_name is null then
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
            where home_id = v_row.home_id and name = v_name;
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
