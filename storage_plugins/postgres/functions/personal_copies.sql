-- Personal copies of the objects of shared calendars.

-- Give a calendar views. Waits for the writes under way; those that were decided without views fail from then on.
create or replace function koyomi_begin_views_1(p_home_id bigint, p_collection_id bigint) returns boolean language plpgsql as $$
begin
    perform koyomi_lock_1('sharing', p_collection_id);
    update collection c set views = true, views_rendered = false
    where c.home_id = p_home_id and c.id = p_collection_id and c.kind = 'calendar' and not c.views;
    return found;
end $$;

-- Store personal copies of an object, one for each element of the arrays, with their alarms. The home's row is held.
create or replace function koyomi_store_views_1(
    p_home_id bigint, p_collection_id bigint, p_object_id bigint, p_revision bigint, p_now timestamptz,
    p_viewers bigint[], p_etags text[], p_sizes integer[], p_personal text[], p_texts text[],
    -- [[busy type of each component] or null]
    p_busy jsonb,
    -- [{"viewer": ..., and the columns of `alarm`}]; null: none.
    p_alarms jsonb
) returns void language plpgsql as $$
begin
    insert into object_view as v (
        home_id, object_id, principal_id, revision, modified_at, etag, size, personal, text, busy, alarms_etag
    )
    select p_home_id, p_object_id, r.viewer, p_revision, p_now, r.etag, r.size, r.personal, r.text,
           case when jsonb_typeof(p_busy -> (r.n - 1)::integer) = 'array'
                then array(select b::smallint from jsonb_array_elements_text(p_busy -> (r.n - 1)::integer) as b) end,
           r.etag
    from unnest(p_viewers, p_etags, p_sizes, p_personal, p_texts)
        with ordinality as r (viewer, etag, size, personal, text, n)
    on conflict (home_id, object_id, principal_id) do update
    set revision = excluded.revision, modified_at = excluded.modified_at, etag = excluded.etag, size = excluded.size,
        personal = excluded.personal, text = excluded.text, busy = excluded.busy, alarms_etag = excluded.alarms_etag;
    delete from alarm where home_id = p_home_id and object_id = p_object_id and viewer_id = any(p_viewers);
    if p_alarms is not null then
        insert into alarm (
            home_id, collection_id, object_id, viewer_id, component, alarm, at, days, seconds, from_end, repeat,
            interval_seconds
        )
        select p_home_id, p_collection_id, p_object_id, a.viewer, a.component, a.alarm, a.at, a.days, a.seconds,
               a.from_end, a.repeat, a.interval_seconds
        from jsonb_to_recordset(p_alarms) as a (
            viewer bigint, component integer, alarm integer, at timestamptz, days integer, seconds bigint,
            from_end boolean, repeat integer, interval_seconds bigint
        );
    end if;
end $$;

-- Store the alarms of a personal copy that was written before they were rows, unless it has changed since it was read.
create or replace function koyomi_store_view_alarms_1(
    p_home_id bigint, p_object_id bigint, p_viewer_id bigint, p_etag text, p_alarms jsonb
) returns boolean language plpgsql as $$
declare
    v_collection_id bigint;
begin
    select o.collection_id into v_collection_id from object o
    where o.home_id = p_home_id and o.id = p_object_id and o.deleted_revision is null
    for no key update;
    if not found then
        return false;
    end if;
    update object_view v set alarms_etag = v.etag
    where v.home_id = p_home_id and v.object_id = p_object_id and v.principal_id = p_viewer_id and v.etag = p_etag;
    if not found then
        return false;
    end if;
    delete from alarm where home_id = p_home_id and object_id = p_object_id and viewer_id = p_viewer_id;
    insert into alarm (
        home_id, collection_id, object_id, viewer_id, component, alarm, at, days, seconds, from_end, repeat,
        interval_seconds
    )
    select p_home_id, v_collection_id, p_object_id, p_viewer_id, a.component, a.alarm, a.at, a.days, a.seconds,
           a.from_end, a.repeat, a.interval_seconds
    from jsonb_to_recordset(p_alarms) as a (
        component integer, alarm integer, at timestamptz, days integer, seconds bigint, from_end boolean,
        repeat integer, interval_seconds bigint
    );
    return true;
end $$;

-- Set one person's view of an object; the object itself stays. Takes a revision that only this person's home shows: by
-- their own binding, also if the request used the owner's URL. Locks the two homes, in order of ids.
-- Personal copies may take as many kept bytes of the owner's home as its quota, and the owner's home keeps its visible
-- revision.
create or replace function koyomi_put_view_2(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text,
    p_expected_id bigint, p_expected_revision bigint,
    -- The person, and the revision of the view that is replaced; 0: there is none.
    p_viewer_id bigint, p_view_revision bigint,
    p_etag text, p_size integer, p_personal text, p_text text, p_busy jsonb, p_alarms jsonb, p_quota_bytes bigint,
    p_principal_id bigint, p_origin text, p_request_id text,
    out revision bigint, out object_id bigint, out modified_at timestamptz, out viewer_home_id bigint
) language plpgsql as $$
#variable_conflict use_column
declare
    v_sharee bigint;
    v_revision bigint;
    v_sharee_revision bigint;
    v_now timestamptz;
    v_kept bigint;
    v_quota bigint;
    v_views boolean;
