-- Applying change sets of several writes: each statement makes its part of all of them.

-- Lock objects that exist, in the order given, which is that of ids; returns the position of the first that is not in
-- the state that is expected. The caller ends its transaction then: it may hold a tombstone, which others lock after
-- the home.
create or replace function koyomi_lock_objects_1(
    p_home_ids bigint[], p_ids bigint[], p_revisions bigint[]
) returns integer language plpgsql as $$
begin
    for n in 1 .. cardinality(p_ids) loop
        perform 1 from object o
        where o.home_id = p_home_ids[n] and o.id = p_ids[n] and o.revision = p_revisions[n]
          and o.deleted_revision is null
        for no key update;
        if not found then
            return n;
        end if;
    end loop;
    return null;
end $$;

-- Make puts and deletions in any homes. Locks objects by id, then homes by id, all before the first row that a unique
-- index could refuse. The detail of an error is the number of the write that it concerns.
--
-- Within a home deletions take the first revisions, then the others in their order; ids of the outbox are drawn in the
-- order of the revisions while all homes are held. Quotas are compared with what all writes together leave.
create or replace function koyomi_apply_1(
    -- [{the attributes of member_write}], numbered from 0.
    p_writes jsonb,
    -- By number of the write.
    p_texts text[], p_neutral_texts text[],
    -- Occurrences of all objects: the number of their write, from 1, their place in the object, and what they are.
    p_occurrence_writes integer[], p_ordinals integer[], p_components integer[], p_kinds smallint[], p_busy smallint[],
    p_matches boolean[], p_starts timestamptz[], p_ends timestamptz[], p_matches_from timestamptz[],
    p_matches_until timestamptz[], p_recurrence_ids text[],
    -- [{"write": number from 1, and the columns of `alarm`}]; null: none.
    p_alarms jsonb,
    -- Personal copies, one for each element of the arrays, with the number of their write from 1; null: none. Alarms
    -- have a "write", too.
    p_view_writes integer[], p_viewers bigint[], p_view_etags text[], p_view_sizes integer[], p_view_personal text[],
    p_view_texts text[], p_view_busy jsonb, p_view_alarms jsonb,
    -- Dead properties of new members, by the number of their write; null: none.
    p_properties jsonb,
    -- The quota of homes whose principal has none of its own, and the homes that may use a tenth more than theirs.
    p_quota_bytes bigint, p_graced bigint[], p_max_members integer, p_restore_days integer,
    p_principal_id bigint, p_origin text, p_request_id text
) returns table (n integer, revision bigint, object_id bigint, modified_at timestamptz) language plpgsql
-- A plan that was made while the tables were small must not read them whole later.
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    v_writes member_write[] := array(
        select w from jsonb_populate_recordset(null::member_write, p_writes) as w order by w.n
    );
    -- By number of the write, from 1.
    v_home_ids bigint[];
    v_collection_ids bigint[];
    v_ids bigint[];
    v_acts text[];
    v_deltas bigint[];
    v_kept bigint[] := array_fill(0::bigint, array[cardinality(v_writes)]);
    v_properties bigint[] := array_fill(0::bigint, array[cardinality(v_writes)]);
    v_revisions bigint[];
    -- Of the homes, before the set.
    v_homes bigint[];
    v_used bigint[];
    v_total bigint[];
    v_existing boolean := false;
    v_deleting boolean := false;
    v_creating boolean;
    v_putting boolean;
    v_scheduling boolean;
    v_neutral boolean := false;
    v_now timestamptz;
    v_write record;
    v_size bigint;
    v_neutral_size bigint;
    v_property_size bigint;
    v_one_reserved boolean;
    v_reserved boolean := false;
    v_n integer;
    v_gone boolean;
