-- COPY of a collection.

-- Copy the occurrences and alarms of a collection's members for a new collection, whose id is returned. Of another
-- home's collection, those of the personal copies. The temporary table `copied` has the members.
create or replace function koyomi_prepare_copy_1(
    p_home_id bigint, p_collection_home_id bigint, p_collection_id bigint, p_quota_bytes bigint
) returns bigint language plpgsql as $$
declare
    v_id bigint := nextval(pg_get_serial_sequence('collection', 'id'));
    -- Whose view is copied; null: the owner's texts.
    v_viewer bigint;
begin
    perform 1
    from home h join principal p on p.id = h.principal_id
    join collection c on c.home_id = p_collection_home_id and c.id = p_collection_id
    where h.id = p_home_id and h.used_bytes + h.property_bytes + c.used_bytes > coalesce(p.quota_bytes, p_quota_bytes);
    if found then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;
    if p_home_id <> p_collection_home_id then
        select h.principal_id into v_viewer from home h where h.id = p_home_id;
    end if;
    perform 1 from object o
    where o.home_id = p_collection_home_id and o.collection_id = p_collection_id and o.deleted_revision is null
    order by o.id for no key update;
    create temporary table copied on commit drop as
    select o.id as old_id, nextval(pg_get_serial_sequence('object', 'id')) as new_id,
           row_number() over (order by o.name) as number,
           case when v_viewer is null then o.etag else coalesce(v.etag, o.neutral_etag, o.etag) end as etag,
           case when v_viewer is null then o.text else coalesce(v.text, o.neutral_text, o.text) end as text,
           case when v_viewer is null then null when v.object_id is null then o.neutral_busy else v.busy end as busy
    from object o
    left join object_view v on v.home_id = o.home_id and v.object_id = o.id and v.principal_id = v_viewer
    where o.home_id = p_collection_home_id and o.collection_id = p_collection_id and o.deleted_revision is null;
    insert into occurrence (
        home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start,
        range_end, start_at, end_at, matches_from, matches_until, recurrence_id
    )
    select p_home_id, v_id, n.new_id, o.ordinal, o.component, o.length_class, o.kind,
           coalesce(n.busy[o.component + 1], o.busy), o.matches,
           o.range_start, o.range_end, o.start_at, o.end_at, o.matches_from, o.matches_until, o.recurrence_id
    from copied n join occurrence o on o.home_id = p_collection_home_id and o.object_id = n.old_id;
    insert into alarm (
        home_id, collection_id, object_id, component, alarm, at, days, seconds, from_end, repeat, interval_seconds
    )
    select p_home_id, v_id, n.new_id, a.component, a.alarm, a.at, a.days, a.seconds, a.from_end, a.repeat,
           a.interval_seconds
    from copied n
    join alarm a on a.home_id = p_collection_home_id and a.object_id = n.old_id
        and a.viewer_id = coalesce(v_viewer, 0);
    return v_id;
end $$;

-- Copy a collection under another name of a home, with its properties and, if p_prepared_id is not null, with the
-- members that koyomi_prepare_copy_1 has prepared.
create or replace function koyomi_copy_collection_2(
    p_home_id bigint, p_name text, p_collection_home_id bigint, p_collection_id bigint, p_incarnation bigint,
    p_new_name text, p_prepared_id bigint,
    -- The collection that has the new name and is deleted; null: the name is free.
    p_replaced_home_id bigint, p_replaced_id bigint, p_replaced_incarnation bigint,
    p_quota_bytes bigint, p_max_collections integer,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_source collection%rowtype;
    v_id bigint := coalesce(p_prepared_id, nextval(pg_get_serial_sequence('collection', 'id')));
    v_revision bigint;
    v_now timestamptz;
    v_count integer;
    v_used bigint;
    v_total bigint;
    v_members integer;
    v_bytes bigint;
    v_properties bigint;
begin
    select s.used, s.total into v_used, v_total from koyomi_hold_space_1(p_home_id) as s;
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    if not found then
        raise exception using errcode = 'KY002', message = 'home is gone';
    end if;
    perform koyomi_require_collection_2(p_collection_home_id, p_collection_id, p_home_id, p_name, p_incarnation);
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
    select h.collection_count into v_count from home h where h.id = p_home_id;
    if v_count >= p_max_collections then
        raise exception using errcode = 'KY005', message = 'collections';
    end if;
    perform koyomi_add_collection_2(
        p_home_id, v_id, v_revision, v_now, p_new_name, v_source.kind, v_source.components, v_source.timezone,
        v_source.source, v_source.properties
    );
    if p_prepared_id is not null then
        perform set_config('koyomi.properties_counted', 'on', true);
        insert into object (
            home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name, uid,
            component, etag, time_key, derived, span_start, span_end, expanded_from, expanded_until, tzids,
            recurrence, summary, scheduling, organizer, sequence, properties, text
        )
        select p_home_id, v_id, n.new_id, v_revision + n.number, v_revision + n.number, v_now, v_now,
               octet_length(n.text), o.endless, o.name, o.uid, o.component, n.etag,
               -- Of another text, or for another owner, the occurrences are computed anew.
               case
                   when n.etag <> o.etag or (p_home_id <> p_collection_home_id and o.component = 'VEVENT') then ''
                   else o.time_key
               end,
               case
                   when n.etag <> o.etag then 0
                   when p_home_id <> p_collection_home_id and (o.component = 'VEVENT' or o.organizer is not null) then 0
                   else o.derived
               end,
               o.span_start, o.span_end, o.expanded_from, o.expanded_until, o.tzids, o.recurrence, o.summary,
               -- A home has one scheduling object of a UID.
               0, o.organizer, o.sequence,
               o.properties, n.text
        from copied n join object o on o.home_id = p_collection_home_id and o.id = n.old_id;
        perform set_config('koyomi.properties_counted', '', true);
        select count(*), coalesce(sum(octet_length(n.text)), 0), coalesce(sum(koyomi_property_bytes_1(o.properties)), 0)
        into v_members, v_bytes, v_properties
        from copied n join object o on o.home_id = p_collection_home_id and o.id = n.old_id;
        v_revision := v_revision + v_members;
        update collection c set revision = v_revision, member_count = v_members, used_bytes = v_bytes
        where c.home_id = p_home_id and c.id = v_id;
        update home h
        set revision = v_revision, used_bytes = h.used_bytes + v_bytes, property_bytes = h.property_bytes + v_properties
        where h.id = p_home_id;
        perform koyomi_require_space_1(p_home_id, p_quota_bytes);
    end if;
    perform koyomi_require_space_2(p_home_id, p_quota_bytes, v_used, v_total);
    insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'collection-copied', v_id, p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, revision, action, collection_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'collection-copied', v_id, p_principal_id, p_origin, p_request_id);
    return v_revision;
end $$;
