-- Deleting members, and their dead properties.

-- Delete a member. Its text is kept, and counted as kept, until the days of restoring are over.
create or replace function koyomi_delete_object_2(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text,
    p_expected_id bigint, p_expected_revision bigint, p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_size bigint;
    v_neutral bigint;
    v_properties bigint;
    v_component text;
    v_reserved boolean;
    v_revision bigint;
    v_now timestamptz;
begin
    select o.size, coalesce(octet_length(o.neutral_text), 0), coalesce(octet_length(o.properties::text), 0), o.component,
           o.reserved
    into v_size, v_neutral, v_properties, v_component, v_reserved
    from object o
    where o.home_id = p_home_id and o.id = p_expected_id and o.revision = p_expected_revision
      and o.deleted_revision is null and o.collection_id = p_collection_id and o.name = p_name
    for no key update;
    if not found then
        raise exception using errcode = 'KY001', message = 'object changed';
    end if;
    if v_component <> 'VCARD' then
        delete from occurrence where home_id = p_home_id and object_id = p_expected_id;
        delete from alarm where home_id = p_home_id and object_id = p_expected_id;
        -- The trigger of personal copies works even where there are none.
        perform 1 from object_view where home_id = p_home_id and object_id = p_expected_id;
        if found then
            delete from object_view where home_id = p_home_id and object_id = p_expected_id;
        end if;
    end if;

    -- The text and the properties are kept for restoring; the neutral text is not.
    update home h
    set revision = h.revision + 1, used_bytes = h.used_bytes - v_size, kept_bytes = h.kept_bytes + v_size - v_neutral,
        property_bytes = h.property_bytes - v_properties,
        kept_property_bytes = h.kept_property_bytes + v_properties, modified_at = clock_timestamp()
    where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    update collection c
    set revision = v_revision, used_bytes = c.used_bytes - v_size, modified_at = v_now,
        member_count = c.member_count - 1
    where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null
      and exists (
          select from binding b
          where b.home_id = p_binding_home_id and b.name = p_binding and b.collection_home_id = p_home_id
            and b.collection_id = p_collection_id and b.incarnation = p_incarnation and b.deleted_revision is null
      );
    if not found then
        perform koyomi_require_collection_2(
            p_home_id, p_collection_id, p_binding_home_id, p_binding, p_incarnation
        );
    end if;
    if v_reserved then
        perform koyomi_release_1(array[p_home_id], array[p_expected_id]);
    end if;
    if v_neutral = 0 then
        update object o
        set revision = v_revision, deleted_revision = v_revision, deleted_at = v_now, expanded_from = null,
            expanded_until = null
        where o.home_id = p_home_id and o.id = p_expected_id;
    else
        update object o
        set revision = v_revision, deleted_revision = v_revision, deleted_at = v_now, neutral_etag = null,
            neutral_text = null, expanded_from = null, expanded_until = null
        where o.home_id = p_home_id and o.id = p_expected_id;
    end if;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'deleted', p_collection_id, p_expected_id, p_principal_id, p_origin, p_request_id);
    return v_revision;
end $$;

create or replace function koyomi_set_object_properties_2(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text,
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
    perform koyomi_require_collection_2(p_home_id, p_collection_id, p_binding_home_id, p_binding, p_incarnation);
    update collection c set revision = v_revision, modified_at = v_now
    where c.home_id = p_home_id and c.id = p_collection_id;
    update object o
    set revision = v_revision,
        properties = nullif((coalesce(o.properties, '{}') || p_set) - p_removed, '{}')
    where o.home_id = p_home_id and o.id = p_expected_id;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'properties', p_collection_id, p_expected_id, p_principal_id, p_origin,
            p_request_id);
    return v_revision;
end $$;

-- As koyomi_set_object_properties_2, within the quota.
create or replace function koyomi_set_object_properties_3(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text,
    p_expected_id bigint, p_expected_revision bigint, p_set jsonb, p_removed text[], p_quota_bytes bigint,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_used bigint;
    v_total bigint;
    v_revision bigint;
begin
    -- An object is locked before its home, which one that has changed does not wait for.
    perform 1 from object o
    where o.home_id = p_home_id and o.id = p_expected_id and o.revision = p_expected_revision
      and o.deleted_revision is null
    for no key update;
    if not found then
        raise exception using errcode = 'KY001', message = 'object changed';
    end if;
    select s.used, s.total into v_used, v_total from koyomi_hold_space_1(p_home_id) as s;
    v_revision := koyomi_set_object_properties_2(
        p_home_id, p_collection_id, p_binding_home_id, p_binding, p_incarnation, p_name, p_expected_id,
        p_expected_revision, p_set, p_removed, p_principal_id, p_origin, p_request_id
    );
    perform koyomi_require_space_2(p_home_id, p_quota_bytes, v_used, v_total);
    return v_revision;
end $$;

-- Set the dead properties of an object that this transaction has put, within the quota.
create or replace function koyomi_add_properties_1(
    p_home_id bigint, p_object_id bigint, p_properties jsonb, p_quota_bytes bigint
) returns void language plpgsql as $$
declare
    v_used bigint;
    v_total bigint;
begin
    select s.used, s.total into v_used, v_total from koyomi_hold_space_1(p_home_id) as s;
    update object o set properties = p_properties where o.home_id = p_home_id and o.id = p_object_id;
    perform koyomi_require_space_2(p_home_id, p_quota_bytes, v_used, v_total);
end $$;