begin
    select array_agg(w.home_id), array_agg(w.collection_id), array_agg(coalesce(w.id, nextval('object_id_seq'))),
           array_agg(case when w.deletes then 'deleted' when w.id is null then 'created' else 'updated' end),
           array_agg(case when w.deletes then 0 else w.size end), bool_or(w.id is null), bool_or(not w.deletes),
           bool_or(not w.deletes and w.scheduling in (1, 2))
    into v_home_ids, v_collection_ids, v_ids, v_acts, v_deltas, v_creating, v_putting, v_scheduling
    from unnest(v_writes) as w;
    for v_write in select w.* from unnest(v_writes) as w where w.id is not null order by w.id, w.home_id loop
        select o.size, coalesce(octet_length(o.neutral_text), 0),
               case when v_write.deletes then coalesce(octet_length(o.properties::text), 0) end,
               v_write.deletes and o.reserved
        into v_size, v_neutral_size, v_property_size, v_one_reserved
        from object o
        where o.home_id = v_write.home_id and o.id = v_write.id and o.revision = v_write.revision
          and o.deleted_revision is null and o.collection_id = v_write.collection_id and o.name = v_write.name
        for no key update;
        if not found then
            raise exception using errcode = 'KY001', message = 'object changed', detail = v_write.n;
        end if;
        v_existing := true;
        v_reserved := v_reserved or v_one_reserved;
        v_deltas[v_write.n + 1] := v_deltas[v_write.n + 1] - v_size;
        if v_write.deletes then
            v_deleting := true;
            v_neutral := v_neutral or v_neutral_size > 0;
            v_kept[v_write.n + 1] := v_size - v_neutral_size;
            v_properties[v_write.n + 1] := v_property_size;
        elsif v_write.views then
            perform 1 from object_view v where v.home_id = v_write.home_id and v.object_id = v_write.id
            having count(*) = v_write.views_known and coalesce(max(v.revision), 0) = v_write.views_revision;
            if not found then
                raise exception using errcode = 'KY001', message = 'views changed', detail = v_write.n;
            end if;
        end if;
    end loop;
    if v_existing then
        delete from occurrence o using unnest(v_writes) as w
        where o.home_id = w.home_id and o.object_id = w.id and (w.deletes or w.materialised);
        delete from alarm a using unnest(v_writes) as w
        where a.home_id = w.home_id and a.object_id = w.id and (w.deletes or (w.materialised and a.viewer_id = 0));
    end if;
    if cardinality(p_occurrence_writes) > 0 then
        insert into occurrence (
            home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start,
            range_end, start_at, end_at, matches_from, matches_until, recurrence_id
        )
        select v_home_ids[o.write], v_collection_ids[o.write], v_ids[o.write], o.ordinal, o.c,
               case when re <= rs + interval '24 hours' then 0 when re <= rs + interval '744 hours' then 1 else 2 end,
               o.k, o.b, o.m, o.rs, o.re, o.s, o.e, o.mf, o.mu, o.r
        from (
            select o.*,
                   case when m then least(s, coalesce(mf, '-infinity')) else s end as rs,
                   case when m then greatest(e, coalesce(mu, 'infinity')) else e end as re
            from unnest(p_occurrence_writes, p_ordinals, p_components, p_kinds, p_busy, p_matches, p_starts, p_ends,
                        p_matches_from, p_matches_until, p_recurrence_ids)
                 as o (write, ordinal, c, k, b, m, s, e, mf, mu, r)
        ) as o;
    end if;
    if p_alarms is not null then
        insert into alarm (
            home_id, collection_id, object_id, component, alarm, at, days, seconds, from_end, repeat,
            interval_seconds, next_at, floating
        )
        select v_home_ids[a.write], v_collection_ids[a.write], v_ids[a.write], a.component, a.alarm, a.at, a.days,
               a.seconds, a.from_end, a.repeat, a.interval_seconds, a.next_at, a.floating
        from jsonb_to_recordset(p_alarms) as a (
            write integer, component integer, alarm integer, at timestamptz, days integer, seconds bigint,
            from_end boolean, repeat integer, interval_seconds bigint, next_at timestamptz, floating boolean
        );
    end if;

    select array_agg(h.id), array_agg(h.used), array_agg(h.used + h.kept)
    into v_homes, v_used, v_total
    from (
        select h.id, h.used_bytes + h.property_bytes as used, h.kept_bytes + h.kept_property_bytes as kept from home h
        where h.id = any(v_home_ids)
        order by h.id for no key update
    ) as h;
    v_now := clock_timestamp();
    select w.n, c.id is null into v_n, v_gone
    from unnest(v_writes) as w
    left join collection c on c.home_id = w.home_id and c.id = w.collection_id and c.deleted_at is null
    left join binding b
        on b.home_id = w.binding_home_id and b.name = w.binding and b.collection_home_id = w.home_id
        and b.collection_id = w.collection_id and b.incarnation = w.incarnation and b.deleted_revision is null
    where c.id is null or b.name is null or (not w.deletes and c.views <> w.views)
    order by w.n limit 1;
    if found then
        raise exception using errcode = case when v_gone then 'KY002' else 'KY001' end,
            message = 'collection is gone, or was bound or shared anew', detail = v_n;
    end if;
    v_revisions := array(
        select h.revision + r.rank
        from (
            select w.n, w.home_id, row_number() over (partition by w.home_id order by w.act <> 'deleted', w.n) as rank
            from unnest(v_home_ids, v_acts) with ordinality as w (home_id, act, n)
        ) as r
        join home h on h.id = r.home_id
        order by r.n
    );
    update home h
    set revision = h.revision + k.writes, used_bytes = h.used_bytes + k.used, kept_bytes = h.kept_bytes + k.kept,
        property_bytes = h.property_bytes - k.properties,
        kept_property_bytes = h.kept_property_bytes + k.properties, modified_at = v_now
    from (
        select w.home_id, count(*) as writes, sum(w.delta) as used, sum(w.kept) as kept,
               sum(w.properties) as properties
        from unnest(v_home_ids, v_deltas, v_kept, v_properties) as w (home_id, delta, kept, properties)
        group by w.home_id
    ) as k
    where h.id = k.home_id;
    update collection c
    set revision = k.revision, used_bytes = c.used_bytes + k.used, modified_at = v_now,
        member_count = c.member_count + k.members
    from (
        select w.home_id, w.collection_id, max(w.revision) as revision, sum(w.delta) as used,
               count(*) filter (where w.act = 'created') - count(*) filter (where w.act = 'deleted') as members
        from unnest(v_home_ids, v_collection_ids, v_revisions, v_deltas, v_acts)
             as w (home_id, collection_id, revision, delta, act)
        group by w.home_id, w.collection_id
    ) as k
    where c.home_id = k.home_id and c.id = k.collection_id;

    if v_reserved then
        perform koyomi_release_1(array_agg(w.home_id), array_agg(w.id)) from unnest(v_writes) as w where w.deletes;
    end if;
    if v_deleting then
        -- The trigger of personal copies works even where there are none, and counts in the homes.
        perform 1 from unnest(v_writes) as w
        join object_view v on v.home_id = w.home_id and v.object_id = w.id where w.deletes;
        if found then
            delete from object_view v using unnest(v_writes) as w
            where w.deletes and v.home_id = w.home_id and v.object_id = w.id;
        end if;
        -- The text is kept for restoring; the neutral text is not.
        update object o
        set revision = v_revisions[w.n + 1], deleted_revision = v_revisions[w.n + 1], deleted_at = v_now,
            expanded_from = null, expanded_until = null
        from unnest(v_writes) as w
        where w.deletes and o.home_id = w.home_id and o.id = w.id and coalesce(octet_length(o.neutral_text), 0) = 0;
        if v_neutral then
            update object o
            set revision = v_revisions[w.n + 1], deleted_revision = v_revisions[w.n + 1], deleted_at = v_now,
                neutral_etag = null, neutral_text = null, expanded_from = null, expanded_until = null
            from unnest(v_writes) as w
            where w.deletes and o.home_id = w.home_id and o.id = w.id and o.deleted_revision is null;
        end if;
    end if;

    if v_creating then
        -- Whoever writes a member holds its home, so what is free now stays free.
        select w.n into v_n from unnest(v_writes) as w
        where w.id is null
          and (exists (
                   select from object o
                   where o.home_id = w.home_id and o.collection_id = w.collection_id and o.name = w.name
                     and o.deleted_revision is null
               ) or exists (
                   select from unnest(v_writes) as e
                   where e.n < w.n and e.id is null and e.home_id = w.home_id and e.collection_id = w.collection_id
                     and e.name = w.name
               ))
        order by w.n limit 1;
        if found then
            raise exception using errcode = 'KY001', message = 'name is taken', detail = v_n;
        end if;
    end if;
    if v_putting then
        select w.n into v_n from unnest(v_writes) as w
        where not w.deletes and coalesce(w.scheduling, 0) <> 3
          and (exists (
                   select from object o
                   where o.home_id = w.home_id and o.collection_id = w.collection_id and o.uid = w.uid
                     and o.deleted_revision is null and o.scheduling <> 3 and o.id <> v_ids[w.n + 1]
               ) or exists (
                   select from unnest(v_writes) as e
                   where e.n < w.n and not e.deletes and e.home_id = w.home_id and e.collection_id = w.collection_id
                     and e.uid = w.uid
               ))
        order by w.n limit 1;
        if found then
            raise exception using errcode = 'KY007', message = 'UID is taken', detail = v_n;
        end if;
    end if;
    if v_scheduling then
        select w.n into v_n from unnest(v_writes) as w
        where not w.deletes and w.scheduling in (1, 2)
          and (exists (
                   select from object o
                   where o.home_id = w.home_id and o.uid = w.uid and o.scheduling in (1, 2)
                     and o.deleted_revision is null and o.id <> v_ids[w.n + 1]
               ) or exists (
                   select from unnest(v_writes) as e
                   where e.n < w.n and not e.deletes and e.home_id = w.home_id and e.uid = w.uid
                     and e.scheduling in (1, 2)
               ))
        order by w.n limit 1;
        if found then
            raise exception using errcode = 'KY008', message = 'UID of a scheduling object', detail = v_n;
        end if;
    end if;
    if v_creating then
        select k.n into v_n
        from (
            select w.home_id, w.collection_id, max(w.n) - 1 as n
            from unnest(v_home_ids, v_collection_ids, v_acts) with ordinality as w (home_id, collection_id, act, n)
            where w.act = 'created' group by w.home_id, w.collection_id
        ) as k
        join collection c on c.home_id = k.home_id and c.id = k.collection_id
        where c.member_count > p_max_members
        order by k.n limit 1;
        if found then
            raise exception using errcode = 'KY004', message = 'members', detail = v_n;
        end if;
    end if;

    if v_existing and v_putting then
        update object o
        set revision = v_revisions[w.n + 1], modified_at = v_now, size = w.size, uid = w.uid,
            component = w.component, etag = w.etag, schedule_tag = w.schedule_tag, time_key = w.time_key,
            derived = w.derived, summary = w.summary, scheduling = coalesce(w.scheduling, 0),
            organizer = w.organizer, sequence = coalesce(w.sequence, 0), text = p_texts[w.n + 1],
            neutral_etag = w.neutral_etag, neutral_text = p_neutral_texts[w.n + 1], neutral_busy = w.neutral_busy,
            tzids = case when w.materialised then w.tzids else o.tzids end,
            recurrence = case when w.materialised then w.recurrence else o.recurrence end,
            endless = case when w.materialised then w.endless else o.endless end,
            span_start = case when w.materialised then w.span_start else o.span_start end,
            span_end = case when w.materialised then w.span_end else o.span_end end,
            expanded_from = case when w.materialised then w.expanded_from else o.expanded_from end,
            expanded_until = case when w.materialised then w.expanded_until else o.expanded_until end
        from unnest(v_writes) as w
        where not w.deletes and o.home_id = w.home_id and o.id = w.id;
    end if;
    if v_creating then
        insert into trash (home_id, collection_id, object_id, name, uid, component, properties, text, deleted_at)
        select o.home_id, o.collection_id, o.id, o.name, o.uid, o.component, o.properties, o.text, o.deleted_at
        from unnest(v_writes) as w
        join object o
            on o.home_id = w.home_id and o.collection_id = w.collection_id and o.name = w.name
            and o.deleted_revision is not null
        where w.id is null and o.deleted_at > v_now - make_interval(days => p_restore_days) and o.text is not null;
        with reused as (
            update object o
            set id = v_ids[w.n + 1], created_revision = v_revisions[w.n + 1], revision = v_revisions[w.n + 1],
                deleted_revision = null, created_at = v_now, modified_at = v_now, deleted_at = null, size = w.size,
                uid = w.uid, component = w.component, etag = w.etag, schedule_tag = w.schedule_tag,
                time_key = w.time_key, derived = w.derived, tzids = w.tzids, recurrence = w.recurrence,
                summary = w.summary, scheduling = coalesce(w.scheduling, 0), organizer = w.organizer,
                sequence = coalesce(w.sequence, 0), properties = p_properties -> w.n::text, text = p_texts[w.n + 1],
                neutral_etag = w.neutral_etag, neutral_text = p_neutral_texts[w.n + 1], neutral_busy = w.neutral_busy,
                endless = coalesce(w.endless, false), span_start = w.span_start, span_end = w.span_end,
                expanded_from = w.expanded_from, expanded_until = w.expanded_until
            from unnest(v_writes) as w
            where w.id is null and o.home_id = w.home_id and o.collection_id = w.collection_id and o.name = w.name
              and o.deleted_revision is not null
            returning w.n
        )
        insert into object (
            home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name, uid,
            component, etag, schedule_tag, time_key, derived, span_start, span_end, expanded_from, expanded_until,
            tzids, recurrence, summary, scheduling, organizer, sequence, properties, text, neutral_etag, neutral_text,
            neutral_busy
        )
        select w.home_id, w.collection_id, v_ids[w.n + 1], v_revisions[w.n + 1], v_revisions[w.n + 1], v_now, v_now,
               w.size, coalesce(w.endless, false), w.name, w.uid, w.component, w.etag, w.schedule_tag, w.time_key,
               w.derived, w.span_start, w.span_end, w.expanded_from, w.expanded_until, w.tzids, w.recurrence, w.summary,
               coalesce(w.scheduling, 0), w.organizer, coalesce(w.sequence, 0), p_properties -> w.n::text,
               p_texts[w.n + 1], w.neutral_etag, p_neutral_texts[w.n + 1], w.neutral_busy
        from unnest(v_writes) as w
        where w.id is null and w.n not in (select r.n from reused r);
    end if;
    if p_view_writes is not null then
        perform koyomi_store_views_1(
            w.home_id, w.collection_id, v_ids[w.n + 1], v_revisions[w.n + 1], v_now,
            v.viewers, v.etags, v.sizes, v.personal, v.texts, v.busy,
            (select jsonb_agg(a) from jsonb_array_elements(p_view_alarms) as a where (a ->> 'write')::integer = v.write)
        )
        from (
            select v.write, array_agg(v.viewer order by v.at) as viewers, array_agg(v.etag order by v.at) as etags,
                   array_agg(v.size order by v.at) as sizes, array_agg(v.personal order by v.at) as personal,
                   array_agg(v.text order by v.at) as texts,
                   jsonb_agg(p_view_busy -> (v.at - 1)::integer order by v.at) as busy
            from unnest(p_view_writes, p_viewers, p_view_etags, p_view_sizes, p_view_personal, p_view_texts)
                with ordinality as v (write, viewer, etag, size, personal, text, at)
            group by v.write
        ) as v
        join unnest(v_writes) as w on w.n + 1 = v.write;
    end if;

    if v_putting then
        select (select max(w.n) from unnest(v_writes) as w where w.home_id = h.id and not w.deletes) into v_n
        from unnest(v_homes, v_used, v_total) as b (home_id, used, total)
        join home h on h.id = b.home_id
        join principal p on p.id = h.principal_id
        cross join lateral (
            select coalesce(p.quota_bytes, p_quota_bytes) as given,
                   case when h.id = any(p_graced) then coalesce(p.quota_bytes, p_quota_bytes) / 10 else 0 end as grace
        ) as q
        where h.used_bytes + h.property_bytes > greatest(q.given + q.grace, b.used)
           or h.used_bytes + h.property_bytes + h.kept_bytes + h.kept_property_bytes
              > greatest(2 * q.given + q.grace, b.total)
        order by 1 limit 1;
        if found then
            raise exception using errcode = 'KY003', message = 'quota', detail = v_n;
        end if;
    end if;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    select w.home_id, w.revision, w.act, w.collection_id, w.id, p_principal_id, p_origin, p_request_id
    from unnest(v_home_ids, v_revisions, v_acts, v_collection_ids, v_ids)
         as w (home_id, revision, act, collection_id, id)
    order by w.home_id, w.revision;
    return query
        select w.n::integer - 1, w.revision, w.id, case when w.act <> 'deleted' then v_now end
        from unnest(v_revisions, v_ids, v_acts) with ordinality as w (revision, id, act, n) order by w.n;
