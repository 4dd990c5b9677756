-- Zone keys in place of TZIDs, and recurrences that are computed without the text.

alter table object
    -- The recurrence of an object that is not expanded whole: server.calendar.stored_recurrence.
    add column recurrence text collate "C";

-- As before, with the recurrence.
create or replace function koyomi_transfer_object_1(
    p_move boolean,
    p_source_home_id bigint, p_source_collection_id bigint, p_source_binding text, p_source_incarnation bigint,
    p_source_name text, p_source_id bigint, p_source_revision bigint,
    p_home_id bigint, p_collection_id bigint, p_binding text, p_incarnation bigint, p_name text,
    p_expected_id bigint, p_expected_revision bigint,
    -- The quota of a home whose principal has none of its own.
    p_quota_bytes bigint, p_max_members integer, p_restore_days integer,
    p_principal_id bigint, p_origin text, p_request_id text,
    -- `source_revision` is that of the tombstone a move leaves.
    out revision bigint, out object_id bigint, out modified_at timestamptz, out source_revision bigint
) language plpgsql as $$
#variable_conflict use_column
declare
    v_id bigint := p_source_id;
    v_source object%rowtype;
    v_replaced object%rowtype;
    v_freed bigint := 0;
    v_delta bigint;
    v_source_revision bigint;
    v_revision bigint;
    v_now timestamptz;
    v_used bigint;
    v_quota bigint;
    v_members integer;
