-- COPY of a collection: at once if its members fit in one set, else set by set into a collection that nothing shows.
-- Locks: the row of the copy, objects in the order of their ids, the home.

-- Lock members to be copied, in the states in which they were read, and copy their occurrences and alarms. Of another
-- home's collection, those of the personal copies. Returns the ids of the copies. The home is not locked yet.
create or replace function koyomi_copy_parts_1(
    p_home_id bigint, p_target_id bigint, p_source_home_id bigint, p_source_id bigint,
    p_ids bigint[], p_revisions bigint[],
    -- Names whose earlier copies are replaced or removed by the caller, and so are those with the UID of a member;
    -- null: there are none.
    p_names text[]
) returns bigint[] language plpgsql
-- A plan that was made while the tables were small must not read them whole later.
set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    v_new_ids bigint[] := array(select nextval('object_id_seq') from generate_series(1, cardinality(p_ids)));
    -- Whose view is copied; null: the owner's texts.
    v_viewer bigint;
    v_object record;
begin
    if p_home_id <> p_source_home_id then
        select h.principal_id into v_viewer from home h where h.id = p_home_id;
    end if;
    for v_object in
        select p_source_home_id as home_id, m.id, m.revision from unnest(p_ids, p_revisions) as m (id, revision)
        union all
        select p_home_id, e.id, null from koyomi_earlier_copies_1(
            p_home_id, p_target_id, p_source_home_id, p_ids, p_names
        ) as e (id)
        order by 2, 1
    loop
        perform 1 from object o
        where o.home_id = v_object.home_id and o.id = v_object.id
          and (v_object.revision is null
               or (o.revision = v_object.revision and o.deleted_revision is null and o.collection_id = p_source_id))
        for no key update;
        if not found then
            raise exception using errcode = 'KY001', message = 'member changed';
        end if;
    end loop;
    insert into occurrence (
        home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start,
        range_end, start_at, end_at, matches_from, matches_until, recurrence_id
    )
    select p_home_id, p_target_id, n.new_id, o.ordinal, o.component, o.length_class, o.kind,
           case
               when v_viewer is null then o.busy
               when v.object_id is null then coalesce(m.neutral_busy[o.component + 1], o.busy)
               else coalesce(v.busy[o.component + 1], o.busy)
           end,
           o.matches, o.range_start, o.range_end, o.start_at, o.end_at, o.matches_from, o.matches_until,
           o.recurrence_id
    from unnest(p_ids, v_new_ids) as n (id, new_id)
    join object m on m.home_id = p_source_home_id and m.id = n.id
    join occurrence o on o.home_id = p_source_home_id and o.object_id = n.id
    left join object_view v on v.home_id = p_source_home_id and v.object_id = n.id and v.principal_id = v_viewer
    -- The owner's travel is no part of another person's view.
    where v_viewer is null or o.component >= 0;
    insert into alarm (
        home_id, collection_id, object_id, component, alarm, at, days, seconds, from_end, repeat, interval_seconds
    )
    select p_home_id, p_target_id, n.new_id, a.component, a.alarm, a.at, a.days, a.seconds, a.from_end, a.repeat,
           a.interval_seconds
    from unnest(p_ids, v_new_ids) as n (id, new_id)
    join alarm a on a.home_id = p_source_home_id and a.object_id = n.id and a.viewer_id = coalesce(v_viewer, 0);
    return v_new_ids;
end $$;

-- Ids of the members of a copy that have one of some names, or the UID of one of the members to be copied.
create or replace function koyomi_earlier_copies_1(
    p_home_id bigint, p_target_id bigint, p_source_home_id bigint, p_ids bigint[], p_names text[]
) returns setof bigint language sql stable as $$
    select o.id from unnest(p_names) as n (name)
    join object o
        on o.home_id = p_home_id and o.collection_id = p_target_id and o.name = n.name and o.deleted_revision is null
    union
    select o.id from unnest(p_ids) as m (id)
    join object s on s.home_id = p_source_home_id and s.id = m.id
    join object o
        on o.home_id = p_home_id and o.collection_id = p_target_id and o.uid = s.uid and o.deleted_revision is null
        and o.scheduling <> 3
    where p_names is not null
$$;