end $$;

-- Set dead properties of members in any homes, each statement for all of them. The detail of an error is the number of
-- the write that it concerns.
create or replace function koyomi_apply_properties_1(
    -- [{"n": number from 0, "home_id", "collection_id", "binding_home_id", "binding", "incarnation", "name", "id",
    --   "revision", "properties": {to set}, "removed": [names]}]
    p_writes jsonb,
    p_quota_bytes bigint, p_principal_id bigint, p_origin text, p_request_id text
) returns table (n integer, revision bigint) language plpgsql
-- A plan that was made while the tables were small must not read them whole later.
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    -- By number of the write, from 1.
    v_home_ids bigint[];
    v_collection_ids bigint[];
    v_ids bigint[];
    v_revisions bigint[];
    -- Of the homes, before the set.
    v_homes bigint[];
    v_used bigint[];
    v_total bigint[];
    v_now timestamptz;
    v_write record;
    v_n integer;
    v_gone boolean;
begin
    select array_agg(w.home_id order by w.n), array_agg(w.collection_id order by w.n), array_agg(w.id order by w.n)
    into v_home_ids, v_collection_ids, v_ids
    from jsonb_to_recordset(p_writes) as w (n integer, home_id bigint, collection_id bigint, id bigint);
    for v_write in
        select w.* from jsonb_to_recordset(p_writes) as w (
            n integer, home_id bigint, collection_id bigint, name text, id bigint, revision bigint
        )
        order by w.id, w.home_id
    loop
        perform 1 from object o
        where o.home_id = v_write.home_id and o.id = v_write.id and o.revision = v_write.revision
          and o.deleted_revision is null and o.collection_id = v_write.collection_id and o.name = v_write.name
        for no key update;
        if not found then
            raise exception using errcode = 'KY001', message = 'object changed', detail = v_write.n;
        end if;
    end loop;
    select array_agg(h.id), array_agg(h.used), array_agg(h.used + h.kept)
    into v_homes, v_used, v_total
    from (
        select h.id, h.used_bytes + h.property_bytes as used, h.kept_bytes + h.kept_property_bytes as kept from home h
        where h.id = any(v_home_ids)
        order by h.id for no key update
    ) as h;
    v_now := clock_timestamp();
    select w.n, c.id is null into v_n, v_gone
    from jsonb_to_recordset(p_writes) as w (
        n integer, home_id bigint, collection_id bigint, binding_home_id bigint, binding text, incarnation bigint
    )
    left join collection c on c.home_id = w.home_id and c.id = w.collection_id and c.deleted_at is null
    left join binding b
        on b.home_id = w.binding_home_id and b.name = w.binding and b.collection_home_id = w.home_id
        and b.collection_id = w.collection_id and b.incarnation = w.incarnation and b.deleted_revision is null
    where c.id is null or b.name is null
    order by w.n limit 1;
    if found then
        raise exception using errcode = case when v_gone then 'KY002' else 'KY001' end,
            message = 'collection is gone, or was bound anew', detail = v_n;
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
    update home h set revision = h.revision + k.writes, modified_at = v_now
    from (select w.home_id, count(*) as writes from unnest(v_home_ids) as w (home_id) group by w.home_id) as k
    where h.id = k.home_id;
    update collection c set revision = k.revision, modified_at = v_now
    from (
        select w.home_id, w.collection_id, max(w.revision) as revision
        from unnest(v_home_ids, v_collection_ids, v_revisions) as w (home_id, collection_id, revision)
        group by w.home_id, w.collection_id
    ) as k
    where c.home_id = k.home_id and c.id = k.collection_id;
    update object o
    set revision = v_revisions[w.n + 1],
        properties = nullif((coalesce(o.properties, '{}') || w.properties) - w.removed, '{}')
    from jsonb_to_recordset(p_writes) as w (n integer, home_id bigint, id bigint, properties jsonb, removed text[])
    where o.home_id = w.home_id and o.id = w.id;
    select (select max(w.n)::integer - 1 from unnest(v_home_ids) with ordinality as w (home_id, n)
            where w.home_id = h.id)
    into v_n
    from unnest(v_homes, v_used, v_total) as b (home_id, used, total)
    join home h on h.id = b.home_id
    join principal p on p.id = h.principal_id
    where h.used_bytes + h.property_bytes > greatest(coalesce(p.quota_bytes, p_quota_bytes), b.used)
       or h.used_bytes + h.property_bytes + h.kept_bytes + h.kept_property_bytes
          > greatest(2 * coalesce(p.quota_bytes, p_quota_bytes), b.total)
    order by 1 limit 1;
    if found then
        raise exception using errcode = 'KY003', message = 'quota', detail = v_n;
    end if;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    select w.home_id, w.revision, 'properties', w.collection_id, w.id, p_principal_id, p_origin, p_request_id
    from unnest(v_home_ids, v_revisions, v_collection_ids, v_ids) as w (home_id, revision, collection_id, id)
    order by w.home_id, w.revision;
    return query
        select w.n::integer - 1, w.revision from unnest(v_revisions) with ordinality as w (revision, n) order by w.n;
end $$;
