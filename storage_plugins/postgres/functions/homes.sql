-- Homes.

-- Make a home with its first collections, one for each element of the arrays. Returns its id, or null if it exists.
create or replace function koyomi_create_home_1(
    p_principal_id bigint, p_kind text, p_names text[], p_kinds text[],
    -- What each calendar takes; null for other kinds.
    p_components text[]
) returns bigint language plpgsql as $$
declare
    v_home_id bigint;
    v_now timestamptz;
begin
    -- With the addresses that its events are going to be derived by: no job has to derive those again. Nothing was
    -- stored in it before properties were counted.
    insert into home (principal_id, kind, revision, properties_counted, owner_addresses)
    values (p_principal_id, p_kind, cardinality(p_names), true, case when p_kind = 'calendar' then array(
        select p.name from principal p where p.id = p_principal_id
        union all
        (select a.address from principal_address a where a.principal_id = p_principal_id order by a.position)
    ) else '{}' end)
    on conflict (principal_id, kind) do nothing
    returning id, modified_at into v_home_id, v_now;
    if v_home_id is null then
        return null;
    end if;
    for i in 1 .. cardinality(p_names) loop
        perform koyomi_add_collection_1(
            v_home_id, i, v_now, p_names[i], p_kinds[i], array_remove(array[p_components[i]], null), null, null, null
        );
    end loop;
    return v_home_id;
end $$;

create or replace function koyomi_set_home_properties_1(
    p_home_id bigint, p_set jsonb, p_removed text[], p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_revision bigint;
begin
    update home h
    set revision = h.revision + 1, modified_at = clock_timestamp(),
        properties = nullif((coalesce(h.properties, '{}') || p_set) - p_removed, '{}'),
        property_bytes = h.property_bytes - koyomi_property_bytes_1(h.properties)
            + koyomi_property_bytes_1(nullif((coalesce(h.properties, '{}') || p_set) - p_removed, '{}'))
    where h.id = p_home_id
    returning h.revision into v_revision;
    if not found then
        raise exception using errcode = 'KY002', message = 'home is gone';
    end if;
    insert into outbox (home_id, revision, kind, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'home-properties', p_principal_id, p_origin, p_request_id);
    return v_revision;
end $$;

-- As koyomi_set_home_properties_1, within the quota.
create or replace function koyomi_set_home_properties_2(
    p_home_id bigint, p_set jsonb, p_removed text[], p_quota_bytes bigint,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_used bigint;
    v_total bigint;
    v_revision bigint;
begin
    select s.used, s.total into v_used, v_total from koyomi_hold_space_1(p_home_id) as s;
    v_revision := koyomi_set_home_properties_1(p_home_id, p_set, p_removed, p_principal_id, p_origin, p_request_id);
    perform koyomi_require_space_2(p_home_id, p_quota_bytes, v_used, v_total);
    return v_revision;
end $$;