-- Store copies of members, whose occurrences and alarms koyomi_copy_parts_1 has copied, in a home that is locked.
-- Returns the last revision.
create or replace function koyomi_copy_objects_1(
    p_home_id bigint, p_target_id bigint, p_source_home_id bigint, p_ids bigint[], p_new_ids bigint[]
) returns bigint language plpgsql set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    v_viewer bigint;
    v_revision bigint;
    v_now timestamptz := clock_timestamp();
    v_bytes bigint;
    v_properties bigint;
begin
    select h.revision, case when h.id <> p_source_home_id then h.principal_id end into v_revision, v_viewer
    from home h where h.id = p_home_id;
    perform set_config('koyomi.properties_counted', 'on', true);
    insert into object (
        home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name, uid,
        component, etag, time_key, derived, span_start, span_end, expanded_from, expanded_until, tzids,
        recurrence, summary, scheduling, organizer, sequence, properties, text, neutral_etag, neutral_text, neutral_busy
    )
    select p_home_id, p_target_id, n.new_id, v_revision + n.number, v_revision + n.number, v_now, v_now,
           octet_length(n.text), o.endless, o.name, o.uid, o.component, n.etag,
           -- Of another text, or for another owner, the occurrences are computed anew.
           case
               when n.etag <> o.etag or (p_home_id <> p_source_home_id and o.component = 'VEVENT') then ''
               else o.time_key
           end,
           case
               when n.etag <> o.etag then 0
               when p_home_id <> p_source_home_id and (o.component = 'VEVENT' or o.organizer is not null) then 0
               else o.derived
           end,
           o.span_start, o.span_end, o.expanded_from, o.expanded_until, o.tzids, o.recurrence,
           case when n.part then null else o.summary end,
           -- A home has one scheduling object of a UID.
           0, case when n.part then null else o.organizer end, case when n.part then 0 else o.sequence end,
           case when n.part then null else o.properties end, n.text,
           case when n.private then o.neutral_etag end, case when n.private then o.neutral_text end,
           case when n.private then o.neutral_busy end
    from (
        select m.id, m.new_id, m.number,
               case when v_viewer is null then o.etag else coalesce(v.etag, o.neutral_etag, o.etag) end as etag,
               case when v_viewer is null then o.text else coalesce(v.text, o.neutral_text, o.text) end as text,
               -- Of what somebody else sees a part of, nothing is copied that is not in this part. In the home of the
               -- owner, what others see goes with it.
               v_viewer is not null and coalesce(o.summary ? 'others', false) as part,
               v_viewer is null and coalesce(o.summary ? 'others', false) as private
        from unnest(p_ids, p_new_ids) with ordinality as m (id, new_id, number)
        join object o on o.home_id = p_source_home_id and o.id = m.id
        left join object_view v on v.home_id = o.home_id and v.object_id = o.id and v.principal_id = v_viewer
    ) as n
    join object o on o.home_id = p_source_home_id and o.id = n.id;
    perform set_config('koyomi.properties_counted', '', true);
    v_revision := v_revision + cardinality(p_ids);
    select coalesce(sum(o.size), 0), coalesce(sum(koyomi_property_bytes_1(o.properties)), 0)
    into v_bytes, v_properties
    from unnest(p_new_ids) as n (id) join object o on o.home_id = p_home_id and o.id = n.id;
    update collection c
    set revision = v_revision, member_count = c.member_count + cardinality(p_ids),
        used_bytes = c.used_bytes + v_bytes, modified_at = v_now
    where c.home_id = p_home_id and c.id = p_target_id;
    update home h
    set revision = v_revision, used_bytes = h.used_bytes + v_bytes, property_bytes = h.property_bytes + v_properties,
        modified_at = v_now
    where h.id = p_home_id;
    return v_revision;
end $$;

-- Give copies of meetings texts without organizer and attendees, whose derived columns are computed anew later. Nothing
-- shows them yet; the caller holds the home.
create or replace function koyomi_make_plain_1(
    p_home_id bigint, p_collection_id bigint, p_names text[], p_uids text[], p_etags text[], p_texts text[]
) returns void language plpgsql set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    v_delta bigint;
begin
    select coalesce(sum(octet_length(n.text) - o.size), 0) into v_delta
    from unnest(p_names, p_texts) as n (name, text)
    join object o
        on o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = n.name and o.deleted_revision is null;
    update object o
    set uid = n.uid, etag = n.etag, text = n.text, size = octet_length(n.text), time_key = '', derived = 0,
        organizer = null, sequence = 0, summary = o.summary - 'organizer'
    from unnest(p_names, p_uids, p_etags, p_texts) as n (name, uid, etag, text)
    where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = n.name and o.deleted_revision is null;
    update collection c set used_bytes = c.used_bytes + v_delta where c.home_id = p_home_id and c.id = p_collection_id;
    update home h set used_bytes = h.used_bytes + v_delta where h.id = p_home_id;