begin
    perform 1 from object o
    where (o.home_id = p_source_home_id and o.id = p_source_id) or (o.home_id = p_home_id and o.id = p_expected_id)
    order by o.id for no key update;
    select * into v_source from object o
    where o.home_id = p_source_home_id and o.id = p_source_id and o.revision = p_source_revision
      and o.deleted_revision is null and o.collection_id = p_source_collection_id and o.name = p_source_name;
    if not found then
        raise exception using errcode = 'KY001', message = 'source changed';
    end if;
    if p_expected_id is not null then
        select * into v_replaced from object o
        where o.home_id = p_home_id and o.id = p_expected_id and o.revision = p_expected_revision
          and o.deleted_revision is null and o.collection_id = p_collection_id and o.name = p_name;
        if not found then
            raise exception using errcode = 'KY001', message = 'object changed';
        end if;
        delete from occurrence where home_id = p_home_id and object_id = p_expected_id;
        delete from alarm where home_id = p_home_id and object_id = p_expected_id;
        delete from object_view where home_id = p_home_id and object_id = p_expected_id;
        v_freed := v_replaced.size;
    end if;
    if not p_move then
        v_id := nextval('object_id_seq');
    end if;

    perform 1 from home h where h.id in (p_source_home_id, p_home_id) order by h.id for no key update;
    perform koyomi_require_collection_1(
        p_source_home_id, p_source_collection_id, p_source_binding, p_source_incarnation
    );
    perform koyomi_require_collection_1(p_home_id, p_collection_id, p_binding, p_incarnation);

    -- The source leaves a tombstone from which nothing can be restored: what it held lives on.
    if p_move then
        update home h
        set revision = h.revision + 1, used_bytes = h.used_bytes - v_source.size, modified_at = clock_timestamp()
        where h.id = p_source_home_id
        returning h.revision, h.modified_at into v_source_revision, v_now;
        update collection c
        set revision = v_source_revision, modified_at = v_now, member_count = c.member_count - 1,
            used_bytes = c.used_bytes - v_source.size
        where c.home_id = p_source_home_id and c.id = p_source_collection_id;
        update object o
        set id = nextval('object_id_seq'), revision = v_source_revision, deleted_revision = v_source_revision,
            deleted_at = v_now, text = null, properties = null, summary = null, neutral_etag = null,
            neutral_text = null, expanded_from = null, expanded_until = null
        where o.home_id = p_source_home_id and o.id = p_source_id;
        insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
        values (p_source_home_id, v_source_revision, 'moved-out', p_source_collection_id, p_source_id, p_principal_id,
                p_origin, p_request_id);
        insert into audit (home_id, revision, action, collection_id, object_id, principal_id, origin, request_id)
        values (p_source_home_id, v_source_revision, 'moved-out', p_source_collection_id, p_source_id, p_principal_id,
                p_origin, p_request_id);
    end if;

    v_delta := v_source.size - v_freed;
    update home h set revision = h.revision + 1, used_bytes = h.used_bytes + v_delta, modified_at = clock_timestamp()
    where h.id = p_home_id
    returning h.revision, h.used_bytes, h.modified_at,
              coalesce((select p.quota_bytes from principal p where p.id = h.principal_id), p_quota_bytes)
    into v_revision, v_used, v_now, v_quota;
    if v_used > v_quota and v_delta > 0 and not (p_move and p_source_home_id = p_home_id) then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;
    update collection c
    set revision = v_revision, modified_at = v_now, used_bytes = c.used_bytes + v_delta,
        member_count = c.member_count + case when p_expected_id is null then 1 else 0 end
    where c.home_id = p_home_id and c.id = p_collection_id
    returning c.member_count into v_members;
    if v_members > p_max_members and p_expected_id is null then
        raise exception using errcode = 'KY004', message = 'members';
    end if;
    insert into trash (home_id, collection_id, object_id, name, uid, component, properties, text, deleted_at)
    select o.home_id, o.collection_id, o.id, o.name, o.uid, o.component, o.properties, o.text, o.deleted_at
    from object o
    where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
      and o.deleted_revision is not null and o.text is not null
      and o.deleted_at + make_interval(days => p_restore_days) > v_now;
    delete from object o
    where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
      and o.deleted_revision is not null;
    if p_expected_id is not null then
        insert into trash (home_id, collection_id, object_id, name, uid, component, properties, text, deleted_at)
        values (p_home_id, p_collection_id, p_expected_id, p_name, v_replaced.uid, v_replaced.component,
                v_replaced.properties, v_replaced.text, v_now);
        delete from object o where o.home_id = p_home_id and o.id = p_expected_id;
    end if;
    insert into object (
        home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name, uid,
        component, etag, schedule_tag, time_key, span_start, span_end, expanded_from, expanded_until, tzids, recurrence,
        summary, properties, text
    ) values (
        p_home_id, p_collection_id, v_id, v_revision, v_revision,
        case when p_move then v_source.created_at else v_now end, v_now, v_source.size, v_source.endless, p_name,
        v_source.uid, v_source.component, v_source.etag, v_source.schedule_tag,
        -- Whether the new owner has declined an event is computed anew.
        case when p_source_home_id <> p_home_id and v_source.component = 'VEVENT' then '' else v_source.time_key end,
        v_source.span_start,
        v_source.span_end, v_source.expanded_from, v_source.expanded_until, v_source.tzids,
        v_source.recurrence, v_source.summary, v_source.properties, v_source.text
    );
    if p_move then
        update occurrence o set home_id = p_home_id, collection_id = p_collection_id
        where o.home_id = p_source_home_id and o.object_id = p_source_id;
        update alarm a set home_id = p_home_id, collection_id = p_collection_id
        where a.home_id = p_source_home_id and a.object_id = p_source_id and a.viewer_id = 0;
        if (p_source_home_id, p_source_collection_id) <> (p_home_id, p_collection_id) then
            delete from alarm a where a.home_id = p_source_home_id and a.object_id = p_source_id and a.viewer_id <> 0;
            delete from object_view v where v.home_id = p_source_home_id and v.object_id = p_source_id;
        end if;
    else
        insert into occurrence (
            home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start,
            range_end, start_at, end_at, matches_from, matches_until, local_start, tzid, recurrence_id
        )
        select p_home_id, p_collection_id, v_id, o.ordinal, o.component, o.length_class, o.kind, o.busy, o.matches,
               o.range_start, o.range_end, o.start_at, o.end_at, o.matches_from, o.matches_until, o.local_start, o.tzid,
               o.recurrence_id
        from occurrence o where o.home_id = p_source_home_id and o.object_id = p_source_id;
        insert into alarm (
            home_id, collection_id, object_id, component, alarm, at, days, seconds, from_end, repeat, interval_seconds
        )
        select p_home_id, p_collection_id, v_id, a.component, a.alarm, a.at, a.days, a.seconds, a.from_end,
               a.repeat, a.interval_seconds
        from alarm a where a.home_id = p_source_home_id and a.object_id = p_source_id and a.viewer_id = 0;
    end if;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, case when p_move then 'moved-in' else 'created' end, p_collection_id, v_id,
            p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, revision, action, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, case when p_move then 'moved-in' else 'created' end, p_collection_id, v_id,
            p_principal_id, p_origin, p_request_id);
    revision := v_revision;
    object_id := v_id;
    modified_at := v_now;
    source_revision := v_source_revision;
end $$;