begin
    perform 1 from object o
    where o.home_id = p_home_id and o.id = p_expected_id and o.revision = p_expected_revision
      and o.deleted_revision is null and o.collection_id = p_collection_id and o.name = p_name
    for no key update;
    if not found then
        raise exception using errcode = 'KY001', message = 'object changed';
    end if;
    if p_view_revision <> coalesce((
        select v.revision from object_view v
        where v.home_id = p_home_id and v.object_id = p_expected_id and v.principal_id = p_viewer_id
    ), 0) then
        raise exception using errcode = 'KY001', message = 'view changed';
    end if;
    select h.id into v_sharee from home h where h.principal_id = p_viewer_id and h.kind = 'calendar';
    perform 1 from home h where h.id in (p_home_id, v_sharee) order by h.id for no key update;
    perform koyomi_require_collection_2(p_home_id, p_collection_id, p_binding_home_id, p_binding, p_incarnation);
    select c.views into v_views from collection c where c.home_id = p_home_id and c.id = p_collection_id;
    if not v_views then
        raise exception using errcode = 'KY001', message = 'sharing changed';
    end if;
    update home h
    set revision = h.revision + 1,
        -- Nothing that the owner sees has changed.
        hidden_after = case when h.hidden_until = h.revision then h.hidden_after else h.revision end,
        hidden_until = h.revision + 1
    where h.id = p_home_id
    returning h.revision, h.kept_bytes + h.kept_property_bytes,
              coalesce((select p.quota_bytes from principal p where p.id = h.principal_id), p_quota_bytes)
    into v_revision, v_kept, v_quota;
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = v_sharee
    returning h.revision, h.modified_at into v_sharee_revision, v_now;
    update binding b set view_revision = v_revision, revision = v_sharee_revision
    where b.home_id = v_sharee and b.collection_home_id = p_home_id and b.collection_id = p_collection_id
      and b.deleted_revision is null;
    perform koyomi_store_views_1(
        p_home_id, p_collection_id, p_expected_id, v_revision, v_now, array[p_viewer_id], array[p_etag],
        array[p_size], array[p_personal], array[p_text], jsonb_build_array(p_busy), p_alarms
    );
    -- Sharees leave room for what the owner deletes and keeps.
    perform 1 from home h
    where h.id = p_home_id and h.kept_bytes + h.kept_property_bytes > greatest(v_quota, v_kept);
    if found then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;
    -- Only this person's home changes.
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (v_sharee, v_sharee_revision, 'view', p_collection_id, p_expected_id, p_principal_id, p_origin, p_request_id);
    revision := v_revision;
    object_id := p_expected_id;
    modified_at := v_now;
    viewer_home_id := v_sharee;
end $$;

-- Store the rendered views of an object, unless it has changed or was rendered since.
create or replace function koyomi_render_2(
    p_home_id bigint, p_object_id bigint, p_revision bigint, p_neutral_etag text, p_neutral_text text,
    p_neutral_busy smallint[], p_views_known integer, p_views_revision bigint,
    p_viewers bigint[], p_view_etags text[], p_view_sizes integer[], p_view_personal text[], p_view_texts text[],
    p_view_busy jsonb, p_view_alarms jsonb
) returns boolean language plpgsql as $$
declare
    v_collection_id bigint;
begin
    select o.collection_id into v_collection_id from object o
    where o.home_id = p_home_id and o.id = p_object_id and o.revision = p_revision and o.deleted_revision is null
      and o.neutral_etag is null
    for no key update;
    if not found then
        return false;
    end if;
    perform 1 from object_view v where v.home_id = p_home_id and v.object_id = p_object_id
    having count(*) = p_views_known and coalesce(max(v.revision), 0) = p_views_revision;
    if not found then
        return false;
    end if;
    update object o set neutral_etag = p_neutral_etag, neutral_text = p_neutral_text, neutral_busy = p_neutral_busy
    where o.home_id = p_home_id and o.id = p_object_id;
    -- The views keep their revisions: their texts may be other ones, but say the same.
    perform koyomi_store_views_1(
        p_home_id, v_collection_id, p_object_id, v.revision, v.modified_at, array[v.principal_id],
        p_view_etags[i.n:i.n], p_view_sizes[i.n:i.n], p_view_personal[i.n:i.n], p_view_texts[i.n:i.n],
        jsonb_build_array(p_view_busy -> (i.n - 1)),
        (select jsonb_agg(a) from jsonb_array_elements(p_view_alarms) as a
         where (a ->> 'viewer')::bigint = v.principal_id)
    )
    from unnest(p_viewers) with ordinality as n (viewer, at) cross join lateral (select n.at::integer) as i (n)
    join object_view v on v.home_id = p_home_id and v.object_id = p_object_id and v.principal_id = n.viewer;
    return true;
end $$;

-- Remove personal copies of a principal, at most p_limit, in one home; returns their number.
create or replace function koyomi_remove_copies_1(p_viewer_id bigint, p_limit integer) returns bigint language plpgsql as $$
declare
    v_home_id bigint;
    v_ids bigint[];
begin
    select h.id into v_home_id from home h
    where h.id = (select v.home_id from object_view v where v.principal_id = p_viewer_id limit 1)
    for no key update;
    select array_agg(v.object_id) into v_ids
    from (
        select v.object_id from object_view v
        where v.home_id = v_home_id and v.principal_id = p_viewer_id order by v.object_id limit p_limit
    ) as v;
    delete from alarm where home_id = v_home_id and object_id = any(v_ids) and viewer_id = p_viewer_id;
    delete from object_view where home_id = v_home_id and object_id = any(v_ids) and principal_id = p_viewer_id;
    return coalesce(cardinality(v_ids), 0);
end $$;