end $$;

-- Copy a collection with its properties under another name of a home, with the members whose parts
-- koyomi_copy_parts_1 has copied; p_id is its id.
create or replace function koyomi_copy_collection_3(
    p_home_id bigint, p_name text, p_source_home_id bigint, p_source_id bigint, p_incarnation bigint,
    p_new_name text, p_id bigint, p_ids bigint[], p_new_ids bigint[],
    -- The collection that has the new name and is deleted; null: the name is free.
    p_replaced_home_id bigint, p_replaced_id bigint, p_replaced_incarnation bigint,
    p_quota_bytes bigint, p_max_collections integer,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_revision bigint;
    v_now timestamptz;
    v_used bigint;
    v_total bigint;
begin
    select s.used, s.total into v_used, v_total from koyomi_hold_space_1(p_home_id) as s;
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    if not found then
        raise exception using errcode = 'KY002', message = 'home is gone';
    end if;
    perform koyomi_require_collection_2(p_source_home_id, p_source_id, p_home_id, p_name, p_incarnation);
    if p_replaced_id is not null then
        perform koyomi_remove_binding_1(
            p_home_id, v_revision, v_now, p_new_name, p_replaced_home_id, p_replaced_id, p_replaced_incarnation,
            p_principal_id, p_origin, p_request_id
        );
        update home h set revision = h.revision + 1 where h.id = p_home_id returning h.revision into v_revision;
    end if;
    insert into collection (
        home_id, id, revision, modified_at, sync_floor, kind, components, created_at, timezone, source, properties
    ) overriding system value
    select p_home_id, p_id, v_revision, v_now, 0, c.kind, c.components, v_now, c.timezone, c.source, c.properties
    from collection c where c.home_id = p_source_home_id and c.id = p_source_id;
    perform koyomi_bind_collection_1(p_home_id, p_id, p_new_name, v_revision, p_max_collections);
    if p_ids <> '{}' then
        v_revision := koyomi_copy_objects_1(p_home_id, p_id, p_source_home_id, p_ids, p_new_ids);
        perform koyomi_require_space_1(p_home_id, p_quota_bytes);
    end if;
    perform koyomi_require_space_2(p_home_id, p_quota_bytes, v_used, v_total);
    insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'collection-copied', p_id, p_principal_id, p_origin, p_request_id);
    return v_revision;
end $$;

-- Begin a copy that takes many sets: the new collection, which nothing shows, and the job that goes on with the copy
-- where nobody else does. Returns the id of the collection.
create or replace function koyomi_begin_copy_1(
    p_home_id bigint, p_name text, p_source_home_id bigint, p_source_id bigint, p_incarnation bigint,
    p_new_name text, p_replaced_home_id bigint, p_replaced_id bigint, p_replaced_incarnation bigint,
    p_quota_bytes bigint, p_max_collections integer, p_lease interval,
    p_principal_id bigint, p_origin text, p_request_id text, p_acting_for bigint, p_trace text
) returns bigint language plpgsql as $$
declare
    v_used bigint;
    v_total bigint;
    v_count integer;
    v_source collection%rowtype;
    v_id bigint;
    v_job_id bigint;