-- As before, with the recurrence.
create or replace function koyomi_copy_collection_1(
    p_home_id bigint, p_name text, p_collection_home_id bigint, p_collection_id bigint, p_incarnation bigint,
    p_new_name text, p_with_members boolean,
    -- The collection that has the new name and is deleted; null: the name is free.
    p_replaced_home_id bigint, p_replaced_id bigint, p_replaced_incarnation bigint,
    p_quota_bytes bigint, p_max_collections integer,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_source collection%rowtype;
    v_id bigint;
    v_revision bigint;
    v_now timestamptz;
    v_count integer;
    v_used bigint;
    v_quota bigint;
    v_members integer := 0;
    v_bytes bigint := 0;
    -- Whose view is copied; null: the owner's texts.
    v_viewer bigint;
begin
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    if not found then
        raise exception using errcode = 'KY002', message = 'home is gone';
    end if;
    perform koyomi_require_collection_1(p_collection_home_id, p_collection_id, p_name, p_incarnation);
    select * into v_source from collection c where c.home_id = p_collection_home_id and c.id = p_collection_id;
    if p_replaced_id is not null then
        perform koyomi_remove_binding_1(
            p_home_id, v_revision, v_now, p_new_name, p_replaced_home_id, p_replaced_id, p_replaced_incarnation,
            p_principal_id, p_origin, p_request_id
        );
        update home h set revision = h.revision + 1 where h.id = p_home_id returning h.revision into v_revision;
    end if;
    perform 1 from binding b where b.home_id = p_home_id and b.name = p_new_name and b.deleted_revision is null;
    if found then
        raise exception using errcode = 'KY001', message = 'name is taken';
    end if;
    select h.collection_count, h.used_bytes, coalesce(p.quota_bytes, p_quota_bytes)
    into v_count, v_used, v_quota
    from home h join principal p on p.id = h.principal_id where h.id = p_home_id;
    if v_count >= p_max_collections then
        raise exception using errcode = 'KY005', message = 'collections';
    end if;
    if p_with_members and v_used + v_source.used_bytes > v_quota then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;
    v_id := koyomi_add_collection_1(
        p_home_id, v_revision, v_now, p_new_name, v_source.kind, v_source.components, v_source.timezone,
        v_source.source, v_source.properties
    );
    if p_with_members then
        if p_home_id <> p_collection_home_id then
            select h.principal_id into v_viewer from home h where h.id = p_home_id;
        end if;
        create temporary table copied on commit drop as
        select o.id as old_id, nextval(pg_get_serial_sequence('object', 'id')) as new_id,
               v_revision + row_number() over (order by o.name) as revision,
               case when v_viewer is null then o.etag else coalesce(v.etag, o.neutral_etag, o.etag) end as etag,
               case when v_viewer is null then o.text else coalesce(v.text, o.neutral_text, o.text) end as text,
               case when v_viewer is null then null when v.object_id is null then o.neutral_busy else v.busy end as busy
        from object o
        left join object_view v on v.home_id = o.home_id and v.object_id = o.id and v.principal_id = v_viewer
        where o.home_id = p_collection_home_id and o.collection_id = p_collection_id and o.deleted_revision is null;
        insert into object (
            home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name, uid,
            component, etag, time_key, span_start, span_end, expanded_from, expanded_until, tzids, recurrence,
            summary, properties, text
        )
        select p_home_id, v_id, n.new_id, n.revision, n.revision, v_now, v_now, octet_length(n.text), o.endless, o.name,
               o.uid, o.component, n.etag,
               -- Of another text, or for another owner, the occurrences are computed anew.
               case
                   when n.etag <> o.etag or (p_home_id <> p_collection_home_id and o.component = 'VEVENT') then ''
                   else o.time_key
               end,
               o.span_start, o.span_end, o.expanded_from, o.expanded_until, o.tzids, o.recurrence, o.summary,
               o.properties, n.text
        from copied n join object o on o.home_id = p_collection_home_id and o.id = n.old_id;
        insert into occurrence (
            home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start,
            range_end, start_at, end_at, matches_from, matches_until, local_start, tzid, recurrence_id
        )
        select p_home_id, v_id, n.new_id, o.ordinal, o.component, o.length_class, o.kind,
               coalesce(n.busy[o.component + 1], o.busy), o.matches,
               o.range_start, o.range_end, o.start_at, o.end_at, o.matches_from, o.matches_until, o.local_start, o.tzid,
               o.recurrence_id
        from copied n join occurrence o on o.home_id = p_collection_home_id and o.object_id = n.old_id;
        insert into alarm (
            home_id, collection_id, object_id, component, alarm, at, days, seconds, from_end, repeat, interval_seconds
        )
        select p_home_id, v_id, n.new_id, a.component, a.alarm, a.at, a.days, a.seconds, a.from_end, a.repeat,
               a.interval_seconds
        from copied n
        join alarm a on a.home_id = p_collection_home_id and a.object_id = n.old_id
            and a.viewer_id = coalesce(v_viewer, 0);
        select count(*), coalesce(sum(o.size), 0), coalesce(max(o.revision), v_revision)
        into v_members, v_bytes, v_revision
        from object o where o.home_id = p_home_id and o.collection_id = v_id;
        drop table copied;
        update collection c set revision = v_revision, member_count = v_members, used_bytes = v_bytes
        where c.home_id = p_home_id and c.id = v_id;
        update home h set revision = v_revision, used_bytes = h.used_bytes + v_bytes where h.id = p_home_id;
        if v_used + v_bytes > v_quota then
            raise exception using errcode = 'KY003', message = 'quota';
        end if;
    end if;
    insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'collection-copied', v_id, p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, revision, action, collection_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'collection-copied', v_id, p_principal_id, p_origin, p_request_id);
    return v_revision;
end $$;
