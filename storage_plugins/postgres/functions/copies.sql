-- Copying many members in one change set.

-- Copy members to free names, in any homes, each statement for all of them; as koyomi_transfer_object_5 does with one. The
-- detail of an error is the number of the write that it concerns.
create or replace function koyomi_apply_copies_1(
    -- [{"n": number from 0, "home_id", "collection_id", "binding_home_id", "binding", "incarnation", "name", and the same
    --   of the source, whose names begin with "source_", with "source_id" and "source_revision"}]
    p_writes jsonb,
    p_quota_bytes bigint, p_max_members integer, p_restore_days integer,
    p_principal_id bigint, p_origin text, p_request_id text
) returns table (n integer, revision bigint, object_id bigint, modified_at timestamptz) language plpgsql
-- A plan that was made while the tables were small must not read them whole later.
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    -- By number of the write, from 1.
    v_home_ids bigint[];
    v_collection_ids bigint[];
    v_names text[];
    v_source_home_ids bigint[];
    v_source_ids bigint[];
    v_ids bigint[];
    v_uids text[];
    v_sizes bigint[];
    v_revisions bigint[];
    -- Of the homes, before the set.
    v_homes bigint[];
    v_used bigint[];
    v_total bigint[];
    v_now timestamptz;
    v_source record;
    v_n integer;
    v_gone boolean;