begin
    select s.used, s.total into v_used, v_total from koyomi_hold_space_1(p_home_id) as s;
    if v_used is null then
        raise exception using errcode = 'KY002', message = 'home is gone';
    end if;
    perform koyomi_require_collection_2(p_source_home_id, p_source_id, p_home_id, p_name, p_incarnation);
    select * into v_source from collection c where c.home_id = p_source_home_id and c.id = p_source_id;
    -- What cannot succeed is refused before anything is copied.
    perform 1 from home h join principal p on p.id = h.principal_id
    where h.id = p_home_id and v_used + v_source.used_bytes > coalesce(p.quota_bytes, p_quota_bytes);
    if found then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;
    select h.collection_count into v_count from home h where h.id = p_home_id;
    if v_count - (case when p_replaced_id is null then 0 else 1 end) >= p_max_collections then
        raise exception using errcode = 'KY005', message = 'collections';
    end if;
    insert into collection (home_id, revision, sync_floor, kind, components, timezone, source, properties)
    values (p_home_id, 0, 0, v_source.kind, v_source.components, v_source.timezone, v_source.source,
            v_source.properties)
    returning id into v_id;
    perform koyomi_require_space_2(p_home_id, p_quota_bytes, v_used, v_total);
    insert into job (kind, payload, not_before, done, total)
    values ('copies', jsonb_build_object('home', p_home_id, 'collection', v_id), clock_timestamp() + p_lease, 0,
            v_source.member_count)
    returning id into v_job_id;
    insert into collection_copy (
        home_id, collection_id, source_home_id, source_id, source_name, source_incarnation, begun_revision, name,
        replaced_home_id, replaced_id, replaced_incarnation, job_id, principal_id, origin, request_id, acting_for, trace
    ) values (
        p_home_id, v_id, p_source_home_id, p_source_id, p_name, p_incarnation, v_source.revision, p_new_name,
        p_replaced_home_id, p_replaced_id, p_replaced_incarnation, v_job_id, p_principal_id, p_origin, p_request_id,
        p_acting_for, p_trace
    );
    return v_id;
end $$;

-- Copy a set of members into a collection that nothing shows, and note how far the copy has come. Returns the revision.
create or replace function koyomi_copy_members_1(
    p_home_id bigint, p_target_id bigint,
    -- The revision up to which members had been copied when these were read, and up to which they are copied now.
    p_after bigint, p_position bigint,
    p_ids bigint[], p_revisions bigint[],
    -- Names of what is copied and of what was deleted in the source, whose earlier copies go; null: there are none.
    p_names text[], p_lease interval, p_quota_bytes bigint
) returns bigint language plpgsql as $$
declare
    v_copy collection_copy%rowtype;
    v_new_ids bigint[];
    v_used bigint;
    v_total bigint;
    v_gone bigint[];
    v_bytes bigint;
    v_revision bigint;
begin
    select * into v_copy from collection_copy c where c.home_id = p_home_id and c.collection_id = p_target_id for update;
    if not found or v_copy.abandoned then
        raise exception using errcode = 'KY002', message = 'copy is gone';
    end if;
    if v_copy.copied_revision <> p_after then
        raise exception using errcode = 'KY001', message = 'copied by another';
    end if;
    v_new_ids := koyomi_copy_parts_1(
        p_home_id, p_target_id, v_copy.source_home_id, v_copy.source_id, p_ids, p_revisions, p_names
    );
    if p_names is not null then
        v_gone := array(select koyomi_earlier_copies_1(
            p_home_id, p_target_id, v_copy.source_home_id, p_ids, p_names
        ));
        delete from occurrence o where o.home_id = p_home_id and o.object_id = any(v_gone);
        delete from alarm a where a.home_id = p_home_id and a.object_id = any(v_gone);
    end if;
    select s.used, s.total into v_used, v_total from koyomi_hold_space_1(p_home_id) as s;
    perform koyomi_require_collection_2(
        v_copy.source_home_id, v_copy.source_id, p_home_id, v_copy.source_name, v_copy.source_incarnation
    );
    if v_gone <> '{}' then
        with gone as (
            delete from object o where o.home_id = p_home_id and o.id = any(v_gone) returning o.size
        )
        select sum(g.size) into v_bytes from gone g;
        update collection c set member_count = c.member_count - cardinality(v_gone), used_bytes = c.used_bytes - v_bytes
        where c.home_id = p_home_id and c.id = p_target_id;
        update home h set used_bytes = h.used_bytes - v_bytes where h.id = p_home_id;
    end if;
    v_revision := koyomi_copy_objects_1(p_home_id, p_target_id, v_copy.source_home_id, p_ids, v_new_ids);
    perform koyomi_require_space_1(p_home_id, p_quota_bytes);
    perform koyomi_require_space_2(p_home_id, p_quota_bytes, v_used, v_total);
    update collection_copy c set copied_revision = p_position
    where c.home_id = p_home_id and c.collection_id = p_target_id;
    -- The job waits as long as somebody copies.
    update job j
    set done = c.member_count, total = greatest(j.total, c.member_count),
        not_before = case when j.state = 'queued' then clock_timestamp() + p_lease else j.not_before end
    from collection c where j.id = v_copy.job_id and c.home_id = p_home_id and c.id = p_target_id;
    return v_revision;
