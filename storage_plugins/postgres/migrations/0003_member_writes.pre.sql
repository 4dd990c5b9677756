-- The write path of members: each function is one whole transaction, sent in one round trip.
--
-- They rely on READ COMMITTED: in a VOLATILE function every statement sees what was committed before it started. The
-- update of the row in `home` waits for every other writer of that home, so what is read after it is final. Work that
-- needs no revision comes before it. Order of locks: objects that exist, by id; their occurrences; homes, by id;
-- collections; the rest. Whoever changes an object that exists locks it first, or two that change it in different ways
-- would wait for one another.
--
-- Functions are versioned by their names, so that old code runs beside new code. SQLSTATEs (sqlstates.py maps them):
-- KY001 not as expected, KY002 gone, KY003 quota, KY004 too many members, KY005 too many collections, KY006 exists.

create function koyomi_replace_occurrences_1(
    p_home_id bigint, p_collection_id bigint, p_object_id bigint,
    p_components integer[], p_kinds smallint[], p_busy smallint[], p_matches boolean[],
    p_starts timestamptz[], p_ends timestamptz[], p_matches_from timestamptz[], p_matches_until timestamptz[],
    p_local_starts timestamp[], p_tzids text[], p_recurrence_ids text[], p_alarms jsonb
) returns void language plpgsql as $$
begin
    insert into occurrence (
        home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start, range_end,
        start_at, end_at, matches_from, matches_until, local_start, tzid, recurrence_id
    )
    select p_home_id, p_collection_id, p_object_id, n, c,
           case when re <= rs + interval '24 hours' then 0 when re <= rs + interval '744 hours' then 1 else 2 end,
           k, b, m, rs, re, s, e, mf, mu, l, z, r
    from (
        select o.*,
               case when m then least(s, coalesce(mf, '-infinity')) else s end as rs,
               case when m then greatest(e, coalesce(mu, 'infinity')) else e end as re
        from unnest(p_components, p_kinds, p_busy, p_matches, p_starts, p_ends, p_matches_from, p_matches_until,
                    p_local_starts, p_tzids, p_recurrence_ids)
             with ordinality as o (c, k, b, m, s, e, mf, mu, l, z, r, n)
    ) as o;
    if p_alarms is not null then
        insert into alarm (
            home_id, collection_id, object_id, component, alarm, at, days, seconds, from_end, repeat, interval_seconds
        )
        select p_home_id, p_collection_id, p_object_id, a.component, a.alarm, a.at, a.days, a.seconds, a.from_end,
               a.repeat, a.interval_seconds
        from jsonb_to_recordset(p_alarms) as a (
            component integer, alarm integer, at timestamptz, days integer, seconds bigint, from_end boolean,
            repeat integer, interval_seconds bigint
        );
    end if;
end $$;

-- Raises unless a collection is alive and still shown under the name and with the rights that a write was decided by.
create function koyomi_require_collection_1(
    p_home_id bigint, p_collection_id bigint, p_binding text, p_incarnation bigint
) returns void language plpgsql as $$
begin
    perform 1 from collection c where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null;
    if not found then
        raise exception using errcode = 'KY002', message = 'collection is gone';
    end if;
    perform 1 from binding b
    where b.collection_home_id = p_home_id and b.collection_id = p_collection_id and b.name = p_binding
      and b.incarnation = p_incarnation and b.deleted_revision is null;
    if not found then
        raise exception using errcode = 'KY001', message = 'binding changed';
    end if;
end $$;