begin
    select array_agg(w.home_id order by w.n), array_agg(w.collection_id order by w.n), array_agg(w.name order by w.n),
           array_agg(w.source_home_id order by w.n), array_agg(w.source_id order by w.n)
    into v_home_ids, v_collection_ids, v_names, v_source_home_ids, v_source_ids
    from jsonb_to_recordset(p_writes) as w (
        n integer, home_id bigint, collection_id bigint, name text, source_home_id bigint, source_id bigint
    );
    v_ids := array(select nextval('object_id_seq') from generate_series(1, cardinality(v_home_ids)));
    for v_source in
        select min(w.n) as n, w.source_home_id, w.source_collection_id, w.source_name, w.source_id, w.source_revision
        from jsonb_to_recordset(p_writes) as w (
            n integer, source_home_id bigint, source_collection_id bigint, source_name text, source_id bigint,
            source_revision bigint
        )
        group by 2, 3, 4, 5, 6
        order by w.source_id, w.source_home_id
    loop
        perform 1 from object o
        where o.home_id = v_source.source_home_id and o.id = v_source.source_id
          and o.revision = v_source.source_revision and o.deleted_revision is null
          and o.collection_id = v_source.source_collection_id and o.name = v_source.source_name
        for no key update;
        if not found then
            raise exception using errcode = 'KY001', message = 'source changed', detail = v_source.n;
        end if;
    end loop;
    select array_agg(o.uid order by s.n), array_agg(o.size::bigint order by s.n) into v_uids, v_sizes
    from unnest(v_source_home_ids, v_source_ids) with ordinality as s (home_id, id, n)
    join object o on o.home_id = s.home_id and o.id = s.id;
    insert into occurrence (
        home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start,
        range_end, start_at, end_at, matches_from, matches_until, recurrence_id
    )
    select w.home_id, w.collection_id, w.id, o.ordinal, o.component, o.length_class, o.kind, o.busy, o.matches,
           o.range_start, o.range_end, o.start_at, o.end_at, o.matches_from, o.matches_until, o.recurrence_id
    from unnest(v_home_ids, v_collection_ids, v_ids, v_source_home_ids, v_source_ids)
         as w (home_id, collection_id, id, source_home_id, source_id)
    join occurrence o on o.home_id = w.source_home_id and o.object_id = w.source_id;
    insert into alarm (
        home_id, collection_id, object_id, component, alarm, at, days, seconds, from_end, repeat, interval_seconds
    )
    select w.home_id, w.collection_id, w.id, a.component, a.alarm, a.at, a.days, a.seconds, a.from_end, a.repeat,
           a.interval_seconds
    from unnest(v_home_ids, v_collection_ids, v_ids, v_source_home_ids, v_source_ids)
         as w (home_id, collection_id, id, source_home_id, source_id)
    join alarm a on a.home_id = w.source_home_id and a.object_id = w.source_id and a.viewer_id = 0;
    select array_agg(h.id), array_agg(h.used), array_agg(h.used + h.kept)
    into v_homes, v_used, v_total
    from (
        select h.id, h.used_bytes + h.property_bytes as used, h.kept_bytes + h.kept_property_bytes as kept from home h
        where h.id = any(v_home_ids) or h.id = any(v_source_home_ids)
        order by h.id for no key update
    ) as h;
    v_now := clock_timestamp();
    select w.n, c.id is null into v_n, v_gone
    from (
        select w.n, w.home_id, w.collection_id, w.binding_home_id, w.binding, w.incarnation
        from jsonb_to_recordset(p_writes) as w (
            n integer, home_id bigint, collection_id bigint, binding_home_id bigint, binding text, incarnation bigint
        )
        union all
        select w.n, w.source_home_id, w.source_collection_id, w.source_binding_home_id, w.source_binding,
               w.source_incarnation
        from jsonb_to_recordset(p_writes) as w (
            n integer, source_home_id bigint, source_collection_id bigint, source_binding_home_id bigint,
            source_binding text, source_incarnation bigint
        )
    ) as w
    left join collection c on c.home_id = w.home_id and c.id = w.collection_id and c.deleted_at is null
    left join binding b
        on b.home_id = w.binding_home_id and b.name = w.binding and b.collection_home_id = w.home_id
        and b.collection_id = w.collection_id and b.incarnation = w.incarnation and b.deleted_revision is null
    where c.id is null or b.name is null or c.views
    order by w.n limit 1;
    if found then
        raise exception using errcode = case when v_gone then 'KY002' else 'KY001' end,
            message = 'collection is gone, or was bound or shared anew', detail = v_n;
    end if;
    select s.n - 1 into v_n
    from unnest(v_home_ids, v_source_home_ids, v_source_ids) with ordinality as s (to_home_id, home_id, id, n)
    join object o on o.home_id = s.home_id and o.id = s.id
    where s.to_home_id = s.home_id and o.scheduling in (1, 2)
    order by s.n limit 1;
    if found then
        raise exception using errcode = 'KY008', message = 'UID of a scheduling object', detail = v_n;
    end if;
    v_revisions := array(
        select h.revision + r.rank
        from (
            select w.n, w.home_id, row_number() over (partition by w.home_id order by w.n) as rank
            from unnest(v_home_ids) with ordinality as w (home_id, n)
        ) as r
        join home h on h.id = r.home_id
        order by r.n
    );
    update home h set revision = h.revision + k.writes, used_bytes = h.used_bytes + k.bytes, modified_at = v_now
    from (
        select w.home_id, count(*) as writes, sum(w.size) as bytes
        from unnest(v_home_ids, v_sizes) as w (home_id, size) group by w.home_id
    ) as k
    where h.id = k.home_id;
    update collection c
    set revision = k.revision, used_bytes = c.used_bytes + k.bytes, modified_at = v_now,
        member_count = c.member_count + k.members
    from (
        select w.home_id, w.collection_id, max(w.revision) as revision, sum(w.size) as bytes, count(*) as members
        from unnest(v_home_ids, v_collection_ids, v_revisions, v_sizes) as w (home_id, collection_id, revision, size)
        group by w.home_id, w.collection_id
    ) as k
    where c.home_id = k.home_id and c.id = k.collection_id;

    -- Whoever writes a member holds its home, so what is free now stays free.
    select w.n - 1, w.taken into v_n, v_gone
    from (
        select w.n, w.uid,
               exists (
                   select from object o
                   where o.home_id = w.home_id and o.collection_id = w.collection_id and o.name = w.name
                     and o.deleted_revision is null
               ) or row_number() over (partition by w.home_id, w.collection_id, w.name order by w.n) > 1 as taken,
               exists (
                   select from object o
                   where o.home_id = w.home_id and o.collection_id = w.collection_id and o.uid = w.uid
                     and o.deleted_revision is null and o.scheduling <> 3
               ) or row_number() over (partition by w.home_id, w.collection_id, w.uid order by w.n) > 1 as held
        from unnest(v_home_ids, v_collection_ids, v_names, v_uids)
             with ordinality as w (home_id, collection_id, name, uid, n)
    ) as w
    where w.taken or w.held
    order by w.n limit 1;
    if found then
        raise exception using errcode = case when v_gone then 'KY001' else 'KY007' end,
            message = 'name or UID is taken', detail = v_n;
    end if;
    select k.n into v_n
    from (
        select w.home_id, w.collection_id, max(w.n) - 1 as n
        from unnest(v_home_ids, v_collection_ids) with ordinality as w (home_id, collection_id, n)
        group by w.home_id, w.collection_id
    ) as k
    join collection c on c.home_id = k.home_id and c.id = k.collection_id
    where c.member_count > p_max_members
    order by k.n limit 1;
    if found then
        raise exception using errcode = 'KY004', message = 'members', detail = v_n;
    end if;
    insert into trash (home_id, collection_id, object_id, name, uid, component, properties, text, deleted_at)
    select o.home_id, o.collection_id, o.id, o.name, o.uid, o.component, o.properties, o.text, o.deleted_at
    from unnest(v_home_ids, v_collection_ids, v_names) as w (home_id, collection_id, name)
    join object o
        on o.home_id = w.home_id and o.collection_id = w.collection_id and o.name = w.name
        and o.deleted_revision is not null
    where o.text is not null and o.deleted_at + make_interval(days => p_restore_days) > v_now;
    delete from object o using unnest(v_home_ids, v_collection_ids, v_names) as w (home_id, collection_id, name)
    where o.home_id = w.home_id and o.collection_id = w.collection_id and o.name = w.name
      and o.deleted_revision is not null;
    insert into object (
        home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name, uid,
        component, etag, schedule_tag, time_key, derived, span_start, span_end, expanded_from, expanded_until,
        tzids, recurrence, summary, scheduling, organizer, sequence, properties, text, neutral_etag, neutral_text,
        neutral_busy
    )
    select w.home_id, w.collection_id, w.id, w.revision, w.revision, v_now, v_now, o.size, o.endless, w.name, o.uid,
           o.component, o.etag, o.schedule_tag,
           -- As koyomi_transfer_object_5.
           case when w.source_home_id <> w.home_id and o.component = 'VEVENT' then '' else o.time_key end,
           case
               when o.scheduling = 3 then 0
               when w.source_home_id <> w.home_id and (o.component = 'VEVENT' or o.organizer is not null) then 0
               else o.derived
           end,
           o.span_start, o.span_end, o.expanded_from, o.expanded_until, o.tzids, o.recurrence, o.summary, 0,
           o.organizer, o.sequence, o.properties, o.text,
           case when o.summary ? 'others' then o.neutral_etag end, case when o.summary ? 'others' then o.neutral_text end,
           case when o.summary ? 'others' then o.neutral_busy end
    from unnest(v_home_ids, v_collection_ids, v_ids, v_revisions, v_names, v_source_home_ids, v_source_ids)
         as w (home_id, collection_id, id, revision, name, source_home_id, source_id)
    join object o on o.home_id = w.source_home_id and o.id = w.source_id;
    select (select max(w.n)::integer - 1 from unnest(v_home_ids) with ordinality as w (home_id, n)
            where w.home_id = h.id)
    into v_n
    from unnest(v_homes, v_used, v_total) as b (home_id, used, total)
    join home h on h.id = b.home_id
    join principal p on p.id = h.principal_id
    where h.id = any(v_home_ids)
      and (h.used_bytes + h.property_bytes > greatest(coalesce(p.quota_bytes, p_quota_bytes), b.used)
           or h.used_bytes + h.property_bytes + h.kept_bytes + h.kept_property_bytes
              > 2 * coalesce(p.quota_bytes, p_quota_bytes))
    order by 1 limit 1;
    if found then
        raise exception using errcode = 'KY003', message = 'quota', detail = v_n;
    end if;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    select w.home_id, w.revision, 'created', w.collection_id, w.id, p_principal_id, p_origin, p_request_id
    from unnest(v_home_ids, v_revisions, v_collection_ids, v_ids) as w (home_id, revision, collection_id, id)
    order by w.home_id, w.revision;
    return query
        select w.n::integer - 1, w.revision, w.id, v_now
        from unnest(v_revisions, v_ids) with ordinality as w (revision, id, n) order by w.n;
end $$;
