-- Copy a home's own collection under another name of the home, with its properties and, if asked, its members: their
-- texts, dead properties, occurrences and alarms. The rules of 0003 hold; every member takes a revision of its own.
create function koyomi_copy_collection_1(
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
        create temporary table copied on commit drop as
        select o.id as old_id, nextval(pg_get_serial_sequence('object', 'id')) as new_id,
               v_revision + row_number() over (order by o.name) as revision
        from object o
        where o.home_id = p_collection_home_id and o.collection_id = p_collection_id and o.deleted_revision is null;
        insert into object (
            home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name, uid,
            component, etag, time_key, span_start, span_end, expanded_from, expanded_until, tzids, summary, properties,
            text
        )
        select p_home_id, v_id, n.new_id, n.revision, n.revision, v_now, v_now, o.size, o.endless, o.name, o.uid,
               o.component, o.etag, o.time_key, o.span_start, o.span_end, o.expanded_from, o.expanded_until, o.tzids,
               o.summary, o.properties, o.text
        from copied n join object o on o.home_id = p_collection_home_id and o.id = n.old_id;
        insert into occurrence (
            home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start,
            range_end, start_at, end_at, matches_from, matches_until, local_start, tzid, recurrence_id
        )
        select p_home_id, v_id, n.new_id, o.ordinal, o.component, o.length_class, o.kind, o.busy, o.matches,
               o.range_start, o.range_end, o.start_at, o.end_at, o.matches_from, o.matches_until, o.local_start, o.tzid,
               o.recurrence_id
        from copied n join occurrence o on o.home_id = p_collection_home_id and o.object_id = n.old_id;
        insert into alarm (
            home_id, collection_id, object_id, component, alarm, at, days, seconds, from_end, repeat, interval_seconds
        )
        select p_home_id, v_id, n.new_id, a.component, a.alarm, a.at, a.days, a.seconds, a.from_end, a.repeat,
               a.interval_seconds
        from copied n
        join alarm a on a.home_id = p_collection_home_id and a.object_id = n.old_id and a.viewer_id = 0;
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