end $$;

-- Bind a copy that has all members of its source. Returns its revision; null if the source has changed, so that the
-- changes must be copied first.
create or replace function koyomi_finish_copy_1(
    p_home_id bigint, p_target_id bigint, p_max_collections integer
) returns bigint language plpgsql as $$
declare
    v_copy collection_copy%rowtype;
    v_revision bigint;
    v_now timestamptz;
begin
    select * into v_copy from collection_copy c where c.home_id = p_home_id and c.collection_id = p_target_id for update;
    if not found or v_copy.abandoned then
        raise exception using errcode = 'KY002', message = 'copy is gone';
    end if;
    perform 1 from home h where h.id = p_home_id for no key update;
    perform koyomi_require_collection_2(
        v_copy.source_home_id, v_copy.source_id, p_home_id, v_copy.source_name, v_copy.source_incarnation
    );
    perform 1 from object o
    where o.home_id = v_copy.source_home_id and o.collection_id = v_copy.source_id
      and o.revision > v_copy.copied_revision
      and (o.deleted_revision is null or o.revision > v_copy.begun_revision);
    if found then
        return null;
    end if;
    -- Its members have revisions that infinite tokens have seen without them.
    update home h
    set revision = h.revision + 1, modified_at = clock_timestamp(), infinite_sync_floor = h.revision + 1
    where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    if v_copy.replaced_id is not null then
        perform koyomi_remove_binding_1(
            p_home_id, v_revision, v_now, v_copy.name, v_copy.replaced_home_id, v_copy.replaced_id,
            v_copy.replaced_incarnation, v_copy.principal_id, v_copy.origin, v_copy.request_id
        );
        update home h set revision = h.revision + 1, infinite_sync_floor = h.revision + 1 where h.id = p_home_id
        returning h.revision into v_revision;
    end if;
    perform koyomi_bind_collection_1(p_home_id, p_target_id, v_copy.name, v_revision, p_max_collections);
    update collection c set revision = v_revision, created_at = v_now, modified_at = v_now
    where c.home_id = p_home_id and c.id = p_target_id;
    insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'collection-copied', p_target_id, v_copy.principal_id, v_copy.origin,
            v_copy.request_id);
    delete from collection_copy c where c.home_id = p_home_id and c.collection_id = p_target_id;
    -- A job that runs is settled by its runner.
    delete from job j where j.id = v_copy.job_id and j.state <> 'running';
    return v_revision;
end $$;

-- Remove some of the members of an abandoned copy. Returns whether there are more.
create or replace function koyomi_drop_copy_1(
    p_home_id bigint, p_target_id bigint, p_limit integer, p_lease interval
) returns boolean language plpgsql as $$
declare
    v_job_id bigint;
    v_ids bigint[];
    v_bytes bigint;
begin
    update collection_copy c set abandoned = true where c.home_id = p_home_id and c.collection_id = p_target_id
    returning c.job_id into v_job_id;
    if not found then
        return false;
    end if;
    v_ids := array(
        select o.id from object o where o.home_id = p_home_id and o.collection_id = p_target_id
        order by o.id limit p_limit for no key update
    );
    delete from occurrence o where o.home_id = p_home_id and o.object_id = any(v_ids);
    delete from alarm a where a.home_id = p_home_id and a.object_id = any(v_ids);
    perform 1 from home h where h.id = p_home_id for no key update;
    with gone as (
        delete from object o where o.home_id = p_home_id and o.id = any(v_ids) returning o.size
    )
    select coalesce(sum(g.size), 0) into v_bytes from gone g;
    update home h set used_bytes = h.used_bytes - v_bytes where h.id = p_home_id;
    update collection c set member_count = c.member_count - cardinality(v_ids), used_bytes = c.used_bytes - v_bytes
    where c.home_id = p_home_id and c.id = p_target_id;
    if cardinality(v_ids) = p_limit then
        update job j
        set not_before = case when j.state = 'queued' then clock_timestamp() + p_lease else j.not_before end
        where j.id = v_job_id;
        return true;
    end if;
    delete from collection_copy c where c.home_id = p_home_id and c.collection_id = p_target_id;
    delete from collection c where c.home_id = p_home_id and c.id = p_target_id;
    delete from job j where j.id = v_job_id and j.state <> 'running';
    return false;
end $$;