create function koyomi_put_object_1(
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
    returning c.member_count into v_members;
    if not found then
        perform koyomi_require_collection_1(p_home_id, p_collection_id, p_binding, p_incarnation);
    end if;
    if v_used > v_quota and v_delta > 0 then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;

    if p_expected_id is not null then
        if p_materialised then
            update object o
            set revision = v_revision, modified_at = v_now, size = p_size, uid = p_uid, component = p_component,
                etag = p_etag, schedule_tag = p_schedule_tag, time_key = p_time_key, tzids = p_tzids,
                summary = p_summary, text = p_text, neutral_etag = null, neutral_text = null, endless = p_endless,
                span_start = p_span_start, span_end = p_span_end,
                expanded_from = p_expanded_from, expanded_until = p_expanded_until
            where o.home_id = p_home_id and o.id = v_id;
        else
            update object o
            set revision = v_revision, modified_at = v_now, size = p_size, uid = p_uid, component = p_component,
                etag = p_etag, schedule_tag = p_schedule_tag, time_key = p_time_key, tzids = p_tzids,
                summary = p_summary, text = p_text, neutral_etag = null, neutral_text = null
            where o.home_id = p_home_id and o.id = v_id;
        end if;
    else
        if v_members > p_max_members then
            raise exception using errcode = 'KY004', message = 'members';
        end if;
        select o.deleted_at into v_deleted_at from object o
        where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
          and o.deleted_revision is not null;
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
                tzids = p_tzids, summary = p_summary, properties = null, text = p_text, neutral_etag = null,
                neutral_text = null, endless = coalesce(p_endless, false), span_start = p_span_start,
                span_end = p_span_end, expanded_from = p_expanded_from, expanded_until = p_expanded_until
            where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
              and o.deleted_revision is not null;
        else
            insert into object (
                home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name,
                uid, component, etag, schedule_tag, time_key, span_start, span_end, expanded_from, expanded_until,
                tzids, summary, text
            ) values (
                p_home_id, p_collection_id, v_id, v_revision, v_revision, v_now, v_now, p_size,
                coalesce(p_endless, false), p_name, p_uid, p_component, p_etag, p_schedule_tag, p_time_key,
                p_span_start, p_span_end, p_expanded_from, p_expanded_until, p_tzids, p_summary, p_text
            );
        end if;
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

create function koyomi_delete_object_1(
    p_home_id bigint, p_collection_id bigint, p_binding text, p_incarnation bigint, p_name text,
    p_expected_id bigint, p_expected_revision bigint, p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_size bigint;
    v_component text;
    v_revision bigint;
    v_now timestamptz;
begin
    select o.size, o.component into v_size, v_component from object o
    where o.home_id = p_home_id and o.id = p_expected_id and o.revision = p_expected_revision
      and o.deleted_revision is null and o.collection_id = p_collection_id and o.name = p_name
    for no key update;
    if not found then
        raise exception using errcode = 'KY001', message = 'object changed';
    end if;
    if v_component <> 'VCARD' then
        delete from occurrence where home_id = p_home_id and object_id = p_expected_id;
        delete from alarm where home_id = p_home_id and object_id = p_expected_id;
        delete from object_view where home_id = p_home_id and object_id = p_expected_id;
    end if;

    update home h set revision = h.revision + 1, used_bytes = h.used_bytes - v_size, modified_at = clock_timestamp()
    where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    update collection c
    set revision = v_revision, used_bytes = c.used_bytes - v_size, modified_at = v_now,
        member_count = c.member_count - 1
    where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null
      and exists (
          select from binding b
          where b.collection_home_id = p_home_id and b.collection_id = p_collection_id and b.name = p_binding
            and b.incarnation = p_incarnation and b.deleted_revision is null
      );
    if not found then
        perform koyomi_require_collection_1(p_home_id, p_collection_id, p_binding, p_incarnation);
    end if;
    update object o
    set revision = v_revision, deleted_revision = v_revision, deleted_at = v_now, neutral_etag = null,
        neutral_text = null, expanded_from = null, expanded_until = null
    where o.home_id = p_home_id and o.id = p_expected_id;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'deleted', p_collection_id, p_expected_id, p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, revision, action, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'deleted', p_collection_id, p_expected_id, p_principal_id, p_origin, p_request_id);
    return v_revision;
end $$;

create function koyomi_set_object_properties_1(
    p_home_id bigint, p_collection_id bigint, p_binding text, p_incarnation bigint, p_name text,
    p_expected_id bigint, p_expected_revision bigint, p_set jsonb, p_removed text[],
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_revision bigint;
    v_now timestamptz;
begin
    perform 1 from object o
    where o.home_id = p_home_id and o.id = p_expected_id and o.revision = p_expected_revision
      and o.deleted_revision is null and o.collection_id = p_collection_id and o.name = p_name
    for no key update;
    if not found then
        raise exception using errcode = 'KY001', message = 'object changed';
    end if;
    update home h set revision = h.revision + 1, modified_at = clock_timestamp()
    where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    perform koyomi_require_collection_1(p_home_id, p_collection_id, p_binding, p_incarnation);
    update collection c set revision = v_revision, modified_at = v_now
    where c.home_id = p_home_id and c.id = p_collection_id;
    update object o
    set revision = v_revision,
        properties = nullif((coalesce(o.properties, '{}') || p_set) - p_removed, '{}')
    where o.home_id = p_home_id and o.id = p_expected_id;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'properties', p_collection_id, p_expected_id, p_principal_id, p_origin,
            p_request_id);
    insert into audit (home_id, revision, action, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'properties', p_collection_id, p_expected_id, p_principal_id, p_origin,
            p_request_id);
    return v_revision;
end $$;

-- Move or copy a member, within a home or into another one.
create function koyomi_transfer_object_1(
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
        component, etag, schedule_tag, time_key, span_start, span_end, expanded_from, expanded_until, tzids, summary,
        properties, text
    ) values (
        p_home_id, p_collection_id, v_id, v_revision, v_revision,
        case when p_move then v_source.created_at else v_now end, v_now, v_source.size, v_source.endless, p_name,
        v_source.uid, v_source.component, v_source.etag, v_source.schedule_tag, v_source.time_key, v_source.span_start,
        v_source.span_end, v_source.expanded_from, v_source.expanded_until, v_source.tzids, v_source.summary,
        v_source.properties, v_source.text
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
